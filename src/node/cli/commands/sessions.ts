/**
 * Commands about sessions: ls, show, watch, approve, deny, cancel, join.
 * @module
 */
import type { Command } from 'commander';
import type { SessionDocument } from '../../services.ts';
import type { Act } from '../command.ts';
import type { Context } from '../context.ts';
import { eventLine } from '../event-text.ts';
import { fields, table } from '../text.ts';
import { joinSession } from './gathering.ts';

const sessionText = (context: Context, s: SessionDocument): string =>
  fields([
    ['session', s.sessionId],
    ['kind', s.kind],
    ['state', s.reported === true ? `${s.state}, as others report` : s.state],
    ...(s.keyId === undefined ? [] : [['key id', s.keyId] as const]),
    ['initiator', s.initiator],
    ['attempt', s.attempt],
    ['created', s.createdAt],
    ['expires', s.expiresAt],
    ...(s.endedAt === undefined ? [] : [['ended', s.endedAt] as const]),
    ...(s.error === undefined ? [] : [['error', `${s.error.message} (${s.error.code})`] as const]),
    ...approvalRows(context, s),
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

const approvalRows = (context: Context, { approval }: SessionDocument) =>
  approval === undefined
    ? []
    : ([
        ['approval', `${approval.state}${approval.reason ? `: ${approval.reason}` : ''}`],
        ['key', approval.key],
        ['purpose', approval.purpose],
        ['requester', context.id(approval.requester)],
        ['message', `SHA-256 ${approval.messageHash}, ${approval.messageSize} bytes`],
      ] as const);

const waits = ({ approval }: SessionDocument): boolean => approval?.state === 'waiting';

/** What an operator has to know to say yes or no. */
const question = (context: Context, { sessionId, approval }: SessionDocument): string =>
  approval === undefined
    ? ''
    : `\nwaits for you: bzzz session approve ${context.full ? sessionId : sessionId.slice(0, 16)}` +
      `\n  key ${approval.key}${approval.purpose === '' ? '' : `, for "${approval.purpose}"`}` +
      `, asked by ${context.id(approval.requester)}` +
      `\n  message of ${approval.messageSize} bytes, SHA-256 ${approval.messageHash}\n`;

async function list(context: Context): Promise<void> {
  const client = await context.client({ patient: true });
  const all = await client.call<SessionDocument[]>('GET', '/v1/sessions');
  context.result(all, (sessions) =>
    [
      table(
        ['SESSION', 'KIND', 'STATE', 'INITIATOR', 'CREATED', 'ERROR'],
        sessions.map((s) => [
          context.full ? s.sessionId : s.sessionId.slice(0, 16),
          s.kind,
          waits(s) ? 'waiting' : s.state,
          context.id(s.initiator),
          s.createdAt,
          s.error?.code ?? '',
        ]),
        context.tableWidth,
      ),
      ...sessions.filter(waits).map((s) => question(context, s)),
    ].join(''),
  );
}

/** One of the calls that change a session; prints what it is then. */
async function change(context: Context, id: string, verb: string, json?: object): Promise<void> {
  const client = await context.client({ patient: true });
  const path = `/v1/sessions/${encodeURIComponent(id)}/${verb}`;
  const options = json === undefined ? {} : { json };
  const done = await client.call<SessionDocument>('POST', path, options);
  context.result(done, (s) => sessionText(context, s));
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
    .action(act((context, _o, [id = '']) => change(context, id, 'cancel')));
  session
    .command('approve')
    .description('let this node sign in a session that waits for its operator')
    .argument('<id>', 'id or unique prefix')
    .action(act((context, _o, [id = '']) => change(context, id, 'approve')));
  session
    .command('deny')
    .description('keep this node from signing; the requester reads the reason')
    .argument('<id>', 'id or unique prefix')
    .option('--reason <text>', 'why not', '')
    .action(
      act<{ reason: string }>((context, { reason }, [id = '']) =>
        change(context, id, 'deny', { reason }),
      ),
    );
  session
    .command('join')
    .description('take a seat in a key that waits on another host, with the token printed there')
    .argument('<token>', 'as `bzzz key create` printed it')
    .action(act((context, _o, [token = '']) => joinSession(context, token)));
}
