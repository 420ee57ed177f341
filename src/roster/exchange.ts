/**
 * The roster exchange, as a machine without I/O. Both sides run the same one: each says where its
 * chain stands, fetches what it lacks, and when it has all that the other announced judges the
 * other by it. It is open to everyone, so that a member that was away is never a stranger.
 *
 * | state    | input                         | next       | effects                             |
 * | -------- | ----------------------------- | ---------- | ----------------------------------- |
 * | greeting | hello, its head is known here | finishing  | done                                |
 * | greeting | hello, its head is not known  | fetching   | want                                |
 * | fetching | entries that were wanted      | extending  | extend                              |
 * | extending| extended, short of its head   | fetching   | want                                |
 * | extending| extended, at its head         | finishing  | done                                |
 * | extending| refused (shell could not)     | ended      | refuse, fail                        |
 * | any      | want, after hello before done | same       | entries                             |
 * | any      | done                          | same       | end, once both are done             |
 * | any      | refuse                        | ended      | fail, or extend the evidence first  |
 * | any      | anything else                 | ended      | refuse, fail BAD_MESSAGE            |
 *
 * At most one `want` of each side is open, an answer fits one frame, and the number of frames is
 * bounded, so neither side can make the other hold or work without end.
 * @module
 */
import type { Epoch, PeerId } from '../base/brands.ts';
import { equalBytes } from '../base/bytes.ts';
import { BzzzError, type ErrorShape, toBzzzError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { type Chain, entriesFrom, hashAt, removalOf } from './chain.ts';
import { decodeEntry } from './entry.ts';
import {
  decodeMessage,
  type ExchangeMessage,
  encodeMessage,
  type Hello,
  helloOf,
} from './exchange-wire.ts';
import type { Standing } from './types.ts';
import { errorForWire } from './wire-error.ts';

export interface ExchangeState {
  readonly phase: 'greeting' | 'fetching' | 'extending' | 'finishing' | 'proving' | 'ended';
  /** What the other announced; from its hello on. */
  readonly theirs: { readonly epoch: Epoch; readonly head: Uint8Array } | undefined;
  /** First epoch of the open or next `want`. */
  readonly next: number;
  /** Frames of entries asked for, and given. */
  readonly asked: number;
  readonly given: number;
  /** What the other thinks of this node, when it is done. */
  readonly verdict: { readonly standing: Standing; readonly removal?: Uint8Array } | undefined;
  /** Why the other broke off, while its evidence is looked at. */
  readonly refusal: ErrorShape | undefined;
}

export type ExchangeInput =
  | { readonly type: 'start' }
  | { readonly type: 'frame'; readonly bytes: Uint8Array }
  /** The `extend` effect is done, and on the disk. */
  | { readonly type: 'extended' }
  | { readonly type: 'refused'; readonly error: BzzzError };

export type ExchangeEffect =
  | { readonly type: 'send'; readonly frame: Uint8Array }
  | { readonly type: 'extend'; readonly entries: readonly Uint8Array[] }
  | { readonly type: 'end' }
  | { readonly type: 'fail'; readonly error: BzzzError };

export interface ExchangeContext {
  /** The chain as it stands at this step. */
  readonly chain: Chain;
  /** The peer that Noise authenticated. */
  readonly remote: PeerId;
}

export interface ExchangeStep {
  readonly state: ExchangeState;
  readonly effects: readonly ExchangeEffect[];
}

export const exchangeBegin: ExchangeState = {
  phase: 'greeting',
  theirs: undefined,
  next: 1,
  asked: 0,
  given: 0,
  verdict: undefined,
  refusal: undefined,
};

/** One step; see the table above. Never throws for what the other side sent. */
export function stepExchange(
  state: ExchangeState,
  input: ExchangeInput,
  context: ExchangeContext,
): ExchangeStep {
  if (state.phase === 'ended') return { state, effects: [] };
  try {
    if (input.type === 'start') return { state, effects: [send(helloOf(context.chain))] };
    if (input.type === 'frame') return onMessage(state, decodeMessage(input.bytes), context);
    if (input.type === 'extended') return onExtended(state, context);
    return onRefused(state, input.error, context);
  } catch (thrown) {
    return breakOff(state, toBzzzError(thrown), context);
  }
}

function onMessage(
  state: ExchangeState,
  message: ExchangeMessage,
  context: ExchangeContext,
): ExchangeStep {
  switch (message.type) {
    case 'hello':
      return onHello(state, message, context);
    case 'want':
      return onWant(state, message.from, context);
    case 'entries':
      return onEntries(state, message.entries, context);
    case 'done': {
      if (state.theirs === undefined || state.verdict !== undefined) throw unexpected('done');
      const { standing, removal } = message;
      const verdict = removal === undefined ? { standing } : { standing, removal };
      return settle({ ...state, verdict }, []);
    }
    case 'refuse':
      return onRefuse(state, BzzzError.fromShape(message.error).toShape(), message.evidence);
  }
}

function onHello(state: ExchangeState, hello: Hello, context: ExchangeContext): ExchangeStep {
  const { chain } = context;
  if (state.theirs !== undefined) throw unexpected('second hello');
  if (hello.clusterId !== chain.view.clusterId) {
    throw new BzzzError('BAD_MESSAGE', `the roster of another cluster: ${hello.clusterId}`);
  }
  const { epoch, head } = hello;
  // Samples only choose where to begin; whatever they claim, each entry is verified.
  const shared = hello.samples
    .filter((sample) => isAt(chain, sample.epoch, sample.hash))
    .map((sample) => sample.epoch);
  const next = Math.min(Math.max(0, ...shared), chain.view.epoch) + 1;
  return fetchOrFinish({ ...state, theirs: { epoch, head }, next }, context);
}

function onWant(state: ExchangeState, from: number, context: ExchangeContext): ExchangeStep {
  const given = state.given + 1;
  const early = state.theirs === undefined;
  if (early || state.verdict !== undefined || given > LIMITS.rosterRounds) throw unexpected('want');
  const entries = entriesFrom(context.chain, from);
  const frame = encodeMessage({ type: 'entries', entries });
  return { state: { ...state, given }, effects: [send(frame)] };
}

function onEntries(
  state: ExchangeState,
  entries: readonly Uint8Array[],
  context: ExchangeContext,
): ExchangeStep {
  if (state.phase !== 'fetching') throw unexpected('entries');
  if (entries.length === 0) {
    throw new BzzzError('BAD_MESSAGE', 'the peer announced roster entries that it does not give');
  }
  for (const [i, bytes] of entries.entries()) {
    const { epoch } = decodeEntry(context.chain.view.clusterId, bytes).body;
    if (epoch === state.next + i) continue;
    throw new BzzzError('BAD_MESSAGE', `roster entry ${epoch} in place of ${state.next + i}`);
  }
  const next = state.next + entries.length;
  return { state: { ...state, phase: 'extending', next }, effects: [{ type: 'extend', entries }] };
}

function onExtended(state: ExchangeState, context: ExchangeContext): ExchangeStep {
  if (state.phase === 'proving' && state.refusal !== undefined) {
    return failed(state, refusedBy(state.refusal)); // its evidence contradicts nothing here
  }
  if (state.phase !== 'extending') throw unexpected('extension');
  return fetchOrFinish(state, context);
}

function onRefused(state: ExchangeState, error: BzzzError, context: ExchangeContext): ExchangeStep {
  if (state.phase !== 'proving' || state.refusal === undefined) {
    return breakOff(state, error, context);
  }
  return failed(state, error.code === 'ROSTER_FORK' ? error : refusedBy(state.refusal));
}

/** Nobody is believed who says that there is a fork; an entry that proves it is. */
function onRefuse(
  state: ExchangeState,
  refusal: ErrorShape,
  evidence: Uint8Array | undefined,
): ExchangeStep {
  if (evidence === undefined || state.phase === 'extending') {
    return failed(state, refusedBy(refusal));
  }
  return {
    state: { ...state, phase: 'proving', refusal },
    effects: [{ type: 'extend', entries: [evidence] }],
  };
}

function fetchOrFinish(state: ExchangeState, context: ExchangeContext): ExchangeStep {
  const { chain, remote } = context;
  const { theirs, next } = state;
  if (theirs === undefined) throw unexpected('step before hello');
  if (isAt(chain, theirs.epoch, theirs.head)) {
    const standing = chain.view.standing(remote);
    const removal = removalOf(chain, remote)?.bytes;
    const done = { type: 'done', standing } as const;
    const frame = encodeMessage(removal === undefined ? done : { ...done, removal });
    return settle({ ...state, phase: 'finishing' }, [send(frame)]);
  }
  if (next > theirs.epoch) {
    throw new BzzzError('BAD_MESSAGE', 'the entries of the peer do not lead to the head it named');
  }
  const asked = state.asked + 1;
  if (asked > LIMITS.rosterRounds) throw unexpected('chain of that length');
  const want = encodeMessage({ type: 'want', from: next });
  return { state: { ...state, phase: 'fetching', asked }, effects: [send(want)] };
}

/** Ends once this side has said done and the other has. */
function settle(state: ExchangeState, effects: readonly ExchangeEffect[]): ExchangeStep {
  if (state.phase !== 'finishing' || state.verdict === undefined) return { state, effects };
  return { state: { ...state, phase: 'ended' }, effects: [...effects, { type: 'end' }] };
}

/** Tells the other why; for a fork with the entry of ours that contradicts its own. */
function breakOff(state: ExchangeState, error: BzzzError, context: ExchangeContext): ExchangeStep {
  const epoch = error.code === 'ROSTER_FORK' ? Number(error.details.epoch) : 0;
  const evidence = context.chain.links[epoch - 1]?.entry.bytes;
  const refuse = encodeMessage({
    type: 'refuse',
    error: errorForWire(error.toShape()),
    ...(evidence === undefined ? {} : { evidence }),
  });
  const { state: ended, effects } = failed(state, error);
  return { state: ended, effects: [send(refuse), ...effects] };
}

const failed = (state: ExchangeState, error: BzzzError): ExchangeStep => ({
  state: { ...state, phase: 'ended' },
  effects: [{ type: 'fail', error }],
});

const isAt = (chain: Chain, epoch: number, hash: Uint8Array): boolean => {
  const ours = hashAt(chain, epoch);
  return ours !== undefined && equalBytes(ours, hash);
};

const send = (frame: Uint8Array): ExchangeEffect => ({ type: 'send', frame });

const unexpected = (what: string): BzzzError =>
  new BzzzError('BAD_MESSAGE', `roster exchange: unexpected ${what}`);

const refusedBy = (refusal: ErrorShape): BzzzError =>
  new BzzzError('BAD_MESSAGE', 'the peer broke off the roster exchange', {
    why: `${refusal.code}: ${refusal.message}`,
  });
