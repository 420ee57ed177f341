/**
 * `bzzz roster recover`: gives up on the voters that are gone. It starts a new branch of the
 * roster, so an operator confirms it on every surviving host by the name of the cluster.
 * @module
 */
import { BzzzError } from '../../../base/errors.ts';
import type { RecoveryDocument, RosterDocument } from '../../services.ts';
import type { Context } from '../context.ts';
import { readLine } from '../input.ts';
import { cutMiddle, fields, visible } from '../text.ts';

/** Options of the command. */
export interface RecoverOptions {
  readonly voters: readonly string[];
  /** The name of the cluster, given instead of typed. */
  readonly yes?: string;
}

/** @throws BAD_USAGE without the confirmation; whatever the daemon refuses with. */
export async function recover(context: Context, options: RecoverOptions): Promise<void> {
  if (options.voters.length === 0) {
    throw new BzzzError('BAD_USAGE', 'no voter is named', { hint: 'give --voters PEER,...' });
  }
  if (options.yes === undefined && !context.interactive) {
    throw new BzzzError('BAD_USAGE', 'the recovery of a roster must be confirmed', {
      why: 'this is no terminal, so nobody can type the name of the cluster',
      hint: 'add --yes CLUSTER, with the name of the cluster',
    });
  }
  const client = await context.client({ patient: true });
  const roster = await client.call<RosterDocument>('GET', '/v1/roster');
  const confirm = options.yes ?? (await ask(context, roster, options.voters));
  if (confirm !== roster.cluster) {
    throw new BzzzError('BAD_USAGE', `"${confirm}" is not the name of this cluster`, {
      why: 'nothing was changed',
      hint: 'see `bzzz status` for the name',
    });
  }
  const json = { voters: options.voters, confirm };
  const done = await client.call<RecoveryDocument>('POST', '/v1/roster/recover', { json });
  context.result(done, (d) => recoveryText(d, roster));
}

/** Says what is about to happen and reads the name that is typed. */
async function ask(
  context: Context,
  roster: RosterDocument,
  voters: readonly string[],
): Promise<string> {
  const list = (peers: readonly string[]): string => visible(peers.join(', '));
  const before = roster.members.filter(({ voter }) => voter).map(nameOf);
  context.io.err.write(
    `The voters of cluster ${roster.cluster} at epoch ${roster.epoch}: ${list(before)}\n` +
      `From here on: ${list(voters)}\n` +
      'Do this only when a majority of the voters is gone for good. If they run on somewhere,\n' +
      'the cluster parts in two: hosts that kept to the old voters are refused by the new ones.\n' +
      'Type the name of the cluster to go on: ',
  );
  return readLine(context.io.stdin);
}

const nameOf = ({ peerId, name }: RosterDocument['members'][number]): string =>
  name === undefined ? cutMiddle(peerId) : `${name} (${cutMiddle(peerId)})`;

/** What came of it, and what is to be done on the other hosts. Whole ids: one types them. */
function recoveryText(done: RecoveryDocument, roster: RosterDocument): string {
  const command = `  bzzz roster recover --voters ${done.voters.join(',')}\n`;
  const named = new Map(roster.members.map((member) => [member.peerId, member.name]));
  const lines = (label: string, peers: readonly string[]): [string, string][] =>
    peers.map((peer) => [label, `${peer} ${named.get(peer) ?? ''}`.trimEnd()]);
  const state = fields([
    ['state', done.state],
    ['epoch', done.epoch],
    ...lines('voter', done.voters),
    ...lines('waiting for', done.waitingFor),
  ]);
  const next =
    done.state === 'waiting'
      ? '\nIt takes effect, by itself, when the same was typed on the hosts that it waits for\n' +
        `and they are connected. The other surviving hosts need it as well:\n${command}`
      : `\nEvery other survivor keeps to the old voters until the same is typed there:\n${command}`;
  const rest =
    'It also brings in hosts that come back later. One that is refused with ROSTER_FORK went on\n' +
    'without this host, and joins anew: a new invitation, an empty data directory.\n';
  return state + next + rest;
}
