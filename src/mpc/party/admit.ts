/**
 * Lets a proposal in, or says why not: who brought it, whose seat its token gives, what the roster,
 * the key and the policy of this node say. Nothing is remembered or answered here.
 * @module
 */
import type { ClusterId, KeyId, PeerId } from '../../base/brands.ts';
import { BzzzError } from '../../base/errors.ts';
import { openToken, type TokenLedger } from '../join-token.ts';
import { checkRoom } from '../keys/certificate.ts';
import type { KeyEntry } from '../keys/keyring.ts';
import { checkInUse } from '../keys/retirement.ts';
import { wipe } from '../keys/sharefile.ts';
import { checkCommon, checkKeygen, checkSigning, type PolicyContext } from '../policy/policy.ts';
import { checkProgram } from '../policy/policy-program.ts';
import { checkRate, type RateBook } from '../policy/rate.ts';
import { checkEpoch, checkReshare } from '../reshare/rules.ts';
import { seatParties } from '../sessions/proposal.ts';
import type {
  KeygenProposal,
  KeyInfo,
  KeyShare,
  Party,
  ReshareProposal,
  SealedProposal,
  SignProposal,
} from '../types.ts';
import type { ImportDesk } from './import-desk.ts';
import type { PartyDeps } from './ports.ts';
import type { ShareBook } from './share-book.ts';
import type { ProposeBody } from './wire.ts';

/** What admission needs of the running service. */
export interface AdmissionContext {
  readonly deps: PartyDeps;
  readonly clusterId: ClusterId;
  readonly self: PeerId;
  readonly ledger: TokenLedger;
  readonly rates: RateBook;
  readonly shares: ShareBook;
  readonly draining: () => boolean;
  readonly liveSessions: () => number;
  readonly nameTaken: (name: string) => boolean;
  /** @throws CONFLICT while another change of this epoch is open here. */
  readonly checkUnlocked: (proposal: ReshareProposal) => void;
  readonly imports: ImportDesk;
  /** Asks a peer for certificates that are not known here. */
  readonly learnKeys: (from: PeerId) => Promise<void>;
}

/** The node as policy sees it now. */
export const policyContext = (context: AdmissionContext): PolicyContext => ({
  self: context.self,
  roster: context.deps.roster(),
  draining: context.draining(),
  liveSessions: context.liveSessions(),
  suites: context.deps.suites,
});

/**
 * Checks a proposal for a new key. Synchronous: two proposals for one name cannot both pass.
 * @throws what `checkKeygen` and `openToken` throw; UNAUTHORISED for a bringer without a part.
 */
export function admitKeygen(
  from: PeerId,
  sealed: SealedProposal<KeygenProposal>,
  body: ProposeBody,
  context: AdmissionContext,
): void {
  const { parties } = sealed.proposal;
  checkBringer(from, sealed.proposal.proposer, parties);
  checkKeygen(sealed.proposal, policyContext(context), context.nameTaken);
  context.imports.check(sealed.proposal);
  redeem(sealed, body, seatOf(context.self, parties), context);
}

/** What a signing session starts with here. Its owner wipes the share. */
export interface AdmittedSigning {
  readonly key: KeyInfo;
  readonly message: Uint8Array;
  /** Absent while the operator of this node has not said yes. */
  readonly share?: KeyShare;
}

/**
 * Whether this node's operator is asked. A request of their own, over this node's socket, is a yes.
 */
export const wantsApproval = ({ policy }: KeyInfo, proposer: PeerId, self: PeerId): boolean =>
  policy === 'approve' && proposer !== self;

/** This node's share of a key. @throws NOT_FOUND, SHARE_CORRUPT. */
export async function ownShare(key: KeyInfo, shares: ShareBook): Promise<KeyShare> {
  const share = await shares.open(key);
  if (share !== undefined) return share;
  throw new BzzzError(
    'NOT_FOUND',
    `the share of key ${key.name} in epoch ${key.epoch} is not on this node`,
    {
      hint: 'see `bzzz key show` on the refusing node',
    },
  );
}

/**
 * Checks a proposal for a signature and opens this node's share, unless its operator is asked.
 * @param again whether this node took part before it was restarted: its seat is its own.
 * @throws what `checkSigning` and `openToken` throw; NOT_FOUND for an unknown key or a share that
 * is not here; REFUSED_BY_POLICY for a rate or by the policy program; UNAUTHORISED for a bringer
 * without a part; SHARE_CORRUPT.
 */
export async function admitSigning(
  from: PeerId,
  sealed: SealedProposal<SignProposal>,
  body: ProposeBody,
  context: AdmissionContext,
  again: boolean,
): Promise<AdmittedSigning> {
  const { proposal } = sealed;
  const entry = await learnedKey(from, proposal, context);
  const { key } = entry;
  checkInUse(entry);
  checkEpoch(key, proposal.keyEpoch);
  const { message } = body;
  if (message === null) throw new BzzzError('BAD_MESSAGE', 'signing request without its message');
  checkBringer(from, proposal.proposer, key.parties);
  checkSigning(proposal, key, message, policyContext(context));
  const seat = seatOf(context.self, key.parties);
  if (!again) redeem(sealed, body, seat, context);
  const { deps, self, rates } = context;
  checkRate(key, proposal.proposer, rates, deps.clock.now());
  await checkProgram(deps.judge, sealed, key, message);
  if (wantsApproval(key, proposal.proposer, self)) return { key, message };
  return { key, message, share: await ownShare(key, context.shares) };
}

/** What a change of a key's shares starts with here. Its owner wipes the share. */
export interface AdmittedReshare {
  readonly entry: KeyEntry;
  /** Of the old epoch, where this node deals. */
  readonly share?: KeyShare;
}

/**
 * Checks a proposal to hand on a key and opens this node's share, if it deals.
 * @throws what `checkReshare`, `checkRoom` and `openToken` throw; CONFLICT while another change of
 * this epoch is open here; NOT_FOUND for a dealer whose share is not here.
 */
export async function admitReshare(
  from: PeerId,
  sealed: SealedProposal<ReshareProposal>,
  body: ProposeBody,
  context: AdmissionContext,
): Promise<AdmittedReshare> {
  const { proposal } = sealed;
  const entry = await learnedKey(from, proposal, context);
  checkInUse(entry);
  const policy = policyContext(context);
  const seats = seatParties(proposal);
  checkBringer(from, proposal.proposer, seats);
  checkCommon(proposal, policy);
  checkReshare(proposal, entry, policy.roster);
  checkRoom(entry, sealed);
  const seat = seatOf(context.self, seats);
  const share = await dealersShare(proposal, entry.key, context);
  try {
    // After the last await: two proposals for one epoch cannot both pass.
    context.checkUnlocked(proposal);
    redeem(sealed, body, seat, context);
  } catch (error) {
    if (share !== undefined) wipe(share.signingShare);
    throw error;
  }
  return { entry, ...(share === undefined ? {} : { share }) };
}

/** @throws NOT_FOUND when this node deals and has no share of the epoch. */
export async function dealersShare(
  { dealers }: ReshareProposal,
  key: KeyInfo,
  { shares, self }: Pick<AdmissionContext, 'shares' | 'self'>,
): Promise<KeyShare | undefined> {
  return dealers.includes(self) ? ownShare(key, shares) : undefined;
}

/** A key in an epoch that the proposer knows. @throws NOT_FOUND. */
export async function learnedKey(
  from: PeerId,
  { keyId, keyEpoch }: { readonly keyId: KeyId; readonly keyEpoch: number },
  { deps, learnKeys }: AdmissionContext,
): Promise<KeyEntry> {
  const known = deps.keyring.byId(keyId);
  if (known !== undefined && known.key.epoch >= keyEpoch) return known;
  // Its certificate may be on its way; the one who asks for a signature has it.
  await learnKeys(from);
  const learned = deps.keyring.byId(keyId);
  if (learned !== undefined) return learned;
  throw new BzzzError('NOT_FOUND', `key ${keyId} is not known on this node`);
}

/** The proposer brings its own proposal; another party may pass it on. @throws UNAUTHORISED. */
export function checkBringer(from: PeerId, proposer: PeerId, parties: readonly Party[]): void {
  if (from === proposer || parties.some(({ peerId }) => peerId === from)) return;
  throw new BzzzError('UNAUTHORISED', `${from} has no part in this session`);
}

/** This node's seat. @throws REFUSED_BY_POLICY. */
export function seatOf(self: PeerId, parties: readonly Party[]): Party {
  const seat = parties.find(({ peerId }) => peerId === self);
  if (seat !== undefined) return seat;
  throw new BzzzError('REFUSED_BY_POLICY', `${self} is no party of this session`, {
    details: { rule: 'party' },
  });
}

/** Takes this node's seat. @throws what `openToken` and `TokenLedger.redeem` throw. */
export function redeem(
  { sid, proposal }: SealedProposal,
  { token }: ProposeBody,
  party: Party,
  { clusterId, self, ledger, deps }: AdmissionContext,
): void {
  // The proposer needs nobody's permission, its own included.
  if (proposal.proposer === self) return;
  const { proposer } = proposal;
  ledger.redeem(openToken(token, { clusterId, sid, proposer, party }), deps.clock.now());
}
