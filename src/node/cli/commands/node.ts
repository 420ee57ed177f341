/**
 * Commands about this node and its peers: status, peers, roster, health, events.
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import type { ControlEvent } from '../../control/client.ts';
import type { PeerDocument, RosterDocument, StatusDocument } from '../../services.ts';
import { type Act, planned } from '../command.ts';
import type { Context } from '../context.ts';
import { age, cutMiddle, fields, table, visible } from '../text.ts';

type Health = StatusDocument['components'][number];

const WATCH_MS = 1_000;
const CLEAR = '\u001b[H\u001b[2J';

const id = (context: Context, text: string): string => (context.full ? text : cutMiddle(text));

/** Whole ids need room; then nothing is cut. */
const widthOf = (context: Context): number | undefined => (context.full ? 1_000 : undefined);

const statusText = (s: StatusDocument): string =>
  fields([
    ['peer id', s.peerId],
    ['cluster', `${s.cluster} (${s.clusterId})`],
    ['role', s.role ?? 'not admitted yet'],
    ['ready', s.draining ? 'draining' : s.ready ? 'yes' : 'no'],
    ['leader', s.leader === null ? 'none' : `${s.leader.peerId} (term ${s.leader.term})`],
    ['epoch', s.epoch],
    ['peers', s.peers],
    ['keys', s.keys],
    ['up', age(s.uptimeMs)],
    ['version', s.version],
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
  context.result(list, (all) =>
    table(
      ['PEER', 'NAME', 'ROLE', 'STATE', 'RTT', 'EPOCH', 'SOURCES', 'ADDRESS'],
      all.map((p) => [
        id(context, p.peerId),
        p.name ?? '',
        p.voter ? `${p.role}*` : p.role,
        p.connected ? (p.ready ? 'ready' : 'connected') : 'away',
        p.rttMs === null ? '' : `${p.rttMs.toFixed(1)}ms`,
        p.epoch === null ? '' : String(p.epoch),
        p.sources.join(','),
        p.addrs[0] ?? '',
      ]),
      widthOf(context),
    ),
  );
}

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
          id(context, m.peerId),
          m.name ?? '',
          m.role,
          m.voter ? 'yes' : '',
          String(m.since),
        ]),
        widthOf(context),
      ),
  );
}

async function removeMember(context: Context, peer: string): Promise<void> {
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

/** One line of an event stream; with `--json` the document as it came. */
export function eventLine(context: Context, event: ControlEvent): string {
  const fallback: Record<string, unknown> = { kind: event.event };
  const document = { ...fallback, ...(event.data as Record<string, unknown>) };
  if (context.json) return `${JSON.stringify(document)}\n`;
  if (event.event === 'lagged') return `... ${document.missed} events were lost\n`;
  const data = Object.entries((document.data ?? {}) as Record<string, unknown>)
    .map(([k, v]) => `${k}=${typeof v === 'string' ? v : JSON.stringify(v)}`)
    .join(' ');
  return `${visible(`${document.time} ${document.kind} ${data}`.trimEnd())}\n`;
}

async function events(context: Context, follow: boolean): Promise<void> {
  const client = await context.client({ patient: true });
  for await (const event of client.events({ after: '0.0', follow })) {
    context.data(eventLine(context, event));
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
    .description('the other members; * marks voters')
    .action(act((context) => peers(context)));

  const members = program
    .command('roster')
    .description('who belongs to the cluster')
    .action(act((context) => roster(context)));
  members
    .command('remove')
    .description('take a member off the roster; names the keys whose shares it still holds')
    .argument('<peer>')
    .action(act((context, _options, [peer = '']) => removeMember(context, peer)));
  for (const name of ['promote', 'demote', 'recover']) planned(members, name);

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
