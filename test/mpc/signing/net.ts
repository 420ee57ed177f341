/**
 * A network of signing machines under a virtual clock. Each node does what a shell must do: it feeds
 * every effect's outcome back, asks the arbiter, shares results between the sessions of one request.
 */
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys';
import { z } from 'zod';
import type {
  ClusterId,
  Epoch,
  KeyId,
  Millis,
  PeerId,
  SessionId,
} from '../../../src/base/brands.ts';
import { equalBytes, sha256, taggedHash, toHex, utf8Bytes } from '../../../src/base/bytes.ts';
import { decode, encode, field } from '../../../src/base/codec.ts';
import type { Opened } from '../../../src/base/envelope.ts';
import { BzzzError } from '../../../src/base/errors.ts';
import type { Random, Signer } from '../../../src/base/ports.ts';
import type { NoncePort } from '../../../src/mpc/nonces/types.ts';
import { requestIdOf } from '../../../src/mpc/result.ts';
import { sealProposal } from '../../../src/mpc/sessions/proposal.ts';
import {
  type ArbiterEvent,
  type ArbiterState,
  NO_SESSIONS,
  stepArbiter,
} from '../../../src/mpc/signing/arbiter.ts';
import { openSigning, stepSigning } from '../../../src/mpc/signing/machine.ts';
import {
  type Draftable,
  openMessage,
  type SigningMessage,
  sealMessage,
  unpackResult,
} from '../../../src/mpc/signing/messages.ts';
import { SIGNING_TIMING, type SigningTiming } from '../../../src/mpc/signing/timing.ts';
import type {
  SigningDeps,
  SigningInput,
  SigningOutcome,
  SigningStart,
  SigningState,
} from '../../../src/mpc/signing/types.ts';
import type { Suite } from '../../../src/mpc/suites/types.ts';
import type { KeyInfo, KeyShare, SealedProposal, SignProposal } from '../../../src/mpc/types.ts';
import { dealToyKey, type ToySuite, toySuite } from '../../support/toy-suite.ts';
import { testRandom } from '../../support/world.ts';

export const CLUSTER = toHex(sha256(utf8Bytes('test cluster'))) as ClusterId;

const peerIds: PeerId[] = [];
for (let i = 0; i < 16; i++) {
  const key = await generateKeyPairFromSeed('Ed25519', sha256(utf8Bytes(`signer ${i}`)));
  peerIds.push(key.publicKey.toString() as PeerId);
}

/** Peer `n` of the tests, from 1. */
export function peer(n: number): PeerId {
  const id = peerIds[n - 1];
  if (id === undefined) throw new Error(`no peer ${n}`);
  return id;
}

const toyEnvelope = z.strictObject({
  signer: field.peerId,
  payload: field.bytesUpTo(1_000_000),
  tag: field.bytes(32),
});
const toyTag = (signer: PeerId, domain: string, payload: Uint8Array): Uint8Array =>
  taggedHash(`toy seal of ${signer}`, utf8Bytes(domain), payload);

/** A stand-in for Ed25519 envelopes; only the test that plays a peer seals for it. */
export const toySigner = (peerId: PeerId): Signer => ({
  peerId,
  seal: (domain, payload) =>
    encode({ signer: peerId, payload, tag: toyTag(peerId, domain, payload) }),
});

export function toyOpen(domain: string, envelope: Uint8Array): Opened {
  const { signer, payload, tag } = decode('toy envelope', toyEnvelope, envelope, 1_000_000);
  if (!equalBytes(tag, toyTag(signer, domain, payload))) {
    throw new BzzzError('BAD_MESSAGE', 'toy envelope signature is not valid for this domain');
  }
  return { signer, payload };
}

/** A generator of numbers in [0, 1). */
export function chance(seed: string): () => number {
  const random = testRandom(seed);
  return () => new DataView(random.bytes(4).buffer).getUint32(0) / 2 ** 32;
}

export interface DealtKey {
  readonly key: KeyInfo;
  readonly shares: ReadonlyMap<PeerId, KeyShare>;
}

type PublicParts = Pick<KeyInfo, 'groupKey' | 'commitments' | 'verifyingShares'>;

export function keyInfo(threshold: number, n: number, suite: Suite, parts: PublicParts): KeyInfo {
  const parties = Array.from({ length: n }, (_, i) => ({
    peerId: peer(i + 1),
    index: i + 1,
    role: 'persistent' as const,
  }));
  return {
    keyId: toHex(sha256(parts.groupKey)) as KeyId,
    name: 'test',
    suite: suite.name,
    threshold,
    parties,
    groupKey: parts.groupKey,
    commitments: parts.commitments,
    verifyingShares: parts.verifyingShares,
    purpose: 'tests',
    requesters: parties.map(({ peerId }) => peerId),
    policy: 'auto',
    epoch: 0,
    sid: toHex(sha256(utf8Bytes('keygen'))) as SessionId,
  };
}

export function toyKey(threshold: number, n: number, suite: Suite): DealtKey {
  const dealt = dealToyKey(threshold, n, testRandom(`toy key ${threshold} of ${n}`));
  const shares = new Map(dealt.shares.map((share) => [peer(share.index), share]));
  return { key: keyInfo(threshold, n, suite, dealt), shares };
}

/** A message, or the result that travels as it is. */
export type Heard = SigningMessage | { readonly kind: 'result'; readonly record: Uint8Array };

/** Who gets which message of a sender; what a faulty party or network does. */
export type Wire = (sent: {
  readonly from: PeerId;
  readonly to: PeerId;
  readonly sid: SessionId;
  readonly envelope: Uint8Array;
  readonly message: Heard;
  readonly now: number;
}) => readonly { readonly envelope: Uint8Array; readonly delayMs: number }[];

export interface NetOptions {
  readonly threshold: number;
  readonly n: number;
  /** Delay in ms, by default 1. */
  readonly wire?: Wire;
  readonly suite?: ToySuite;
  /** Toy envelopes unless a test brings real ones. */
  readonly signerOf?: (peerId: PeerId) => Signer;
  readonly open?: (domain: string, envelope: Uint8Array) => Opened;
  /** What a node has exchanged ahead. */
  readonly nonces?: (net: Net, peerId: PeerId) => NoncePort | undefined;
  readonly real?: { readonly suite: Suite; readonly dealt: DealtKey };
}

/** One machine on one node. */
export interface Machine {
  state: SigningState;
  readonly outcomes: SigningOutcome[];
  readonly events: { readonly kind: string; readonly data: Readonly<Record<string, unknown>> }[];
  readonly ignored: { readonly from: PeerId; readonly reason: string }[];
  readonly records: Uint8Array[];
  readonly timers: Map<string, number>;
}

interface Node {
  readonly peerId: PeerId;
  alive: boolean;
  boot: number;
  random: Random;
  arbiter: ArbiterState;
  readonly sessions: Map<SessionId, Machine>;
  /** Messages of sessions whose proposal has not come yet, as a shell keeps them. */
  readonly waiting: Map<SessionId, { readonly from: PeerId; readonly envelope: Uint8Array }[]>;
}

export class Net {
  readonly suite: Suite;
  readonly toy: ToySuite;
  readonly dealt: DealtKey;
  readonly nodes = new Map<PeerId, Node>();
  /** Every envelope that was sent, for canaries and replays. */
  readonly sent: { from: PeerId; to: PeerId; sid: SessionId; envelope: Uint8Array }[] = [];
  now = 0;
  steps = 0;
  wire: Wire;
  /** Called before every input of a machine. */
  beforeStep: (net: Net, peerId: PeerId, input: SigningInput) => void = () => {};
  onEvent: (peerId: PeerId, event: Machine['events'][number]) => void = () => {};
  /** How long the sessions of a node wait for what. */
  timing: (peerId: PeerId) => SigningTiming = () => SIGNING_TIMING;
  readonly #options: NetOptions;
  #queue: { at: number; order: number; run: () => void }[] = [];
  #order = 0;

  constructor(options: NetOptions) {
    this.#options = options;
    this.toy = options.suite ?? toySuite();
    this.suite = options.real?.suite ?? this.toy;
    this.dealt = options.real?.dealt ?? toyKey(options.threshold, options.n, this.toy);
    this.wire = options.wire ?? (({ envelope }) => [{ envelope, delayMs: 1 }]);
  }

  deps(peerId: PeerId): SigningDeps {
    const nonces = this.dealt.shares.has(peerId) ? this.#options.nonces?.(this, peerId) : undefined;
    return {
      ...(nonces === undefined ? {} : { nonces }),
      self: peerId,
      clusterId: CLUSTER,
      random: this.node(peerId).random,
      signer: (this.#options.signerOf ?? toySigner)(peerId),
      open: this.#options.open ?? toyOpen,
      suite: this.suite,
      timing: this.timing(peerId),
    };
  }

  node(peerId: PeerId): Node {
    const known = this.nodes.get(peerId);
    if (known !== undefined) return known;
    const node: Node = {
      peerId,
      alive: true,
      boot: 1,
      random: testRandom(`${peerId} 1`),
      arbiter: NO_SESSIONS,
      sessions: new Map(),
      waiting: new Map(),
    };
    this.nodes.set(peerId, node);
    return node;
  }

  proposal(
    proposer: PeerId,
    message: Uint8Array,
    extra: Partial<SignProposal> & { readonly salt?: number } = {},
  ): SealedProposal<SignProposal> {
    const { key } = this.dealt;
    const { salt = 0, ...rest } = extra;
    const { keyId, suite, threshold, purpose } = key;
    const messageHash = sha256(message);
    const signer = (this.#options.signerOf ?? toySigner)(proposer);
    const requestId = requestIdOf({ clusterId: CLUSTER, keyId, purpose, messageHash });
    return sealProposal<SignProposal>(
      {
        v: 1,
        clusterId: CLUSTER,
        proposer,
        rosterEpoch: 1 as Epoch,
        ttlMs: 60_000,
        nonce: sha256(utf8Bytes(`nonce ${salt}`)).slice(0, 16),
        kind: 'sign',
        keyId,
        keyEpoch: 0,
        suite,
        threshold,
        purpose,
        messageHash,
        requestId,
        fresh: false,
        ...rest,
      },
      signer,
    );
  }

  /** What a node begins a session with. */
  startOf(peerId: PeerId, sealed: SealedProposal<SignProposal>, message: Uint8Array): SigningStart {
    const share = this.dealt.shares.get(peerId);
    const { boot } = this.node(peerId);
    return {
      sealed,
      key: this.dealt.key,
      message,
      boot,
      ...(share === undefined ? {} : { share }),
    };
  }

  /** Opens a session on one node after a delay, as the proposal arrives. */
  begin(
    peerId: PeerId,
    sealed: SealedProposal<SignProposal>,
    message: Uint8Array,
    delayMs = 0,
    extra: Partial<SigningStart> = {},
  ): void {
    this.at(delayMs, () => {
      const node = this.node(peerId);
      if (!node.alive || node.sessions.has(sealed.sid)) return;
      const start = { ...this.startOf(peerId, sealed, message), ...extra };
      const machine: Machine = {
        state: openSigning(start, this.deps(peerId)),
        outcomes: [],
        events: [],
        ignored: [],
        records: [],
        timers: new Map(),
      };
      node.sessions.set(sealed.sid, machine);
      if (!sealed.proposal.fresh) this.#arbitrate(node, { type: 'opened' }, sealed.sid);
      this.input(peerId, sealed.sid, { type: 'start' });
      for (const { from, envelope } of node.waiting.get(sealed.sid) ?? []) {
        this.input(peerId, sealed.sid, { type: 'message', from, envelope });
      }
    });
  }

  /** Opens a session on its proposer and all holders. */
  beginAll(sealed: SealedProposal<SignProposal>, message: Uint8Array, delayMs = 1): void {
    const { proposer } = sealed.proposal;
    this.begin(proposer, sealed, message);
    for (const { peerId } of this.dealt.key.parties) {
      if (peerId !== proposer) this.begin(peerId, sealed, message, delayMs);
    }
  }

  machine(peerId: PeerId, sid: SessionId): Machine {
    const machine = this.node(peerId).sessions.get(sid);
    if (machine === undefined) throw new Error(`${peerId} has no session ${sid}`);
    return machine;
  }

  /** How the session ended on a node, so far; nothing where it has none. */
  outcomes(peerId: PeerId, sid: SessionId): readonly SigningOutcome[] {
    return this.node(peerId).sessions.get(sid)?.outcomes ?? [];
  }

  /** The completion on a node. */
  completion(peerId: PeerId, sid: SessionId) {
    const last = this.outcomes(peerId, sid).at(-1);
    if (last?.state !== 'completed') {
      throw new Error(`session of ${peerId} is not completed: ${JSON.stringify(last)}`);
    }
    return last;
  }

  /** Everyone whom any node named, over all sessions. */
  named(): readonly PeerId[] {
    const all = [...this.nodes.values()].flatMap(({ sessions }) =>
      [...sessions.values()].flatMap(({ state }) => [...state.culprits.keys()]),
    );
    return [...new Set(all)].sort();
  }

  kill(peerId: PeerId): void {
    const node = this.node(peerId);
    node.alive = false;
    node.sessions.clear();
  }

  /** Comes back without sessions and nonces, with the next boot counter. */
  restart(peerId: PeerId): void {
    const node = this.node(peerId);
    node.alive = true;
    node.boot++;
    node.random = testRandom(`${peerId} ${node.boot}`);
    node.arbiter = NO_SESSIONS;
    node.sessions.clear();
    node.waiting.clear();
  }

  at(delayMs: number, run: () => void): void {
    this.#queue.push({ at: this.now + delayMs, order: this.#order++, run });
  }

  /** Runs until nothing is left to do, or to the end of the time given. */
  run(untilMs = 120_000): void {
    for (;;) {
      this.#queue.sort((a, b) => a.at - b.at || a.order - b.order);
      const next = this.#queue[0];
      if (next === undefined || next.at > untilMs) break;
      this.#queue.shift();
      this.now = Math.max(this.now, next.at);
      next.run();
      if (this.steps > 200_000) throw new Error('the network does not come to rest');
    }
  }

  /** Runs while `until` does not hold, for at most a minute of virtual time. */
  runUntil(until: () => boolean): void {
    const end = this.now + 60_000;
    while (!until() && this.now < end && this.#queue.length > 0) {
      this.#queue.sort((a, b) => a.at - b.at || a.order - b.order);
      this.run(this.#queue[0]?.at);
    }
  }

  input(peerId: PeerId, sid: SessionId, input: SigningInput): void {
    this.beforeStep(this, peerId, input);
    const node = this.node(peerId);
    const machine = node.sessions.get(sid);
    if (!node.alive || machine === undefined) return;
    this.steps++;
    const { state, effects } = stepSigning(machine.state, input, this.deps(peerId));
    machine.state = state;
    for (const effect of effects) {
      switch (effect.type) {
        case 'send':
          for (const to of effect.to) this.#send(peerId, to, sid, effect.envelope);
          break;
        case 'timer':
          this.#setTimer(node, machine, sid, effect.name, effect.ms);
          break;
        case 'clearTimer':
          machine.timers.delete(effect.name);
          break;
        case 'event':
          machine.events.push(effect);
          this.onEvent(peerId, effect);
          break;
        case 'signOwn':
          this.at(0, () => this.input(peerId, sid, { type: 'signOwn', attempt: effect.attempt }));
          break;
        case 'released':
          this.#arbitrate(node, effect, sid);
          break;
        case 'record':
          machine.records.push(effect.result.envelope);
          break;
        case 'ignored':
          machine.ignored.push(effect);
          break;
        case 'done':
          machine.outcomes.push(effect.outcome);
          this.#ended(node, sid, effect.outcome);
          break;
      }
    }
  }

  /** Delivers bytes to a machine as if `from` had sent them. */
  inject(from: PeerId, to: PeerId, sid: SessionId, envelope: Uint8Array): void {
    this.input(to, sid, { type: 'message', from, envelope });
  }

  seal(from: PeerId, sid: SessionId, body: Draftable): Uint8Array {
    return sealMessage(sid, body, this.deps(from));
  }

  open(sid: SessionId, envelope: Uint8Array) {
    const open = this.#options.open ?? toyOpen;
    return openMessage(sid, envelope, { clusterId: CLUSTER, open });
  }

  heard(sid: SessionId, envelope: Uint8Array): Heard {
    const record = unpackResult(envelope);
    return record === undefined ? this.open(sid, envelope).message : { kind: 'result', record };
  }

  #send(from: PeerId, to: PeerId, sid: SessionId, envelope: Uint8Array): void {
    this.sent.push({ from, to, sid, envelope });
    const open = () => this.heard(sid, envelope);
    const sent = { from, to, sid, envelope, now: this.now };
    const copies = this.wire({
      ...sent,
      get message() {
        return open();
      },
    });
    for (const copy of copies) {
      this.at(copy.delayMs, () => {
        const node = this.node(to);
        if (node.sessions.has(sid)) this.inject(from, to, sid, copy.envelope);
        else if (node.alive) {
          const waiting = node.waiting.get(sid) ?? [];
          node.waiting.set(sid, [...waiting, { from, envelope: copy.envelope }]);
        }
      });
    }
  }

  #setTimer(node: Node, machine: Machine, sid: SessionId, name: string, ms: number): void {
    const id = this.#order;
    machine.timers.set(name, id);
    this.at(ms, () => {
      if (machine.timers.get(name) !== id || node.sessions.get(sid) !== machine) return;
      machine.timers.delete(name);
      this.input(node.peerId, sid, { type: 'timer', name });
    });
  }

  #arbitrate(node: Node, what: ArbiterEvent, sid: SessionId): void {
    const requestId = this.#requestOf(node, sid);
    if (requestId === undefined) return;
    const now = this.now as Millis;
    const { state, rulings, recheckMs } = stepArbiter(node.arbiter, {
      ...what,
      requestId,
      sid,
      now,
    });
    node.arbiter = state;
    if (recheckMs !== undefined) {
      this.at(recheckMs, () => node.alive && this.#arbitrate(node, { type: 'tick' }, sid));
    }
    for (const { sid: ruled, standing } of rulings) {
      const input =
        standing === undefined
          ? { type: 'resumed' as const }
          : { type: 'superseded' as const, ...standing };
      this.input(node.peerId, ruled, input);
    }
  }

  #requestOf(node: Node, sid: SessionId) {
    const proposal = node.sessions.get(sid)?.state.session.start.sealed.proposal;
    return proposal === undefined || proposal.fresh ? undefined : proposal.requestId;
  }

  #ended(node: Node, sid: SessionId, outcome: SigningOutcome): void {
    const requestId = this.#requestOf(node, sid);
    if (requestId === undefined) return;
    this.#arbitrate(node, { type: 'ended' }, sid);
    if (outcome.state !== 'completed') return;
    for (const [other, machine] of node.sessions) {
      const open = machine.state.phase !== 'completed';
      if (other !== sid && open && this.#requestOf(node, other) === requestId) {
        this.input(node.peerId, other, { type: 'result', record: outcome.record });
      }
    }
  }
}
