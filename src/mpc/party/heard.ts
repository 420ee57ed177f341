/**
 * What another node said about a session, and what follows from it here.
 * @module
 */
import type { KeyId, SessionId } from '../../base/brands.ts';
import type { OpenedEvent } from '../sessions/events.ts';
import { isReshare } from '../sessions/proposal.ts';
import type { SessionRegistry } from './registry.ts';

/** Passes an event on to the node's log, and learns of keys that it tells of. */
export function onHeard({ event }: OpenedEvent, registry: SessionRegistry): void {
  const { deps, self, certificates } = registry;
  const { sid, author, kind, data } = event;
  if (kind !== 'note') deps.emit(`session.${kind}`, { sessionId: sid, author, ...data });
  if (data.culprits?.includes(self) === true) {
    deps.emit('party.reported', { sessionId: sid, by: author });
  }
  if (tellsOfKey(sid, data.keyId, registry)) {
    registry.background('learn key', certificates.pull(author));
  }
}

/**
 * Of a session that this node never heard of only the key counts: without the proposal, which its
 * proposer alone tells, an onlooker would stay with the epoch before.
 */
export function onMissed({ event }: OpenedEvent, registry: SessionRegistry): void {
  const { author, data } = event;
  const isMember = registry.deps.roster().standing(author) === 'member';
  if (data.keyId === undefined || !isMember) return;
  registry.background('learn key', registry.certificates.pull(author));
}

/** Whether the end of a session tells of a key, or an epoch, that is not known here. */
function tellsOfKey(sid: SessionId, keyId: KeyId | undefined, { deps }: SessionRegistry): boolean {
  if (keyId === undefined) return false;
  const known = deps.keyring.byId(keyId);
  if (known === undefined) return true;
  const sealed = deps.sessions.get(sid)?.sealed;
  if (sealed === undefined || !isReshare(sealed)) return false;
  return known.key.epoch <= sealed.proposal.keyEpoch;
}
