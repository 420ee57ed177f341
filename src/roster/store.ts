/**
 * The roster on disk. Every write is synced: what a node said about the roster it still knows after
 * a crash.
 *
 * ```
 * genesis          the genesis document
 * checkpoint       where the invitation says the chain must pass
 * entry/<epoch>    an entry; ten digits, so that key order is chain order
 * signed           the last entry that this node signed as lone voter
 * consent          the recovery that the operator of this node wants: {voters, prev}
 * ```
 * @module
 */
import { z } from 'zod';
import type { Epoch } from '../base/brands.ts';
import { decode, encode, field } from '../base/codec.ts';
import { BzzzError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { KeyValue, KeyValueOp } from '../base/ports.ts';
import { type Chain, type Checkpoint, createChain, extendChain } from './chain.ts';
import { decodeEntry, type Entry } from './entry.ts';
import { rosterField } from './fields.ts';
import { decodeGenesis, type Genesis } from './genesis.ts';
import type { Consent } from './recovery-rules.ts';

const checkpointSchema = z.strictObject({ epoch: field.epoch, head: rosterField.hash });
const CHECKPOINT_BYTES = 256;
const consentSchema = z.strictObject({
  voters: z.array(rosterField.peerId).min(1).max(LIMITS.parties),
  prev: rosterField.hash,
});
const CONSENT_BYTES = 2_048;
/** Entries verified at once while loading: bounds the memory of a long chain's undecoded half. */
const LOAD_BATCH = 256;

const entryKey = (epoch: number): string => `entry/${String(epoch).padStart(10, '0')}`;

export interface Begin {
  /** Needed on the first start of a node; later it must be the stored one or absent. */
  readonly genesis?: Uint8Array;
  readonly checkpoint?: Checkpoint;
}

export interface Loaded {
  readonly chain: Chain;
  /** The last entry this node signed; it may be ahead of the chain. */
  readonly signed: Entry | undefined;
  readonly consent: Consent | undefined;
}

/** One write; all of it or nothing. */
export interface RosterWrite {
  readonly entries: readonly Entry[];
  /** What this node signed last. */
  readonly signed?: Entry;
  /** Epochs whose entries are given up. */
  readonly drop?: readonly Epoch[];
  /** null: there is none any more. */
  readonly consent?: Consent | null;
}

/**
 * Reads the chain and verifies every entry again: the disk is not believed either.
 * @throws NOT_INITIALISED: nothing stored and no genesis given. ALREADY_INITIALISED: another
 * genesis is stored. DISK_FAILED: the stored chain does not verify. ROSTER_FORK: it does not
 * contain the checkpoint.
 */
export async function loadRoster(store: KeyValue, begin: Begin): Promise<Loaded> {
  const genesis = await loadGenesis(store, begin.genesis);
  const known = await storedCheckpoint(store);
  const checkpoint = newer(known, begin.checkpoint);
  let chain = createChain(genesis, checkpoint);
  let batch: Entry[] = [];
  for await (const [key, bytes] of store.entries('entry/')) {
    batch.push(stored(key, () => decodeEntry(genesis.clusterId, bytes)));
    if (batch.length < LOAD_BATCH) continue;
    chain = append(chain, batch);
    batch = [];
  }
  chain = append(chain, batch);
  // Only now: an invitation that the chain contradicts must not be remembered.
  if (checkpoint !== undefined && checkpoint !== known) {
    await store.put('checkpoint', encode(checkpoint), { sync: true });
  }
  const signedBytes = await store.get('signed');
  const signed = signedBytes && stored('signed', () => decodeEntry(genesis.clusterId, signedBytes));
  return { chain, signed, consent: await storedConsent(store) };
}

/** @throws DISK_FAILED: nothing was written. */
export async function saveRoster(store: KeyValue, write: RosterWrite): Promise<void> {
  const { entries, signed, drop = [], consent } = write;
  const ops: KeyValueOp[] = drop.map((epoch) => ({ type: 'del', key: entryKey(epoch) }));
  for (const entry of entries) {
    ops.push({ type: 'put', key: entryKey(entry.body.epoch), value: entry.bytes });
  }
  if (signed !== undefined) ops.push({ type: 'put', key: 'signed', value: signed.bytes });
  if (consent === null) ops.push({ type: 'del', key: 'consent' });
  else if (consent !== undefined) {
    ops.push({ type: 'put', key: 'consent', value: encode(consent) });
  }
  await store.batch(ops, { sync: true });
}

async function loadGenesis(store: KeyValue, given: Uint8Array | undefined): Promise<Genesis> {
  const bytes = await store.get('genesis');
  const offered = given && decodeGenesis(given);
  if (bytes !== undefined) {
    const genesis = stored('genesis', () => decodeGenesis(bytes));
    if (offered === undefined || offered.clusterId === genesis.clusterId) return genesis;
    throw new BzzzError('ALREADY_INITIALISED', `this host belongs to cluster "${genesis.name}"`, {
      why: `stored ${genesis.clusterId}, given ${offered.clusterId}`,
    });
  }
  if (offered === undefined) {
    throw new BzzzError('NOT_INITIALISED', 'this host belongs to no cluster');
  }
  await store.put('genesis', offered.bytes, { sync: true });
  return offered;
}

async function storedCheckpoint(store: KeyValue): Promise<Checkpoint | undefined> {
  const bytes = await store.get('checkpoint');
  if (bytes === undefined) return undefined;
  const read = () => decode('checkpoint', checkpointSchema, bytes, CHECKPOINT_BYTES);
  return stored('checkpoint', read);
}

async function storedConsent(store: KeyValue): Promise<Consent | undefined> {
  const bytes = await store.get('consent');
  if (bytes === undefined) return undefined;
  return stored('consent', () => decode('consent', consentSchema, bytes, CONSENT_BYTES));
}

/** A newer invitation of the same cluster replaces an older checkpoint. */
const newer = (a: Checkpoint | undefined, b: Checkpoint | undefined): Checkpoint | undefined =>
  b === undefined || (a !== undefined && a.epoch >= b.epoch) ? a : b;

function append(chain: Chain, batch: readonly Entry[]): Chain {
  try {
    // What stands here was consented to when it was stored.
    return extendChain(chain, batch, () => true).chain;
  } catch (thrown) {
    if (thrown instanceof BzzzError && thrown.code === 'ROSTER_FORK') throw thrown;
    throw corrupt('chain', thrown);
  }
}

function stored<T>(key: string, read: () => T): T {
  try {
    return read();
  } catch (thrown) {
    throw corrupt(key, thrown);
  }
}

const corrupt = (key: string, cause: unknown): BzzzError =>
  new BzzzError('DISK_FAILED', `the stored roster is damaged at "${key}"`, {
    why: cause instanceof Error ? cause.message : String(cause),
    hint: 'restore the data directory from a backup, or let this host join anew with an empty one',
    cause,
  });
