/**
 * The job table as it travels: chunks, their hashes, and a manifest that the leader signed.
 *
 * Jobs stand in the leaves of a binary trie over the hash of their id, and a leaf that outgrows a
 * chunk is split. A change of one job thus changes one chunk, and whoever has the others gets only
 * that one. The manifest names the chunks in trie order, and their Merkle root.
 *
 * A receiver checks manifest, root, every chunk and every job, and only then takes the whole.
 * @module
 */
import { z } from 'zod';
import type { ClusterId, PeerId, Term } from '../../base/brands.ts';
import { equalBytes, sha256, toHex, utf8Bytes } from '../../base/bytes.ts';
import { decode, encode, field } from '../../base/codec.ts';
import { openEnvelope } from '../../base/envelope.ts';
import { BzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Signer } from '../../base/ports.ts';
import { leafHash, merkleRoot } from './merkle.ts';
import { type Job, type JobTable, jobSchema } from './types.ts';

/** Raised with every change of what a chunk or a manifest holds. */
export const SNAPSHOT_SCHEMA = 1;

/** What makes one state newer than another: the term first, then the version. */
export interface StateMark {
  readonly term: Term;
  readonly stateVersion: number;
}

/** Negative when `a` is older than `b`. */
export const compareMarks = (a: StateMark, b: StateMark): number =>
  a.term - b.term || a.stateVersion - b.stateVersion;

export interface Manifest extends StateMark {
  readonly schemaVersion: number;
  /** Merkle root over `chunks`, 32 bytes. */
  readonly root: Uint8Array;
  /** Leaf hash of each chunk, 32 bytes. */
  readonly chunks: readonly Uint8Array[];
}

/** A manifest and who signed it. */
export interface SignedManifest {
  readonly manifest: Manifest;
  readonly leader: PeerId;
  readonly bytes: Uint8Array;
}

/** Chunks by the hex of their hash. */
export type Chunks = ReadonlyMap<string, Uint8Array>;

export interface Snapshot {
  readonly signed: SignedManifest;
  readonly chunks: Chunks;
}

export const MANIFEST_BYTES = LIMITS.snapshotChunks * 36 + 1_024;

const domain = (clusterId: ClusterId): string => `bzzz/${clusterId}/snapshot/1`;

/** Looked at before anything else: a newer schema may have other fields. */
const versionSchema = z.looseObject({ schemaVersion: field.uint });
const manifestSchema: z.ZodType<Manifest> = z.strictObject({
  schemaVersion: z.literal(SNAPSHOT_SCHEMA),
  stateVersion: field.uint,
  term: field.term,
  root: field.bytes(32),
  chunks: z.array(field.bytes(32)).max(LIMITS.snapshotChunks).readonly(),
});
const chunkSchema = z.array(jobSchema);

/** Splits a table into chunks and signs for it. */
export function sealSnapshot(
  table: JobTable,
  term: Term,
  signer: Signer,
  clusterId: ClusterId,
): Snapshot {
  const chunks = chunksOf(table);
  const hashes = chunks.map(({ hash }) => hash);
  const manifest: Manifest = {
    ...{ schemaVersion: SNAPSHOT_SCHEMA, stateVersion: table.version, term },
    ...{ root: merkleRoot(hashes), chunks: hashes },
  };
  const bytes = signer.seal(domain(clusterId), encode(manifest));
  return {
    signed: { manifest, leader: signer.peerId, bytes },
    chunks: new Map(chunks.map(({ bytes, hash }) => [toHex(hash), bytes])),
  };
}

/**
 * Checks signature, schema and root; whether the signer may lead is the caller's to judge.
 * @throws BAD_MESSAGE, SCHEMA_TOO_NEW.
 */
export function openManifest(bytes: Uint8Array, clusterId: ClusterId): SignedManifest {
  const { signer, payload } = openEnvelope(domain(clusterId), bytes);
  const { schemaVersion } = decode('snapshot', versionSchema, payload, MANIFEST_BYTES);
  if (schemaVersion > SNAPSHOT_SCHEMA) {
    throw new BzzzError('SCHEMA_TOO_NEW', `snapshot of schema ${schemaVersion}`, {
      why: `this version reads schema ${SNAPSHOT_SCHEMA}`,
      hint: 'upgrade bzzz on this host',
    });
  }
  const manifest = decode('snapshot', manifestSchema, payload, MANIFEST_BYTES);
  if (!equalBytes(merkleRoot(manifest.chunks), manifest.root)) {
    throw new BzzzError('BAD_MESSAGE', 'snapshot: the root is not that of its chunks');
  }
  return { manifest, leader: signer, bytes: new Uint8Array(bytes) };
}

/**
 * Refuses what would take this node back.
 * @returns whether the offered state is another than the one that is held.
 * @throws STALE_TERM: older than what is held. BAD_MESSAGE: as old, and not the same.
 */
export function isNewer(offered: Manifest, held: Manifest | undefined): boolean {
  if (held === undefined) return true;
  const order = compareMarks(offered, held);
  if (order > 0) return true;
  const marks = { offered: markOf(offered), held: markOf(held) };
  if (order < 0) {
    throw new BzzzError('STALE_TERM', 'an older state of the jobs', { details: marks });
  }
  if (!equalBytes(offered.root, held.root)) {
    throw new BzzzError('BAD_MESSAGE', 'two states with one version', { details: marks });
  }
  return false;
}

const markOf = ({ term, stateVersion }: StateMark): StateMark => ({ term, stateVersion });

/** Whether these bytes are the chunk that the hash names. */
export const isChunk = (hash: Uint8Array, bytes: Uint8Array): boolean =>
  bytes.length <= LIMITS.snapshotChunkBytes && equalBytes(leafHash(bytes), hash);

/** Hashes of the manifest for which there is no chunk, without repetition. */
export function missingChunks(manifest: Manifest, ...held: readonly Chunks[]): Uint8Array[] {
  const missing = new Map<string, Uint8Array>();
  for (const hash of manifest.chunks) {
    const name = toHex(hash);
    if (!held.some((chunks) => chunks.has(name))) missing.set(name, hash);
  }
  return [...missing.values()];
}

/**
 * The table that a manifest names, when every chunk is there and right.
 * @throws BAD_MESSAGE: a chunk is missing or wrong, or a job in it.
 */
export function openTable(manifest: Manifest, chunks: Chunks): JobTable {
  const jobs = new Map<string, Job>();
  for (const hash of manifest.chunks) {
    const bytes = chunks.get(toHex(hash));
    if (bytes === undefined) {
      throw new BzzzError('BAD_MESSAGE', `snapshot: chunk ${toHex(hash).slice(0, 8)} is missing`);
    }
    for (const job of openChunk(hash, bytes).jobs) jobs.set(job.id, job);
  }
  if (jobs.size > LIMITS.jobs) throw new BzzzError('BAD_MESSAGE', `${jobs.size} jobs in one table`);
  return { version: manifest.stateVersion, jobs };
}

// -- chunks

interface Chunk {
  readonly jobs: readonly Job[];
  readonly bytes: Uint8Array;
  /** Leaf hash. */
  readonly hash: Uint8Array;
}

/*
 * A table of 4,096 jobs has some hundred chunks, and a change touches one of them: the others are
 * neither encoded nor checked a second time. Jobs and chunks are never changed in place.
 */
const opened = new WeakMap<Uint8Array, Chunk>();
const sealed = new WeakMap<Job, Chunk>();

/**
 * Checks a chunk and the jobs in it; of the same bytes again it costs nothing.
 * @throws BAD_MESSAGE: not the chunk that the hash names, or no jobs.
 */
export function openChunk(hash: Uint8Array, bytes: Uint8Array): { readonly jobs: readonly Job[] } {
  const known = opened.get(bytes);
  if (known !== undefined && equalBytes(known.hash, hash)) return known;
  if (!isChunk(hash, bytes)) {
    throw new BzzzError('BAD_MESSAGE', `snapshot: chunk ${toHex(hash).slice(0, 8)} is damaged`);
  }
  const jobs = decode('jobs', chunkSchema, bytes, LIMITS.snapshotChunkBytes);
  const chunk = { jobs, bytes, hash };
  opened.set(bytes, chunk);
  remember(chunk);
  return chunk;
}

function remember(chunk: Chunk): void {
  const [first] = chunk.jobs;
  if (first !== undefined) sealed.set(first, chunk);
}

function sealChunk(jobs: readonly Job[]): Chunk {
  const [first] = jobs;
  const known = first === undefined ? undefined : sealed.get(first);
  if (known?.jobs.length === jobs.length && known.jobs.every((job, i) => job === jobs[i])) {
    return known;
  }
  const bytes = encode(jobs);
  const chunk = { jobs, bytes, hash: leafHash(bytes) };
  remember(chunk);
  return chunk;
}

/** A job with its place in the trie. */
interface Placed {
  readonly job: Job;
  readonly place: Uint8Array;
  /** Bytes that it takes at most. */
  readonly size: number;
}

const placed = new WeakMap<Job, Placed>();

/** Names of the fields, numbers and peers take less than that. */
const JOB_BYTES = 400;
const TENURE_BYTES = 80;
/** The head of an array (RFC 8949, section 3). */
const ARRAY_BYTES = 5;

function place(job: Job): Placed {
  const known = placed.get(job);
  if (known !== undefined) return known;
  const texts = job.id.length + utf8Bytes(job.subject).length + utf8Bytes(job.result ?? '').length;
  const size = JOB_BYTES + texts + job.past.length * TENURE_BYTES;
  const made = { job, place: sha256(utf8Bytes(job.id)), size };
  placed.set(job, made);
  return made;
}

function chunksOf(table: JobTable): readonly Chunk[] {
  const chunks: Chunk[] = [];
  const split = (part: readonly Placed[], bit: number): void => {
    if (part.length === 0) return;
    const size = part.reduce((sum, item) => sum + item.size, ARRAY_BYTES);
    if (size <= LIMITS.snapshotChunkBytes) {
      // In the order of their places: the same table makes the same chunks on every node.
      const ordered = [...part].sort((a, b) => Buffer.compare(a.place, b.place));
      chunks.push(sealChunk(ordered.map(({ job }) => job)));
      return;
    }
    split(
      part.filter((item) => !bitAt(item.place, bit)),
      bit + 1,
    );
    split(
      part.filter((item) => bitAt(item.place, bit)),
      bit + 1,
    );
  };
  split([...table.jobs.values()].map(place), 0);
  return chunks;
}

const bitAt = (place: Uint8Array, bit: number): boolean =>
  (((place[bit >> 3] ?? 0) >> (7 - (bit & 7))) & 1) === 1;
