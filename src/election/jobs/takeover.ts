/**
 * How a new leader learns the jobs: from a majority of the voters, the newest state wins.
 *
 * Every change was on a majority before anybody acted on it, so every majority has a voter that
 * knows it; and a voter that answered takes nothing of a lower term any more, so the answer stays
 * true. (The same argument as for views in Viewstamped Replication, Liskov and Cowling 2012, §4.2.)
 *
 * The signer of an old state need not be a voter any more: the voter that gives it has checked the
 * signer when it stored it.
 * @module
 */
import type { ClusterId, PeerId, Term } from '../../base/brands.ts';
import { toHex } from '../../base/bytes.ts';
import { BzzzError, toBzzzError } from '../../base/errors.ts';
import type { Logger } from '../../base/ports.ts';
import { majority } from '../../roster/entry.ts';
import type { Call } from './calls.ts';
import {
  compareMarks,
  isChunk,
  type Manifest,
  missingChunks,
  openChunk,
  openManifest,
  openTable,
  type SignedManifest,
} from './snapshot.ts';
import { EMPTY_TABLE, type JobTable } from './types.ts';
import { CHUNKS_PER_FRAME, TOPICS, wire } from './wire.ts';

export interface TakeoverDeps {
  readonly clusterId: ClusterId;
  readonly call: Call;
  readonly voters: readonly PeerId[];
  /** Who can be reached now. Others than voters may have been some: they are not counted. */
  readonly reachable: readonly PeerId[];
  readonly logger: Logger;
}

/** The state that the term begins with. */
export interface Takeover {
  readonly table: JobTable;
  /** Who gave it; undefined when there was none. */
  readonly from: PeerId | undefined;
  /** Times that somebody gave a chunk or a manifest that was not right. */
  readonly damaged: ReadonlyMap<PeerId, number>;
}

interface Holder {
  readonly peer: PeerId;
  readonly signed: SignedManifest;
}

/**
 * Asks once.
 * @throws NO_QUORUM: too few voters gave an answer that can be counted on; worth another try.
 * STALE_TERM: a voter knows a newer leader.
 */
export async function takeOver(deps: TakeoverDeps, term: Term): Promise<Takeover> {
  const damaged = new Map<PeerId, number>();
  const asked = deps.reachable;
  requireMajority(deps.voters, new Set(asked));
  const answers = await Promise.all(asked.map((peer) => askState(deps, peer, term, damaged)));
  const answered = new Set(asked.filter((_, i) => answers[i] !== undefined));
  const holders = answers.flatMap((answer) =>
    answer === undefined || answer.signed === null
      ? []
      : [{ peer: answer.peer, signed: answer.signed }],
  );
  holders.sort((a, b) => compareMarks(b.signed.manifest, a.signed.manifest));
  // Whoever has only a state that cannot be completed counts as silent, and the next best stands.
  for (;;) {
    requireMajority(deps.voters, answered);
    const [best] = holders;
    if (best === undefined) return { table: EMPTY_TABLE, from: undefined, damaged };
    try {
      const table = await fetchTable(deps, term, best.signed.manifest, holders, damaged);
      return { table, from: best.peer, damaged };
    } catch (thrown) {
      const error = toBzzzError(thrown);
      if (error.code === 'STALE_TERM') throw error;
      deps.logger.warn({ peer: best.peer, err: error }, 'a state of the jobs is incomplete');
      answered.delete(best.peer);
      holders.shift();
    }
  }
}

function requireMajority(voters: readonly PeerId[], answered: ReadonlySet<PeerId>): void {
  const have = voters.filter((peer) => answered.has(peer)).length;
  const need = majority(voters.length);
  if (have < need) {
    throw new BzzzError(
      'NO_QUORUM',
      `${have} of ${voters.length} voters told what jobs they know`,
      {
        details: { have, need },
      },
    );
  }
}

async function askState(
  { call, clusterId, logger }: TakeoverDeps,
  peer: PeerId,
  term: Term,
  damaged: Map<PeerId, number>,
): Promise<{ readonly peer: PeerId; readonly signed: SignedManifest | null } | undefined> {
  try {
    const answer = await call(peer, TOPICS.state, wire.state.encode({ v: 1, term }));
    const { manifest } = wire.manifest.decode(answer);
    return { peer, signed: manifest === null ? null : openManifest(manifest, clusterId) };
  } catch (thrown) {
    const error = toBzzzError(thrown);
    if (error.code === 'STALE_TERM') throw error;
    if (error.code === 'BAD_MESSAGE') count(damaged, peer);
    logger.warn({ peer, err: error }, 'a voter did not tell what jobs it knows');
    return undefined;
  }
}

/** Chunks from whoever has them: the next holder is asked for what the last one got wrong. */
async function fetchTable(
  deps: TakeoverDeps,
  term: Term,
  manifest: Manifest,
  holders: readonly Holder[],
  damaged: Map<PeerId, number>,
): Promise<JobTable> {
  const chunks = new Map<string, Uint8Array>();
  for (const { peer, signed } of holders) {
    const theirs = new Set(signed.manifest.chunks.map(toHex));
    const wanted = missingChunks(manifest, chunks).filter((hash) => theirs.has(toHex(hash)));
    for (let at = 0; at < wanted.length; at += CHUNKS_PER_FRAME) {
      const hashes = wanted.slice(at, at + CHUNKS_PER_FRAME);
      const right = await fetchChunks(deps, term, peer, hashes, chunks);
      if (right < hashes.length) count(damaged, peer);
    }
    if (missingChunks(manifest, chunks).length === 0) break;
  }
  return openTable(manifest, chunks);
}

/** @returns how many of the chunks came and were right. */
async function fetchChunks(
  { call, logger }: TakeoverDeps,
  term: Term,
  peer: PeerId,
  hashes: readonly Uint8Array[],
  into: Map<string, Uint8Array>,
): Promise<number> {
  let right = 0;
  try {
    const answer = await call(peer, TOPICS.chunk, wire.chunk.encode({ v: 1, term, hashes }));
    for (const bytes of wire.chunks.decode(answer).chunks) {
      const hash = hashes.find((candidate) => isChunk(candidate, bytes));
      if (hash === undefined || into.has(toHex(hash))) continue;
      // Checked as they come, and not all in one breath at the end.
      openChunk(hash, bytes);
      into.set(toHex(hash), bytes);
      right++;
    }
  } catch (thrown) {
    const error = toBzzzError(thrown);
    if (error.code === 'STALE_TERM') throw error;
    logger.warn({ peer, err: error }, 'a voter did not give chunks of its jobs');
  }
  return right;
}

const count = (counts: Map<PeerId, number>, peer: PeerId): void =>
  void counts.set(peer, (counts.get(peer) ?? 0) + 1);
