/**
 * Packages: what a driver asks its signers to sign with. A package carries the signed commitments
 * themselves, so it proves itself: who may read it can tell a good one from a bad one, and a bad
 * one is evidence against the driver who signed it.
 * @module
 */
import type { PeerId, SessionId } from '../../base/brands.ts';
import { taggedHash, toHex, utf8Bytes } from '../../base/bytes.ts';
import { BzzzError, isBadMessage } from '../../base/errors.ts';
import { type MessageOf, openKind, type PackageMessage, type Received } from './messages.ts';
import type { Attempt, Commitment, Session, SignedCommitment, SigningDeps, Slot } from './types.ts';
import { compareSlots } from './vault.ts';

/** A package that holds, or the reason why it breaks the rules. */
export type PackageReading =
  | { readonly ok: true; readonly attempt: Attempt }
  | { readonly ok: false; readonly reason: string };

/** The slot that a driver speaks of. */
export const slotOf = ({
  author,
  message,
}: Received<PackageMessage | MessageOf<'commitRequest' | 'spent'>>) =>
  ({ driver: author, boot: message.boot, counter: message.counter }) satisfies Slot;

/**
 * Hex id of an attempt: it binds session, driver and all of the package (S2).
 * @param payload the package as signed; the attempt's boot and counter stand in it.
 */
export const attemptId = (sid: SessionId, driver: PeerId, payload: Uint8Array): string =>
  toHex(taggedHash('bzzz/sign/attempt/1', utf8Bytes(sid), utf8Bytes(driver), payload));

/** Hex id of the attempt of a received package. */
export const packageId = ({ author, message, payload }: Received<PackageMessage>): string =>
  attemptId(message.sid, author, payload);

/**
 * Reads a commitment: signed by a holder, for one slot, with valid points.
 * @throws BAD_MESSAGE. Only `points` is a fault that the holder's signature proves; what else is
 * wrong may be the doing of who passed it on.
 */
export function readCommitment(
  session: Session,
  deps: SigningDeps,
  received: Received<MessageOf<'commitment'>>,
): {
  readonly slot: Slot;
  readonly commitment: SignedCommitment;
  readonly points: BzzzError | undefined;
} {
  const { author, message, envelope } = received;
  const index = session.holders.get(author);
  if (index === undefined) {
    throw new BzzzError('BAD_MESSAGE', `commitment of ${author}, who holds no share`);
  }
  const { driver, boot, counter, holderBoot, hiding, binding } = message;
  const commitment: SignedCommitment = {
    ...{ author, index, holderBoot, hiding, binding, envelope },
  };
  return {
    slot: { driver, boot, counter },
    commitment,
    points: pointError(deps, commitment),
  };
}

/**
 * Reads a package: exactly threshold-many commitments of holders, in strictly ascending index
 * order, each signed for this very slot or exchanged ahead. Every party comes to the same answer.
 *
 * Whether a commitment that was exchanged ahead is its holder's, only that holder can tell. A
 * driver that lies about it spoils its own attempt and nothing else: the binding factors cover the
 * whole list, and the share of that holder never comes.
 */
export function readPackage(
  session: Session,
  deps: SigningDeps,
  received: Received<PackageMessage>,
): PackageReading {
  const { message } = received;
  const { threshold } = session.start.key;
  const count = message.kind === 'pooled' ? message.pairs.length : message.commitments.length;
  if (count !== threshold) {
    return { ok: false, reason: `${count} commitments, not ${threshold}` };
  }
  const slot = slotOf(received);
  let members: readonly Commitment[];
  try {
    members =
      message.kind === 'pooled'
        ? message.pairs.map((pair) => readPair(session, deps, pair))
        : message.commitments.map((envelope) => readMember(session, deps, slot, envelope));
  } catch (error) {
    if (!isBadMessage(error)) throw error;
    return { ok: false, reason: error.message };
  }
  if (members.some(({ index }, i) => index <= (members[i - 1]?.index ?? 0))) {
    return { ok: false, reason: 'the signers are not sorted and unique' };
  }
  const id = packageId(received);
  const { envelope } = received;
  return { ok: true, attempt: { id, slot, envelope, members, shares: new Map(), failed: false } };
}

function readMember(session: Session, deps: SigningDeps, slot: Slot, envelope: Uint8Array) {
  const received = openKind('commitment', session.sid, envelope, deps);
  const read = readCommitment(session, deps, received);
  if (read.points !== undefined) throw read.points;
  if (read.slot.driver !== slot.driver || compareSlots(read.slot, slot) !== 0) {
    throw new BzzzError('BAD_MESSAGE', `commitment of ${received.author} for another attempt`);
  }
  return read.commitment;
}

function readPair(
  session: Session,
  deps: SigningDeps,
  { holder, boot, seq, hiding, binding }: MessageOf<'pooled'>['pairs'][number],
): Commitment {
  const index = session.holders.get(holder);
  if (index === undefined) {
    throw new BzzzError('BAD_MESSAGE', `commitment of ${holder}, who holds no share`);
  }
  const commitment = { author: holder, index, holderBoot: boot, seq, hiding, binding };
  deps.suite.checkCommitment(commitment);
  return commitment;
}

function pointError(deps: SigningDeps, commitment: Commitment): BzzzError | undefined {
  try {
    deps.suite.checkCommitment(commitment);
    return undefined;
  } catch (error) {
    if (isBadMessage(error)) return error;
    throw error;
  }
}
