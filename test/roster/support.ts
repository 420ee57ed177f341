/** A cluster on paper: identities, a genesis, entries signed by whom the test likes, streams. */
import type { Epoch, PeerId, Term } from '../../src/base/brands.ts';
import { utf8Bytes } from '../../src/base/bytes.ts';
import { BzzzError, type ErrorCode } from '../../src/base/errors.ts';
import type { KeyValue, Logger, Signer } from '../../src/base/ports.ts';
import { type Chain, createChain, extendChain } from '../../src/roster/chain.ts';
import {
  assembleEntry,
  type Change,
  type Entry,
  type EntryBody,
  majority,
  signBody,
} from '../../src/roster/entry.ts';
import { createGenesis, type Genesis } from '../../src/roster/genesis.ts';
import { recoveryBody } from '../../src/roster/recovery-rules.ts';
import { RosterService } from '../../src/roster/service.ts';
import type { FrameStream } from '../../src/roster/types.ts';
import {
  memoryKeyValue,
  quietLogger,
  type TestClock,
  testClock,
  testSigner,
} from '../support/world.ts';

export const term = (n: number): Term => n as Term;
export const epoch = (n: number): Epoch => n as Epoch;

export const NAMES = ['ada', 'ben', 'cyd', 'dov', 'eve', 'fay', 'gus', 'hal'] as const;
const signers = await Promise.all(NAMES.map((name) => testSigner(name)));
export const [ada, ben, cyd, dov, eve, fay, gus, hal] = signers as [
  Signer,
  Signer,
  Signer,
  Signer,
  Signer,
  Signer,
  Signer,
  Signer,
];
export const signerOf = (peer: PeerId): Signer => signers.find((s) => s.peerId === peer)!;

export const genesisOf = (salt = 'lab', founder: Signer = ada): Genesis =>
  createGenesis({
    name: 'lab',
    salt: utf8Bytes(salt.padEnd(16, '.')).subarray(0, 16),
    founder: founder.peerId,
    founderName: 'host-a',
  });

export const admit = (who: Signer, extra: Partial<Extract<Change, { kind: 'admit' }>> = {}) =>
  ({ kind: 'admit', peer: who.peerId, role: 'persistent', noVoter: false, ...extra }) as const;
export const remove = (who: Signer) =>
  ({ kind: 'remove', peer: who.peerId, reason: 'removed' }) as const;
export const promote = (who: Signer) => ({ kind: 'promote', peer: who.peerId }) as const;
export const demote = (who: Signer) => ({ kind: 'demote', peer: who.peerId }) as const;

export function bodyAfter(chain: Chain, change: Change, extra: Partial<EntryBody> = {}): EntryBody {
  const { view } = chain;
  const epoch = (view.epoch + 1) as Epoch;
  return { v: 1, epoch, term: view.term, prev: view.head, change, time: 1_000 * epoch, ...extra };
}

/** The next entry of a chain, signed by the first majority of its voters unless told otherwise. */
export function entryAfter(
  chain: Chain,
  change: Change,
  options: { body?: Partial<EntryBody>; by?: readonly Signer[]; ballot?: number } = {},
): Entry {
  const { clusterId, voters } = chain.view;
  const body = bodyAfter(chain, change, options.body);
  const by = options.by ?? voters.slice(0, majority(voters.length)).map(signerOf);
  const ballot = term(options.ballot ?? body.term);
  const signatures = by.map((signer) => signBody(clusterId, signer, body, ballot));
  return assembleEntry(clusterId, body, ballot, signatures);
}

/** An entry's body under another ballot, signed by whom the test likes. */
export function signedAgain(
  chain: Chain,
  body: EntryBody,
  by: readonly Signer[],
  ballot: number,
): Entry {
  const { clusterId } = chain.view;
  const signatures = by.map((signer) => signBody(clusterId, signer, body, term(ballot)));
  return assembleEntry(clusterId, body, term(ballot), signatures);
}

/** The recovery that makes `voters` the voters, signed by them, or by `by`. */
export function recoveryAfter(
  chain: Chain,
  voters: readonly Signer[],
  options: { body?: Partial<EntryBody>; by?: readonly Signer[]; ballot?: number } = {},
): Entry {
  const time = chain.links.at(-1)?.entry.body.time ?? 0;
  const peers = voters.map((signer) => signer.peerId);
  const body = { ...recoveryBody(chain.view, time, peers), ...options.body };
  return signedAgain(chain, body, options.by ?? voters, options.ballot ?? body.term);
}

/** A chain that went through `changes`. */
export function chainWith(changes: readonly Change[], genesis = genesisOf()): Chain {
  let chain = createChain(genesis);
  for (const change of changes) chain = extendChain(chain, [entryAfter(chain, change)]).chain;
  return chain;
}

export const entriesOf = (chain: Chain): readonly Entry[] => chain.links.map((link) => link.entry);
export const bytesOf = (chain: Chain): readonly Uint8Array[] =>
  entriesOf(chain).map((entry) => entry.bytes);

/** The code that `work` throws; a failure of the test when it throws nothing or another error. */
export function codeOf(work: () => unknown): ErrorCode {
  try {
    work();
  } catch (thrown) {
    if (thrown instanceof BzzzError) return thrown.code;
    throw thrown;
  }
  throw new Error('nothing was thrown');
}

export async function refusalOf(work: Promise<unknown>): Promise<BzzzError> {
  try {
    await work;
  } catch (thrown) {
    if (thrown instanceof BzzzError) return thrown;
    throw thrown;
  }
  throw new Error('nothing was thrown');
}

export interface TestNode {
  readonly signer: Signer;
  readonly disk: Map<string, Uint8Array>;
  readonly store: KeyValue;
  readonly clock: TestClock;
  readonly roster: RosterService;
}

/** A node's roster on a disk of its own (or a given one), filled with `entries`. */
export async function openNode(
  signer: Signer,
  options: {
    readonly genesis?: Genesis | null;
    readonly entries?: readonly Uint8Array[];
    readonly disk?: Map<string, Uint8Array>;
    readonly checkpoint?: { readonly epoch: Epoch; readonly head: Uint8Array };
    readonly store?: (store: KeyValue) => KeyValue;
    readonly clock?: TestClock;
    readonly logger?: Logger;
  } = {},
): Promise<TestNode> {
  const { disk = new Map(), genesis = genesisOf(), clock = testClock(), checkpoint } = options;
  const store = (options.store ?? ((s) => s))(memoryKeyValue(disk));
  const roster = await RosterService.open(
    {
      ...(genesis === null ? {} : { genesis: genesis.bytes }),
      ...(checkpoint === undefined ? {} : { checkpoint }),
    },
    { store: store.sub('roster'), signer, clock, logger: options.logger ?? quietLogger },
  );
  if (options.entries !== undefined) await roster.extend(options.entries);
  return { signer, disk, store, clock, roster };
}

/** Every line that was logged, as one text each. */
export function loggedLines(): { readonly lines: string[]; readonly logger: Logger } {
  const lines: string[] = [];
  const line = (level: string) => (fields: object, message: string) => {
    lines.push(`${level} ${message} ${JSON.stringify(fields)}`);
  };
  const logger: Logger = {
    error: line('error'),
    warn: line('warn'),
    info: line('info'),
    debug: line('debug'),
    child: () => logger,
  };
  return { lines, logger };
}

export interface TestStream extends FrameStream {
  close(): void;
  /** Frames written to the other side so far. */
  readonly written: readonly Uint8Array[];
}

/**
 * Two ends in memory. A write resolves when the other side has room for `capacity` frames, as a
 * real stream's would.
 */
export function streamPair(capacity = 1): readonly [TestStream, TestStream] {
  const ab = pipe(capacity);
  const ba = pipe(capacity);
  const end = (from: Pipe, to: Pipe): TestStream => ({
    read: () => from.read(),
    write: (frame) => to.write(frame),
    written: to.log,
    close: () => {
      from.close();
      to.close();
    },
  });
  return [end(ba, ab), end(ab, ba)];
}

interface Pipe {
  readonly log: Uint8Array[];
  read(): Promise<Uint8Array>;
  write(frame: Uint8Array): Promise<void>;
  close(): void;
}

function pipe(capacity: number): Pipe {
  const log: Uint8Array[] = [];
  const frames: Uint8Array[] = [];
  let waiting: (() => void)[] = [];
  let closed = false;
  const changed = () => {
    const wake = waiting;
    waiting = [];
    for (const fn of wake) fn();
  };
  const until = async (ready: () => boolean) => {
    while (!ready()) {
      if (closed) throw new Error('the stream was closed');
      await new Promise<void>((resolve) => waiting.push(resolve));
    }
  };
  return {
    log,
    async read() {
      await until(() => frames.length > 0);
      const frame = frames.shift()!;
      changed();
      return frame;
    },
    async write(frame) {
      await until(() => frames.length < capacity);
      if (closed) throw new Error('the stream was closed');
      frames.push(new Uint8Array(frame));
      log.push(new Uint8Array(frame));
      changed();
    },
    close() {
      closed = true;
      changed();
    },
  };
}
