/**
 * Commands about jobs: ls, submit.
 * @module
 */
import type { Command } from 'commander';
import type { JobDocument } from '../../services.ts';
import type { Act } from '../command.ts';
import type { Context } from '../context.ts';
import { fields, table } from '../text.ts';

async function list(context: Context): Promise<void> {
  const client = await context.client({ patient: true });
  const jobs = await client.call<JobDocument[]>('GET', '/v1/jobs');
  context.result(jobs, (all) =>
    table(
      ['JOB', 'KIND', 'STATE', 'OWNER', 'TERM', 'TRY', 'CREATED', 'SUBJECT'],
      all.map((j) => [
        context.full ? j.id : j.id.slice(0, 16),
        j.kind,
        j.state,
        j.owner === null ? '' : context.id(j.owner),
        String(j.term),
        String(j.attempt),
        j.createdAt,
        j.subject,
      ]),
      context.tableWidth,
    ),
  );
}

const jobText = (job: JobDocument): string =>
  fields([
    ['job', job.id],
    ['kind', job.kind],
    ['subject', job.subject],
    ['state', job.state],
    ['owner', job.owner ?? 'none yet'],
    ['term', job.term],
    ['try', job.attempt],
    ['created', job.createdAt],
    ...(job.endedAt === null ? [] : [['ended', job.endedAt] as const]),
    ...(job.result === null ? [] : [['result', job.result] as const]),
  ]);

async function submit(
  context: Context,
  kind: string,
  subject: string,
  id: string | undefined,
): Promise<void> {
  const client = await context.client({ patient: true });
  const json = { kind, subject, ...(id === undefined ? {} : { id }) };
  context.result(await client.call<JobDocument>('POST', '/v1/jobs', { json }), jobText);
}

/** Adds them. */
export function addJobs(program: Command, act: Act): void {
  const job = program.command('job').description('work that the leader gives out');
  job
    .command('ls')
    .description('the job table as this node knows it')
    .action(act((context) => list(context)));
  job
    .command('submit')
    .description('hand a job to the leader')
    .argument('<kind>', 'repair, refresh or index')
    .argument('<subject>', 'what it is about, such as the name of a key')
    .option('--id <id>', 'the same id again is the same job (default: a new one)')
    .action(
      act<{ id?: string }>((context, o, [kind = '', subject = '']) =>
        submit(context, kind, subject, o.id),
      ),
    );
}
