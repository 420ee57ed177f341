/** Kills daemons at random moments and starts them again, never more at once than a key stands. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Rng } from '../../sim/random.ts';
import { type TestNode, until } from '../cluster.ts';

export interface KillerOptions {
  readonly nodes: readonly TestNode[];
  readonly victims: readonly TestNode[];
  /** So many may be down, or not connected to the others again, at once. */
  readonly atOnce: number;
  readonly rng: Rng;
  /** Means, in ms: from connected to the next death, and from death to the start. */
  readonly everyMs: number;
  readonly awayMs: number;
}

/** One hand for each daemon that may be down: it kills, starts, waits until the others have it
 * back, and goes on. */
export class Killer {
  readonly #options: KillerOptions;
  readonly #held = new Set<TestNode>();
  readonly #hands: Promise<void>[];
  readonly #stop = new AbortController();
  readonly #failed: unknown[] = [];
  #kills = 0;

  constructor(options: KillerOptions) {
    this.#options = options;
    this.#hands = Array.from({ length: options.atOnce }, () =>
      this.#work().catch((thrown: unknown) => void this.#failed.push(thrown)),
    );
  }

  get kills(): number {
    return this.#kills;
  }

  /** Resolves when every daemon is ready. @throws when one did not start. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#hands);
    if (this.#failed.length > 0) throw new Error('a daemon is not back', { cause: this.#failed });
  }

  async #work(): Promise<void> {
    const { victims, rng, everyMs, awayMs } = this.#options;
    for (;;) {
      await this.#pause(rng.exponential(everyMs));
      if (this.#stop.signal.aborted) return;
      const victim = rng.pick(victims.filter((node) => !this.#held.has(node)));
      this.#held.add(victim);
      await victim.kill('SIGKILL');
      this.#kills++;
      await this.#pause(rng.exponential(awayMs));
      await victim.start();
      await until(`${victim.name} is connected`, () => this.#isConnected(victim), 240_000);
      this.#held.delete(victim);
    }
  }

  /** With each daemon that is not being killed or started. */
  async #isConnected(victim: TestNode): Promise<boolean> {
    const peers = await victim.get<{ peerId: string; connected: boolean }[]>('/v1/peers');
    const others = this.#options.nodes.filter((node) => !this.#held.has(node));
    const missing = others.filter(
      ({ peerId }) => !peers.some((peer) => peer.connected && peer.peerId === peerId),
    );
    if (missing.length === 0) return true;
    throw new Error(`no connection with ${missing.map(({ name }) => name).join()}`);
  }

  /** Over at once when it is time to stop. */
  async #pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#stop.signal }).catch((thrown: unknown) => {
      if (!this.#stop.signal.aborted) throw thrown;
    });
  }
}
