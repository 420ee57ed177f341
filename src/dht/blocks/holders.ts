/**
 * Finds enough members to hold a content, and looks whether they do.
 * @module
 */
import type { PeerId } from '../../base/brands.ts';
import { equalBytes } from '../../base/bytes.ts';
import type { Clock, Random } from '../../base/ports.ts';
import { spread } from '../spread.ts';
import { type Arriving, type Asker, arriving } from './ask.ts';
import type { BlockCounters } from './counters.ts';
import { chunkSize, decodeBlockList } from './list.ts';
import { NONCE_BYTES, possessionOf } from './possession.ts';

export interface HoldersOptions {
  /** What slow ones get after enough hold, in ms. */
  readonly graceMs: number;
}

export interface HoldersDeps {
  readonly asker: Asker;
  readonly clock: Clock;
  readonly random: Random;
  readonly counters: BlockCounters;
}

/** What is to be reached. */
export interface HoldAim {
  /** The list of the content. */
  readonly list: Uint8Array;
  /** Whom to ask, best first; who cannot is passed over. */
  readonly peers: readonly PeerId[];
  /** Holders wanted, and how many are a quorum; without this node. */
  readonly wanted: number;
  readonly enough: number;
  readonly signal: AbortSignal;
  /**
   * How holders are looked at: all of what they have against `own`, the pieces that this node has,
   * when the content is put; the ends of samples behind what is known of them, which is enough to
   * see every hour that a holder is still one; whole samples where this node has nothing.
   */
  readonly look: 'all' | 'ends' | 'samples';
  readonly own: (cid: string) => Promise<Uint8Array | undefined>;
}

/** Pieces that are read back from whoever says that it holds a content. */
const SAMPLES = 2;
/** Of a piece that is known. */
const END_BYTES = 1_024;
/** A holder fetches at this pace at least, once it has begun. */
const PACE_BYTES_PER_MS = 1_024;
const BEGIN_MS = 15_000;

/** Whether a member that says so holds a content. */
type Look = (peer: PeerId, signal: AbortSignal) => Promise<boolean>;

/** Asks members to hold contents. */
export class Holders {
  readonly #options: HoldersOptions;
  readonly #deps: HoldersDeps;

  constructor(options: HoldersOptions, deps: HoldersDeps) {
    this.#options = options;
    this.#deps = deps;
  }

  /** @returns members that say that they hold all of it, and passed the look. */
  async find(aim: HoldAim): Promise<readonly PeerId[]> {
    const { list, peers, wanted, enough, signal } = aim;
    if (wanted <= 0) return [];
    const { size } = decodeBlockList(list);
    const look = await this.#lookFor(aim);
    const held = await spread<boolean>({
      peers,
      width: wanted,
      timeoutMs: BEGIN_MS + size / PACE_BYTES_PER_MS,
      graceMs: this.#options.graceMs,
      clock: this.#deps.clock,
      signal,
      rest: 'finish',
      ask: (peer, until) => this.#ask(peer, aim, look, until),
      fills: (holds) => holds,
      judge(answers) {
        const count = [...answers.values()].filter((holds) => holds).length;
        if (count >= wanted) return 'done';
        return count >= enough ? 'enough' : 'more';
      },
      failed: () => this.#deps.counters.add('silent'),
    });
    return [...held].filter(([, holds]) => holds).map(([peer]) => peer);
  }

  async #ask(peer: PeerId, { list }: HoldAim, look: Look, signal: AbortSignal): Promise<boolean> {
    if (!(await this.#deps.asker.hold(peer, list, signal))) return false;
    const passed = await look(peer, signal);
    if (!passed) this.#deps.counters.add('falseHold');
    return passed;
  }

  async #lookFor({ list, look, own }: HoldAim): Promise<Look> {
    const { asker, random } = this.#deps;
    if (look === 'all') {
      const nonce = random.bytes(NONCE_BYTES);
      const expected = await possessionOf(nonce, decodeBlockList(list).chunks, own);
      if (expected !== undefined) {
        return async (peer, signal) => {
          const shown = await asker.prove(peer, list, nonce, signal);
          return shown !== undefined && equalBytes(shown, expected);
        };
      }
    }
    // Pieces that the holder cannot foresee; their hashes are checked as always.
    return async (peer, signal) => {
      let back = 0;
      const take = async (): Promise<void> => void back++;
      const samples = await this.#samples(list, look === 'ends' ? own : undefined);
      await asker.want(peer, samples, take, signal);
      return back === samples.length;
    };
  }

  async #samples(
    list: Uint8Array,
    known: HoldAim['own'] | undefined,
  ): Promise<readonly Arriving[]> {
    const blocks = decodeBlockList(list);
    const { chunks } = blocks;
    const picked = new Set<number>();
    while (picked.size < Math.min(SAMPLES, chunks.length)) {
      const [high = 0, low = 0] = this.#deps.random.bytes(2);
      picked.add((high * 256 + low) % chunks.length);
    }
    const samples: Arriving[] = [];
    for (const i of picked) {
      const sample = arriving(chunks[i] ?? '', chunkSize(blocks, i));
      const own = await known?.(sample.cid);
      if (own !== undefined) {
        sample.filled = Math.max(0, own.length - END_BYTES);
        sample.bytes.set(own.subarray(0, sample.filled));
      }
      samples.push(sample);
    }
    return samples;
  }
}
