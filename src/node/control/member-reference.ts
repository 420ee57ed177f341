/**
 * Which member somebody means who writes a peer id, a name, or a part of an id. Pure.
 * @module
 */
import { BzzzError } from '../../base/errors.ts';

/** What a member is called. */
interface Named {
  readonly peerId: string;
  readonly name?: string;
}

/** The ids of all Ed25519 peers begin alike: a prefix says something from the ninth letter on. */
const COMMON = 8;
const PEER_ID = /^[1-9A-HJ-NP-Za-km-z]{46,64}$/;
/** `12D3KooW..vQb2x1`, as tables print an id. */
const CUT = /^([1-9A-HJ-NP-Za-km-z]{8})\.\.([1-9A-HJ-NP-Za-km-z]{4,})$/;

/**
 * The peer id of the member called `who`: by its whole id, its name, a prefix of its id, or the id
 * as tables cut it. Parts of names do not count: `node-1` must never mean `node-10`.
 * @returns a whole peer id even where no member has it: others may know more than this node.
 * @throws NOT_FOUND; CONFLICT when it could be several.
 */
export function memberCalled(members: readonly Named[], who: string): string {
  if (PEER_ID.test(who)) return who;
  const named = members.filter(({ name }) => name === who);
  const [found, ...more] = named.length > 0 ? named : members.filter(byPart(who));
  if (found === undefined) {
    throw new BzzzError('NOT_FOUND', `no member ${who}`, { hint: 'see `bzzz roster --full`' });
  }
  if (more.length > 0) {
    throw new BzzzError('CONFLICT', `${who} could be any of ${more.length + 1} members`, {
      why: [found, ...more].map(({ peerId }) => peerId).join(' '),
      hint: 'give the whole peer id; see `bzzz roster --full`',
    });
  }
  return found.peerId;
}

/** Whether {@link memberCalled} finds anyone, one or several. */
export const isCalled = (members: readonly Named[], who: string): boolean =>
  !PEER_ID.test(who) && members.some((member) => member.name === who || byPart(who)(member));

function byPart(who: string): (member: Named) => boolean {
  const [, head, tail] = CUT.exec(who) ?? [];
  if (head !== undefined && tail !== undefined) {
    return ({ peerId }) => peerId.startsWith(head) && peerId.endsWith(tail);
  }
  return ({ peerId }) => who.length > COMMON && peerId.startsWith(who);
}
