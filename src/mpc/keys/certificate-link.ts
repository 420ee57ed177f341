/**
 * One certificate: a proposal and the equal statements of everybody with a seat in it. A key begins
 * with one; each refresh and each reshare adds one that names the one before by its hash. What a
 * link proves about its key depends on the link before, see certificate.ts.
 * @module
 */
import { z } from 'zod';
import type { ClusterId, KeyId, SessionId } from '../../base/brands.ts';
import { equalBytes, fromHex, taggedHash, toHex } from '../../base/bytes.ts';
import { decode, encode, field } from '../../base/codec.ts';
import { type Opened, openEnvelope } from '../../base/envelope.ts';
import { assert, BzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import { openMessage, type Statement } from '../keygen/messages.ts';
import { isDealt, openProposal, seatPeers } from '../sessions/proposal.ts';
import { SUITE_TABLE, suiteOf } from '../suites/index.ts';
import type { Suites } from '../suites/types.ts';
import type { DealtProposal, ImportedKey, KeyInfo, SealedProposal } from '../types.ts';

const linkSchema = z.strictObject({
  v: z.literal(1),
  proposal: field.bytesUpTo(LIMITS.sessionMessageBytes),
  /** In the order of the seats. */
  statements: z
    .array(field.bytesUpTo(LIMITS.sessionMessageBytes))
    .min(2)
    .max(2 * LIMITS.parties),
});

/** Injected in the simulator; the real ones by default. */
export interface CertificateDeps {
  readonly open?: (domain: string, envelope: Uint8Array) => Opened;
  readonly suites?: Suites;
}

/** A certificate whose seals and form hold. */
export interface OpenedLink {
  readonly sealed: SealedProposal<DealtProposal>;
  readonly statement: Statement;
  /** What the next certificate names; the same for every valid copy. */
  readonly hash: Uint8Array;
  readonly bytes: Uint8Array;
}

/** @throws BAD_MESSAGE always. */
export const refuseCertificate = (why: string): never => {
  throw new BzzzError('BAD_MESSAGE', `certificate: ${why}`);
};

/** The bytes of an id. @throws INTERNAL unless it is hex. */
export function bytesOfHex(hex: string): Uint8Array {
  const bytes = fromHex(hex);
  assert(bytes !== undefined, 'an id is hex');
  return bytes;
}

/** Lower-case hex of the tagged SHA-256 over session id and group key. */
export const keyIdOf = (sid: SessionId, groupKey: Uint8Array): KeyId =>
  toHex(taggedHash('bzzz/key/1', bytesOfHex(sid), groupKey)) as KeyId;

/** Joins what {@link openLink} takes apart. @param statements in the order of the seats. */
export const encodeCertificate = (
  proposal: Uint8Array,
  statements: readonly Uint8Array[],
): Uint8Array => encode({ v: 1, proposal, statements });

/**
 * Opens one certificate and checks all that it proves by itself.
 * @throws BAD_MESSAGE naming what does not hold.
 */
export function openLink(
  bytes: Uint8Array,
  clusterId: ClusterId,
  { open = openEnvelope, suites = SUITE_TABLE }: CertificateDeps = {},
): OpenedLink {
  const raw = decode('certificate', linkSchema, bytes, LIMITS.recordBytes);
  const sealed = openProposal(raw.proposal, clusterId, open);
  if (!isDealt(sealed)) return refuseCertificate('the proposal asks for no key');
  const { sid, proposal } = sealed;
  const seats = seatPeers(proposal);
  if (raw.statements.length !== seats.length) refuseCertificate('not one statement per party');
  const said = raw.statements.map((envelope) =>
    openMessage(clusterId, open, 'statement', envelope),
  );
  const [first] = said;
  assert(first !== undefined, 'a proposal has parties');
  for (const [i, { author, bytes: signed }] of said.entries()) {
    if (author !== seats[i]) refuseCertificate(`statement ${i + 1} is not by party ${i + 1}`);
    if (!equalBytes(signed, first.bytes)) {
      refuseCertificate(`statement ${i + 1} differs from the first`);
    }
  }
  const { payload } = first;
  if (payload.sid !== sid) refuseCertificate('statements of another session');
  const keyId = proposal.kind === 'keygen' ? keyIdOf(sid, payload.groupKey) : proposal.keyId;
  if (payload.keyId !== keyId) refuseCertificate('wrong key id');
  const { suite, threshold, parties } = proposal;
  const imported = proposal.kind === 'keygen' ? proposal.imported : undefined;
  if (imported !== undefined && !isImport(imported, payload)) {
    refuseCertificate('another key than the one to import');
  }
  suiteOf(suite, suites).checkPublic(threshold, parties.length, payload);
  const hash = taggedHash('bzzz/certificate/1', bytesOfHex(sid), first.bytes);
  return { sealed, statement: payload, hash, bytes: new Uint8Array(bytes) };
}

/** Whether a public outcome is the key that was to be imported. */
export const isImport = (
  { groupKey, verifyingShares }: ImportedKey,
  outcome: Pick<Statement, 'groupKey' | 'verifyingShares'>,
): boolean =>
  equalBytes(groupKey, outcome.groupKey) &&
  verifyingShares.length === outcome.verifyingShares.length &&
  verifyingShares.every((share, i) => equalBytes(share, outcome.verifyingShares[i] ?? groupKey));

/**
 * The key that a link certifies.
 * @param before the epoch that it follows; undefined for the first of a key.
 * @throws BAD_MESSAGE unless it may follow.
 */
export function keyOfLink(
  { sealed, statement }: OpenedLink,
  before?: { readonly key: KeyInfo; readonly hash: Uint8Array },
): KeyInfo {
  const { sid, proposal } = sealed;
  const { groupKey, commitments, verifyingShares, keyId } = statement;
  const outcome = { groupKey, commitments, verifyingShares };
  const { suite, threshold, parties, requesters } = proposal;
  const dealt = { suite, threshold, parties, requesters, sid, ...outcome };
  if (proposal.kind === 'keygen') {
    if (before !== undefined) refuseCertificate('a new key follows nothing');
    const { name, purpose, policy, limits, imported } = proposal;
    const rules = {
      ...{ purpose, policy },
      ...(limits === undefined ? {} : { limits }),
      ...(imported === undefined ? {} : { imported: true as const }),
    };
    return { keyId, name, ...rules, epoch: 0, ...dealt };
  }
  if (before === undefined) return refuseCertificate('the first of a key hands on another');
  const { key, hash } = before;
  const same = keyId === key.keyId && suite === key.suite && equalBytes(groupKey, key.groupKey);
  if (!same) refuseCertificate('it hands on another key');
  const seats = seatPeers(proposal);
  const holders = key.parties.map(({ peerId }) => peerId);
  if (proposal.keyEpoch === key.epoch) {
    if (!equalBytes(proposal.previous, hash)) refuseCertificate('it follows another certificate');
    const placed = [...seats, ...proposal.removed];
    const dealers = proposal.dealers.filter((peer) => holders.includes(peer));
    if (holders.some((peer) => !placed.includes(peer))) refuseCertificate('a holder is left out');
    if (proposal.witnesses.some((peer) => !holders.includes(peer))) {
      refuseCertificate('a witness held no share');
    }
    if (dealers.length !== key.threshold || proposal.dealers.length !== key.threshold) {
      refuseCertificate('not as many dealers as the threshold');
    }
  } else if (proposal.keyEpoch < key.epoch || holders.some((peer) => !seats.includes(peer))) {
    // Epochs between may be left out where every earlier holder vouches for what came of them.
    refuseCertificate(`it does not follow epoch ${key.epoch}`);
  }
  return { ...key, ...dealt, epoch: proposal.keyEpoch + 1 };
}
