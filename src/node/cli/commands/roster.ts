/**
 * Commands about the roster: roster, roster promote, demote, remove.
 * @module
 */
import type { Command } from 'commander';
import type { RosterDocument } from '../../services.ts';
import type { Act } from '../command.ts';
import type { Context } from '../context.ts';
import { commaList } from '../input.ts';
import { fields, table } from '../text.ts';
import { type RecoverOptions, recover } from './recover.ts';

async function roster(context: Context): Promise<void> {
  const client = await context.client({ patient: true });
  const document = await client.call<RosterDocument>('GET', '/v1/roster');
  context.result(
    document,
    (r) =>
      fields([
        ['cluster', `${r.cluster} (${r.clusterId})`],
        ['epoch', r.epoch],
        ['term', r.term],
        ['head', r.head],
      ]) +
      '\n' +
      table(
        ['PEER', 'NAME', 'ROLE', 'VOTER', 'SINCE EPOCH'],
        r.members.map((m) => [
          context.id(m.peerId),
          m.name ?? '',
          m.role,
          m.voter ? 'yes' : '',
          String(m.since),
        ]),
        context.tableWidth,
      ),
  );
}

async function remove(context: Context, peer: string): Promise<void> {
  const client = await context.client({ patient: true });
  const done = await client.call<{ epoch: number; keysStillHeld: string[] }>(
    'POST',
    '/v1/roster/remove',
    { json: { peer } },
  );
  context.result(done, (d) =>
    fields([
      ['removed at epoch', d.epoch],
      ['shares it still holds', d.keysStillHeld.join(' ') || 'none'],
    ]),
  );
}

async function changeVote(
  context: Context,
  verb: 'promote' | 'demote',
  peer: string,
): Promise<void> {
  const client = await context.client({ patient: true });
  const path = `/v1/roster/${verb}`;
  const done = await client.call<{ epoch: number }>('POST', path, { json: { peer } });
  context.result(done, (d) => fields([[`${verb}d at epoch`, d.epoch]]));
}

/** Adds them. */
export function addRoster(program: Command, act: Act): void {
  const members = program
    .command('roster')
    .description('who belongs to the cluster')
    .action(act((context) => roster(context)));
  members
    .command('promote')
    .description('make a member a voter')
    .argument('<peer>', 'id or name')
    .action(act((context, _options, [peer = '']) => changeVote(context, 'promote', peer)));
  members
    .command('demote')
    .description('take the vote from a member; it stays one')
    .argument('<peer>', 'id or name')
    .action(act((context, _options, [peer = '']) => changeVote(context, 'demote', peer)));
  members
    .command('remove')
    .description('take a member off the roster; names the keys whose shares it still holds')
    .argument('<peer>', 'id or name')
    .action(act((context, _options, [peer = '']) => remove(context, peer)));
  members
    .command('recover')
    .description('when a majority of the voters is gone for good: other voters, from here on')
    .requiredOption('--voters <peers>', 'the new voters, ids or names, with commas', commaList)
    .option('--yes <cluster>', 'the name of the cluster, in place of typing it')
    .action(act<RecoverOptions>((context, options) => recover(context, options)));
}
