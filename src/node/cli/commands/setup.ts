/**
 * Commands that make a node: init, join, invite, leave, daemon.
 * @module
 */
import type { Command } from 'commander';
import { BzzzError } from '../../../base/errors.ts';
import { type Act, settingOptions } from '../command.ts';
import type { Context } from '../context.ts';
import { durationMs, readStdin } from '../input.ts';
import { age, cutMiddle, fields, table } from '../text.ts';

interface Invited {
  readonly invitation: string;
  readonly expiresAt: string;
}

interface Issued {
  readonly id: string;
  readonly role: string;
  readonly expiresAt: string;
  readonly state: string;
  readonly usedBy?: string;
}

async function init(context: Context): Promise<void> {
  const { config } = await context.settings();
  if (config.cluster === undefined) {
    throw new BzzzError('BAD_USAGE', 'no cluster is named', { hint: 'bzzz init --cluster NAME' });
  }
  const { initNode } = await import('../setup.ts');
  const made = await initNode(config.dataDir, config.cluster, config.nodeName);
  context.result(made, (m) =>
    fields([
      ['peer id', m.peerId],
      ['cluster', m.cluster],
      ['cluster id', m.clusterId],
    ]),
  );
  context.chatter(made.created ? 'next: bzzz daemon' : 'nothing changed');
}

async function join(context: Context, given: string): Promise<void> {
  const tooLong = (): BzzzError => new BzzzError('INVALID_INVITATION', 'stdin is no invitation');
  const text =
    given === '-'
      ? new TextDecoder().decode(await readStdin(context.io.stdin, 65_536, tooLong))
      : given;
  const { config } = await context.settings();
  const { joinNode } = await import('../setup.ts');
  const joined = await joinNode(config.dataDir, text);
  context.result(joined, (j) =>
    fields([
      ['peer id', j.peerId],
      ['cluster', j.cluster],
      ['cluster id', j.clusterId],
      ['role', j.role],
      ['expires', j.expiresAt],
    ]),
  );
  context.chatter('next: bzzz daemon; it is admitted at its start');
}

interface InviteOptions {
  readonly role?: string;
  readonly voter: boolean;
  readonly ttl?: string;
}

async function invite(context: Context, options: InviteOptions): Promise<void> {
  const ttl = options.ttl;
  const json = {
    ...(options.role === undefined ? {} : { role: options.role }),
    noVoter: !options.voter,
    ...(ttl === undefined ? {} : { ttlMs: durationMs('--ttl', ttl) }),
  };
  const client = await context.client({ patient: true });
  const invited = await client.call<Invited>('POST', '/v1/invitations', { json });
  context.result(invited, (i) => `${i.invitation}\n`);
  const life = Date.parse(invited.expiresAt) - Date.now();
  context.chatter(`it admits one host within ${age(Math.max(0, life))}: bzzz join STRING`);
}

async function listInvitations(context: Context): Promise<void> {
  const client = await context.client({ patient: true });
  const list = await client.call<Issued[]>('GET', '/v1/invitations');
  context.result(list, (all) =>
    table(
      ['ID', 'ROLE', 'STATE', 'EXPIRES', 'USED BY'],
      all.map((i) => [
        context.full ? i.id : i.id.slice(0, 16),
        i.role,
        i.state,
        i.expiresAt,
        context.full ? (i.usedBy ?? '') : cutMiddle(i.usedBy ?? ''),
      ]),
      context.full ? 1_000 : undefined,
    ),
  );
}

async function daemon(context: Context): Promise<void> {
  const effective = await context.settings();
  const { runDaemon } = await import('../../daemon.ts');
  await runDaemon(effective, () => context.settings());
}

/** Adds them. */
export function addSetup(program: Command, act: Act): void {
  const founding = program
    .command('init')
    .description('make identity and genesis of a new cluster');
  settingOptions(founding, ['cluster', 'nodeName']).action(act((context) => init(context)));

  program
    .command('join')
    .description('write identity and invitation; the next `daemon` is admitted at its start')
    .argument('<string>', 'what `bzzz invite` printed, or - to read it from stdin')
    .action(act((context, _options, [text = '']) => join(context, text)));

  const inviting = program
    .command('invite')
    .description('print one string that admits one host')
    .option('--role <role>', 'persistent, delegate, temporary or observer')
    .option('--no-voter', 'do not let the host become a voter')
    .option('--ttl <duration>', 'how long the string is good (default 1h)')
    .action(act<InviteOptions>((context, options) => invite(context, options)));
  inviting
    .command('ls')
    .description('list invitations; without their secrets')
    .action(act((context) => listInvitations(context)));
  inviting
    .command('revoke')
    .description('revoke an invitation')
    .argument('<id>', 'id or unique prefix')
    .action(
      act(async (context, _options, [id = '']) => {
        const client = await context.client({ patient: true });
        const path = `/v1/invitations/${encodeURIComponent(id)}`;
        const done = await client.call<{ revoked: string }>('DELETE', path);
        context.result(done, (d) => fields([['revoked', d.revoked]]));
      }),
    );

  program
    .command('leave')
    .description('take this node off the roster')
    .action(
      act(async (context) => {
        const client = await context.client({ patient: true });
        const left = await client.call<{ epoch: number }>('POST', '/v1/leave');
        context.result(left, (l) => fields([['left at epoch', l.epoch]]));
      }),
    );

  const running = program
    .command('daemon')
    .description('run in the foreground; SIGTERM drains and stops, a second signal forces');
  settingOptions(running).action(act((context) => daemon(context)));
}
