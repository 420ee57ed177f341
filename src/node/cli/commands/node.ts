/**
 * Commands about this node and its peers: status, peers, health, events.
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import type { PeerDocument, StatusDocument } from '../../services.ts';
import type { Act } from '../command.ts';
import type { Context } from '../context.ts';
import { eventLine } from '../event-text.ts';
import { age, fields, table } from '../text.ts';

type Health = StatusDocument['components'][number];

const WATCH_MS = 1_000;
const CLEAR = '\u001b[H\u001b[2J';

function leaderText({ leader, peerId }: StatusDocument): string {
  if (leader === null) return 'none';
  return `${leader.peerId}${leader.peerId === peerId ? ' (this node)' : ''}`;
}

const statusText = (s: StatusDocument): string =>
  fields([
    ['peer id', s.peerId],
    ['cluster', `${s.cluster} (${s.clusterId})`],
    ['role', s.role ?? 'not admitted yet'],
    ['ready', s.draining ? 'draining' : s.ready ? 'yes' : 'no'],
    ['leader', leaderText(s)],
    ['term', s.leader?.term ?? s.term],
    ['epoch', s.epoch],
    ['voters', s.voters],
    ['peers', s.peers],
    ['keys', s.keys],
    ['up', age(s.uptimeMs)],
    ['version', s.version],
    ...s.warnings.map((text) => ['warning', text] as const),
  ]) + (s.components.length === 0 ? '' : `\n${healthText(s.components)}`);

const healthText = (list: readonly Health[]): string =>
  table(
    ['COMPONENT', 'STATUS', 'BACKEND', 'ERRORS', 'LATENCY', 'REASON'],
    list.map((h) => [
      h.component,
      h.status,
      h.backend,
      String(h.error_count),
      `${Math.round(h.latency_ms)}ms`,
      h.reason ?? '',
    ]),
  );

async function status(context: Context, watch: boolean): Promise<void> {
  // Scripts poll with it, so it does not wait for a daemon to come up.
  const client = await context.client({ patient: false });
  for (;;) {
    const now = await client.call<StatusDocument>('GET', '/v1/status');
    const terminal = watch && !context.json && context.io.out.isTTY === true;
    context.result(now, (s) => (terminal ? CLEAR : '') + statusText(s));
    if (!watch) return;
    await sleep(WATCH_MS, undefined, { signal: context.signal });
  }
}

async function peers(context: Context): Promise<void> {
  const client = await context.client({ patient: true });
  const list = await client.call<PeerDocument[]>('GET', '/v1/peers');
  const number = (n: number | null): string => (n === null ? '' : String(n));
  // Where a peer was heard of is of use to somebody who looks closer.
  const last = (sources: string): string[] => (context.full ? [sources] : []);
  context.result(list, (all) =>
    table(
      [
        'PEER',
        'NAME',
        'ROLE',
        'VOTER',
        'STATE',
        'RTT',
        'TERM',
        'LAG',
        'ADDRESS',
        ...last('SOURCES'),
      ],
      all.map((p) => [
        context.id(p.peerId),
        p.name ?? '',
        p.role,
        p.voter ? 'yes' : '',
        p.connected ? (p.ready ? 'ready' : 'connected') : 'away',
        p.rttMs === null ? '' : `${p.rttMs.toFixed(1)}ms`,
        number(p.term),
        number(p.lag),
        p.addrs[0] ?? '',
        ...last(p.sources.join(',')),
      ]),
      context.tableWidth,
    ),
  );
}

async function events(context: Context, follow: boolean): Promise<void> {
  const client = await context.client({ patient: true });
  for await (const event of client.events({ after: '0.0', follow })) {
    context.data(eventLine(event, context));
  }
}

/** Adds them. */
export function addNode(program: Command, act: Act): void {
  program
    .command('status')
    .description('who, where, how well')
    .option('--watch', 'again every second')
    .action(act<{ watch?: boolean }>((context, o) => status(context, o.watch === true)));
  program
    .command('peers')
    .description('the other members')
    .action(act((context) => peers(context)));

  program
    .command('health')
    .description('health of every component')
    .action(
      act(async (context) => {
        const client = await context.client({ patient: false });
        const list = await client.call<Health[]>('GET', '/v1/health');
        context.result(list, healthText);
        return list.some((h) => h.status === 'failed') ? 1 : 0;
      }),
    );
  program
    .command('events')
    .description('what happened on this node')
    .option('-f, --follow', 'and what happens from now on')
    .action(act<{ follow?: boolean }>((context, o) => events(context, o.follow === true)));
}
