/**
 * Key generation machines on an in-memory network with disks that survive a crash. One *action* is
 * the delivery of one message or the execution of one effect; a seed decides the order, so a run
 * can be stopped, crashed and repeated at any effect of any party.
 */
import { expect } from 'vitest';
import { z } from 'zod';
import type { ClusterId, Epoch, PeerId } from '../../../src/base/brands.ts';
import { equalBytes, sha256, taggedHash, toHex, utf8Bytes } from '../../../src/base/bytes.ts';
import { decode, encode, field } from '../../../src/base/codec.ts';
import { createSigner, type Opened, openEnvelope } from '../../../src/base/envelope.ts';
import { BzzzError } from '../../../src/base/errors.ts';
import type { Signer } from '../../../src/base/ports.ts';
import {
  type Attestation,
  checkPending,
  createKeygen,
  type Dealing,
  type DealingDeps,
  type KeygenDeps,
  type KeygenEffect,
  type KeygenInput,
  type KeygenOutcome,
  type KeygenState,
  readInquiry,
  resumeKeygen,
  stepKeygen,
} from '../../../src/mpc/keygen/index.ts';
import { openMessage } from '../../../src/mpc/keygen/messages.ts';
import { sealProposal } from '../../../src/mpc/sessions/proposal.ts';
import type { Suite } from '../../../src/mpc/suites/types.ts';
import type {
  DealtProposal,
  KeygenProposal,
  KeyInfo,
  KeyShare,
  SealedProposal,
} from '../../../src/mpc/types.ts';
import { testKey, testRandom } from '../../support/world.ts';

export const CLUSTER = toHex(sha256(utf8Bytes('a cluster'))) as ClusterId;
export const TTL_MS = 40_000;

/** Real identities, made once: position i is the party of index i + 1; the last holds no share. */
export const SIGNERS: readonly Signer[] = await Promise.all(
  [1, 2, 3, 4, 5, 6, 7, 8].map(async (i) => createSigner(await testKey(`party ${i}`))),
);

const toySchema = z.strictObject({
  p: field.peerId,
  d: z.string(),
  b: field.bytesUpTo(100_000),
  t: field.bytes(32),
});
const toyTag = (peer: string, domain: string, payload: Uint8Array): Uint8Array =>
  taggedHash('toy seal', utf8Bytes(peer), utf8Bytes(domain), payload);

/** Seals without signatures: fast; tests that forge use the real ones. */
export const toySigner = ({ peerId }: Signer): Signer => ({
  peerId,
  seal: (domain, payload) =>
    encode({ p: peerId, d: domain, b: payload, t: toyTag(peerId, domain, payload) }),
});

export function toyOpen(domain: string, envelope: Uint8Array): Opened {
  const { p, d, b, t } = decode('toy envelope', toySchema, envelope, 200_000);
  if (d !== domain || !equalBytes(t, toyTag(p, d, b))) {
    throw new BzzzError('BAD_MESSAGE', 'toy seal');
  }
  return { signer: p, payload: b };
}

/** A reproducible generator of numbers in [0, 1). */
export function dice(seed: number): () => number {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

interface Disk {
  sealed?: SealedProposal<DealtProposal>;
  /** Of a seat without a share. */
  consent?: Attestation;
  share?: { readonly share: KeyShare; readonly attestation: Attestation };
  refusal?: Uint8Array;
  certificate?: Uint8Array;
}

/** What a party may do to its own messages: return other packets, or none. */
export type Twist = (to: PeerId, packet: Uint8Array, node: Node) => readonly Uint8Array[];

export interface Node {
  readonly peerId: PeerId;
  readonly deps: KeygenDeps;
  readonly disk: Disk;
  state: KeygenState | undefined;
  inbox: KeygenInput[];
  effects: KeygenEffect[];
  timers: Map<string, number>;
  outcome: KeygenOutcome | undefined;
  pending: boolean;
  ends: KeygenOutcome[];
  events: { readonly kind: string; readonly data: Readonly<Record<string, unknown>> }[];
  twist: Twist | undefined;
  /** The disk fails writes of these names. */
  broken: Set<string>;
}

export interface Options {
  readonly threshold: number;
  readonly parties: number;
  readonly suite: Suite;
  readonly seed?: number;
  readonly real?: boolean;
  /** Index into SIGNERS of the proposer; 0 by default. */
  readonly proposer?: number;
  /** Chance that a message is lost, and that it is delivered twice. */
  readonly loss?: number;
  readonly echoes?: number;
  readonly nonce?: number;
  readonly ttlMs?: number;
  /** Another session than a key generation: its proposal, and what each seat deals. */
  readonly other?: (used: readonly Signer[]) => {
    readonly sealed: SealedProposal<DealtProposal>;
    readonly dealing: (seat: number, deps: DealingDeps) => Dealing;
  };
}

export class Network {
  readonly nodes: readonly Node[];
  readonly sealed: SealedProposal<DealtProposal>;
  now = 0;
  /** Effects executed so far; a crash is placed by this number. */
  executed = 0;
  flight: { readonly from: PeerId; readonly to: PeerId; readonly packet: Uint8Array }[] = [];
  readonly frames: Uint8Array[] = [];
  #roll: () => number;
  #options: Options;
  onEffect: ((node: Node, effect: KeygenEffect, when: 'before' | 'after') => boolean) | undefined;

  constructor(options: Options) {
    this.#options = options;
    this.#roll = dice(options.seed ?? 1);
    const { parties, threshold, suite, real = false, proposer = 0 } = options;
    const used = SIGNERS.slice(0, Math.max(parties, proposer + 1)).map((s) =>
      real ? s : toySigner(s),
    );
    const open = real ? openEnvelope : toyOpen;
    const other = options.other?.(used);
    this.sealed =
      other?.sealed ??
      sealProposal(
        proposalOf(
          used.map(({ peerId }) => peerId),
          { ...options, proposer },
        ),
        used[proposer]!,
      );
    expect(this.sealed.proposal.threshold).toBe(threshold);
    this.nodes = used
      .filter((_, i) => i < parties || i === proposer)
      .map((signer, i) => ({
        peerId: signer.peerId,
        deps: {
          ...(other === undefined
            ? {}
            : { dealing: other.dealing(i + 1, { clusterId: CLUSTER, open, suite }) }),
          self: signer.peerId,
          clusterId: CLUSTER,
          random: testRandom(`${signer.peerId}/${options.seed ?? 1}`),
          signer,
          open,
          suite,
        },
        disk: {},
        state: undefined,
        inbox: [],
        effects: [],
        timers: new Map(),
        outcome: undefined,
        pending: false,
        ends: [],
        events: [],
        twist: undefined,
        broken: new Set(),
      }));
  }

  /** Whether envelopes are signed, and so the suite a real one. */
  get isReal(): boolean {
    return this.#options.real === true;
  }

  node(index: number): Node {
    return this.nodes[index - 1]!;
  }

  start(): this {
    for (const node of this.nodes) {
      node.state = createKeygen(this.sealed, node.deps);
      node.inbox.push({ type: 'start' });
    }
    return this;
  }

  /** Loses everything but the disk. */
  crash(node: Node): void {
    Object.assign(node, { state: undefined, inbox: [], effects: [], timers: new Map() });
    Object.assign(node, { outcome: undefined, pending: false });
    this.flight = this.flight.filter(({ to }) => to !== node.peerId);
  }

  /** Comes back from the disk. A party that finds nothing knows of no session. */
  restart(node: Node): void {
    const { sealed, share, consent, refusal, certificate } = node.disk;
    const attestation = consent ?? share?.attestation;
    if (sealed === undefined) return;
    if (share !== undefined) checkPending(node.deps.suite, share.share, share.attestation);
    this.#take(
      node,
      resumeKeygen(
        {
          sealed,
          ...(attestation === undefined ? {} : { attestation }),
          ...(refusal === undefined ? {} : { refusal }),
          ...(certificate === undefined ? {} : { certificate }),
        },
        node.deps,
      ),
    );
  }

  /** One action; false when there is nothing to do now. */
  act(): boolean {
    const busy = this.nodes.filter(
      (n) => n.effects.length > 0 || (n.state !== undefined && n.inbox.length > 0),
    );
    const choice = Math.floor(this.#roll() * (busy.length + this.flight.length));
    const node = busy[choice];
    if (node !== undefined) {
      this.#work(node);
      return true;
    }
    const [message] = this.flight.splice(choice - busy.length, 1);
    if (message === undefined) return false;
    this.#deliver(message);
    return true;
  }

  /** Acts until nothing is left but timers, then fires the next; at most until `untilMs`. */
  run(untilMs = 10 * TTL_MS): this {
    for (let actions = 0; ; actions++) {
      expect(actions, 'the network comes to rest').toBeLessThan(200_000);
      if (this.act()) continue;
      const next = this.nodes
        .flatMap((node) => [...node.timers].map(([name, at]) => ({ node, name, at })))
        .sort((a, b) => a.at - b.at)[0];
      if (next === undefined || next.at > untilMs) return this;
      this.now = Math.max(this.now, next.at);
      next.node.timers.delete(next.name);
      next.node.inbox.push({ type: 'timer', name: next.name });
    }
  }

  /** Acts until only timers are left. */
  settle(): this {
    while (this.act());
    return this;
  }

  send(from: PeerId, to: PeerId, packet: Uint8Array): void {
    this.frames.push(packet);
    if (this.#roll() < (this.#options.loss ?? 0)) return;
    this.flight.push({ from, to, packet });
    if (this.#roll() < (this.#options.echoes ?? 0)) this.flight.push({ from, to, packet });
  }

  #deliver({ from, to, packet }: { from: PeerId; to: PeerId; packet: Uint8Array }): void {
    const node = this.nodes.find(({ peerId }) => peerId === to);
    if (node === undefined) return;
    if (node.state !== undefined) {
      node.inbox.push({ type: 'message', from, envelope: packet });
      return;
    }
    // A running node without a record of the session: only an inquiry tells it of one.
    if (node.disk.sealed !== undefined || this.down.has(node)) return;
    const sealed = readInquiry(packet, CLUSTER, node.deps.open);
    if (sealed !== undefined) this.#take(node, resumeKeygen({ sealed }, node.deps));
  }

  readonly down = new Set<Node>();

  #take(node: Node, step: { state: KeygenState; effects: readonly KeygenEffect[] }): void {
    node.state = step.state;
    node.effects.push(...step.effects);
  }

  #work(node: Node): void {
    const effect = node.effects.shift();
    if (effect === undefined) {
      const input = node.inbox.shift();
      if (input !== undefined && node.state !== undefined) {
        this.#take(node, stepKeygen(node.state, input, node.deps));
      }
      return;
    }
    this.executed++;
    if (this.onEffect?.(node, effect, 'before') === true) return;
    this.#execute(node, effect);
    this.onEffect?.(node, effect, 'after');
  }

  #execute(node: Node, effect: KeygenEffect): void {
    switch (effect.type) {
      case 'send':
        for (const to of effect.to) {
          expect(to).not.toBe(node.peerId);
          const packets = node.twist?.(to, effect.envelope, node) ?? [effect.envelope];
          for (const packet of packets) this.send(node.peerId, to, packet);
        }
        return;
      case 'timer':
        node.timers.set(effect.name, this.now + effect.ms);
        return;
      case 'clearTimer':
        node.timers.delete(effect.name);
        return;
      case 'event':
        node.events.push(effect);
        return;
      case 'wipe':
        expect(refuserOf(node), "no share is wiped before its party's own refusal is durable").toBe(
          node.peerId,
        );
        delete node.disk.share;
        delete node.disk.consent;
        return;
      case 'done':
        node.outcome = effect.outcome;
        node.pending = effect.pending;
        node.ends.push(effect.outcome);
        return;
      case 'store':
        this.#store(node, effect);
    }
  }

  #store(node: Node, effect: KeygenEffect & { type: 'store' }): void {
    const { name } = effect;
    if (node.broken.has(name)) {
      const error = new BzzzError('DISK_FAILED', `no space for ${name}`).toShape();
      node.inbox.unshift({ type: 'storeFailed', name, error });
      return;
    }
    if (effect.name === 'accepted') node.disk.sealed = this.sealed;
    else if (effect.name === 'refusal') {
      node.disk.refusal = effect.refusal;
      node.disk.sealed ??= this.sealed;
    } else if (effect.name === 'certificate') node.disk.certificate = effect.certificate;
    else if (effect.name === 'consent') node.disk.consent = effect.attestation;
    else if (effect.name === 'share') {
      const { index, signingShare } = effect.share;
      const share = { index, signingShare: signingShare.slice() };
      checkPending(node.deps.suite, share, effect.attestation);
      node.disk.share = { share, attestation: effect.attestation };
    }
    node.inbox.unshift({ type: 'stored', name });
  }
}

function proposalOf(
  peers: readonly PeerId[],
  { threshold, parties, proposer = 0, nonce = 1, ttlMs = TTL_MS, suite }: Options,
): KeygenProposal {
  const holders = peers.slice(0, parties);
  return {
    v: 1,
    kind: 'keygen',
    clusterId: CLUSTER,
    proposer: peers[proposer]!,
    rosterEpoch: 3 as Epoch,
    ttlMs,
    nonce: new Uint8Array(16).fill(nonce),
    suite: suite.name,
    name: 'release',
    threshold,
    parties: holders.map((peerId, i) => ({ peerId, index: i + 1, role: 'persistent' })),
    purpose: 'releases',
    requesters: [...holders].sort(),
    policy: 'auto',
  };
}

/** Whose refusal a node has on its disk. */
export const refuserOf = ({ deps, disk }: Node): PeerId | undefined =>
  disk.refusal && openMessage(CLUSTER, deps.open, 'refusal', disk.refusal).author;

/**
 * No key came of the session. A share or a consent is left only where it was attested and another's
 * refusal ended the session: that one may have attested to others, so a certificate may come.
 */
export function expectNoKey(node: Node, what = ''): void {
  const { disk, outcome, peerId } = node;
  expect(disk.certificate, what).toBeUndefined();
  expect(outcome?.state, what).not.toBe('completed');
  if (disk.share === undefined && disk.consent === undefined) return;
  expect([undefined, peerId], what).not.toContain(refuserOf(node));
}

/** The key a node completed with. */
export function keyInfoOf(node: Node): KeyInfo {
  if (node.outcome?.state !== 'completed') {
    throw new Error(`not completed: ${JSON.stringify(node.outcome)}`);
  }
  return node.outcome.keyInfo;
}
