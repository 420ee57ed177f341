/**
 * Plans for keys that are new on this cluster: made here, or brought from elsewhere.
 * @module
 */
import type { PeerId } from '../../base/brands.ts';
import { compareText } from '../../base/bytes.ts';
import { BzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { RosterView } from '../../roster/types.ts';
import { checkComposition } from '../composition.ts';
import type { ImportTerms, ReadPackages } from '../keys/import-terms.ts';
import { checkMember, checkParticipants, selectParties } from '../selection.ts';
import { KEY_NAME } from '../sessions/proposal.ts';
import { suiteOf } from '../suites/index.ts';
import type { KeygenProposal, Party, SigningLimits } from '../types.ts';
import { badRequest, membership, type Plan, proposalHead, sealPlan } from './plan.ts';
import type { CreateKeyRequest, ImportKeyRequest, PartyDeps, PartyOptions } from './ports.ts';

/**
 * Checks a request for a new key and chooses its parties.
 * @param nameTaken whether a key or a live session has the name.
 * @throws BAD_REQUEST, UNSUPPORTED_SUITE, INVALID_COMPOSITION, INVALID_THRESHOLD, NOT_SUPPORTED,
 * CONFLICT, NOT_A_MEMBER, INSUFFICIENT_PERSISTENT_PARTIES.
 */
export function planKey(
  request: CreateKeyRequest,
  nameTaken: (name: string) => boolean,
  options: PartyOptions,
  deps: PartyDeps,
): Plan<KeygenProposal> {
  const { pool, suites } = deps;
  const roster = deps.roster();
  checkName(request.name, nameTaken);
  const suite = suiteOf(request.suite, suites).name;
  const purpose = checkPurpose(request.purpose ?? '');
  const policy = request.policy ?? options.signPolicy ?? 'auto';
  const limits = checkLimits(request.limits);
  const composition = checkComposition(request);
  const head = proposalHead(request.timeoutMs, options, deps);
  checkRequesters(request.requesters, roster);
  const parties =
    request.participants === undefined
      ? selectParties(composition, suite, pool, head.nonce)
      : checkParticipants(
          request.participants,
          suite,
          pool,
          membership(roster),
          composition.byRole,
        );
  const proposal: KeygenProposal = {
    ...head,
    kind: 'keygen',
    suite,
    name: request.name,
    threshold: composition.threshold,
    parties,
    purpose,
    requesters: requestersOf(request.requesters, parties, roster),
    policy,
    ...(limits === undefined ? {} : { limits }),
    ...(composition.ephemeral ? { ephemeral: true } : {}),
  };
  return sealPlan(proposal, parties, null, deps);
}

/**
 * The terms of a key from elsewhere.
 * @throws BAD_REQUEST; CONFLICT for a name in use; NOT_A_MEMBER.
 */
export function planTerms(
  request: ImportKeyRequest,
  read: Pick<ReadPackages, 'suite' | 'threshold' | 'public'>,
  nameTaken: (name: string) => boolean,
  options: PartyOptions,
  deps: PartyDeps,
): ImportTerms {
  const roster = deps.roster();
  const parties = request.participants as readonly PeerId[];
  checkName(request.name, nameTaken);
  const { groupKey, verifyingShares } = read.public;
  if (parties.length !== verifyingShares.length || new Set(parties).size !== parties.length) {
    throw badRequest(
      `${parties.length} participants for ${verifyingShares.length} parties`,
      'name the holder of each share, in the order of the identifiers',
    );
  }
  for (const peer of parties) checkMember('participant', peer, membership(roster));
  const limits = checkLimits(request.limits);
  const seats = parties.map((peerId, i): Party => ({ peerId, index: i + 1, role: 'persistent' }));
  return {
    name: request.name,
    suite: read.suite,
    threshold: read.threshold,
    purpose: checkPurpose(request.purpose ?? ''),
    requesters: requestersOf(request.requesters, seats, roster),
    policy: request.policy ?? options.signPolicy ?? 'auto',
    ...(limits === undefined ? {} : { limits }),
    parties,
    imported: { groupKey, verifyingShares },
  };
}

/** The proposal to import a key that every party's operator has brought. */
export function planImport(
  { parties, ...terms }: ImportTerms,
  timeoutMs: number | undefined,
  options: PartyOptions,
  deps: PartyDeps,
): Plan<KeygenProposal> {
  const roster = deps.roster();
  const seats = parties.map(
    (peerId, i): Party => ({
      ...{ peerId, index: i + 1 },
      role: roster.members.get(peerId)?.role ?? 'persistent',
    }),
  );
  const proposal: KeygenProposal = {
    ...proposalHead(timeoutMs, options, deps),
    kind: 'keygen',
    ...terms,
    parties: seats,
  };
  return sealPlan(proposal, seats, null, deps);
}

function checkName(name: string, nameTaken: (name: string) => boolean): void {
  if (!KEY_NAME.test(name)) {
    throw badRequest(
      `key name ${JSON.stringify(name)}`,
      'lower-case letters, digits, "_", "." and "-", at most 63, a letter or digit first',
    );
  }
  if (nameTaken(name)) throw new BzzzError('CONFLICT', `key name ${name} is in use`);
}

function checkPurpose(purpose: string): string {
  const size = Buffer.byteLength(purpose);
  if (size > LIMITS.purposeBytes) {
    throw badRequest(`purpose of ${size} bytes, at most ${LIMITS.purposeBytes}`);
  }
  if (/\p{C}/u.test(purpose)) throw badRequest('purpose has control characters');
  return purpose;
}

/** @returns undefined when nothing is limited. */
function checkLimits(asked: SigningLimits | undefined): SigningLimits | undefined {
  const { messageBytes, perMinute } = asked ?? {};
  const check = (what: string, n: number | undefined, most: number): void => {
    if (n === undefined || (Number.isInteger(n) && n >= 1 && n <= most)) return;
    throw badRequest(`${what}: ${n}`, `give a whole number from 1 to ${most}`);
  };
  check('longest message', messageBytes, LIMITS.signMessageBytes);
  check('requests a minute', perMinute, LIMITS.requestsPerMinute);
  if (messageBytes === undefined && perMinute === undefined) return undefined;
  return {
    ...(messageBytes === undefined ? {} : { messageBytes }),
    ...(perMinute === undefined ? {} : { perMinute }),
  };
}

/** By default the holders, and nobody else. */
function requestersOf(
  asked: readonly string[] | undefined,
  parties: readonly Party[],
  roster: RosterView,
): readonly PeerId[] {
  const named = asked === undefined || asked.length === 0 ? undefined : asked;
  checkRequesters(named, roster);
  const all = new Set(named ?? parties.map(({ peerId }) => peerId));
  return ([...all] as PeerId[]).sort(compareText);
}

/** Nobody is looked for, or waited for, on behalf of a request that names what cannot be. */
function checkRequesters(asked: readonly string[] | undefined, roster: RosterView): void {
  for (const peer of asked ?? []) checkMember('requester', peer, membership(roster));
  if (new Set(asked).size > LIMITS.requesters) {
    throw badRequest(`more than ${LIMITS.requesters} requesters`);
  }
}
