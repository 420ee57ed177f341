/**
 * How the parts of the job service reach each other, on this node and on others, and who may give
 * orders.
 * @module
 */
import type { PeerId, Term } from '../../base/brands.ts';
import { BzzzError, type ErrorCode } from '../../base/errors.ts';
import { pause } from '../../base/pause.ts';
import type { Clock, DirectHandler } from '../../base/ports.ts';
import type { JobDeps } from './ports.ts';

/** Asks a member, or this node itself, on a topic. */
export type Call = (to: PeerId, topic: string, body: Uint8Array) => Promise<Uint8Array>;

/** Registers handlers; calls to this node itself go the same way without the network. */
export class Switchboard {
  readonly #deps: Pick<JobDeps, 'self' | 'direct'>;
  readonly #handlers = new Map<string, DirectHandler>();

  constructor(deps: Pick<JobDeps, 'self' | 'direct'>) {
    this.#deps = deps;
  }

  /** One handler a topic. */
  handle(topic: string, handler: (from: PeerId, body: Uint8Array) => Promise<Uint8Array>): void {
    this.#handlers.set(topic, handler);
    this.#deps.direct.handle(topic, handler);
  }

  /** @throws PEER_UNREACHABLE, TIMEOUT, or what the handler threw. */
  readonly call: Call = async (to, topic, body) => {
    if (to !== this.#deps.self) return this.#deps.direct.request(to, topic, body);
    const answer = await this.#handlers.get(topic)?.(to, body);
    if (answer === undefined) throw new BzzzError('INTERNAL', `no handler for ${topic}`);
    return answer;
  };
}

/** The same calls, which end with LEADERSHIP_LOST or `reason` as soon as the signal aborts. */
export const callsUntil =
  (signal: AbortSignal, call: Call, reason: ErrorCode = 'LEADERSHIP_LOST'): Call =>
  (to, topic, body) =>
    new Promise((resolve, reject) => {
      const end = (): void =>
        reject(new BzzzError(reason, `${topic}: nobody waits for the answer`));
      signal.addEventListener('abort', end, { once: true });
      if (signal.aborted) end();
      call(to, topic, body)
        .then(resolve, reject)
        .finally(() => signal.removeEventListener('abort', end));
    });

/**
 * Lets a leader's act pass; after it, no act of a lower term does.
 * @throws NOT_A_VOTER: only voters lead. NOT_LEADER: another leads in that term. STALE_TERM.
 */
export async function admitLeader(
  deps: Pick<JobDeps, 'voters' | 'leader' | 'fence'>,
  from: PeerId,
  term: Term,
): Promise<void> {
  if (!deps.voters().includes(from)) throw new BzzzError('NOT_A_VOTER', `${from} is no voter`);
  const known = deps.leader();
  if (known?.term === term && known.peerId !== from) {
    throw new BzzzError('NOT_LEADER', `${known.peerId} leads in term ${term}, not ${from}`);
  }
  await deps.fence(term);
}

/** Runs asynchronous work one piece at a time, in order. */
export class Serial {
  #last: Promise<unknown> = Promise.resolve();

  run<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work, work);
    // Its caller hears of a failure; the next piece runs all the same.
    this.#last = result.catch(() => undefined);
    return result;
  }
}

/** A sleeper that can be woken early. */
export class Alarm {
  readonly #clock: Clock;
  #woken = false;
  #wake: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Ends the present sleep, or the next one before it begins. */
  ring(): void {
    this.#woken = true;
    this.#wake?.();
  }

  async sleep(ms: number, signal: AbortSignal): Promise<void> {
    if (!this.#woken && !signal.aborted) {
      const early = new AbortController();
      this.#wake = () => early.abort();
      signal.addEventListener('abort', this.#wake, { once: true });
      await pause(this.#clock, ms, early.signal);
      signal.removeEventListener('abort', this.#wake);
      this.#wake = undefined;
    }
    this.#woken = false;
  }
}
