/**
 * Roster entries as records: `ucxl://roster:chain@<cluster>:membership/<epoch>` holds the bytes of
 * that epoch's entry, epoch 0 those of the genesis.
 *
 * An entry proves itself to whoever has the chain up to the epoch before, which every member has.
 * @module
 */
import type { PeerId } from '../base/brands.ts';
import { equalBytes } from '../base/bytes.ts';
import { BzzzError } from '../base/errors.ts';
import { type Chain, extendChain, hashAt } from './chain.ts';
import { decodeEntry, verifyCertified } from './entry.ts';

/** What the record of an epoch says. */
export interface EntryFacts {
  /** The founder for the genesis, else the first of the voters that certified the entry. */
  readonly writer: PeerId;
  /** Wall clock of the proposer in ms; the genesis has none. */
  readonly time?: number;
}

/** The record of an epoch. @returns undefined beyond the head. */
export const entryRecord = (chain: Chain, epoch: number): Uint8Array | undefined =>
  epoch === 0 ? chain.genesis.bytes : chain.links[epoch - 1]?.entry.bytes;

/**
 * Checks that `bytes` is the record of `epoch` in `chain`, or the one that comes right after its
 * head.
 * @throws BAD_MESSAGE: another record, not certified, or further ahead than this chain can judge.
 * ROSTER_FORK: certified, and another than the chain's.
 */
export function verifyEntryRecord(chain: Chain, epoch: number, bytes: Uint8Array): EntryFacts {
  const { clusterId, bytes: genesisBytes, founder } = chain.genesis;
  if (epoch === 0) {
    if (equalBytes(bytes, genesisBytes)) return { writer: founder };
    throw new BzzzError('BAD_MESSAGE', 'not the genesis of this cluster');
  }
  const entry = decodeEntry(clusterId, bytes);
  const { chain: extended } = extendChain(chain, [entry]);
  const link = extended.links[epoch - 1];
  const hash = hashAt(extended, epoch);
  if (link === undefined || hash === undefined || !equalBytes(hash, entry.hash)) {
    throw new BzzzError('BAD_MESSAGE', `not the entry of epoch ${epoch}`);
  }
  // A known body may come with other signatures than ours, which extending does not look at.
  const writer = verifyCertified(clusterId, entry, link.voters)[0];
  if (writer === undefined) throw new BzzzError('BAD_MESSAGE', 'an entry without signatures');
  return { writer, time: entry.body.time };
}
