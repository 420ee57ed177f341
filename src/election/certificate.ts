/**
 * What proves that a peer led the cluster in a term: the sealed votes of a majority of the voters
 * of the epoch in which it was elected. Anyone who has the roster chain up to that epoch verifies
 * it, without a network and without a clock.
 *
 * Every refusal names what is wrong in `details.violation`:
 *
 * | violation        | the certificate                                                   |
 * | ---------------- | ----------------------------------------------------------------- |
 * | `form`           | too large, not canonical, not of the schema                       |
 * | `epoch-unknown`  | names an epoch beyond the head of the chain here                  |
 * | `leader`         | names a leader that was no voter of its epoch                     |
 * | `seal`           | holds a vote that does not open: altered, or of another cluster   |
 * | `voter`          | holds a vote of a peer that was no voter of its epoch             |
 * | `order`          | holds two votes of one voter, or is not sorted by voter           |
 * | `term`           | holds a vote cast in another term                                 |
 * | `epoch`          | holds a vote cast in another epoch                                |
 * | `candidate`      | holds a vote cast for another                                     |
 * | `too-few`        | holds votes of less than a majority                               |
 * @module
 */
import { z } from 'zod';
import type { ClusterId, Epoch, PeerId, Term } from '../base/brands.ts';
import { compareText } from '../base/bytes.ts';
import { decode, encode, field } from '../base/codec.ts';
import { assert, BzzzError, toBzzzError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Chain } from '../roster/chain.ts';
import { majority } from '../roster/entry.ts';
import { type OpenedVote, openVote } from './vote.ts';

/** What a certificate says; its votes are not verified before {@link verifyLeaderCertificate}. */
export interface LeaderCertificate {
  readonly v: 1;
  readonly term: Term;
  /** Its voters are the electorate. */
  readonly epoch: Epoch;
  readonly leader: PeerId;
  /** Sealed votes, in order of the voters' peer ids. */
  readonly votes: readonly Uint8Array[];
}

/** A certificate that holds, and whose votes it has. */
export interface VerifiedCertificate extends LeaderCertificate {
  /** Sorted. */
  readonly voters: readonly PeerId[];
}

/** Why a certificate is refused; see the table above. */
export type Violation =
  | 'form'
  | 'epoch-unknown'
  | 'leader'
  | 'seal'
  | 'voter'
  | 'order'
  | 'term'
  | 'epoch'
  | 'candidate'
  | 'too-few';

const schema = z.strictObject({
  v: z.literal(1),
  term: field.term.refine((term) => term >= 1, { message: 'expected at least 1' }),
  epoch: field.epoch,
  leader: field.peerId,
  votes: z.array(field.bytesUpTo(LIMITS.voteBytes)).min(1).max(LIMITS.parties),
});

/**
 * The voters of `epoch`: who elects a leader there, and who must sign the entry of the next one.
 * @returns undefined beyond the head of the chain.
 */
export function votersAt(chain: Chain, epoch: number): readonly PeerId[] | undefined {
  if (epoch === chain.view.epoch) return chain.view.voters;
  // A link keeps the voters of the epoch before it.
  return chain.links[epoch]?.voters;
}

/**
 * The certificate of an election: a majority of the votes is enough, so no more are put in.
 * @param votes sealed, in any order, of `voters`.
 * @param voters how many voters the epoch has.
 * @throws BAD_MESSAGE: a vote that does not open.
 */
export function encodeLeaderCertificate(
  clusterId: ClusterId,
  election: Pick<LeaderCertificate, 'term' | 'epoch' | 'leader' | 'votes'>,
  voters: number,
): Uint8Array {
  const { term, epoch, leader } = election;
  const votes = election.votes
    .map((bytes) => ({ bytes, voter: openVote(clusterId, bytes).voter }))
    .sort((a, b) => compareText(a.voter, b.voter))
    .slice(0, majority(voters))
    .map((vote) => vote.bytes);
  return encode({ v: 1, term, epoch, leader, votes });
}

/**
 * The certificate of an election by the voters of its epoch.
 * @throws BAD_MESSAGE: a vote that does not open; INTERNAL: the chain has no such epoch.
 */
export function certifyElection(
  chain: Chain,
  election: Pick<LeaderCertificate, 'term' | 'epoch' | 'leader' | 'votes'>,
): Uint8Array {
  const { epoch } = election;
  const voters = votersAt(chain, epoch);
  assert(voters !== undefined, `an election in epoch ${epoch}, which the chain here does not have`);
  return encodeLeaderCertificate(chain.genesis.clusterId, election, voters.length);
}

/** Form only. @throws BAD_MESSAGE with violation `form`. */
export function decodeLeaderCertificate(bytes: Uint8Array): LeaderCertificate {
  try {
    return decode('leader certificate', schema, bytes, LIMITS.leaderCertificateBytes);
  } catch (thrown) {
    throw violated('form', toBzzzError(thrown).message, {}, thrown);
  }
}

/**
 * Checks a certificate against the chain, offline.
 * @throws BAD_MESSAGE with `details.violation` as in the table above.
 */
export function verifyLeaderCertificate(bytes: Uint8Array, chain: Chain): VerifiedCertificate {
  const certificate = decodeLeaderCertificate(bytes);
  const { epoch, leader } = certificate;
  const electorate = votersAt(chain, epoch);
  if (electorate === undefined) {
    const have = chain.view.epoch;
    const message = `leader certificate of epoch ${epoch}: the roster here ends at ${have}`;
    throw violated('epoch-unknown', message, { epoch, have });
  }
  if (!electorate.includes(leader)) {
    throw violated('leader', `leader certificate: ${leader} was no voter in epoch ${epoch}`);
  }
  const voters: PeerId[] = [];
  for (const sealed of certificate.votes) {
    const vote = openedVote(chain.genesis.clusterId, sealed);
    checkVote(certificate, electorate, vote, voters.at(-1));
    voters.push(vote.voter);
  }
  const need = majority(electorate.length);
  if (voters.length < need) {
    const message = `leader certificate: ${voters.length} votes, ${need} needed`;
    throw violated('too-few', message, { have: voters.length, need });
  }
  return { ...certificate, voters };
}

function openedVote(clusterId: ClusterId, sealed: Uint8Array): OpenedVote {
  try {
    return openVote(clusterId, sealed);
  } catch (thrown) {
    throw violated('seal', `leader certificate: ${toBzzzError(thrown).message}`, {}, thrown);
  }
}

function checkVote(
  certificate: LeaderCertificate,
  electorate: readonly PeerId[],
  { voter, term, epoch, candidate }: OpenedVote,
  before: PeerId | undefined,
): void {
  const of = `leader certificate: the vote of ${voter}`;
  if (!electorate.includes(voter)) {
    throw violated('voter', `${of}, which was no voter in epoch ${certificate.epoch}`);
  }
  // Ascending order also rules out repetition.
  if (before !== undefined && compareText(before, voter) >= 0) {
    throw violated('order', 'leader certificate: votes are not sorted by voter and distinct');
  }
  if (term !== certificate.term) {
    throw violated('term', `${of} is of term ${term}, not ${certificate.term}`);
  }
  if (epoch !== certificate.epoch) {
    throw violated('epoch', `${of} is of epoch ${epoch}, not ${certificate.epoch}`);
  }
  if (candidate !== certificate.leader) {
    throw violated('candidate', `${of} is for ${candidate}, not ${certificate.leader}`);
  }
}

const violated = (
  violation: Violation,
  message: string,
  details: object = {},
  cause?: unknown,
): BzzzError =>
  new BzzzError('BAD_MESSAGE', message, {
    details: { violation, ...details },
    ...(cause === undefined ? {} : { cause }),
  });
