/**
 * Finds enough members to hold a content, and looks whether they do.
 * @module
 */
import type { PeerId } from '../../base/brands.ts';
import type { Clock, Random } from '../../base/ports.ts';
import { spread } from '../spread.ts';
import { type Arriving, type Asker, arriving } from './ask.ts';
import type { BlockCounters } from './counters.ts';
import { chunkSize, decodeBlockList } from './list.ts';

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
   * Pieces that this node has. With it only the ends of samples are read back and put behind what
   * is known of them: enough to see, every hour, that a holder is still one.
   */
  readonly known?: (cid: string) => Promise<Uint8Array | undefined>;
}

/** Pieces that are read back from whoever says that it holds a content. */
const SAMPLES = 2;
/** Of a piece that is known. */
const END_BYTES = 1_024;
/** A holder fetches at this pace at least, once it has begun. */
const PACE_BYTES_PER_MS = 1_024;
const BEGIN_MS = 15_000;

/** Asks members to hold contents. */
export class Holders {
  readonly #options: HoldersOptions;
  readonly #deps: HoldersDeps;

  constructor(options: HoldersOptions, deps: HoldersDeps) {
    this.#options = options;
    this.#deps = deps;
  }

  /** @returns members that say that they hold all of it, and gave samples of it back. */
  async find(aim: HoldAim): Promise<readonly PeerId[]> {
    const { list, peers, wanted, enough, signal } = aim;
    if (wanted <= 0) return [];
    const { size } = decodeBlockList(list);
    const held = await spread<boolean>({
      peers,
      width: wanted,
      timeoutMs: BEGIN_MS + size / PACE_BYTES_PER_MS,
      graceMs: this.#options.graceMs,
      clock: this.#deps.clock,
      signal,
      rest: 'finish',
      ask: (peer, until) => this.#ask(peer, aim, until),
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

  /**
   * Reading everything back would double the cost of every write; random pieces, which the holder
   * cannot foresee, show whether it has them. Their hashes are checked as always.
   */
  async #ask(peer: PeerId, { list, known }: HoldAim, signal: AbortSignal): Promise<boolean> {
    if (!(await this.#deps.asker.hold(peer, list, signal))) return false;
    let back = 0;
    const take = async (): Promise<void> => void back++;
    const samples = await this.#samples(list, known);
    await this.#deps.asker.want(peer, samples, take, signal);
    if (back === samples.length) return true;
    this.#deps.counters.add('falseHold');
    return false;
  }

  async #samples(list: Uint8Array, known: HoldAim['known']): Promise<readonly Arriving[]> {
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
