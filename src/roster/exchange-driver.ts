/**
 * Runs the roster exchange over a stream.
 * @module
 */
import type { Epoch, PeerId } from '../base/brands.ts';
import { BzzzError, toBzzzError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Clock } from '../base/ports.ts';
import {
  type ExchangeEffect,
  type ExchangeInput,
  type ExchangeState,
  exchangeBegin,
  stepExchange,
} from './exchange.ts';
import type { RosterService } from './service.ts';
import type { FrameStream, Standing } from './types.ts';

export interface ExchangeDeps {
  readonly roster: RosterService;
  readonly clock: Clock;
  /** The peer that Noise authenticated. */
  readonly remote: PeerId;
  /** Ends the exchange with TIMEOUT; default {@link LIMITS.strangerMs}. */
  readonly timeoutMs?: number;
}

export interface ExchangeOutcome {
  /**
   * What the peer is by the newest roster. `stranger` also while this node's own chain has not
   * come as far as its invitation said: until then it can judge nobody.
   */
  readonly standing: Standing;
  /** What this node is by the peer's roster. */
  readonly judgedAs: Standing;
  /** Epoch of this node's chain at the end. */
  readonly epoch: Epoch;
}

type Verdict = NonNullable<ExchangeState['verdict']>;

/** Frames waiting to be written before the next is read: a peer that does not read gets no more. */
const OUTBOX = 4;

/**
 * Both ends call this, whoever opened the stream. The caller owns the stream and closes it, also
 * after an error, which ends whatever read is still waiting.
 * @throws BAD_MESSAGE: the peer breaks the protocol or refused. ROSTER_FORK: with both hashes.
 * TIMEOUT. DISK_FAILED. PEER_UNREACHABLE: the stream ended.
 */
export async function runExchange(
  stream: FrameStream,
  deps: ExchangeDeps,
): Promise<ExchangeOutcome> {
  const { clock, timeoutMs = LIMITS.strangerMs } = deps;
  let abandoned = false;
  let stopTimer = () => {};
  const late = new Promise<never>((_, reject) => {
    stopTimer = clock.after(timeoutMs, () => {
      abandoned = true;
      reject(new BzzzError('TIMEOUT', `the roster exchange with ${deps.remote} took too long`));
    });
  });
  const talk = converse(stream, deps, () => abandoned);
  // When the time is up the talk goes on failing by itself; its caller has the error already.
  talk.catch(() => {});
  try {
    return await Promise.race([talk, late]);
  } finally {
    stopTimer();
  }
}

async function converse(
  stream: FrameStream,
  deps: ExchangeDeps,
  abandoned: () => boolean,
): Promise<ExchangeOutcome> {
  const { roster, remote } = deps;
  const outbox = new Outbox(stream);
  let state = exchangeBegin;
  const inputs: ExchangeInput[] = [{ type: 'start' }];
  for (;;) {
    if (abandoned()) throw new BzzzError('TIMEOUT', 'the roster exchange was given up');
    const input = inputs.shift() ?? (await nextFrame(stream, outbox));
    const step = stepExchange(state, input, { chain: roster.chain, remote });
    state = step.state;
    for (const effect of step.effects) {
      if (effect.type === 'send') outbox.push(effect.frame);
      else if (effect.type === 'extend') inputs.push(await extend(roster, effect));
      else if (effect.type === 'fail') {
        // The refusal should leave, but a peer that is gone must not hide the reason.
        await outbox.flushed().catch(() => {});
        throw effect.error;
      } else {
        await outbox.flushed();
        await takeRemoval(roster, state.verdict);
        return outcome(deps, state.verdict);
      }
    }
  }
}

async function nextFrame(stream: FrameStream, outbox: Outbox): Promise<ExchangeInput> {
  await outbox.below(OUTBOX);
  try {
    return { type: 'frame', bytes: await stream.read() };
  } catch (thrown) {
    throw toBzzzError(thrown, 'PEER_UNREACHABLE');
  }
}

async function extend(
  roster: RosterService,
  effect: Extract<ExchangeEffect, { type: 'extend' }>,
): Promise<Extract<ExchangeInput, { type: 'extended' | 'refused' }>> {
  try {
    await roster.extend(effect.entries);
    return { type: 'extended' };
  } catch (thrown) {
    return { type: 'refused', error: toBzzzError(thrown) };
  }
}

/**
 * The entry that removed this node, when the peer learnt of it after its hello. Without the ones
 * between it cannot be appended; the next exchange brings them.
 */
async function takeRemoval(roster: RosterService, verdict: Verdict | undefined): Promise<void> {
  if (verdict?.removal === undefined || roster.standing !== 'member') return;
  const result = await extend(roster, { type: 'extend', entries: [verdict.removal] });
  if (result.type === 'refused' && result.error.code !== 'BAD_MESSAGE') throw result.error;
}

function outcome(deps: ExchangeDeps, verdict: Verdict | undefined): ExchangeOutcome {
  const { roster, remote } = deps;
  return {
    standing: roster.checkpointReached ? roster.view.standing(remote) : 'stranger',
    judgedAs: verdict?.standing ?? 'stranger',
    epoch: roster.view.epoch,
  };
}

/** Writes frame after frame while the reading goes on: two writers would block each other. */
class Outbox {
  readonly #stream: FrameStream;
  #tail: Promise<void> = Promise.resolve();
  #waiting: Promise<void>[] = [];

  constructor(stream: FrameStream) {
    this.#stream = stream;
  }

  push(frame: Uint8Array): void {
    const written = this.#tail.then(() => this.#stream.write(frame));
    this.#tail = written;
    this.#waiting.push(written);
    const drop = () => {
      this.#waiting = this.#waiting.filter((other) => other !== written);
    };
    // A failure stays in `#tail`, where `below` and `flushed` meet it.
    written.then(drop, drop);
  }

  /** Resolves when fewer than `limit` frames wait. @throws PEER_UNREACHABLE. */
  async below(limit: number): Promise<void> {
    while (this.#waiting.length >= limit) await this.#settled(this.#waiting[0]);
  }

  /** @throws PEER_UNREACHABLE. */
  flushed(): Promise<void> {
    return this.#settled(this.#tail);
  }

  async #settled(written: Promise<void> | undefined): Promise<void> {
    try {
      await written;
    } catch (thrown) {
      throw toBzzzError(thrown, 'PEER_UNREACHABLE');
    }
  }
}
