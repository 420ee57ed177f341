/**
 * Copies of one record at other members: made, read back, and compared. A holder is who gave back a
 * valid value that contains ours; an acknowledgement alone is worth nothing.
 * @module
 */
import type { PeerId } from '../base/brands.ts';
import type { Clock } from '../base/ports.ts';
import type { Counters } from './counters.ts';
import type { RecordGuard } from './guard.ts';
import { nearest } from './homes.ts';
import { type Need, needOf } from './quorum.ts';
import type { Rule, Rules } from './rules.ts';
import { spread } from './spread.ts';
import type { Wire } from './wire.ts';

export interface CopiesOptions {
  readonly replication: number;
  /** What others still get after a quorum answered. */
  readonly graceMs: number;
}

export interface CopiesDeps {
  readonly self: PeerId;
  /** The roster's members, this node included once it is admitted. */
  readonly members: () => readonly PeerId[];
  readonly rules: Rules;
  readonly guard: RecordGuard;
  readonly wire: Wire;
  readonly clock: Clock;
  readonly counters: Counters;
}

/** What a peer has for a key: `valid` passed every check of its namespace. */
export type Seen =
  | { readonly kind: 'none' | 'rubbish' }
  | { readonly kind: 'valid'; readonly value: Uint8Array };

/** Candidates asked at most: the bucket size of Kademlia. */
const REACH = 20;

/** Reads and writes of copies; every method is bounded by its `timeoutMs`. */
export class Copies {
  readonly #options: CopiesOptions;
  readonly #deps: CopiesDeps;

  constructor(options: CopiesOptions, deps: CopiesDeps) {
    this.#options = options;
    this.#deps = deps;
  }

  need(): Need {
    return needOf(this.#options.replication, this.#deps.members().length);
  }

  /** Members that may hold `key`, nearest first; others in the routing table do not count. */
  candidates(key: Uint8Array): readonly PeerId[] {
    const { members, self, wire } = this.#deps;
    const inside = new Set(members());
    return wire.closest(key, REACH).filter((peer) => peer !== self && inside.has(peer));
  }

  /** The members that should hold `key`, reachable or not; this node only if it is one of them. */
  home(key: Uint8Array): readonly PeerId[] {
    const { members, self } = this.#deps;
    const roster = members();
    return nearest(key, roster.length === 0 ? [self] : roster, this.need().copies);
  }

  /**
   * Puts `value` at the nearest members that take it and reads it back. This node is one of them
   * where it is near enough, or where too few others are left.
   * @param first `write` for a new value; `ask` where most holders will have it already.
   * @returns the members whose copy was read back.
   */
  async make(
    key: Uint8Array,
    value: Uint8Array,
    first: 'write' | 'ask',
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<readonly PeerId[]> {
    const { rules, clock, self } = this.#deps;
    const rule = rules.of(key);
    const need = this.need();
    const held = await spread<boolean>({
      peers: nearest(key, [self, ...this.candidates(key)]),
      width: need.copies,
      timeoutMs,
      // Nobody waits for copies that are only looked after, and all of them are wanted.
      graceMs: first === 'ask' ? timeoutMs : this.#options.graceMs,
      clock,
      signal,
      rest: 'finish',
      ask: (peer, limit) =>
        peer === self
          ? this.makeOwn(key, value)
          : this.#makeAt(peer, key, rule, value, first, limit),
      fills: (covered) => covered,
      judge(answers) {
        const confirmed = [...answers.values()].filter((covered) => covered).length;
        if (confirmed >= need.copies) return 'done';
        return confirmed >= need.quorum ? 'enough' : 'more';
      },
      failed: () => this.#deps.counters.add('peerError'),
    });
    return [...held].filter(([, covered]) => covered).map(([peer]) => peer);
  }

  /** One peer's copy, checked. @throws PEER_UNREACHABLE, TIMEOUT. */
  async see(peer: PeerId, key: Uint8Array, signal: AbortSignal): Promise<Seen> {
    const { wire, rules, counters } = this.#deps;
    const answer = await wire.fetch(peer, key, signal);
    if (answer.kind === 'none') return answer;
    try {
      if (answer.kind === 'value') {
        rules.check(key, answer.value);
        return { kind: 'valid', value: answer.value };
      }
    } catch {
      // Counted below, like a record of another key.
    }
    counters.add('rubbish');
    return { kind: 'rubbish' };
  }

  /** The copy that peers are served. false when the guard refuses it, e.g. for want of room. */
  async makeOwn(key: Uint8Array, value: Uint8Array): Promise<boolean> {
    const { guard, rules } = this.#deps;
    try {
      const rule = rules.of(key);
      await guard.store(key, value);
      const back = await guard.load(key);
      return back !== undefined && rules.covers(rule, back, value);
    } catch {
      // The guard counted it; the journal has the value, and the outcome shows one holder less.
      return false;
    }
  }

  /** A peer has something that we lack: the next round spreads the union. */
  async #learn(key: Uint8Array, value: Uint8Array): Promise<void> {
    try {
      await this.#deps.guard.store(key, value);
    } catch {
      // The guard counted it. Our own value is still to be copied to that peer.
    }
  }

  async #makeAt(
    peer: PeerId,
    key: Uint8Array,
    rule: Rule,
    value: Uint8Array,
    first: 'write' | 'ask',
    signal: AbortSignal,
  ): Promise<boolean> {
    const { wire, rules, counters } = this.#deps;
    if (first === 'ask') {
      const seen = await this.see(peer, key, signal);
      if (seen.kind === 'valid') {
        if (rules.covers(rule, seen.value, value)) return true;
        if (!rules.covers(rule, value, seen.value)) await this.#learn(key, seen.value);
      }
    }
    await wire.store(peer, key, value, signal);
    const back = await this.see(peer, key, signal);
    const covered = back.kind === 'valid' && rules.covers(rule, back.value, value);
    if (!covered) counters.add('falseAck');
    return covered;
  }
}
