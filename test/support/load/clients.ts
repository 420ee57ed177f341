/**
 * Clients on the hosts of a cluster. Each asks its own daemon; when that cannot be reached, dies
 * before it answers, or cannot help, the client asks another one for the same.
 */
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { BzzzError } from '../../../src/base/errors.ts';
import type { Rng } from '../../sim/random.ts';
import type { TestNode } from '../cluster.ts';
import { opensslAccepts } from '../ed25519.ts';

export interface ClientsOptions {
  readonly nodes: readonly TestNode[];
  readonly key: string;
  /** Hex, as the daemon names it. */
  readonly publicKey: string;
  readonly signatures: number;
  readonly inFlight: number;
  /** Mean time that a client thinks between an answer and its next request. */
  readonly pauseMs: number;
  /** A request is answered within this, or has failed. */
  readonly deadlineMs: number;
  readonly rng: Rng;
}

/** A signature that a client was given. */
export interface Acknowledged {
  /** Hex. */
  readonly message: string;
  /** Hex. */
  readonly signature: string;
  readonly address: string;
  /** Who answered. */
  readonly by: TestNode;
  readonly ms: number;
  readonly askedAgain: boolean;
  readonly cached: boolean;
}

export interface Outcome {
  readonly answered: readonly Acknowledged[];
  /** Answers whose signature does not verify. */
  readonly wrong: readonly Acknowledged[];
  /** Codes of those that were not answered with a signature. */
  readonly failed: readonly string[];
  readonly ms: number;
}

interface SignDocument {
  readonly signature: string;
  readonly address: string;
  readonly cached: boolean;
}

/** One signature, verified by the platform's own implementation. */
export function isValid(
  publicKey: string,
  { message, signature }: Pick<Acknowledged, 'message' | 'signature'>,
): boolean {
  const bytes = (hex: string): Uint8Array => Buffer.from(hex, 'hex');
  return opensslAccepts(bytes(publicKey), bytes(message), bytes(signature));
}

/** A daemon that does not answer within this is as good as dead to its client. */
const ASK_MS = 5_000;

/**
 * Nobody listens there, it died before it answered, or it just started and sees too few holders:
 * another daemon may do better.
 */
const isUseless = (thrown: unknown): boolean =>
  thrown instanceof BzzzError &&
  ['DAEMON_UNREACHABLE', 'TIMEOUT', 'INSUFFICIENT_PARTIES'].includes(thrown.code);

/** Has every signature asked for once, `inFlight` at a time. */
export async function askAll(options: ClientsOptions): Promise<Outcome> {
  const { signatures, inFlight, pauseMs, publicKey, rng } = options;
  const run = rng.below(2 ** 31);
  const answered: Acknowledged[] = [];
  const wrong: Acknowledged[] = [];
  const failed: string[] = [];
  let next = 0;
  const client = async (id: number): Promise<void> => {
    await sleep(rng.exponential(pauseMs));
    while (next < signatures) {
      const message = createHash('sha256').update(`${run} ${next++}`).digest('hex');
      try {
        const got = await askOne(message, id, options);
        answered.push(got);
        if (!isValid(publicKey, got)) wrong.push(got);
      } catch (thrown) {
        if (!(thrown instanceof BzzzError)) throw thrown;
        failed.push(`${message} of client ${id}: ${thrown.code}: ${thrown.message}`);
      }
      await sleep(rng.exponential(pauseMs));
    }
  };
  const began = performance.now();
  await Promise.all(Array.from({ length: inFlight }, (_, id) => client(id)));
  return { answered, wrong, failed, ms: performance.now() - began };
}

/** @throws the daemon's refusal; TIMEOUT at the deadline. */
async function askOne(
  message: string,
  client: number,
  { nodes, key, deadlineMs }: ClientsOptions,
): Promise<Acknowledged> {
  const began = performance.now();
  for (let turn = 0; ; turn++) {
    const by = nodes[(client + turn) % nodes.length]!;
    const left = deadlineMs - (performance.now() - began);
    if (left <= 0) throw new BzzzError('TIMEOUT', `nobody answered in ${deadlineMs} ms`);
    try {
      const { signature, address, cached } = await by.post<SignDocument>(
        '/v1/sign',
        { key, message },
        Math.ceil(Math.min(left, ASK_MS)),
      );
      const ms = performance.now() - began;
      return { message, signature, address, by, ms, cached, askedAgain: turn > 0 };
    } catch (thrown) {
      if (!isUseless(thrown)) throw thrown;
    }
    // Once around, and nobody was there: they are being started.
    if ((turn + 1) % nodes.length === 0) await sleep(50);
  }
}
