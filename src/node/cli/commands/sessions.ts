/**
 * Commands about sessions: ls, show, watch, cancel.
 * @module
 */
import type { Command } from 'commander';
import type { SessionDocument } from '../../services.ts';
import { type Act, planned } from '../command.ts';
import type { Context } from '../context.ts';
import { eventLine } from '../event-text.ts';
import { fields, table } from '../text.ts';

const sessionText = (context: Context, s: SessionDocument): string =>
  fields([
    ['session', s.sessionId],
    ['kind', s.kind],
    ['state', s.state],
    ...(s.keyId === undefined ? [] : [['key id', s.keyId] as const]),
    ['initiator', s.initiator],
    ['attempt', s.attempt],
    ['created', s.createdAt],
    ['expires', s.expiresAt],
    ...(s.endedAt === undefined ? [] : [['ended', s.endedAt] as const]),
    ...(s.error === undefined ? [] : [['error', `${s.error.message} (${s.error.code})`] as const]),
    ...(s.culprits === undefined ? [] : [['culprits', s.culprits.join(' ')] as const]),
  ]) +
  '\n' +
  table(
    ['PARTY', 'PEER', 'ROLE', 'STATE'],
    s.parties.map((p) => [String(p.index), context.id(p.peerId), p.role, p.state]),
  ) +
  (s.events.length === 0 ? '' : '\n') +
  table(
    [],
    s.events.map((e) => [e.time, context.id(e.author), e.kind]),
  );

async function list(context: Context): Promise<void> {
  const client = await context.client({ patient: true });
  const all = await client.call<SessionDocument[]>('GET', '/v1/sessions');
  context.result(all, (sessions) =>
    table(
      ['SESSION', 'KIND', 'STATE', 'INITIATOR', 'CREATED', 'ERROR'],
      sessions.map((s) => [
        context.full ? s.sessionId : s.sessionId.slice(0, 16),
        s.kind,
        s.state,
        context.id(s.initiator),
        s.createdAt,
        s.error?.code ?? '',
      ]),
      context.tableWidth,
    ),
  );
}

async function watch(context: Context): Promise<void> {
  const client = await context.client({ patient: true });
  for await (const event of client.events({ follow: true })) {
    if (event.event === 'lagged' || event.event.startsWith('session.')) {
      context.data(eventLine(event, context));
    }
  }
}

/** Adds them. */
export function addSessions(program: Command, act: Act): void {
  const session = program.command('session').description('key generations and signings');
  session
    .command('ls')
    .description('sessions that this node takes or took part in')
    .action(act((context) => list(context)));
  session
    .command('show')
    .description('one session')
    .argument('<id>', 'id or unique prefix')
    .action(
      act(async (context, _o, [id = '']) => {
        const client = await context.client({ patient: true });
        const path = `/v1/sessions/${encodeURIComponent(id)}`;
        const found = await client.call<SessionDocument>('GET', path);
        context.result(found, (s) => sessionText(context, s));
      }),
    );
  session
    .command('watch')
    .description('events of sessions as they happen')
    .action(act((context) => watch(context)));
  session
    .command('cancel')
    .description('cancel a session that was proposed here')
    .argument('<id>', 'id or unique prefix')
    .action(
      act(async (context, _o, [id = '']) => {
        const client = await context.client({ patient: true });
        const path = `/v1/sessions/${encodeURIComponent(id)}/cancel`;
        const done = await client.call<SessionDocument>('POST', path);
        context.result(done, (s) => sessionText(context, s));
      }),
    );
  for (const name of ['approve', 'deny', 'join']) planned(session, name);
}
