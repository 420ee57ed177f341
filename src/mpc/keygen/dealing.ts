/**
 * What a session deals. Key generation and the handing on of a key run through the same phases -
 * first round, echo, subshares, statements, certificate - and differ only in what is in here: who
 * has a seat, who deals, what is dealt and what comes out.
 *
 * Seats count from 1. The parties of the new shares come first, so that a party's seat is its
 * index; those behind them watch over the change and get no share.
 * @module
 */
import type { KeyId, PeerId, SessionId } from '../../base/brands.ts';
import type { Random } from '../../base/ports.ts';
import { keyIdOf, verifyCertificate } from '../keys/certificate.ts';
import type { DkgPublic, DkgRound1, DkgSecret, Suite } from '../suites/types.ts';
import type { KeygenProposal, KeyInfo, KeyShare, MachineDeps, SealedProposal } from '../types.ts';

/** First rounds by their dealer's seat. */
export type Rounds = ReadonlyMap<number, DkgRound1>;

/** The part of a session that knows what is dealt. Stateless but for the secrets of this party. */
export interface Dealing {
  /** Everybody whose word the certificate needs; `seats[i]` has seat i + 1. */
  readonly seats: readonly PeerId[];
  /** Seats that get a share: 1 to this. */
  readonly receivers: number;
  /** Seats that deal, ascending. */
  readonly dealers: readonly number[];
  /** Draws this party's polynomial. @throws INTERNAL unless it is a dealer. */
  begin(seat: number, random: Random): { readonly secret: DkgSecret; readonly round1: DkgRound1 };
  /** @throws BAD_MESSAGE: not what this dealer must have published. */
  check(dealer: number, round1: DkgRound1): void;
  /** Subshares by receiver. @param rounds of all dealers. */
  subshares(secret: DkgSecret, rounds: Rounds): ReadonlyMap<number, Uint8Array>;
  /**
   * The new share of this party; wipes `secret`.
   * @param secret undefined for a receiver that does not deal.
   * @param subshares verified, by dealer, without its own.
   */
  finish(
    seat: number,
    secret: DkgSecret | undefined,
    rounds: Rounds,
    subshares: ReadonlyMap<number, Uint8Array>,
  ): KeyShare;
  /** What everybody computes alike. @throws BAD_MESSAGE. */
  outcome(rounds: Rounds): DkgPublic;
  /** Forgets a polynomial; harmless when it is gone. */
  wipe(secret: DkgSecret): void;
  keyId(groupKey: Uint8Array): KeyId;
  /** Recomputes a certificate of this kind. @throws BAD_MESSAGE. */
  verify(certificate: Uint8Array): { readonly sid: SessionId; readonly keyInfo: KeyInfo };
}

/** What a dealing needs of the machine's world. */
export type DealingDeps = Pick<MachineDeps, 'clusterId' | 'open'> & { readonly suite: Suite };

const without = <T>(map: ReadonlyMap<number, T>, seat: number): ReadonlyMap<number, T> =>
  new Map([...map].filter(([index]) => index !== seat));

/** First rounds in the order of the dealers' seats. */
export const inOrder = (dealers: readonly number[], rounds: Rounds): readonly DkgRound1[] =>
  dealers.flatMap((seat) => rounds.get(seat) ?? []);

/** A new key: everybody deals, everybody gets a share (Pedersen's DKG). */
export function keygenDealing(
  { sid, proposal }: SealedProposal<KeygenProposal>,
  { clusterId, open, suite }: DealingDeps,
): Dealing {
  const { parties, threshold } = proposal;
  const dealers = parties.map(({ index }) => index);
  const suites = new Map([[suite.name, suite]]);
  /** The suite's secret knows its owner by itself. */
  const seatOf = new WeakMap<DkgSecret, number>();
  const others = (secret: DkgSecret, rounds: Rounds): Rounds =>
    without(rounds, seatOf.get(secret) ?? 0);
  return {
    seats: parties.map(({ peerId }) => peerId),
    receivers: parties.length,
    dealers,
    begin(seat, random) {
      const begun = suite.dkgRound1(seat, threshold, parties.length, random);
      seatOf.set(begun.secret, seat);
      return begun;
    },
    check: (dealer, round1) => suite.checkRound1(dealer, threshold, round1),
    subshares: (secret, rounds) => suite.dkgRound2(secret, others(secret, rounds)),
    finish(seat, secret, rounds, subshares) {
      // Whoever gets here has dealt.
      const own = secret ?? { secret: 'dkg' };
      return suite.dkgFinish(own, without(rounds, seat), subshares).share;
    },
    outcome: (rounds) => suite.dkgPublic(threshold, inOrder(dealers, rounds)),
    wipe: (secret) => suite.wipeDkg(secret),
    keyId: (groupKey) => keyIdOf(sid, groupKey),
    verify(certificate) {
      const certified = verifyCertificate(certificate, clusterId, { open, suites });
      return { sid: certified.proposal.sid, keyInfo: certified.keyInfo };
    },
  };
}
