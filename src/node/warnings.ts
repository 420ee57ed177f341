/**
 * What an operator should know though nothing failed, one sentence each.
 * @module
 */
import { voterWarnings } from '../election/status.ts';
import { keyReminders } from '../mpc/keys/key-age.ts';
import type { Config } from './config.ts';
import type { Node } from './node.ts';

/** For `bzzz status`. */
export function warningsOf(node: Node, { keyRefresh }: Config): readonly string[] {
  const { leadership, party, roster } = node;
  const out = [...node.unready()];
  if (roster.standing !== 'member') return out;
  if (node.silent) {
    const demote = `bzzz roster demote ${roster.self}`;
    out.push(`restored from a backup, this voter keeps silent: run \`${demote}\`, restart it`);
  }
  out.push(...voterWarnings(roster.view.voters.length));
  if (leadership.isEnabled) {
    const { status, reason } = leadership.election.health();
    if (status !== 'healthy' && reason !== undefined) out.push(reason);
  }
  out.push(...keyReminders(party.keyAges(), keyRefresh));
  const refused = roster.refusedRecovery;
  if (refused !== undefined) {
    out.push(`not followed: ${refused.message}: ${refused.why}; ${refused.hint}`);
  }
  const recovery = leadership.recovery.pending();
  if (recovery !== undefined && recovery.waitingFor.length > 0) {
    const voters = recovery.voters.join(',');
    const { waitingFor } = recovery;
    const command = `bzzz roster recover --voters ${voters}`;
    out.push(`the recovery waits for ${waitingFor.join(', ')}: run \`${command}\` there`);
  }
  return out;
}
