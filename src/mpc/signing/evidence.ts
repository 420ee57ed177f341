/**
 * Blame. A party is named only by evidence that it signed itself and that everybody can check;
 * silence, delay, loss and repetition are no faults. Whoever finds evidence sends it to all, and
 * each receiver judges for itself.
 * @module
 */
import type { PeerId } from '../../base/brands.ts';
import { equalBytes, toHex } from '../../base/bytes.ts';
import { BzzzError } from '../../base/errors.ts';
import { type Context, event, send } from './draft.ts';
import { type Evidence, type MessageOf, openAny, openKind, openPackage } from './messages.ts';
import { packageId, readCommitment, readPackage } from './package.ts';
import type { Session, SigningDeps } from './types.ts';

/**
 * Who is guilty by this evidence.
 * @throws BAD_MESSAGE when it proves nothing against a party of this session.
 */
export function judge(session: Session, deps: SigningDeps, evidence: Evidence): PeerId {
  switch (evidence.fault) {
    case 'badCommitment':
      return judgeCommitment(session, deps, evidence.commitment);
    case 'badPackage':
      return judgePackage(session, deps, evidence.package);
    case 'twoPackages':
      return judgePackages(session, deps, evidence.first, evidence.second);
    case 'twoUses':
      return judgeUses(session, deps, evidence.first, evidence.second);
    case 'badShare':
      return judgeShare(session, deps, evidence.package, evidence.share);
  }
}

/** Names the culprit to everyone. The evidence is this party's own finding. */
export function accuse(context: Context, evidence: Evidence): void {
  const { state, deps } = context;
  const culprit = judge(state.session, deps, evidence);
  if (state.culprits.has(culprit)) return;
  send(context, state.session.members, { kind: 'blame', evidence });
  convict(context, culprit, evidence);
}

/** Takes another party's evidence. @throws BAD_MESSAGE when it proves nothing. */
export function onBlame(context: Context, evidence: Evidence): void {
  convict(context, judge(context.state.session, context.deps, evidence), evidence);
}

function convict(context: Context, culprit: PeerId, { fault }: Evidence): void {
  const { culprits } = context.state;
  if (culprits.has(culprit)) return;
  culprits.set(culprit, fault);
  event(context, 'culprit', { peerId: culprit, fault });
}

const unproven = (what: string): BzzzError =>
  new BzzzError('BAD_MESSAGE', `the evidence proves no ${what}`);

function judgeCommitment(session: Session, deps: SigningDeps, envelope: Uint8Array): PeerId {
  const received = openKind('commitment', session.sid, envelope, deps);
  const { points } = readCommitment(session, deps, received);
  if (points === undefined) throw unproven('bad commitment');
  return received.author;
}

function packageOf(session: Session, deps: SigningDeps, envelope: Uint8Array) {
  const received = openPackage(session.sid, envelope, deps);
  if (!session.members.includes(received.author)) throw unproven('fault of a party');
  return received;
}

function judgePackage(session: Session, deps: SigningDeps, envelope: Uint8Array): PeerId {
  const received = packageOf(session, deps, envelope);
  if (readPackage(session, deps, received).ok) throw unproven('bad package');
  return received.author;
}

function judgePackages(
  session: Session,
  deps: SigningDeps,
  first: Uint8Array,
  second: Uint8Array,
): PeerId {
  const a = packageOf(session, deps, first);
  const b = packageOf(session, deps, second);
  const sameSlot =
    a.author === b.author &&
    a.message.boot === b.message.boot &&
    a.message.counter === b.message.counter;
  if (!sameSlot || equalBytes(a.payload, b.payload)) throw unproven('two packages for one attempt');
  return a.author;
}

/** A commitment that was exchanged ahead is for one package, in whatever session. */
function judgeUses(
  session: Session,
  deps: SigningDeps,
  first: Uint8Array,
  second: Uint8Array,
): PeerId {
  const a = openAny(first, deps);
  const b = packageOf(session, deps, second);
  if (a.message.kind !== 'pooled' || b.message.kind !== 'pooled') throw unproven('second use');
  const used = new Set(a.message.pairs.map(pairName));
  const again = b.message.pairs.some((pair) => used.has(pairName(pair)));
  if (a.author !== b.author || !again || equalBytes(a.payload, b.payload)) {
    throw unproven('second use');
  }
  return b.author;
}

const pairName = ({ holder, boot, seq }: MessageOf<'pooled'>['pairs'][number]): string =>
  `${holder}/${boot}/${seq}`;

/**
 * An honest signer signs a share only for a package that holds and contains its own exact
 * commitment; so a share that does not fit the package it names is its author's fault, also when
 * the driver lied about anything.
 */
function judgeShare(
  session: Session,
  deps: SigningDeps,
  packageEnvelope: Uint8Array,
  shareEnvelope: Uint8Array,
): PeerId {
  const packaged = packageOf(session, deps, packageEnvelope);
  const reading = readPackage(session, deps, packaged);
  if (!reading.ok) throw unproven('bad share: the package itself is bad');
  const { author, message } = openKind('share', session.sid, shareEnvelope, deps);
  const { members } = reading.attempt;
  const member = members.find((one) => one.author === author);
  if (member === undefined || toHex(message.attempt) !== packageId(packaged)) {
    throw unproven('bad share: it is not for this package');
  }
  const { key, message: signed } = session.start;
  if (deps.suite.verifyShare(key, members, signed, member.index, message.share)) {
    throw unproven('bad share');
  }
  return author;
}
