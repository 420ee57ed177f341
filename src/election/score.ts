/**
 * How well a voter would lead, as this node sees it. It orders candidacies, so that votes do not
 * split, and it proposes voluntary transfers; it never decides a vote, so nodes may differ in it
 * and a false word about oneself wins at most an earlier candidacy. Pure.
 *
 * | part         | weight | from                                              | 1 means          |
 * | ------------ | ------ | ------------------------------------------------- | ---------------- |
 * | uptime       | 0.3    | the reader: connected without a gap               | 1 h and more     |
 * | capabilities | 0.2    | the peer's word: suites and protocols             | all known ones   |
 * | resources    | 0.2    | the peer's word: free memory, load per processor  | idle             |
 * | network      | 0.15   | the reader: median round trip                     | 0 ms; 20 ms: 0.5 |
 * | experience   | 0.15   | the reader: terms led well                        | 5 and more       |
 *
 * Together the two parts that are the peer's own word count {@link SELF_REPORTED_CAP} at most.
 * @module
 */
import type { Millis, PeerId, Term } from '../base/brands.ts';
import { compareBytes, taggedHash, utf8Bytes } from '../base/bytes.ts';

/** How much each part counts: none below 0, 1 together. */
export interface Weights {
  readonly uptime: number;
  readonly capabilities: number;
  readonly resources: number;
  readonly network: number;
  readonly experience: number;
}

/** Unless the operator sets others (`BZZZ_ELECTION_WEIGHTS`). */
export const DEFAULT_WEIGHTS: Weights = {
  uptime: 0.3,
  capabilities: 0.2,
  resources: 0.2,
  network: 0.15,
  experience: 0.15,
};

/** Words that a node announces of itself. */
export interface Capabilities {
  readonly suites: readonly string[];
  readonly protocols: readonly string[];
}

/** What a node says of its machine. */
export interface Resources {
  /** Fraction of the memory, 0..1. */
  readonly freeMemory: number;
  readonly cpus: number;
  /** Load average of the last minute. */
  readonly load1: number;
}

/** What the reader knows of one voter. */
export interface Observation {
  /** How long it has been connected and announced without a gap; of oneself: since the start. */
  readonly connectedMs: number;
  /** null: it did not say. */
  readonly capabilities: Capabilities | null;
  readonly resources: Resources | null;
  /** Median round trip; of oneself: to the others. null: not measured, which counts a half. */
  readonly rttMs: number | null;
  /** Terms that it led and did not lose by silence, by this node's history. */
  readonly termsLed: number;
}

/** Most that a peer's own word adds to its score. */
export const SELF_REPORTED_CAP = 0.3;

const HOUR_MS = 3_600_000;
const HALF_RTT_MS = 20;
const ENOUGH_TERMS = 5;

/** The parts of a score, each in [0, 1]. @param known the words that this version knows. */
export function partsOf(seen: Observation, known: Capabilities): Weights {
  return {
    uptime: unit(seen.connectedMs / HOUR_MS),
    capabilities: seen.capabilities === null ? 0 : knownFraction(seen.capabilities, known),
    resources: seen.resources === null ? 0 : idleness(seen.resources),
    network:
      seen.rttMs === null ? 0.5 : unit(HALF_RTT_MS / (HALF_RTT_MS + Math.max(0, seen.rttMs))),
    experience: unit(seen.termsLed / ENOUGH_TERMS),
  };
}

/** The score of a voter, in [0, 1] for weights that add up to 1. */
export function scoreOf(
  seen: Observation,
  known: Capabilities,
  weights: Weights = DEFAULT_WEIGHTS,
): number {
  const parts = partsOf(seen, known);
  const observed =
    parts.uptime * weights.uptime +
    parts.network * weights.network +
    parts.experience * weights.experience;
  const said = parts.capabilities * weights.capabilities + parts.resources * weights.resources;
  return observed + Math.min(said, SELF_REPORTED_CAP);
}

/** Scores within one step count as equal, so that jitter does not reorder. */
const STEPS = 20;
const stepOf = (score: number): number => Math.round(score * STEPS);

/**
 * The voters, the one that should stand first at the front. Equals are ordered by a hash with the
 * term in it: differently in each term, and alike on every node.
 * @param scores by {@link scoreOf}; a voter without one counts 0.
 */
export function rank(
  voters: readonly PeerId[],
  scores: ReadonlyMap<PeerId, number>,
  term: Term,
): readonly PeerId[] {
  return voters
    .map((peer) => ({ peer, step: stepOf(scores.get(peer) ?? 0), lot: lotOf(term, peer) }))
    .sort((a, b) => b.step - a.step || compareBytes(a.lot, b.lot))
    .map(({ peer }) => peer);
}

const lotOf = (term: Term, peer: PeerId): Uint8Array =>
  taggedHash('bzzz/rank/1', utf8Bytes(String(term)), utf8Bytes(peer));

/** A leader gives its place up for nothing less. */
const CLEARLY_BETTER = 0.2;
/** Sums of decimal fractions are not exact in binary. */
const TOLERANCE = 1e-9;

/** Since when others were clearly better than the leader, without a gap; empty at first. */
export type TransferWatch = ReadonlyMap<PeerId, Millis>;

export interface TransferInput {
  /** The leader, which asks. */
  readonly self: PeerId;
  /** Of itself and of the voters that could take over now: connected and up to date. */
  readonly scores: ReadonlyMap<PeerId, number>;
  readonly term: Term;
  /** Monotonic clock. */
  readonly now: Millis;
  /** How long another must have been better. */
  readonly minTermMs: number;
}

export interface TransferAdvice {
  /** Pass it in again next time. */
  readonly watch: TransferWatch;
  /** Whom the leader should hand over to; undefined: nobody. */
  readonly target: PeerId | undefined;
}

/**
 * Whether a leader should hand over of its own accord: only to a voter that has been better by more
 * than 0.2 for longer than the shortest term, at every look in between.
 */
export function transferTarget(before: TransferWatch, input: TransferInput): TransferAdvice {
  const { self, scores, term, now, minTermMs } = input;
  const own = scores.get(self) ?? 0;
  const better = [...scores].filter(
    ([peer, score]) => peer !== self && score - own > CLEARLY_BETTER + TOLERANCE,
  );
  const watch = new Map(better.map(([peer]) => [peer, before.get(peer) ?? now]));
  const ripe = [...watch].filter(([, since]) => now - since > minTermMs).map(([peer]) => peer);
  return { watch, target: rank(ripe, scores, term)[0] };
}

const unit = (n: number): number => (n > 0 ? Math.min(1, n) : 0);

/** What nobody here knows counts nothing, so a long list is of no use. */
function knownFraction(said: Capabilities, known: Capabilities): number {
  const words = [
    ...known.suites.map((word) => said.suites.includes(word)),
    ...known.protocols.map((word) => said.protocols.includes(word)),
  ];
  return words.length === 0 ? 1 : words.filter(Boolean).length / words.length;
}

function idleness({ freeMemory, cpus, load1 }: Resources): number {
  const idle = cpus > 0 ? 1 - unit(load1 / cpus) : 0;
  return (unit(freeMemory) + idle) / 2;
}
