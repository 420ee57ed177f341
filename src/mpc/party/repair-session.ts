/**
 * The repair of a share on this node: the pure machine of `repair/` on real ports.
 * @module
 */
import { equalBytes } from '../../base/bytes.ts';
import { openEnvelope } from '../../base/envelope.ts';
import { toBzzzError } from '../../base/errors.ts';
import { wipe } from '../keys/sharefile.ts';
import { createRepair, stepRepair } from '../repair/machine.ts';
import type { RepairEffect, RepairOutcome, RepairStart, RepairState } from '../repair/types.ts';
import { suiteOf } from '../suites/index.ts';
import type { KeyInfo, KeyShare, Party, RepairProposal, SessionInput } from '../types.ts';
import type { Host } from './live.ts';
import { type KindOf, Session } from './session.ts';
import type { ProposeBody } from './wire.ts';

/** Helpers in index order, then the one who lost its share. */
export const repairSeats = ({ helpers, lost }: RepairProposal, key: KeyInfo): readonly Party[] =>
  [...helpers, lost].flatMap((index) => key.parties[index - 1] ?? []);

type Repair = KindOf<RepairProposal, RepairState, SessionInput, RepairEffect, RepairOutcome>;

/** One running repair. */
export class RepairSession extends Session<Repair> {
  readonly #start: RepairStart;

  constructor(host: Host, start: RepairStart, body: ProposeBody) {
    const { self, clusterId } = host;
    const { random, signer, suites } = host.deps;
    const suite = suiteOf(start.key.suite, suites);
    const deps = { self, clusterId, random, signer, open: openEnvelope, suite };
    const { sealed, key } = start;
    super(host, {
      ...{ sealed, body },
      parties: repairSeats(sealed.proposal, key).map(({ peerId }) => peerId),
      state: createRepair(start, deps),
      step: (state, input) => stepRepair(state, input, deps),
    });
    this.#start = start;
  }

  override start(): void {
    this.host.say(this.sid, 'joined');
    this.host.say(this.sid, 'started');
    super.start();
  }

  override close(): void {
    super.close();
    if (this.#start.share !== undefined) wipe(this.#start.share.signingShare);
  }

  protected perform(effect: Repair['effect']): undefined | Promise<SessionInput> {
    if (effect.type === 'store') return this.#store(effect.share);
    this.finish(effect.outcome);
    return undefined;
  }

  async #store(share: KeyShare): Promise<SessionInput> {
    const { keystore, keyring, suites, logger, emit } = this.host.deps;
    const { key } = this.#start;
    const { keyId, name, epoch } = key;
    const expected = key.verifyingShares[share.index - 1];
    try {
      await keystore.restore(keyId, { share, epoch, attached: new Uint8Array() }, (back) => {
        const point = suiteOf(key.suite, suites).verifyingShareOf(back);
        return expected !== undefined && equalBytes(point, expected);
      });
      const entry = keyring.byId(keyId);
      if (entry !== undefined) await this.host.shares.settle(entry);
      logger.info({ sessionId: this.sid, keyId, name }, 'a lost share is back');
      emit('key.repaired', { keyId, name, epoch, sessionId: this.sid });
      return { type: 'stored', name: 'share' };
    } catch (thrown) {
      const error = toBzzzError(thrown, 'DISK_FAILED');
      logger.error({ sessionId: this.sid, code: error.code }, error.message);
      return { type: 'storeFailed', name: 'share', error: error.toShape() };
    }
  }
}
