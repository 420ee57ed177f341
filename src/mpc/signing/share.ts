/**
 * A signer's second round and what comes of it: shares, and the signature they sum up to. RFC 9591
 * §5.2 and §5.3. Every signer gets every share unless the driver is done in a moment, so any of
 * them can finish.
 * @module
 */
import type { PeerId } from '../../base/brands.ts';
import { equalBytes, fromHex, toHex } from '../../base/bytes.ts';
import { BzzzError } from '../../base/errors.ts';
import type { TakenPair } from '../nonces/types.ts';
import type { NonceCommitment } from '../suites/types.ts';
import { noteProgress } from './commit.ts';
import { type Context, canSign, clearTimer, event, send, setTimer, signersOf } from './draft.ts';
import { accuse } from './evidence.ts';
import { releaseSignature } from './finish.ts';
import type { MessageOf, PackageMessage, Received } from './messages.ts';
import { packageId, readPackage, slotOf } from './package.ts';
import type { Attempt, SignedShare, Slot } from './types.ts';
import { compareSlots } from './vault.ts';

/** Shares kept per party for packages that have not come yet. */
const EARLY_SHARES = 4;
const ATTEMPTS_PER_DRIVER = 2;

/**
 * Signs for a driver. The nonces leave the vault before anything looks at the package: whatever it
 * turns out to be, they serve at most one share (N1, N2).
 *
 * A pair that was exchanged ahead may be gone without anybody's fault: a restart, a stock that ran
 * over. Then the driver is told, and goes on another way.
 * @throws BAD_MESSAGE: no unused commitment for it, or not this party's own commitment.
 */
export function onPackage(context: Context, received: Received<PackageMessage>): void {
  const { state, deps } = context;
  const slot = slotOf(received);
  if (state.supersededBy !== undefined) {
    send(context, [received.author], { kind: 'superseded', by: state.supersededBy });
    return;
  }
  const { entry, use } = takeNonces(context, slot, received);
  const known = [...state.attempts.values()].find(
    (one) => one.slot.driver === slot.driver && compareSlots(one.slot, slot) === 0,
  );
  if (known !== undefined) {
    if (entry !== undefined) deps.suite.wipeNonces(entry.nonces);
    if (known.id === packageId(received)) throw refusal('package seen before');
    accuse(context, { fault: 'twoPackages', first: known.envelope, second: received.envelope });
    return;
  }
  const reading = readPackage(state.session, deps, received);
  if (!reading.ok) {
    if (entry !== undefined) deps.suite.wipeNonces(entry.nonces);
    accuse(context, { fault: 'badPackage', package: received.envelope });
    return;
  }
  if (entry === undefined) {
    onNothing(context, received, use);
    return;
  }
  adoptAttempt(context, reading.attempt);
  state.turn = turnAmong(state.session.ranked, reading.attempt, deps.self);
  noteProgress(context, slot, 'package');
  signShare(context, reading.attempt, entry);
}

/**
 * The signers of a package know of the session; of the others some may not. So they come first, or
 * the two that know could be those who would wait longest.
 */
function turnAmong(ranked: readonly PeerId[], { slot, members }: Attempt, self: PeerId): number {
  const know = ranked.filter((peer) => members.some(({ author }) => author === peer));
  return know.filter((peer) => peer !== slot.driver).indexOf(self) + 1;
}

interface Nonces {
  readonly entry: TakenPair | undefined;
  /** The package that spent the pair before. */
  readonly use: Uint8Array | undefined;
}

/** This party's nonces for a package, wherever they wait. They are gone from there afterwards. */
function takeNonces(
  { state, deps }: Context,
  slot: Slot,
  { message, envelope }: Received<PackageMessage>,
): Nonces {
  if (message.kind === 'package') return { entry: state.vault.take(slot), use: undefined };
  const own = message.pairs.find(({ holder }) => holder === deps.self);
  const mine = own !== undefined && own.boot === state.session.start.boot;
  const taken = mine ? deps.nonces?.take(slot.driver, own.seq, envelope) : undefined;
  return {
    entry: taken?.found === 'pair' ? taken.pair : undefined,
    use: taken?.found === 'use' ? taken.package : undefined,
  };
}

/** There is no pair for a package: it was used before, or it is lost. */
function onNothing(
  context: Context,
  { message, author, envelope }: Received<PackageMessage>,
  use: Uint8Array | undefined,
): void {
  if (message.kind === 'package') throw refusal('no unused commitment for this package');
  if (use === undefined) {
    const { boot, counter } = message;
    send(context, [author], { kind: 'spent', boot, counter });
  } else if (equalBytes(use, envelope)) {
    throw refusal('package seen before');
  } else {
    accuse(context, { fault: 'twoUses', first: use, second: envelope });
  }
}

/** Signs for this party's own package. */
export function onSignOwn(context: Context, id: string): void {
  const { state, deps } = context;
  const attempt = state.attempts.get(id);
  if (attempt === undefined || !canSign(context)) return;
  const seq = attempt.members.find(({ author }) => author === deps.self)?.seq;
  if (seq === undefined) {
    const entry = state.vault.take(attempt.slot);
    if (entry !== undefined) signShare(context, attempt, entry);
    return;
  }
  const taken = deps.nonces?.take(deps.self, seq, attempt.envelope);
  if (taken?.found === 'pair') signShare(context, attempt, taken.pair);
}

function signShare(context: Context, attempt: Attempt, entry: TakenPair): void {
  const { state, deps } = context;
  const { key, share, message } = state.session.start;
  const own = attempt.members.find(({ author }) => author === deps.self);
  const exact = own !== undefined && isSame(own, entry.commitment);
  if (!exact || share === undefined || !canSign(context)) {
    deps.suite.wipeNonces(entry.nonces);
    throw refusal("the package lacks this party's own commitment");
  }
  const bytes = deps.suite.signShare(key, share, entry.nonces, attempt.members, message);
  const { driver } = attempt.slot;
  // A driver that can seal the result needs no other signer, as long as it goes on.
  const alone = state.session.holders.has(driver);
  if (!alone) releaseShare(context, attempt, [...signersOf(attempt), driver], bytes);
  else if (driver !== deps.self) releaseShare(context, attempt, [driver], bytes);
  if (alone) setTimer(context, shareTimer(attempt.id), deps.timing.exchangeMs);
  event(context, 'share', { attempt: attempt.id });
  addShare(context, attempt.id, own.index, { share: bytes });
}

/** From now on this party waits for what the driver makes of its share. */
function releaseShare(
  context: Context,
  { id, slot }: Pick<Attempt, 'id' | 'slot'>,
  to: readonly PeerId[],
  share: Uint8Array,
): void {
  const { bindsMs } = context.deps.timing;
  context.effects.push({ type: 'released', driver: slot.driver, bindsMs });
  send(context, to, { kind: 'share', attempt: idBytes(id), share });
}

/**
 * Timer of a signer that saw no result since: the other signers get its share too. That of a driver
 * has not left it yet, and does not while it stands back for another session.
 */
export function onShareTimer(context: Context, id: string): void {
  const { state, deps } = context;
  const attempt = state.attempts.get(id);
  const own = attempt?.members.find(({ author }) => author === deps.self);
  const signed = attempt?.shares.get(own?.index ?? 0);
  if (attempt === undefined || attempt.failed || signed === undefined) return;
  const { driver } = attempt.slot;
  if (driver === deps.self && state.supersededBy !== undefined) return;
  const others = signersOf(attempt).filter((peer) => peer !== driver);
  releaseShare(context, attempt, others, signed.share);
}

const isSame = (a: NonceCommitment, b: NonceCommitment): boolean =>
  equalBytes(a.hiding, b.hiding) && equalBytes(a.binding, b.binding);

/** Takes a share; before its package has come it is kept aside. @throws BAD_MESSAGE. */
export function onShare(context: Context, received: Received<MessageOf<'share'>>): void {
  const { state } = context;
  const { author, message, envelope } = received;
  if (!state.session.holders.has(author)) throw refusal('share of a party that holds none');
  const id = toHex(message.attempt);
  const signed = { share: message.share, envelope };
  const attempt = state.attempts.get(id);
  if (attempt === undefined) {
    const early = state.early.get(author) ?? [];
    state.early.set(author, [...early, { ...signed, attempt: id }].slice(-EARLY_SHARES));
    return;
  }
  const member = attempt.members.find((one) => one.author === author);
  if (member === undefined) throw refusal('share of a party outside the signer set');
  addShare(context, id, member.index, signed);
}

/** Begins to gather shares for an attempt; the older ones of its driver make room. */
export function adoptAttempt(context: Context, attempt: Attempt): void {
  const { state } = context;
  const { driver } = attempt.slot;
  state.packages++;
  state.attempts.set(attempt.id, attempt);
  event(context, 'package', {
    attempt: attempt.id,
    driver,
    signers: signersOf(attempt),
  });
  const ofDriver = [...state.attempts.values()]
    .filter(({ slot }) => slot.driver === driver)
    .sort((a, b) => compareSlots(a.slot, b.slot));
  for (const { id } of ofDriver.slice(0, -ATTEMPTS_PER_DRIVER)) {
    state.attempts.delete(id);
    clearTimer(context, shareTimer(id));
    clearTimer(context, aggregateTimer(id));
  }
  for (const { author, index } of attempt.members) {
    const early = state.early.get(author)?.find((one) => one.attempt === attempt.id);
    if (early !== undefined) addShare(context, attempt.id, index, early);
  }
}

/** The first share of a signer counts; a second one changes nothing. */
function addShare(context: Context, id: string, index: number, signed: SignedShare): void {
  const { state, deps } = context;
  const attempt = state.attempts.get(id);
  if (attempt === undefined || attempt.failed || attempt.shares.has(index)) return;
  const shares = new Map(attempt.shares).set(index, signed);
  const next: Attempt = { ...attempt, shares };
  state.attempts.set(id, next);
  const member = attempt.members.find((one) => one.index === index);
  if (member !== undefined) state.silent.delete(member.author);
  if (shares.size < attempt.members.length) return;
  event(context, 'gathered', { attempt: id });
  const place = finishers(context, attempt).indexOf(deps.self);
  if (place === 0 && !isHeld(context, next)) aggregate(context, next);
  else if (place > 0) setTimer(context, aggregateTimer(id), place * deps.timing.aggregateMs);
}

/**
 * A driver that has given its share to another session of the request since makes no second
 * signature while that one may come about (S6).
 */
const isHeld = ({ state, deps }: Context, { slot }: Attempt): boolean =>
  state.bound && slot.driver === deps.self;

/** Nothing binds this driver any more: an attempt may wait for that. @returns whether one did. */
export function finishHeld(context: Context): boolean {
  const { state, deps } = context;
  const complete = [...state.attempts.values()].find(
    ({ slot, members, shares, failed }) =>
      slot.driver === deps.self && !failed && shares.size === members.length,
  );
  if (complete !== undefined) aggregate(context, complete);
  return complete !== undefined && state.phase !== 'running';
}

/**
 * Who aggregates, in order: the driver if it is a holder, then the signers. A proposer that holds
 * no share cannot seal a result, so it leaves this to the signers.
 */
function finishers({ state }: Context, attempt: Attempt): readonly PeerId[] {
  const signers = signersOf(attempt);
  const { driver } = attempt.slot;
  if (!state.session.holders.has(driver)) return signers;
  return [driver, ...signers.filter((peer) => peer !== driver)];
}

/** Prefixes of the timers of {@link onShareTimer} and {@link onAggregateTimer}; an id follows. */
export const SHARE = 'share/';
export const AGGREGATE = 'aggregate/';

const shareTimer = (id: string): string => SHARE + id;
const aggregateTimer = (id: string): string => AGGREGATE + id;

/** Timer of a signer that is not the first to aggregate: nobody has so far. */
export function onAggregateTimer(context: Context, id: string): void {
  const attempt = context.state.attempts.get(id);
  if (attempt !== undefined && !attempt.failed) aggregate(context, attempt);
}

/**
 * Sums up a complete attempt. The suite verifies the sum by another implementation before it leaves
 * (`Suite.verify`); when it is wrong, the single shares tell whose fault that is.
 */
export function aggregate(context: Context, attempt: Attempt): void {
  const { state, deps } = context;
  const { key, message } = state.session.start;
  const shares = new Map([...attempt.shares].map(([index, { share }]) => [index, share]));
  const sum = deps.suite.aggregate(key, attempt.members, message, shares);
  if (sum.ok) {
    if (state.session.holders.has(deps.self)) releaseSignature(context, attempt, sum.signature);
    return;
  }
  state.attempts.set(attempt.id, { ...attempt, failed: true });
  for (const index of sum.culprits) {
    const share = attempt.shares.get(index)?.envelope;
    if (share !== undefined) {
      accuse(context, { fault: 'badShare', package: attempt.envelope, share });
    }
  }
}

const idBytes = (id: string): Uint8Array => {
  const bytes = fromHex(id);
  if (bytes === undefined) throw new BzzzError('INTERNAL', `not an attempt id: ${id}`);
  return bytes;
};

const refusal = (reason: string): BzzzError => new BzzzError('BAD_MESSAGE', reason);
