/**
 * A lost share: who asks for its repair, who may, and what each member checks first.
 * @module
 */
import type { PeerId } from '../../base/brands.ts';
import { BzzzError, type ErrorCode, toBzzzError } from '../../base/errors.ts';
import type { KeyEntry } from '../keys/keyring.ts';
import { checkInUse } from '../keys/retirement.ts';
import { wipe } from '../keys/sharefile.ts';
import { checkCommon } from '../policy/policy.ts';
import type { RepairStart } from '../repair/types.ts';
import { checkEpoch } from '../reshare/rules.ts';
import type { KeyInfo, RepairProposal, SealedProposal } from '../types.ts';
import {
  type AdmissionContext,
  checkBringer,
  learnedKey,
  ownShare,
  policyContext,
  redeem,
  seatOf,
} from './admit.ts';
import { proposeToAll, untilClientGoes } from './make.ts';
import { timeoutOf } from './plan.ts';
import { planRepair } from './plan-change.ts';
import type { RepairKeyRequest } from './ports.ts';
import { missingOf } from './presence.ts';
import type { SessionRegistry } from './registry.ts';
import { type RepairSession, repairSeats } from './repair-session.ts';
import type { ShareBook } from './share-book.ts';
import { failureError, throwIfGone } from './wait.ts';
import type { ProposeBody } from './wire.ts';

/**
 * What every member checks. Any holder or requester may ask: the share goes to nobody but the
 * party that the certificate names.
 * @throws STALE_EPOCH, NOT_FOUND; REFUSED_BY_POLICY; BAD_MESSAGE; CONFLICT when the share is here.
 */
async function checkRepair(
  proposal: RepairProposal,
  entry: KeyEntry,
  { shares, self }: { readonly shares: ShareBook; readonly self: PeerId },
): Promise<void> {
  const { key } = entry;
  checkEpoch(key, proposal.keyEpoch);
  const { suite, threshold, lost, helpers, proposer } = proposal;
  const isIn = (index: number): boolean => key.parties[index - 1] !== undefined;
  const fits = suite === key.suite && threshold === key.threshold;
  if (!fits || ![lost, ...helpers].every(isIn)) {
    throw new BzzzError('BAD_MESSAGE', `the repair does not fit key ${key.name}`);
  }
  const role = key.parties[lost - 1]?.role;
  if (role !== 'persistent') {
    throw new BzzzError('REFUSED_BY_POLICY', `party ${lost} of key ${key.name} is a ${role}`, {
      why: 'a share that is in memory only is gone when it is gone',
      details: { rule: 'role' },
    });
  }
  const holds = key.parties.some(({ peerId }) => peerId === proposer);
  if (!holds && !key.requesters.includes(proposer)) {
    throw new BzzzError('REFUSED_BY_POLICY', `${proposer} has no part in key ${key.name}`, {
      details: { rule: 'requester' },
    });
  }
  if (key.parties[lost - 1]?.peerId !== self) return;
  const share = await intact(entry, shares);
  if (share === undefined) return;
  wipe(share.signingShare);
  throw new BzzzError('CONFLICT', `the share of key ${key.name} is on ${self}: nothing is lost`, {
    hint: 'to make old copies of it worthless: `bzzz key refresh`',
  });
}

async function intact(entry: KeyEntry, shares: ShareBook): ReturnType<ShareBook['open']> {
  try {
    // What is in memory says nothing of the disk.
    await shares.settle(entry);
    return await shares.open(entry.key);
  } catch (error) {
    // Damaged is as good as lost.
    if (toBzzzError(error).code === 'SHARE_CORRUPT') return undefined;
    throw error;
  }
}

async function startOf(
  sealed: SealedProposal<RepairProposal>,
  key: KeyInfo,
  { shares, self }: { readonly shares: ShareBook; readonly self: PeerId },
): Promise<RepairStart> {
  const index = key.parties.find(({ peerId }) => peerId === self)?.index ?? 0;
  if (!sealed.proposal.helpers.includes(index)) return { sealed, key };
  return { sealed, key, share: await ownShare(key, shares) };
}

/**
 * Checks a proposal for a repair, as a helper or as the one who lost its share.
 * @throws what `checkRepair`, `ownShare` and `openToken` throw.
 */
export async function admitRepair(
  from: PeerId,
  sealed: SealedProposal<RepairProposal>,
  body: ProposeBody,
  context: AdmissionContext,
): Promise<RepairStart> {
  const { proposal } = sealed;
  const entry = await learnedKey(from, proposal, context);
  const { key } = entry;
  checkInUse(entry);
  checkCommon(proposal, policyContext(context));
  await checkRepair(proposal, entry, context);
  const seats = repairSeats(proposal, key);
  checkBringer(from, proposal.proposer, seats);
  redeem(sealed, body, seatOf(context.self, seats), context);
  return startOf(sealed, key, context);
}

/**
 * Rebuilds the share of one party by the others, as the proposer. A helper whose death nobody
 * noticed yet holds an attempt up to its end; the next one takes others.
 * @throws NOT_FOUND, CONFLICT for the key; what `planRepair` throws; CONFLICT when the share is
 * there; the refusal of a party; SESSION_FAILED, SESSION_EXPIRED, CANCELLED; INTERRUPTED.
 */
export async function repairKey(
  request: RepairKeyRequest,
  signal: AbortSignal,
  registry: SessionRegistry,
): Promise<void> {
  const { clock } = registry.deps;
  const until = clock.now() + timeoutOf(request.timeoutMs, registry.options);
  const failures = new Map<PeerId, number>();
  for (let left = ATTEMPTS; ; left--) {
    const timeoutMs = Math.max(1, Math.ceil((until - clock.now()) / left));
    const session = await beginRepair({ ...request, timeoutMs }, failures, signal, registry);
    const outcome = await untilClientGoes(session, signal, registry);
    if (outcome.state === 'completed') return;
    const isLast = left === 1 || clock.now() >= until;
    if (isLast || !PASSING.has(outcome.error.code)) throw failureError(outcome, session.sid);
    for (const peer of [...session.parties, ...outcome.silent]) {
      failures.set(peer, (failures.get(peer) ?? 0) + 1);
    }
  }
}

/** Of one request, within its time. */
const ATTEMPTS = 3;
/** Ends that say nothing against the next attempt. */
const PASSING: ReadonlySet<ErrorCode> = new Set(['SESSION_EXPIRED', 'PEER_UNREACHABLE', 'TIMEOUT']);

async function beginRepair(
  request: RepairKeyRequest,
  failures: ReadonlyMap<PeerId, number>,
  signal: AbortSignal,
  registry: SessionRegistry,
): Promise<RepairSession> {
  throwIfGone(signal);
  const { deps, options } = registry;
  const { parties, threshold } = deps.keyring.get(request.key).key;
  const lost = request.peer as PeerId;
  const others = parties.flatMap(({ peerId }) => (peerId === lost ? [] : [peerId]));
  await missingOf([lost], 1, deps, signal);
  await missingOf(others, threshold, deps, signal);
  const entry = deps.keyring.get(request.key);
  const { key } = entry;
  checkInUse(entry);
  const { sealed, body } = planRepair(request, key, failures, options, deps);
  checkCommon(sealed.proposal, registry.policy);
  await checkRepair(sealed.proposal, entry, registry);
  const session = await registry.openRepair(await startOf(sealed, key, registry), body);
  proposeToAll(session, body, registry);
  return session;
}
