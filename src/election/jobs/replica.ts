/**
 * A voter's copy of the leader's table: on the disk before it is acknowledged, and replaced as a
 * whole or not at all.
 *
 * Keys: `manifest` the signed manifest, `c/<hash>` its chunks.
 * @module
 */
import type { PeerId, Term } from '../../base/brands.ts';
import { fromHex, toHex } from '../../base/bytes.ts';
import { BzzzError, toBzzzError } from '../../base/errors.ts';
import type { KeyValue, KeyValueOp } from '../../base/ports.ts';
import { admitLeader, Serial } from './calls.ts';
import type { JobDeps } from './ports.ts';
import {
  isChunk,
  isNewer,
  missingChunks,
  openChunk,
  openManifest,
  openTable,
  type SignedManifest,
} from './snapshot.ts';
import type { JobTable } from './types.ts';
import { wire } from './wire.ts';

export type ReplicaDeps = Pick<
  JobDeps,
  'clusterId' | 'voters' | 'leader' | 'fence' | 'store' | 'logger'
>;

const nameOf = (hash: Uint8Array): string => toHex(hash);

/** Chunks of a snapshot that is not complete yet. */
interface Staged {
  readonly root: string;
  readonly chunks: Map<string, Uint8Array>;
}

/** Stores what leaders send and hands it to the next one. */
export class Replica {
  readonly #deps: ReplicaDeps;
  readonly #kv: KeyValue;
  readonly #serial = new Serial();
  #held: SignedManifest | undefined;
  #chunks: Map<string, Uint8Array> = new Map();
  #table: JobTable | undefined;
  /** Names of chunks on the disk that are not what their name says. */
  #stray: string[] = [];
  #staged: Staged | undefined;
  /** Why what is on the disk is no state that may be counted on. */
  #damage: BzzzError | undefined;

  private constructor(deps: ReplicaDeps) {
    this.#deps = deps;
    this.#kv = deps.store.sub('snapshot');
  }

  /** Reads the copy back. A damaged one is reported and waits for its replacement. */
  static async open(deps: ReplicaDeps): Promise<Replica> {
    const replica = new Replica(deps);
    await replica.#load();
    return replica;
  }

  /** The newest complete state here; undefined when there is none. */
  get table(): JobTable | undefined {
    return this.#table;
  }

  /** Answers `jobs/state`: what this voter holds, after which nothing of a lower term is taken. */
  async onState(from: PeerId, body: Uint8Array): Promise<Uint8Array> {
    const { term } = wire.state.decode(body);
    return this.#act(from, term, async () => {
      // A voter that lost its copy must not pass for one that never had any.
      if (this.#damage !== undefined) throw this.#damage;
      return wire.manifest.encode({ v: 1, manifest: this.#held?.bytes ?? null });
    });
  }

  /** Answers `jobs/chunk`. */
  async onChunk(from: PeerId, body: Uint8Array): Promise<Uint8Array> {
    const { term, hashes } = wire.chunk.decode(body);
    return this.#act(from, term, async () => {
      const chunks = hashes.flatMap((hash) => this.#chunks.get(nameOf(hash)) ?? []);
      return wire.chunks.encode({ v: 1, chunks });
    });
  }

  /**
   * Answers `jobs/store`; with nothing missing, the state is durable here.
   * @throws STALE_TERM, SCHEMA_TOO_NEW, BAD_MESSAGE; what is held stays then.
   */
  async onStore(from: PeerId, body: Uint8Array): Promise<Uint8Array> {
    const { term, manifest, chunks } = wire.store.decode(body);
    return this.#act(from, term, async () => {
      const signed = openManifest(manifest, this.#deps.clusterId);
      if (signed.leader !== from || signed.manifest.term !== term) {
        throw new BzzzError('BAD_MESSAGE', 'the snapshot is not of the leader that sends it');
      }
      const missing = await this.#take(signed, chunks);
      return wire.missing.encode({ v: 1, missing });
    });
  }

  /** The fence and what stands behind it are one step: nothing comes in between. */
  #act(from: PeerId, term: Term, act: () => Promise<Uint8Array>): Promise<Uint8Array> {
    return this.#serial.run(async () => {
      await admitLeader(this.#deps, from, term);
      return act();
    });
  }

  async #take(signed: SignedManifest, bodies: readonly Uint8Array[]): Promise<Uint8Array[]> {
    const { manifest } = signed;
    if (!isNewer(manifest, this.#held?.manifest) && this.#table !== undefined) return [];
    const staged = this.#stageFor(manifest.root);
    const wanted = missingChunks(manifest, this.#chunks, staged.chunks);
    for (const bytes of bodies) {
      // A damaged chunk is none of those that are wanted, and is asked for again.
      const hash = wanted.find((candidate) => isChunk(candidate, bytes));
      if (hash === undefined) continue;
      openChunk(hash, bytes);
      staged.chunks.set(nameOf(hash), bytes);
    }
    const missing = missingChunks(manifest, this.#chunks, staged.chunks);
    if (missing.length === 0) await this.#swap(signed, staged);
    return missing;
  }

  #stageFor(root: Uint8Array): Staged {
    const name = toHex(root);
    if (this.#staged?.root !== name) this.#staged = { root: name, chunks: new Map() };
    return this.#staged;
  }

  /** Everything is checked before one write makes it the state. */
  async #swap(signed: SignedManifest, staged: Staged): Promise<void> {
    const { manifest, bytes } = signed;
    const chunks = new Map<string, Uint8Array>();
    for (const hash of manifest.chunks) {
      const name = nameOf(hash);
      const chunk = staged.chunks.get(name) ?? this.#chunks.get(name);
      if (chunk !== undefined) chunks.set(name, chunk);
    }
    const table = openTable(manifest, chunks);
    const ops: KeyValueOp[] = [{ type: 'put', key: 'manifest', value: bytes }];
    for (const [name, value] of chunks) {
      if (!this.#chunks.has(name)) ops.push({ type: 'put', key: `c/${name}`, value });
    }
    for (const name of [...this.#chunks.keys(), ...this.#stray]) {
      if (!chunks.has(name)) ops.push({ type: 'del', key: `c/${name}` });
    }
    await this.#kv.batch(ops, { sync: true });
    this.#held = signed;
    this.#chunks = chunks;
    this.#table = table;
    this.#stray = [];
    this.#staged = undefined;
    this.#damage = undefined;
  }

  async #load(): Promise<void> {
    const bytes = await this.#kv.get('manifest');
    if (bytes === undefined) return;
    try {
      this.#held = openManifest(bytes, this.#deps.clusterId);
      for await (const [key, chunk] of this.#kv.entries('c/')) {
        const name = key.slice(2);
        const hash = fromHex(name);
        if (hash !== undefined && isChunk(hash, chunk)) this.#chunks.set(name, chunk);
        else this.#stray.push(name);
      }
      this.#table = openTable(this.#held.manifest, this.#chunks);
    } catch (thrown) {
      const error = toBzzzError(thrown);
      // With a manifest, others can be asked for the chunks; without one, this copy tells nothing.
      if (this.#held === undefined) this.#damage = damageOf(error);
      this.#deps.logger.error({ err: error }, 'the stored copy of the jobs is damaged');
    }
  }
}

const damageOf = (error: BzzzError): BzzzError =>
  error.code === 'SCHEMA_TOO_NEW'
    ? error
    : new BzzzError('DISK_FAILED', 'the stored copy of the jobs is damaged', { cause: error });
