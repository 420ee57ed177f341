/**
 * Hints to everyone, over gossipsub: signed by their author, accepted from members only, bounded.
 * @module
 */
import type { GossipSub, Message, SignedMessage } from '@libp2p/gossipsub';
import { TopicValidatorResult } from '@libp2p/gossipsub';
import type { PeerId as LibPeerId } from '@libp2p/interface';
import type { PeerId } from '../../base/brands.ts';
import { BzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Clock, Gossip, Logger } from '../../base/ports.ts';
import type { ProtocolNames } from './protocols.ts';

export interface GossipDeps {
  readonly pubsub: GossipSub;
  readonly names: ProtocolNames;
  readonly clock: Clock;
  readonly log: Logger;
  readonly isMember: (peer: PeerId) => boolean;
  /** Cuts a peer that floods. */
  readonly cut: (peer: PeerId, reason: string) => void;
}

/** What was not let through; metrics. */
export interface GossipCounters {
  rejected: number;
  ignored: number;
  flooded: number;
}

/** Messages and control entries a peer may send in one second; above that they are not decoded. */
const RPC_BUDGET = 1_000;
/** Seconds over budget after which the peer is cut off. */
const STRIKES = 3;

/**
 * What we must reach inside of gossipsub, which has no public door for it: topics known after the
 * service was made, and the budget that comes before the signature check.
 */
interface Insides {
  readonly streamsOutbound: Map<string, { readonly rawStream: { readonly status: string } }>;
  readonly allowedTopics: Set<string> | null;
  readonly score: { addPenalty(peer: string, penalty: number, label: string): void };
  handleReceivedRpc(from: LibPeerId, rpc: Rpc): Promise<void>;
}

interface Rpc {
  readonly messages: readonly unknown[];
  readonly subscriptions: readonly unknown[];
  readonly control?: Readonly<Record<string, readonly unknown[]>>;
}

/** The {@link Gossip} port. */
export class GossipService implements Gossip {
  readonly #deps: GossipDeps;
  readonly #handlers = new Map<string, (from: PeerId, body: Uint8Array) => void>();
  readonly #onMessage = (event: CustomEvent<Message>): void => this.#received(event.detail);
  readonly counters: GossipCounters = { rejected: 0, ignored: 0, flooded: 0 };
  /** When each peer's last whole frame came, by the monotonic clock. */
  readonly #frames = new Map<string, number>();
  #started = false;

  constructor(deps: GossipDeps) {
    this.#deps = deps;
    budget(deps, this.counters, (peer) => this.#frames.set(peer, deps.clock.now()));
    deps.pubsub.addEventListener('message', this.#onMessage);
  }

  /** After the host: gossipsub takes no subscription before it runs. */
  start(): void {
    this.#started = true;
    for (const name of this.#handlers.keys()) this.#deps.pubsub.subscribe(name);
  }

  stop(): void {
    this.#started = false;
    this.#deps.pubsub.removeEventListener('message', this.#onMessage);
  }

  /** Resolves when the message was handed to the peers that are connected, be it none. */
  async publish(topic: string, body: Uint8Array): Promise<void> {
    if (body.length > LIMITS.gossipBytes) {
      throw new BzzzError('TOO_LARGE', `${topic}: ${body.length} bytes of gossip`);
    }
    await this.#deps.pubsub.publish(this.#deps.names.topic(topic), body);
  }

  subscribe(
    topic: string,
    accept: (from: PeerId, body: Uint8Array) => boolean,
    handler: (from: PeerId, body: Uint8Array) => void,
  ): void {
    const { pubsub, names } = this.#deps;
    const name = names.topic(topic);
    if (this.#handlers.has(name)) throw new BzzzError('INTERNAL', `${topic} has a subscriber`);
    this.#handlers.set(name, handler);
    insidesOf(pubsub).allowedTopics?.add(name);
    pubsub.topicValidators.set(name, (_source, message) => this.#judge(message, accept));
    if (this.#started) pubsub.subscribe(name);
  }

  /** See {@link StrayStreams}. */
  lastFrame(peer: string): number | undefined {
    return this.#frames.get(peer);
  }

  /** Members come and go; those who went are forgotten. */
  forget(isMember: (peer: PeerId) => boolean): void {
    for (const peer of this.#frames.keys()) {
      if (!isMember(peer as PeerId)) this.#frames.delete(peer);
    }
  }

  /**
   * Forgets streams that were reset before gossipsub listened for their end: it would believe in
   * them for ever, and send nothing. The gate's sweep then has new ones opened.
   */
  dropDeadStreams(): void {
    const { streamsOutbound } = insidesOf(this.#deps.pubsub);
    for (const [peer, { rawStream }] of streamsOutbound) {
      if (rawStream.status !== 'open') streamsOutbound.delete(peer);
    }
  }

  #judge(message: Message, accept: (from: PeerId, body: Uint8Array) => boolean) {
    if (message.type !== 'signed' || message.data.length > LIMITS.gossipBytes) {
      this.counters.rejected++;
      return TopicValidatorResult.Reject;
    }
    const from = authorOf(message);
    // Not the fault of whoever passed it on: its roster may be ahead of ours.
    if (!this.#deps.isMember(from)) {
      this.counters.ignored++;
      return TopicValidatorResult.Ignore;
    }
    if (accept(from, message.data)) return TopicValidatorResult.Accept;
    this.counters.rejected++;
    return TopicValidatorResult.Reject;
  }

  #received(message: Message): void {
    const handler = this.#handlers.get(message.topic);
    if (handler === undefined || message.type !== 'signed') return;
    try {
      handler(authorOf(message), new Uint8Array(message.data));
    } catch (thrown) {
      const { topic } = message;
      this.#deps.log.error({ topic, error: String(thrown) }, 'a gossip handler failed');
    }
  }
}

const authorOf = (message: SignedMessage): PeerId => message.from.toString() as PeerId;

function insidesOf(pubsub: GossipSub): Insides {
  return pubsub as unknown as Insides;
}

/** Counts what a peer sends before anything is verified: a flood costs its sender. */
function budget(deps: GossipDeps, counters: GossipCounters, arrived: (peer: string) => void): void {
  const insides = insidesOf(deps.pubsub);
  const process = insides.handleReceivedRpc.bind(deps.pubsub);
  const windows = new Map<string, { second: number; spent: number; strikes: number }>();
  insides.handleReceivedRpc = async (from, rpc) => {
    const peer = from.toString();
    arrived(peer);
    const second = Math.floor(deps.clock.now() / 1_000);
    const old = windows.get(peer);
    const window =
      old?.second === second ? old : { second, spent: 0, strikes: nextStrikes(old, second) };
    windows.set(peer, window);
    if (windows.size > LIMITS.rosterMembers) windows.delete(windows.keys().next().value ?? '');
    window.spent += weight(rpc);
    if (window.spent <= RPC_BUDGET) return process(from, rpc);
    counters.flooded++;
    insides.score.addPenalty(peer, 1, 'flood');
    if (window.strikes >= STRIKES) deps.cut(peer as PeerId, 'gossip flood');
    return undefined;
  };
}

/** Consecutive seconds over budget. */
function nextStrikes(
  old: { second: number; spent: number; strikes: number } | undefined,
  second: number,
): number {
  if (old === undefined || old.second !== second - 1 || old.spent <= RPC_BUDGET) return 0;
  return old.strikes + 1;
}

function weight(rpc: Rpc): number {
  let sum = 1 + rpc.messages.length + rpc.subscriptions.length;
  for (const list of Object.values(rpc.control ?? {})) {
    if (!Array.isArray(list)) continue;
    sum += list.length;
    for (const entry of list) {
      const ids: unknown = (entry as { messageIDs?: unknown }).messageIDs;
      if (Array.isArray(ids)) sum += ids.length;
    }
  }
  return sum;
}
