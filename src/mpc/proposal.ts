/**
 * Proposals: what a session is about, signed by who asks for it.
 *
 * The session id is the hash of the signed payload, so everything in a proposal - cluster, parties,
 * threshold, suite, purpose, message hash - is bound in the id (S2) and a proposal proves itself.
 * @module
 */
import { z } from 'zod';
import type { ClusterId, KeyId, PeerId, RequestId, SessionId } from '../base/brands.ts';
import { compareText, taggedHash, toHex } from '../base/bytes.ts';
import { decode, encode, field } from '../base/codec.ts';
import type { Opened } from '../base/envelope.ts';
import { openEnvelope } from '../base/envelope.ts';
import { BzzzError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Signer } from '../base/ports.ts';
import { ROLES } from '../roster/types.ts';
import type { KeygenProposal, Proposal, SealedProposal, SignProposal } from './types.ts';
import { POLICIES, SUITES } from './types.ts';

/** Lower-case letter or digit first, then also `_`, `.`, `-`; at most 63 characters. */
export const KEY_NAME = /^[a-z0-9][a-z0-9_.-]{0,62}$/;

/** Bytes of the nonce that tells two otherwise equal proposals apart. */
export const PROPOSAL_NONCE_BYTES = 16;

/** Signature domain of proposals of one cluster. */
export const proposalDomain = (clusterId: ClusterId): string => `bzzz/${clusterId}/proposal/1`;

const sortedUnique = (peers: readonly PeerId[]): boolean =>
  peers.every((peer, i) => i === 0 || compareText(peers[i - 1] ?? '', peer) < 0);

/** One line of text for people; control characters could forge log lines and tables. */
const purpose = field
  .text(LIMITS.purposeBytes)
  .refine((text) => Buffer.byteLength(text) <= LIMITS.purposeBytes, 'purpose too long')
  .refine((text) => !/\p{C}/u.test(text), 'purpose has control characters');

const party = z.strictObject({
  peerId: field.peerId,
  index: z.int().min(1).max(LIMITS.parties),
  role: z.enum(ROLES),
});

const base = {
  v: z.literal(1),
  clusterId: field.hash<ClusterId>(),
  proposer: field.peerId,
  rosterEpoch: field.epoch,
  ttlMs: z.int().min(1).max(LIMITS.sessionTtlMs),
  nonce: field.bytes(PROPOSAL_NONCE_BYTES),
};

const threshold = z.int().min(2).max(LIMITS.parties);

const keygenSchema = z
  .strictObject({
    ...base,
    kind: z.literal('keygen'),
    suite: z.enum(SUITES),
    name: z.string().regex(KEY_NAME, 'not a key name'),
    threshold,
    parties: z.array(party).min(2).max(LIMITS.parties),
    purpose,
    requesters: z
      .array(field.peerId)
      .min(1)
      .max(LIMITS.requesters)
      .refine(sortedUnique, 'requesters are not sorted and unique'),
    policy: z.enum(POLICIES),
  })
  .refine((p) => p.threshold <= p.parties.length, 'threshold over the number of parties')
  .refine((p) => p.parties.every(({ index }, i) => index === i + 1), 'parties not in index order')
  .refine(
    (p) => new Set(p.parties.map(({ peerId }) => peerId)).size === p.parties.length,
    'a party stands twice',
  )
  .refine((p) => p.parties.every(({ role }) => role !== 'observer'), 'an observer holds no share');

const signSchema = z.strictObject({
  ...base,
  kind: z.literal('sign'),
  keyId: field.hash<KeyId>(),
  keyEpoch: field.uint,
  suite: z.enum(SUITES),
  threshold,
  purpose,
  messageHash: field.bytes(32),
  requestId: field.hash<RequestId>(),
  fresh: z.boolean(),
});

const proposalSchema: z.ZodType<Proposal> = z.union([keygenSchema, signSchema]);

/** Hex SHA-256 over the signed payload. */
const sessionIdOf = (payload: Uint8Array): SessionId =>
  toHex(taggedHash('bzzz/session/1', payload)) as SessionId;

/**
 * Signs a proposal as its proposer.
 * @throws BAD_MESSAGE when it breaks a rule that receivers check; INTERNAL for another's proposal.
 */
export function sealProposal<P extends Proposal>(proposal: P, signer: Signer): SealedProposal<P> {
  if (proposal.proposer !== signer.peerId) {
    throw new BzzzError('INTERNAL', `proposal of ${proposal.proposer} sealed by ${signer.peerId}`);
  }
  const payload = encode(proposal);
  decode('proposal', proposalSchema, payload, LIMITS.sessionMessageBytes);
  const envelope = signer.seal(proposalDomain(proposal.clusterId), payload);
  return { sid: sessionIdOf(payload), proposal, envelope };
}

/**
 * Opens and checks a proposal: form, signature by its proposer, cluster.
 * @param open the simulator's stand-in for `openEnvelope`.
 * @throws BAD_MESSAGE.
 */
export function openProposal(
  envelope: Uint8Array,
  clusterId: ClusterId,
  open: (domain: string, envelope: Uint8Array) => Opened = openEnvelope,
): SealedProposal {
  if (envelope.length > LIMITS.sessionMessageBytes) {
    throw new BzzzError('BAD_MESSAGE', `proposal: ${envelope.length} bytes`);
  }
  const { signer, payload } = open(proposalDomain(clusterId), envelope);
  const proposal = decode('proposal', proposalSchema, payload, LIMITS.sessionMessageBytes);
  if (proposal.proposer !== signer) {
    throw new BzzzError('BAD_MESSAGE', `proposal of ${proposal.proposer} signed by ${signer}`);
  }
  if (proposal.clusterId !== clusterId) {
    throw new BzzzError('BAD_MESSAGE', 'proposal of another cluster');
  }
  return { sid: sessionIdOf(payload), proposal, envelope: new Uint8Array(envelope) };
}

/** Narrows to a key generation. */
export const isKeygen = (sealed: SealedProposal): sealed is SealedProposal<KeygenProposal> =>
  sealed.proposal.kind === 'keygen';

/** Narrows to a signing request. */
export const isSigning = (sealed: SealedProposal): sealed is SealedProposal<SignProposal> =>
  sealed.proposal.kind === 'sign';
