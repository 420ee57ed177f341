/** Elections on paper: a chain with voters, and the votes that the test likes. */
import type { Epoch, PeerId, Term } from '../../src/base/brands.ts';
import { compareText } from '../../src/base/bytes.ts';
import { encode } from '../../src/base/codec.ts';
import { BzzzError } from '../../src/base/errors.ts';
import type { Signer } from '../../src/base/ports.ts';
import { encodeLeaderCertificate, votersAt } from '../../src/election/certificate.ts';
import { sealLeaderHead } from '../../src/election/leader-head.ts';
import type { Vote } from '../../src/election/types.ts';
import { sealVote } from '../../src/election/vote.ts';
import type { Chain } from '../../src/roster/chain.ts';
import { ada, admit, ben, chainWith, cyd, dov, eve, promote } from '../roster/support.ts';

/** The voters: epochs 0 and 1 ada, 2 and 3 also ben, from 4 on also cyd; never dov and eve. */
export const CHAIN = chainWith([
  ...[admit(ben), promote(ben), admit(cyd), promote(cyd)],
  ...[admit(dov), admit(eve)],
]);
/** The epoch whose voters are ada, ben and cyd, and after which nobody became one. */
export const THREE = 4;
export const CLUSTER_ID = CHAIN.genesis.clusterId;

export const term = (n: number): Term => n as Term;
export const epoch = (n: number): Epoch => n as Epoch;

export const vote = (of: { term?: number; epoch?: number; candidate?: Signer } = {}): Vote => ({
  term: term(of.term ?? 7),
  epoch: epoch(of.epoch ?? THREE),
  candidate: (of.candidate ?? ada).peerId,
});

/** Sealed by each of `voters`, in the order that a certificate keeps. */
export const votesBy = (
  voters: readonly Signer[],
  of: Parameters<typeof vote>[0] = {},
  clusterId = CLUSTER_ID,
): Uint8Array[] =>
  [...voters]
    .sort((a, b) => compareText(a.peerId, b.peerId))
    .map((voter) => sealVote(clusterId, voter, vote(of)));

/** Encoded without any check, as a forger would. */
export const rawCertificate = (
  votes: readonly Uint8Array[],
  fields: { term?: number; epoch?: number; leader?: PeerId; v?: number } = {},
): Uint8Array =>
  encode({ v: 1, term: 7, epoch: THREE, leader: ada.peerId, ...fields, votes: [...votes] });

/** A good certificate of `leader`, elected by itself and the others. */
export function certificateOf(
  leader: Signer = ada,
  of: { term?: number; epoch?: number; voters?: readonly Signer[]; chain?: Chain } = {},
): Uint8Array {
  const { chain = CHAIN, voters = [ada, ben, cyd] } = of;
  const { clusterId } = chain.genesis;
  const at = epoch(of.epoch ?? THREE);
  const votes = votesBy(voters, { ...of, candidate: leader }, clusterId);
  const election = { term: term(of.term ?? 7), epoch: at, leader: leader.peerId, votes };
  return encodeLeaderCertificate(clusterId, election, votersAt(chain, at)!.length);
}

export const NOON = Date.UTC(2026, 0, 1, 12);

/** A good head of `leader`, unless told otherwise. */
export function headOf(
  leader: Signer = ada,
  of: { seq?: number; time?: number; by?: Signer } & Parameters<typeof certificateOf>[1] = {},
): Uint8Array {
  const { seq = 1, time = NOON, by = leader } = of;
  const certificate = certificateOf(leader, of);
  return sealLeaderHead((of.chain ?? CHAIN).genesis.clusterId, by, { certificate, seq, time });
}

/** The violation, or the code and text of a refusal that names none. */
export function violationOf(work: () => unknown): string {
  try {
    work();
  } catch (thrown) {
    if (!(thrown instanceof BzzzError)) throw thrown;
    if (thrown.code !== 'BAD_MESSAGE') return `${thrown.code}: ${thrown.message}`;
    return String(thrown.details.violation ?? thrown.message);
  }
  throw new Error('nothing was thrown');
}
