/**
 * One question to several peers, without waiting for the slow ones: the pattern of every write,
 * read and repair of the record store.
 * @module
 */
import type { PeerId } from '../base/brands.ts';
import type { Cancel, Clock } from '../base/ports.ts';
import { deadline } from './deadline.ts';

/**
 * `done`: nothing more is wanted. `enough`: the aim is reached, the others get `graceMs` more.
 * `more`: go on until everybody answered or the time is up.
 */
export type Verdict = 'done' | 'enough' | 'more';

/** Whom to ask, what, and when to stop. */
export interface Question<T> {
  /** Nearest first. */
  readonly peers: readonly PeerId[];
  /** Peers asked at once; an answer that `fills` keeps its place taken, another frees it. */
  readonly width: number;
  readonly timeoutMs: number;
  readonly graceMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Whether those still asked when it ends are given up, or go on to their own deadline. */
  readonly rest: 'abort' | 'finish';
  /** A rejection is a peer that did not answer. */
  ask(peer: PeerId, signal: AbortSignal): Promise<T>;
  fills(answer: T): boolean;
  /** Called after each answer with all of them. */
  judge(answers: ReadonlyMap<PeerId, T>): Verdict;
  /** Called for each rejection, unless the end of the question caused it. */
  failed(peer: PeerId, thrown: unknown): void;
}

/** @returns the answers that came in time, in order of arrival. Never rejects. */
export function spread<T>(question: Question<T>): Promise<ReadonlyMap<PeerId, T>> {
  const { peers, width, clock } = question;
  return new Promise((resolve) => {
    const limit = deadline(clock, question.timeoutMs, question.signal);
    const answers = new Map<PeerId, T>();
    let asked = 0;
    let running = 0;
    let filled = 0;
    let over = false;
    let grace: Cancel | undefined;

    const finish = (): void => {
      if (over) return;
      over = true;
      grace?.();
      if (question.rest === 'abort') limit.abort();
      resolve(answers);
    };
    const refill = (): void => {
      while (!over && running + filled < width) {
        const peer = peers[asked++];
        if (peer === undefined) break;
        running++;
        void one(peer);
      }
      if (running > 0) return;
      finish();
      limit.end();
    };
    const one = async (peer: PeerId): Promise<void> => {
      try {
        const answer = await question.ask(peer, limit.signal);
        if (over) return;
        answers.set(peer, answer);
        if (question.fills(answer)) filled++;
        const verdict = question.judge(answers);
        if (verdict === 'done') finish();
        else if (verdict === 'enough') grace ??= clock.after(question.graceMs, finish);
      } catch (thrown) {
        // A peer cut off because the question was answered did nothing wrong.
        if (!over || question.rest === 'finish') question.failed(peer, thrown);
      } finally {
        running--;
        refill();
      }
    };
    limit.signal.addEventListener('abort', finish, { once: true });
    if (limit.signal.aborted) finish();
    refill();
  });
}
