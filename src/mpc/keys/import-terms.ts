/**
 * A key from elsewhere, as one operator brings it: the files of the Zcash Foundation's library, and
 * under which name, rules and parties the key is to be known here. Pure.
 *
 * Every holder's operator gives the same terms; their digest tells whether they do.
 * @module
 */
import type { PeerId } from '../../base/brands.ts';
import { compareText, equalBytes, fromHex, taggedHash, toHex } from '../../base/bytes.ts';
import { encode } from '../../base/codec.ts';
import { BzzzError } from '../../base/errors.ts';
import type { BroughtShare } from '../keygen/index.ts';
import { suiteOf } from '../suites/index.ts';
import type { Suites } from '../suites/types.ts';
import type { ImportedKey, KeygenProposal } from '../types.ts';
import {
  checkKeyPackage,
  type KeyPackage,
  keyFromBytes,
  keyFromJson,
  type PublicKeyPackage,
  publicFromBytes,
  publicFromJson,
} from './interchange.ts';

/** What a proposal says of the key, beside who proposes it and when. */
export type ImportTerms = Pick<
  KeygenProposal,
  'name' | 'suite' | 'threshold' | 'purpose' | 'requesters' | 'policy' | 'limits'
> & {
  /** By party index - 1. */
  readonly parties: readonly PeerId[];
  readonly imported: ImportedKey;
};

/** Hex; equal on every node that was given the same terms. */
export function termsDigest(terms: ImportTerms): string {
  const { name, suite, threshold, purpose, policy, parties, imported } = terms;
  const { messageBytes, perMinute } = terms.limits ?? {};
  const requesters = [...terms.requesters].sort(compareText);
  const limits = [messageBytes ?? null, perMinute ?? null];
  const { groupKey, verifyingShares } = imported;
  const rules = encode([name, suite, threshold, purpose, requesters, policy, limits]);
  const parts = encode([[...parties], groupKey, [...verifyingShares]]);
  return toHex(taggedHash('bzzz/import/1', rules, parts));
}

/** The terms that a proposal carries; undefined when it makes a key. */
export function termsOf(proposal: KeygenProposal): ImportTerms | undefined {
  const { imported, parties } = proposal;
  if (imported === undefined) return undefined;
  return { ...proposal, parties: parties.map(({ peerId }) => peerId), imported };
}

/** What the two files of one party say, held against each other. */
export interface ReadPackages extends BroughtShare {
  readonly suite: KeygenProposal['suite'];
  readonly threshold: number;
}

/**
 * Reads a party's key package and the public key package, each as JSON or as hex of the binary
 * form. The caller wipes the share.
 * @throws BAD_MESSAGE: form, or files that do not belong together; SHARE_CORRUPT; NOT_SUPPORTED:
 * identifiers other than 1..n.
 */
export function readPackages(keyText: string, publicText: string, suites: Suites): ReadPackages {
  const everybody = read(publicText, publicFromJson, publicFromBytes);
  const own = read(keyText, keyFromJson, keyFromBytes);
  try {
    return joined(own, everybody, suites);
  } catch (error) {
    own.signingShare.fill(0);
    throw error;
  }
}

function joined(own: KeyPackage, everybody: PublicKeyPackage, suites: Suites): ReadPackages {
  const { suite: name, index, signingShare, verifyingShare, verifyingKey, minSigners } = own;
  const same =
    name === everybody.suite &&
    equalBytes(verifyingKey, everybody.verifyingKey) &&
    (everybody.minSigners ?? minSigners) === minSigners;
  if (!same) throw bad('the two files are of two keys');
  const shares = Array.from({ length: everybody.verifyingShares.size }, (_, i) => {
    const share = everybody.verifyingShares.get(i + 1);
    if (share !== undefined) return share;
    throw new BzzzError('NOT_SUPPORTED', `no party ${i + 1} in the public key package`, {
      why: 'the parties of a key are numbered from 1 without a gap',
    });
  });
  if (!equalBytes(verifyingShare, everybody.verifyingShares.get(index) ?? new Uint8Array())) {
    throw bad(`the public file has another share for party ${index}`);
  }
  const suite = suiteOf(name, suites);
  checkKeyPackage(own, suite);
  const outcome = suite.publicOfShares(minSigners, shares);
  if (!equalBytes(outcome.groupKey, verifyingKey)) {
    throw bad('the shares are not shares of the verifying key');
  }
  const share = { index, signingShare };
  return { suite: name, threshold: minSigners, share, public: outcome };
}

const bad = (why: string): BzzzError => new BzzzError('BAD_MESSAGE', `key package: ${why}`);

function read<T>(text: string, fromJson: (text: string) => T, fromBytes: (b: Uint8Array) => T): T {
  const trimmed = text.trim();
  if (trimmed.startsWith('{')) return fromJson(trimmed);
  const bytes = fromHex(trimmed);
  if (bytes === undefined) throw bad('neither JSON nor hex');
  try {
    return fromBytes(bytes);
  } finally {
    // What was read of it are copies.
    bytes.fill(0);
  }
}
