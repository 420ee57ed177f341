/**
 * The key certificate: the proposal and one statement by each of its n parties. Whoever recomputes
 * it from its bytes knows the key, its holders and its rules, and needs to trust nobody: the
 * proposal's hash is the session id, the statements are signed by the parties the proposal names,
 * all say the same, and the verifying shares lie on the one polynomial of the group key.
 *
 * It stands, immutable, at `ucxl://g-<base32(keyId[0..19])>:group@<cluster>:key/public`.
 * @module
 */
import { z } from 'zod';
import type { ClusterId, KeyId, SessionId } from '../base/brands.ts';
import { equalBytes, fromHex, taggedHash, toBase32, toHex } from '../base/bytes.ts';
import { decode, encode, field } from '../base/codec.ts';
import { type Opened, openEnvelope } from '../base/envelope.ts';
import { assert, BzzzError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Address } from '../ucxl/address.ts';
import type { RecordKind } from '../ucxl/kinds.ts';
import { openMessage, type Statement } from './keygen/messages.ts';
import { isKeygen, openProposal } from './proposal.ts';
import { SUITE_TABLE, suiteOf } from './suites/index.ts';
import type { Suites } from './suites/types.ts';
import type { KeygenProposal, KeyInfo, SealedProposal } from './types.ts';

/** Media type of a certificate record. */
export const CERTIFICATE_TYPE = 'application/vnd.bzzz.certificate+cbor';

const certificateSchema = z.strictObject({
  v: z.literal(1),
  proposal: field.bytesUpTo(LIMITS.sessionMessageBytes),
  /** In index order. */
  statements: z.array(field.bytesUpTo(LIMITS.sessionMessageBytes)).min(2).max(LIMITS.parties),
});

/** What a certificate proves. */
export interface Certified {
  readonly keyInfo: KeyInfo;
  readonly proposal: SealedProposal<KeygenProposal>;
}

/** Injected in the simulator; the real ones by default. */
export interface CertificateDeps {
  readonly open?: (domain: string, envelope: Uint8Array) => Opened;
  readonly suites?: Suites;
}

function bytesOfHex(hex: string): Uint8Array {
  const bytes = fromHex(hex);
  assert(bytes !== undefined, 'an id is hex');
  return bytes;
}

/** Lower-case hex of the tagged SHA-256 over session id and group key. */
export const keyIdOf = (sid: SessionId, groupKey: Uint8Array): KeyId =>
  toHex(taggedHash('bzzz/key/1', bytesOfHex(sid), groupKey)) as KeyId;

/** The UCXL agent name of a key: 34 characters. */
export const keyAgent = (keyId: KeyId): string =>
  `g-${toBase32(bytesOfHex(keyId).subarray(0, 20))}`;

/** Where a key's certificate stands. `clusterName` is the roster's. */
export const certificateAddress = (keyId: KeyId, clusterName: string): string =>
  `ucxl://${keyAgent(keyId)}:group@${clusterName}:key/public`;

/** Joins what {@link verifyCertificate} takes apart. @param statements envelopes in index order. */
export const encodeCertificate = (
  proposal: Uint8Array,
  statements: readonly Uint8Array[],
): Uint8Array => encode({ v: 1, proposal, statements });

/**
 * Recomputes a certificate from its bytes.
 * @throws BAD_MESSAGE naming what does not hold.
 */
export function verifyCertificate(
  bytes: Uint8Array,
  clusterId: ClusterId,
  { open = openEnvelope, suites = SUITE_TABLE }: CertificateDeps = {},
): Certified {
  const refuse = (why: string): BzzzError => new BzzzError('BAD_MESSAGE', `certificate: ${why}`);
  const raw = decode('certificate', certificateSchema, bytes, LIMITS.recordBytes);
  const sealed = openProposal(raw.proposal, clusterId, open);
  if (!isKeygen(sealed)) throw refuse('the proposal asks for no key');
  const { parties, threshold, suite } = sealed.proposal;
  if (raw.statements.length !== parties.length) throw refuse('not one statement per party');
  const said = raw.statements.map((envelope) =>
    openMessage(clusterId, open, 'statement', envelope),
  );
  const [first] = said;
  assert(first !== undefined, 'a proposal has parties');
  for (const [i, { author, bytes: signed }] of said.entries()) {
    if (author !== parties[i]?.peerId) throw refuse(`statement ${i + 1} is not by party ${i + 1}`);
    if (!equalBytes(signed, first.bytes)) throw refuse(`statement ${i + 1} differs from the first`);
  }
  const { payload } = first;
  if (payload.sid !== sealed.sid) throw refuse('statements of another session');
  if (payload.keyId !== keyIdOf(sealed.sid, payload.groupKey)) throw refuse('wrong key id');
  suiteOf(suite, suites).checkPublic(threshold, parties.length, payload);
  return { keyInfo: keyInfoOf(sealed, payload), proposal: sealed };
}

function keyInfoOf(
  { sid, proposal }: SealedProposal<KeygenProposal>,
  { keyId, groupKey, commitments, verifyingShares }: Statement,
): KeyInfo {
  const { name, suite, threshold, parties, purpose, requesters, policy } = proposal;
  return {
    keyId,
    name,
    suite,
    threshold,
    parties,
    groupKey,
    commitments,
    verifyingShares,
    purpose,
    requesters,
    policy,
    epoch: 0,
    sid,
  };
}

/**
 * Certificates as records of the store. Two valid certificates of one key can differ in a
 * statement's signature only; they prove the same.
 */
export function certificateKind(
  clusterId: ClusterId,
  clusterName: string,
  deps: CertificateDeps = {},
): RecordKind {
  const matches = ({ agent, role, project, task, path }: Address): boolean =>
    /^g-[a-z2-7]{32}$/.test(agent) &&
    role === 'group' &&
    project === clusterName &&
    task === 'key' &&
    path === 'public';
  return {
    name: 'certificate',
    copies: 'one',
    maxBytes: LIMITS.recordBytes,
    matches,
    verify(address, bytes) {
      const { keyInfo, proposal } = verifyCertificate(bytes, clusterId, deps);
      if (!matches(address) || address.agent !== keyAgent(keyInfo.keyId)) {
        throw new BzzzError('BAD_MESSAGE', `certificate of ${keyAgent(keyInfo.keyId)} elsewhere`);
      }
      return { writer: proposal.proposal.proposer, type: CERTIFICATE_TYPE };
    },
  };
}
