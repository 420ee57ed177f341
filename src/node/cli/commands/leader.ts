/**
 * Commands about the leader: leader, leader transfer, leader step-down.
 * @module
 */
import type { Command } from 'commander';
import type { LeaderDocument, TermDocument } from '../../services.ts';
import type { Act } from '../command.ts';
import type { Context } from '../context.ts';
import { fields, table } from '../text.ts';

async function leader(context: Context): Promise<void> {
  const client = await context.client({ patient: true });
  const document = await client.call<LeaderDocument>('GET', '/v1/leader');
  context.result(document, (l) =>
    fields([
      ['leader', `${l.peerId}${l.self ? ' (this node)' : ''}`],
      ['term', l.term],
      ['since', l.since],
      ['epoch', l.epoch],
      ['votes', l.votes.map((peer) => context.id(peer)).join(' ') || 'not seen'],
    ]),
  );
}

async function history(context: Context): Promise<void> {
  const client = await context.client({ patient: true });
  const terms = await client.call<TermDocument[]>('GET', '/v1/leader/history');
  context.result(terms, (all) =>
    table(
      ['TERM', 'LEADER', 'SINCE', 'UNTIL', 'TRIGGER'],
      all.map((t) => [String(t.term), context.id(t.leader), t.since, t.until ?? 'now', t.trigger]),
      context.tableWidth,
    ),
  );
}

async function transfer(context: Context, to: string | undefined): Promise<void> {
  const client = await context.client({ patient: true });
  const next = await client.call<{ peerId: string; term: number }>('POST', '/v1/leader/transfer', {
    json: to === undefined ? {} : { to },
  });
  context.result(next, (n) =>
    fields([
      ['leader', n.peerId],
      ['term', n.term],
    ]),
  );
}

async function stepDown(context: Context): Promise<void> {
  const client = await context.client({ patient: true });
  const ended = await client.call<{ term: number }>('POST', '/v1/leader/step-down');
  context.result(ended, (e) => fields([['ended term', e.term]]));
}

/** Adds them. */
export function addLeader(program: Command, act: Act): void {
  const command = program
    .command('leader')
    .description('who leads; exit 5 when nobody does')
    .option('--history', 'the terms that this node has seen')
    .action(
      act<{ history?: boolean }>((context, o) =>
        o.history === true ? history(context) : leader(context),
      ),
    );
  command
    .command('transfer')
    .description('hand leadership to another voter')
    .argument('[peer]', 'id or name; the best of the others when absent')
    .action(act((context, _options, [peer]) => transfer(context, peer)));
  command
    .command('step-down')
    .description('have the leader give up; it stands last in the election that follows')
    .action(act((context) => stepDown(context)));
}
