/**
 * Proposals: what a session is about, signed by who asks for it.
 *
 * The session id is the hash of the signed payload, so everything in a proposal - cluster, parties,
 * threshold, suite, purpose, message hash - is bound in the id (S2) and a proposal proves itself.
 * @module
 */
import { z } from 'zod';
import type { ClusterId, KeyId, PeerId, RequestId, SessionId } from '../../base/brands.ts';
import { compareText, taggedHash, toHex } from '../../base/bytes.ts';
import { decode, encode, field } from '../../base/codec.ts';
import type { Opened } from '../../base/envelope.ts';
import { openEnvelope } from '../../base/envelope.ts';
import { BzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Signer } from '../../base/ports.ts';
import { ROLES } from '../../roster/types.ts';
import type {
  DealtProposal,
  KeygenProposal,
  Party,
  Proposal,
  RepairProposal,
  ReshareProposal,
  SealedProposal,
  SignProposal,
} from '../types.ts';
import { POLICIES, SUITES } from '../types.ts';

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

const index = z.int().min(1).max(LIMITS.parties);

const party = z.strictObject({
  peerId: field.peerId,
  index,
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

/** The longest encoding of a point of any suite. */
const POINT_BYTES = 33;

const threshold = z.int().min(2).max(LIMITS.parties);

const parties = z.array(party).min(2).max(LIMITS.parties);

const requesters = z
  .array(field.peerId)
  .min(1)
  .max(LIMITS.requesters)
  .refine(sortedUnique, 'requesters are not sorted and unique');

type Issues = Pick<z.RefinementCtx, 'addIssue'>;

/** What holds for the future holders of a key. */
function checkParties(
  proposal: { readonly threshold: number; readonly parties: readonly z.infer<typeof party>[] },
  issues: Issues,
): void {
  const seats = proposal.parties;
  const wrong: readonly (readonly [boolean, string])[] = [
    [proposal.threshold > seats.length, 'threshold over the number of parties'],
    [seats.some((seat, i) => seat.index !== i + 1), 'parties not in index order'],
    [new Set(seats.map(({ peerId }) => peerId)).size !== seats.length, 'a party stands twice'],
    [seats.some(({ role }) => role === 'observer'), 'an observer holds no share'],
  ];
  for (const [is, message] of wrong) if (is) issues.addIssue(message);
}

/** Every holder of the old epoch stands in one place: as a party, as a witness, or removed. */
function checkReshare(
  { parties: seats, dealers, witnesses, removed }: Omit<ReshareProposal, 'requesters'>,
  issues: Issues,
): void {
  const all = [...seats.map(({ peerId }) => peerId), ...witnesses, ...removed];
  if (new Set(all).size !== all.length) issues.addIssue('a peer stands in two places');
  const here = new Set(all.filter((peer) => !removed.includes(peer)));
  if (dealers.some((peer) => !here.has(peer))) issues.addIssue('a dealer without a seat');
}

const keygenSchema = z
  .strictObject({
    ...base,
    kind: z.literal('keygen'),
    suite: z.enum(SUITES),
    name: z.string().regex(KEY_NAME, 'not a key name'),
    threshold,
    parties,
    purpose,
    requesters,
    policy: z.enum(POLICIES),
    limits: z
      .strictObject({
        messageBytes: z.int().min(1).max(LIMITS.signMessageBytes).exactOptional(),
        perMinute: z.int().min(1).max(LIMITS.requestsPerMinute).exactOptional(),
      })
      .exactOptional(),
    ephemeral: z.literal(true).exactOptional(),
    imported: z
      .strictObject({
        groupKey: field.bytesUpTo(POINT_BYTES),
        verifyingShares: z.array(field.bytesUpTo(POINT_BYTES)).min(2).max(LIMITS.parties),
      })
      .exactOptional(),
  })
  .refine(
    (p) => p.imported === undefined || p.imported.verifyingShares.length === p.parties.length,
    'imported shares are not one per party',
  )
  .superRefine(checkParties);

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

const peers = z.array(field.peerId).max(LIMITS.parties).refine(sortedUnique, 'peers not sorted');

const reshareSchema = z
  .strictObject({
    ...base,
    kind: z.literal('reshare'),
    keyId: field.hash<KeyId>(),
    keyEpoch: field.uint,
    previous: field.bytes(32),
    suite: z.enum(SUITES),
    threshold,
    parties,
    dealers: peers.min(2),
    witnesses: peers,
    removed: peers,
    requesters,
  })
  .superRefine(checkParties)
  .superRefine(checkReshare);

const repairSchema = z
  .strictObject({
    ...base,
    kind: z.literal('repair'),
    keyId: field.hash<KeyId>(),
    keyEpoch: field.uint,
    suite: z.enum(SUITES),
    threshold,
    lost: index,
    helpers: z.array(index).min(2).max(LIMITS.parties),
  })
  .refine((p) => p.helpers.length === p.threshold, 'as many helpers as the threshold')
  .refine((p) => p.helpers.every((at, i) => i === 0 || (p.helpers[i - 1] ?? 0) < at), 'order')
  .refine((p) => !p.helpers.includes(p.lost), 'the one who lost its share cannot help');

const proposalSchema: z.ZodType<Proposal> = z.discriminatedUnion('kind', [
  keygenSchema,
  signSchema,
  reshareSchema,
  repairSchema,
]);

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

/** Narrows to a refresh or a reshare. */
export const isReshare = (sealed: SealedProposal): sealed is SealedProposal<ReshareProposal> =>
  sealed.proposal.kind === 'reshare';

/** Narrows to the repair of a share. */
export const isRepair = (sealed: SealedProposal): sealed is SealedProposal<RepairProposal> =>
  sealed.proposal.kind === 'repair';

/** Narrows to what ends in a certificate. */
export const isDealt = (sealed: SealedProposal): sealed is SealedProposal<DealtProposal> =>
  isKeygen(sealed) || isReshare(sealed);

/** Everybody whose word a certificate needs, in the order of their seats: parties, witnesses. */
export function seatPeers(proposal: DealtProposal): readonly PeerId[] {
  const parties = proposal.parties.map(({ peerId }) => peerId);
  return proposal.kind === 'keygen' ? parties : [...parties, ...proposal.witnesses];
}

/** The same with their seats as indices; what a join token names. */
export const seatParties = (proposal: DealtProposal): readonly Party[] => [
  ...proposal.parties,
  ...seatPeers(proposal)
    .slice(proposal.parties.length)
    .map((peerId, i) => ({
      peerId,
      index: proposal.parties.length + i + 1,
      role: 'persistent' as const,
    })),
];
