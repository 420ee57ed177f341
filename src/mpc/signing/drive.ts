/**
 * Driving: asking for commitments, choosing the signers, trying again. Several parties may drive at
 * once; each works with commitments that were made for it alone.
 * @module
 */
import type { PeerId } from '../../base/brands.ts';
import { compareText } from '../../base/bytes.ts';
import { BzzzError } from '../../base/errors.ts';
import { makeCommitment } from './commit.ts';
import {
  type Context,
  canSign,
  clearTimer,
  event,
  send,
  sendSealed,
  setTimer,
  signersOf,
  usableHolders,
} from './draft.ts';
import { accuse } from './evidence.ts';
import { type Draftable, type MessageOf, messagePayload, type Received } from './messages.ts';
import { attemptId, readCommitment, slotOf } from './package.ts';
import { adoptAttempt, aggregate } from './share.ts';
import type { Attempt, Commitment, Drive, SignedCommitment, Slot } from './types.ts';
import { compareSlots } from './vault.ts';

/** So many cut waits are longer than a share binds its holder to another session. */
const CREDIBLE_YIELDS = 3;

/**
 * Begins the next attempt of this party: with commitments that were exchanged ahead, if there are
 * any, else by asking for some.
 */
export function startAttempt(context: Context): void {
  const { state, deps } = context;
  const counter = state.counter + 1;
  const slot = { driver: deps.self, boot: state.session.start.boot, counter };
  state.counter = counter;
  clearTimer(context, 'takeover');
  event(context, 'driving', { attempt: counter });
  if (startPooled(context, slot)) return;
  const { boot } = slot;
  const request = send(context, usableHolders(context), { kind: 'commitRequest', boot, counter });
  const own = canSign(context) ? makeCommitment(context, slot) : undefined;
  const commitments = new Map(own === undefined ? [] : [[own.author, own]]);
  const waitMs = deps.timing.askMs;
  state.drive = { slot, request, commitments, waitMs, attempt: undefined };
  setTimer(context, 'drive', waitMs);
}

/** One exchange: the package is the first message. @returns false when the pool does not do. */
function startPooled(context: Context, slot: Slot): boolean {
  const { state, deps } = context;
  if (deps.nonces === undefined || !canSign(context)) return false;
  const members = deps.nonces.draw(freeHolders(context));
  if (members === undefined) return false;
  const pairs = members.map(({ author, holderBoot, seq, hiding, binding }) => ({
    ...{ holder: author, boot: holderBoot, seq, hiding, binding },
  }));
  const { boot, counter } = slot;
  state.drive = { slot, request: undefined, commitments: new Map(), waitMs: 0, attempt: undefined };
  launch(context, state.drive, members, { kind: 'pooled', boot, counter, pairs });
  return true;
}

/** A signer lost the pair that this party's package names; it is at no fault (N1). */
export function onSpent(context: Context, received: Received<MessageOf<'spent'>>): void {
  const { state, deps } = context;
  const slot = slotOf({ ...received, author: deps.self });
  const attempt = state.attempts.get(state.drive?.attempt ?? '');
  const member = attempt?.members.find(({ author }) => author === received.author);
  if (
    attempt === undefined ||
    member?.seq === undefined ||
    compareSlots(attempt.slot, slot) !== 0
  ) {
    throw new BzzzError('BAD_MESSAGE', 'spent: not for the running attempt of this party');
  }
  deps.nonces?.lost(received.author);
  startAttempt(context);
}

/** Holders of which nothing says that they would not answer at once. */
const freeHolders = (context: Context): readonly PeerId[] => {
  const { silent, aside } = context.state;
  return usableHolders(context).filter((peer) => !silent.has(peer) && !aside.has(peer));
};

/**
 * A signer of the running attempt works on another session of the request: others take its place.
 * Not so for a lower session, to which this party will yield as well; and when too few are left all
 * are asked again soon, as those bonds are short.
 * @throws BAD_MESSAGE when nothing is waited for of it.
 */
export function onStoodBack(context: Context, received: Received<MessageOf<'superseded'>>): void {
  const { state } = context;
  const { author, message } = received;
  const { sid, start } = state.session;
  if (!owesShare(state, author)) {
    throw new BzzzError('BAD_MESSAGE', `${author} stands back for session ${message.by}`);
  }
  if (state.aside.has(author)) return;
  state.aside.add(author);
  const goesOn = compareText(sid, message.by) < 0;
  const enough = freeHolders(context).length >= start.key.threshold;
  if (goesOn && enough) startAttempt(context);
  else if (state.drive !== undefined) lookSoon(context, state.drive);
}

/** Cuts the running wait: those who stand back are free again before it is over. */
function lookSoon(context: Context, drive: Drive): void {
  const waitMs = context.deps.timing.sharesMs / 2;
  context.state.drive = { ...drive, waitMs };
  setTimer(context, 'drive', waitMs);
}

/** Whether a signer of the running attempt of this party has not answered. */
function owesShare({ attempts, drive }: Context['state'], peer: PeerId): boolean {
  const attempt = attempts.get(drive?.attempt ?? '');
  const owes = attempt?.members.some(
    ({ author, index }) => author === peer && !attempt.shares.has(index),
  );
  return owes === true;
}

/** A signer of the running attempt can no longer be reached: others take its place at once. */
export function onSignerGone(context: Context, peer: PeerId): void {
  const { state } = context;
  if (!owesShare(state, peer)) return;
  state.silent.add(peer);
  startAttempt(context);
}

/**
 * Takes a commitment for the running attempt. A holder that restarted lost the nonces of the first
 * one, so its later run replaces it.
 * @throws BAD_MESSAGE when it is late or for another driver.
 */
export function onCommitment(context: Context, received: Received<MessageOf<'commitment'>>): void {
  const { state, deps } = context;
  const { drive, session } = state;
  const { slot, commitment, points } = readCommitment(session, deps, received);
  if (
    drive === undefined ||
    drive.attempt !== undefined ||
    slot.driver !== deps.self ||
    compareSlots(slot, drive.slot) !== 0
  ) {
    throw new BzzzError('BAD_MESSAGE', 'commitment for no running attempt of this party');
  }
  if (points !== undefined) {
    accuse(context, { fault: 'badCommitment', commitment: received.envelope });
    return;
  }
  const known = drive.commitments.get(commitment.author);
  if (known !== undefined && known.holderBoot >= commitment.holderBoot) return;
  const commitments = new Map(drive.commitments);
  commitments.delete(commitment.author);
  commitments.set(commitment.author, commitment);
  state.drive = { ...drive, commitments };
}

/** Goes on by itself: a package as soon as there are enough, another attempt after a fault. */
export function pursue(context: Context): void {
  const { state } = context;
  if (state.phase !== 'running' || state.drive === undefined) return;
  const attempt = state.attempts.get(state.drive.attempt ?? '');
  if (attempt !== undefined && isLost(context, attempt)) startAttempt(context);
  if (state.drive.attempt !== undefined) return;
  const { threshold } = state.session.start.key;
  const ready = candidates(context, state.drive).filter(({ author }) => !state.silent.has(author));
  if (ready.length >= threshold) sendPackage(context, state.drive, ready);
}

const isLost = ({ state }: Context, attempt: Attempt): boolean =>
  attempt.failed || attempt.members.some(({ author }) => state.culprits.has(author));

/** The commitments that may be used, those of silent parties last. */
function candidates(context: Context, drive: Drive): readonly SignedCommitment[] {
  const usable = new Set(usableHolders(context));
  const all = [...drive.commitments.values()].filter(({ author }) => usable.has(author));
  const { silent } = context.state;
  return [
    ...all.filter(({ author }) => !silent.has(author)),
    ...all.filter(({ author }) => silent.has(author)),
  ];
}

/** Sends the package of the first threshold-many commitments to their authors. */
function sendPackage(context: Context, drive: Drive, from: readonly SignedCommitment[]): void {
  const { threshold } = context.state.session.start.key;
  const members = from.slice(0, threshold).sort((a, b) => a.index - b.index);
  const { boot, counter } = drive.slot;
  const commitments = members.map(({ envelope }) => envelope);
  launch(context, drive, members, { kind: 'package', boot, counter, commitments });
}

/** Sends a package to its signers, and waits for their shares. */
function launch(
  context: Context,
  drive: Drive,
  members: readonly Commitment[],
  body: Extract<Draftable, { readonly kind: 'package' | 'pooled' }>,
): void {
  const { state, deps } = context;
  const { session } = state;
  const signers = signersOf({ members });
  const envelope = send(context, signers, body);
  const id = attemptId(session.sid, deps.self, messagePayload(session.sid, body));
  const { slot } = drive;
  adoptAttempt(context, { id, slot, envelope, members, shares: new Map(), failed: false });
  const { sharesMs, retryMaxMs } = deps.timing;
  const waitMs = Math.min(retryMaxMs, sharesMs * 1.5 ** state.waits);
  state.drive = { ...drive, waitMs, attempt: id };
  setTimer(context, 'drive', waitMs);
  // Our own share comes last, so that the others work while we do.
  if (signers.includes(deps.self)) context.effects.push({ type: 'signOwn', attempt: id });
}

/** The driver's own clock: asks again, settles for whom there is, or begins another attempt. */
export function onDriveTimer(context: Context): void {
  const { state } = context;
  const { drive } = state;
  if (drive === undefined) return;
  if (drive.attempt === undefined) {
    const enough = candidates(context, drive);
    if (enough.length >= state.session.start.key.threshold) sendPackage(context, drive, enough);
    else askAgain(context, drive);
    return;
  }
  const attempt = state.attempts.get(drive.attempt);
  const missing = signersOf({
    members: attempt?.members.filter(({ index }) => !attempt.shares.has(index)) ?? [],
  });
  noteSilence(context, drive, missing);
  // All shares are here and no signer aggregated: find out whether one of them is bad.
  if (attempt !== undefined && missing.length === 0) aggregate(context, attempt);
  if (state.phase === 'running') startAttempt(context);
}

/**
 * Who owes a share behind a whole wait is silent, and taken last. Behind a cut one nobody is, but
 * standing back is credible only for as long as a bond lasts; then it is as good as silence.
 */
function noteSilence(context: Context, { waitMs }: Drive, missing: readonly PeerId[]): void {
  const { state, deps } = context;
  const cut = waitMs < deps.timing.sharesMs;
  if (cut) state.yields++;
  const credible = state.yields <= CREDIBLE_YIELDS;
  const silent = missing.filter((peer) => {
    const excused = credible && (cut || state.aside.has(peer));
    return peer !== deps.self && !excused;
  });
  for (const peer of silent) {
    state.silent.add(peer);
    deps.nonces?.slow(peer);
  }
  if (silent.length > 0) state.waits++;
  state.aside.clear();
}

function askAgain(context: Context, drive: Drive): void {
  const missing = usableHolders(context).filter((peer) => !drive.commitments.has(peer));
  if (drive.request !== undefined) sendSealed(context, missing, drive.request);
  const waitMs = Math.min(context.deps.timing.retryMaxMs, drive.waitMs * 2);
  context.state.drive = { ...drive, waitMs };
  setTimer(context, 'drive', waitMs);
}
