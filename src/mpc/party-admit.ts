/**
 * Lets a proposal in, or says why not: who brought it, whose seat its token gives, what the roster,
 * the key and the policy of this node say. Nothing is remembered or answered here.
 * @module
 */
import type { ClusterId, PeerId } from '../base/brands.ts';
import { BzzzError } from '../base/errors.ts';
import { openToken, type TokenLedger } from './join-token.ts';
import type { KeyEntry } from './keyring.ts';
import type { PartyDeps } from './party-ports.ts';
import type { ProposeBody } from './party-wire.ts';
import { checkKeygen, checkSigning, type PolicyContext } from './policy.ts';
import { wipe } from './sharefile.ts';
import type {
  KeygenProposal,
  KeyInfo,
  KeyShare,
  Party,
  SealedProposal,
  SignProposal,
} from './types.ts';

/** What admission needs of the running service. */
export interface AdmissionContext {
  readonly deps: PartyDeps;
  readonly clusterId: ClusterId;
  readonly self: PeerId;
  readonly ledger: TokenLedger;
  readonly draining: () => boolean;
  readonly liveSessions: () => number;
  readonly nameTaken: (name: string) => boolean;
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
  redeem(sealed, body, seatOf(context.self, parties), context);
}

/** What a signing session starts with here. Its owner wipes the share. */
export interface AdmittedSigning {
  readonly key: KeyInfo;
  readonly message: Uint8Array;
  readonly share: KeyShare;
}

/**
 * Checks a proposal for a signature and opens this node's share.
 * @param again whether this node took part before it was restarted: its seat is its own.
 * @throws what `checkSigning` and `openToken` throw; NOT_FOUND for an unknown key or a share that
 * is not here; UNAUTHORISED for a bringer without a part; SHARE_CORRUPT.
 */
export async function admitSigning(
  from: PeerId,
  sealed: SealedProposal<SignProposal>,
  body: ProposeBody,
  context: AdmissionContext,
  again: boolean,
): Promise<AdmittedSigning> {
  const { proposal } = sealed;
  const { key } = await learnedKey(from, proposal, context);
  const { message } = body;
  if (message === null) throw new BzzzError('BAD_MESSAGE', 'signing request without its message');
  checkBringer(from, proposal.proposer, key.parties);
  checkSigning(proposal, key, message, policyContext(context));
  const seat = seatOf(context.self, key.parties);
  const stored = await context.deps.keystore.share(key.keyId);
  if (stored === undefined) {
    throw new BzzzError('NOT_FOUND', `the share of key ${key.name} is not on this node`, {
      hint: 'see `bzzz key show` on the refusing node',
    });
  }
  try {
    if (!again) redeem(sealed, body, seat, context);
  } catch (error) {
    wipe(stored.share.signingShare);
    throw error;
  }
  return { key, message, share: stored.share };
}

async function learnedKey(
  from: PeerId,
  { keyId }: SignProposal,
  { deps, learnKeys }: AdmissionContext,
): Promise<KeyEntry> {
  const known = deps.keyring.byId(keyId);
  if (known !== undefined) return known;
  // Its certificate may be on its way; the one who asks for a signature has it.
  await learnKeys(from);
  const learned = deps.keyring.byId(keyId);
  if (learned !== undefined) return learned;
  throw new BzzzError('NOT_FOUND', `key ${keyId} is not known on this node`);
}

/** The proposer brings its own proposal; another party may pass it on. */
function checkBringer(from: PeerId, proposer: PeerId, parties: readonly Party[]): void {
  if (from === proposer || parties.some(({ peerId }) => peerId === from)) return;
  throw new BzzzError('UNAUTHORISED', `${from} has no part in this session`);
}

function seatOf(self: PeerId, parties: readonly Party[]): Party {
  const seat = parties.find(({ peerId }) => peerId === self);
  if (seat !== undefined) return seat;
  throw new BzzzError('REFUSED_BY_POLICY', `${self} is no party of this session`, {
    details: { rule: 'party' },
  });
}

function redeem(
  { sid, proposal }: SealedProposal,
  { tokens }: ProposeBody,
  party: Party,
  { clusterId, self, ledger, deps }: AdmissionContext,
): void {
  // The proposer needs nobody's permission, its own included.
  if (proposal.proposer === self) return;
  const own = tokens.find(({ peerId }) => peerId === self);
  if (own === undefined) {
    throw new BzzzError('UNAUTHORISED', `no join token for ${self}`, {
      details: { reason: 'no-token' },
    });
  }
  const { proposer } = proposal;
  ledger.redeem(openToken(own.token, { clusterId, sid, proposer, party }), deps.clock.now());
}
