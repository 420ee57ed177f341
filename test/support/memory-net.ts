/** Several nodes in one process: `Direct` and `Gossip` over queues, with faults on demand. */
import type { PeerId } from '../../src/base/brands.ts';
import { BzzzError, toBzzzError } from '../../src/base/errors.ts';
import type { Direct, DirectHandler, Gossip, NoteHandler } from '../../src/base/ports.ts';
import { steadyClock } from './steady-clock.ts';

export interface SeenFrame {
  readonly from: PeerId;
  /** undefined for gossip. */
  readonly to: PeerId | undefined;
  readonly topic: string;
  readonly body: Uint8Array;
}

/** What happens to a frame: it passes, it is lost, or others take its place. */
export type Tamper = (frame: SeenFrame) => 'pass' | 'drop';

interface Subscription {
  readonly accept: (from: PeerId, body: Uint8Array) => boolean;
  readonly handler: (from: PeerId, body: Uint8Array) => void;
}

interface Node {
  readonly handlers: Map<string, DirectHandler>;
  readonly notes: Map<string, NoteHandler>;
  readonly watchers: Set<(peer: PeerId, live: boolean) => void>;
  readonly subscriptions: Map<string, Subscription>;
}

const emptyNode = (): Node => ({
  handlers: new Map(),
  notes: new Map(),
  watchers: new Set(),
  subscriptions: new Map(),
});

/** Nobody waits for what this handler says. */
function quietly(handler: DirectHandler, from: PeerId, body: Uint8Array): void {
  void (async () => handler(from, new Uint8Array(body)))().catch((error: unknown) => {
    if (toBzzzError(error).code === 'INTERNAL') throw error;
  });
}

export class MemoryNet {
  readonly frames: SeenFrame[] = [];
  tamper: Tamper = () => 'pass';
  /** What a frame takes, in ms; 0 is the next turn of the event loop. */
  delayMs = 0;
  readonly #nodes = new Map<PeerId, Node>();
  /** Second processes of an identity; each hears what the first one hears. */
  readonly #twins = new Map<PeerId, Node>();
  readonly #cut = new Set<string>();

  /** A fresh endpoint of `peer`; what an earlier one had registered is gone, as after a restart. */
  join(peer: PeerId): { readonly direct: Direct; readonly gossip: Gossip } {
    const node = emptyNode();
    const former = this.#nodes.has(peer);
    this.#nodes.set(peer, node);
    if (former) this.#tell(peer, false);
    this.#tell(peer, true);
    return { direct: this.#direct(peer, node), gossip: this.#gossip(peer, node) };
  }

  /**
   * Another process with the identity of `peer`, as a copied data directory makes one. Both send,
   * both hear everything, requests too; who asks gets the answer of the first.
   */
  joinTwin(peer: PeerId): { readonly direct: Direct; readonly gossip: Gossip } {
    const node = emptyNode();
    this.#twins.set(peer, node);
    return { direct: this.#direct(peer, node), gossip: this.#gossip(peer, node) };
  }

  leaveTwin(peer: PeerId): void {
    this.#twins.delete(peer);
  }

  /** Brings a frame to `to` as if `from` had sent it now; answers and refusals go nowhere. */
  inject({ from, to, topic, body }: SeenFrame & { readonly to: PeerId }): void {
    for (const node of [this.#nodes.get(to), this.#twins.get(to)]) {
      node?.notes.get(topic)?.(from, new Uint8Array(body));
      const handler = node?.handlers.get(topic);
      if (handler !== undefined && node !== undefined) quietly(handler, from, body);
    }
  }

  /** The peer is gone: SIGKILL. */
  leave(peer: PeerId): void {
    if (this.#nodes.delete(peer)) this.#tell(peer, false);
  }

  /** Cuts, or mends, the way between two peers. A cut cable closes no stream: nobody is told. */
  cut(a: PeerId, b: PeerId, apart = true): void {
    for (const pair of [`${a} ${b}`, `${b} ${a}`]) {
      if (apart) this.#cut.add(pair);
      else this.#cut.delete(pair);
    }
    if (!apart && this.#nodes.has(a)) this.#tell(a, true, b);
  }

  /** Streams of `peer` came up or closed: both ends hear of it in the next turn. */
  #tell(peer: PeerId, live: boolean, only?: PeerId): void {
    const self = this.#nodes.get(peer);
    for (const [other, node] of this.#nodes) {
      if (other === peer || (only !== undefined && other !== only)) continue;
      if (this.#cut.has(`${peer} ${other}`)) continue;
      setImmediate(() => {
        for (const watch of node.watchers) watch(peer, live);
        for (const watch of self?.watchers ?? []) watch(other, live);
      });
    }
  }

  #reach(from: PeerId, to: PeerId, self: Node): Node | undefined {
    const lives = this.#nodes.get(from) === self || this.#twins.get(from) === self;
    if (!lives || this.#cut.has(`${from} ${to}`)) return undefined;
    return this.#nodes.get(to);
  }

  #later(arrive: () => void): void {
    if (this.delayMs === 0) setImmediate(arrive);
    else steadyClock.after(this.delayMs, arrive);
  }

  #carry(frame: SeenFrame): boolean {
    this.frames.push({ ...frame, body: new Uint8Array(frame.body) });
    return this.tamper(frame) === 'pass';
  }

  #direct(self: PeerId, node: Node): Direct {
    const deliver = async (to: PeerId, topic: string, body: Uint8Array) => {
      const copy = new Uint8Array(body);
      await new Promise<void>((resolve) => this.#later(resolve));
      const other = this.#reach(self, to, node);
      if (other === undefined || !this.#carry({ from: self, to, topic, body: copy })) {
        throw new BzzzError('PEER_UNREACHABLE', `${to} cannot be reached`);
      }
      const handler = other.handlers.get(topic);
      if (handler === undefined) throw new BzzzError('BAD_MESSAGE', `no handler for ${topic}`);
      const twin = this.#twins.get(to)?.handlers.get(topic);
      if (twin !== undefined) quietly(twin, self, copy);
      return handler(self, copy);
    };
    return {
      send: async (to, topic, body) => {
        await deliver(to, topic, body).catch((error: unknown) => {
          // A handler's failure is the receiver's affair; only reachability is the sender's.
          if (toBzzzError(error).code === 'PEER_UNREACHABLE') throw error;
        });
      },
      request: async (to, topic, body) => (await deliver(to, topic, body)) ?? new Uint8Array(),
      handle: (topic, handler) => void node.handlers.set(topic, handler),
      note: (to, topic, body) => {
        const copy = new Uint8Array(body);
        if (this.#reach(self, to, node) === undefined) return false;
        if (!this.#carry({ from: self, to, topic, body: copy })) return true;
        this.#later(() => {
          this.#reach(self, to, node)?.notes.get(topic)?.(self, copy);
          this.#twins.get(to)?.notes.get(topic)?.(self, new Uint8Array(copy));
        });
        return true;
      },
      onNote: (topic, handler) => void node.notes.set(topic, handler),
      onPeer: (watch) => {
        node.watchers.add(watch);
        return () => void node.watchers.delete(watch);
      },
      connected: () =>
        [...this.#nodes.keys()].filter(
          (peer) => peer !== self && this.#reach(self, peer, node) !== undefined,
        ),
    };
  }

  #gossip(self: PeerId, node: Node): Gossip {
    return {
      publish: async (topic, body) => {
        const copy = new Uint8Array(body);
        if (!this.#carry({ from: self, to: undefined, topic, body: copy })) return;
        for (const [peer, other] of this.#nodes) {
          const subscription = other.subscriptions.get(topic);
          if (peer === self || subscription === undefined) continue;
          if (this.#reach(self, peer, node) === undefined) continue;
          this.#later(() => {
            if (subscription.accept(self, copy)) subscription.handler(self, copy);
          });
        }
      },
      subscribe: (topic, accept, handler) =>
        void node.subscriptions.set(topic, { accept, handler }),
    };
  }
}
