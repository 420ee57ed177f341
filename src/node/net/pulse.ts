/**
 * Whether the peers that this node is connected to are still there, and how far away.
 *
 * A killed process closes its connections; a host whose cable was pulled says nothing. libp2p's
 * connection monitor would notice that too, but it opens a stream for each ping, which costs a
 * negotiation and a write to the peer store: most of what an idle node did. Here a ping is a note
 * of five bytes on the direct stream that is open anyway.
 *
 * | peer                                       | after            | then                        |
 * | ------------------------------------------ | ---------------- | --------------------------- |
 * | with a direct stream                       | every `everyMs`  | ask                         |
 * | answers                                    |                  | heard now, round trip known |
 * | asked, silent                              | `deadMs`         | its connections are cut     |
 * | connected, a member, never a direct stream | `mutedMs`        | its connections are cut     |
 * @module
 */
import type { PeerId } from '../../base/brands.ts';
import { BzzzError } from '../../base/errors.ts';
import type { Cancel, Clock, Direct, Logger } from '../../base/ports.ts';

export interface PulseOptions {
  readonly everyMs: number;
  readonly deadMs: number;
  readonly mutedMs: number;
}

export interface PulseDeps {
  readonly direct: Pick<Direct, 'note' | 'onNote' | 'connected' | 'onPeer'>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Members that this node has a connection with, direct stream or not. */
  readonly linked: () => readonly PeerId[];
  /** Aborts every connection with the peer. */
  readonly cut: (peer: PeerId, reason: BzzzError) => void;
}

/** What is known of one connected peer; monotonic ms. */
interface Beat {
  /** When it was heard last, or when its stream came up. */
  heardAt: number;
  /** The question that is open, and when it was asked. */
  asked: number;
  askedAt: number;
  rttMs: number | null;
}

const TOPIC = 'pulse';
const ASK = 0;
const ANSWER = 1;

/** The shell; every decision is in {@link Pulse.tick}. */
export class Pulse {
  readonly #options: PulseOptions;
  readonly #deps: PulseDeps;
  readonly #beats = new Map<PeerId, Beat>();
  /** Since when a peer is connected without a direct stream. */
  readonly #muted = new Map<PeerId, number>();
  #seq = 0;
  #timer: Cancel | undefined;
  #unsubscribe: Cancel | undefined;
  #lastTick: number;

  constructor(options: PulseOptions, deps: PulseDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#lastTick = deps.clock.now();
    deps.direct.onNote(TOPIC, (from, body) => this.#note(from, body));
  }

  start(): void {
    const { direct, clock } = this.#deps;
    this.#unsubscribe = direct.onPeer((peer, live) => {
      this.#beats.delete(peer);
      if (live) this.#ask(peer, clock.now());
    });
    this.#lastTick = clock.now();
    this.#schedule();
  }

  stop(): void {
    this.#timer?.();
    this.#unsubscribe?.();
  }

  /** Round trip of the last answered ping in ms; null while there is none. */
  rtt(peer: PeerId): number | null {
    return this.#beats.get(peer)?.rttMs ?? null;
  }

  /** One round: asks everyone, cuts who is silent. */
  tick(): void {
    const { direct, clock, linked } = this.#deps;
    const now = clock.now();
    // After a pause of this process it is not the others that were silent.
    const paused = now - this.#lastTick > this.#options.deadMs;
    this.#lastTick = now;
    const live = new Set(direct.connected());
    for (const peer of live) {
      const beat = this.#beats.get(peer);
      if (beat !== undefined && paused) beat.heardAt = now;
      if (beat !== undefined && now - beat.heardAt > this.#options.deadMs) this.#cut(peer, beat);
      else this.#ask(peer, now);
    }
    for (const peer of this.#beats.keys()) if (!live.has(peer)) this.#beats.delete(peer);
    this.#cutMuted(
      linked().filter((peer) => !live.has(peer)),
      now,
      paused,
    );
  }

  #cutMuted(peers: readonly PeerId[], now: number, paused: boolean): void {
    const muted = new Set(peers);
    for (const peer of this.#muted.keys()) if (!muted.has(peer)) this.#muted.delete(peer);
    for (const peer of muted) {
      const since = paused ? now : (this.#muted.get(peer) ?? now);
      this.#muted.set(peer, since);
      if (now - since <= this.#options.mutedMs) continue;
      this.#muted.delete(peer);
      this.#deps.cut(peer, new BzzzError('PEER_UNREACHABLE', `${peer} opens no direct stream`));
    }
  }

  #cut(peer: PeerId, { heardAt }: Beat): void {
    const silentMs = Math.round(this.#deps.clock.now() - heardAt);
    this.#beats.delete(peer);
    this.#deps.log.info({ peer, silentMs }, 'a silent peer is given up');
    this.#deps.cut(peer, new BzzzError('PEER_UNREACHABLE', `${peer} is silent`));
  }

  #ask(peer: PeerId, now: number): void {
    const known = this.#beats.get(peer) ?? { heardAt: now, asked: 0, askedAt: now, rttMs: null };
    this.#seq = (this.#seq + 1) >>> 0;
    this.#beats.set(peer, { ...known, asked: this.#seq, askedAt: now });
    this.#deps.direct.note(peer, TOPIC, frame(ASK, this.#seq));
  }

  #note(from: PeerId, body: Uint8Array): void {
    if (body.length !== 5) throw new BzzzError('BAD_MESSAGE', `a ping of ${body.length} bytes`);
    const seq = Buffer.from(body).readUInt32BE(1);
    const beat = this.#beats.get(from);
    const now = this.#deps.clock.now();
    if (beat !== undefined) beat.heardAt = now;
    if (body[0] === ASK) this.#deps.direct.note(from, TOPIC, frame(ANSWER, seq));
    else if (beat !== undefined && beat.asked === seq) beat.rttMs = now - beat.askedAt;
  }

  #schedule(): void {
    this.#timer = this.#deps.clock.after(this.#options.everyMs, () => {
      this.tick();
      this.#schedule();
    });
  }
}

function frame(kind: number, seq: number): Uint8Array {
  const bytes = Buffer.alloc(5);
  bytes[0] = kind;
  bytes.writeUInt32BE(seq, 1);
  return new Uint8Array(bytes);
}
