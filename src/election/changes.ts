/**
 * Whether a change of the roster has come about, and in which epoch.
 * @module
 */
import type { Epoch } from '../base/brands.ts';
import type { Chain } from '../roster/chain.ts';
import type { Change } from '../roster/entry.ts';

/**
 * @returns the epoch of the newest entry that made it so; undefined when it is not so.
 */
export function epochOfChange({ view, links }: Chain, change: Change): Epoch | undefined {
  if (change.kind === 'recover') return undefined;
  const member = view.members.get(change.peer);
  const holds = {
    admit: () => member !== undefined && change.kind === 'admit' && member.role === change.role,
    remove: () => member === undefined,
    promote: () => member?.voter === true,
    demote: () => member?.voter === false,
  };
  if (!holds[change.kind]()) return undefined;
  const link = links.findLast(({ entry: { body } }) => {
    if (body.change.kind === 'recover') return false;
    return body.change.kind === change.kind && body.change.peer === change.peer;
  });
  return link?.entry.body.epoch;
}
