/** Shares that a disk has lost, and whether what others rebuilt is them. */
import type { KeyId } from '../../../src/base/brands.ts';
import { equalBytes } from '../../../src/base/bytes.ts';
import { claimedEpoch, wipe } from '../../../src/mpc/keys/sharefile.ts';
import type { KeyInfo } from '../../../src/mpc/types.ts';
import type { Host } from './host.ts';
import type { Process } from './process.ts';
import type { World } from './world.ts';

export interface Loss {
  readonly host: Host;
  readonly keyId: KeyId;
  readonly epoch: number;
}

const ACTIVE = 'shares!a/';

export class Losses {
  readonly #world: World;
  #list: readonly Loss[] = [];

  constructor(world: World) {
    this.#world = world;
  }

  /** Those that are not back. */
  get list(): readonly Loss[] {
    return this.#list;
  }

  /** Takes a share from the disk of a host whose process is dead. */
  rob(host: Host): void {
    const [name] = host.disk.keys(ACTIVE);
    const record = name === undefined ? undefined : host.disk.contents.get(name);
    if (name === undefined || record === undefined) return;
    const keyId = name.slice(ACTIVE.length) as KeyId;
    this.#list = [...this.#list, { host, keyId, epoch: claimedEpoch(record, name) }];
    host.disk.lose(name);
    this.#world.say(host, 'has lost its share');
  }

  has(host: Host, { keyId, epoch }: Pick<KeyInfo, 'keyId' | 'epoch'>): boolean {
    return this.#list.some(
      (loss) => loss.host === host && loss.keyId === keyId && loss.epoch === epoch,
    );
  }

  /** A host that died between a rebuilt share and its word for it has the share, and says nothing. */
  settle(process: Process): void {
    for (const { host, keyId } of this.#list) {
      if (host === process.host && host.disk.isSynced(`${ACTIVE}${keyId}`)) {
        this.mended(process, keyId);
      }
    }
  }

  /** K1, K2: a share that is said to be back is on the disk, and is the one that was lost. */
  mended({ host, deps }: Process, keyId: KeyId): void {
    const { checker, suites } = this.#world;
    if (!host.disk.isSynced(`${ACTIVE}${keyId}`)) {
      checker.fail('K1', `${host.name} says that its share is back, and its disk has none`);
    }
    this.#list = this.#list.filter((loss) => loss.host !== host || loss.keyId !== keyId);
    const look = async (): Promise<void> => {
      const key = deps?.keyring.byId(keyId)?.key;
      const stored = await deps?.keystore.share(keyId);
      if (key === undefined || stored === undefined || stored.epoch !== key.epoch) return;
      const { share } = stored;
      const expected = key.verifyingShares[share.index - 1];
      const point = suites.get(key.suite)?.verifyingShareOf(share);
      const isOurs = key.parties[share.index - 1]?.peerId === host.id;
      if (expected === undefined || point === undefined || !equalBytes(point, expected)) {
        checker.fail('K2', `${host.name} takes a share that is not its own for the lost one`);
      }
      if (!isOurs) checker.fail('K2', `${host.name} has the share of another party`);
      wipe(share.signingShare);
    };
    look().catch((thrown: unknown) => this.#world.caught(thrown));
  }
}
