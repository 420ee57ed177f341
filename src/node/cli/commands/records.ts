/**
 * Commands about records at UCXL addresses: get, put, resolve.
 * @module
 */
import type { Command } from 'commander';
import { BzzzError } from '../../../base/errors.ts';
import { LIMITS } from '../../../base/limits.ts';
import { contentTooLarge } from '../../../base/too-large.ts';
import type { PutDocument, ResolveDocument } from '../../services.ts';
import { type Act, notYet } from '../command.ts';
import type { Context } from '../context.ts';
import { readPieces } from '../input.ts';
import { fields, ids } from '../text.ts';

const resolvedText = (context: Context, r: ResolveDocument): string =>
  fields([
    ['address', r.address],
    ['version', r.version ?? 'none'],
    ['pin', r.pin],
    ['type', r.type],
    ['size', r.size],
    ['writer', r.writer ?? 'unknown'],
    ['time', r.time ?? 'unknown'],
    ['source', r.source],
    ['stale', r.stale ? 'yes' : 'no'],
    ['holders', ids(r.holders, context.full)],
  ]);

interface GetOptions {
  readonly fast?: boolean;
}

async function get(context: Context, address: string, o: GetOptions): Promise<void> {
  const client = await context.client({ patient: true });
  const query = { address, fast: o.fast === true ? 'true' : undefined };
  if (context.json) {
    context.result(await client.call<object>('GET', '/v1/records/get', { query }), () => '');
    return;
  }
  const octets = client.octets('/v1/records/content', { query });
  for await (const part of octets) context.data(part);
}

interface PutOptions {
  readonly file?: string;
  readonly ack?: string;
  readonly optimistic?: boolean;
}

async function put(
  context: Context,
  address: string,
  dash: string | undefined,
  o: PutOptions,
): Promise<void> {
  if (o.optimistic === true) throw notYet('bzzz put --optimistic');
  if ((dash !== undefined && dash !== '-') || (dash === undefined) === (o.file === undefined)) {
    throw new BzzzError('BAD_USAGE', 'give one content', { hint: 'use --file F, or - for stdin' });
  }
  const { stdin } = context.io;
  const octets = await readPieces(o.file, stdin, LIMITS.chunkedBytes, contentTooLarge);
  const client = await context.client({ patient: true });
  const query = { address, ack: o.ack };
  const timeoutMs = context.answerMs(octets.reduce((sum, { length }) => sum + length, 0));
  const call = { query, octets, timeoutMs };
  const done = await client.call<PutDocument>('POST', '/v1/records/put', call);
  context.result(done, (p) =>
    fields([
      ['address', p.address],
      ['pin', p.pin],
      ['acknowledged', p.ack],
      ['holders', ids(p.holders, context.full)],
      ['pending', p.pending],
    ]),
  );
}

/** Adds them. */
export function addRecords(program: Command, act: Act): void {
  program
    .command('get')
    .description('the bytes at an address, to stdout')
    .argument('<address>')
    .option('--fast', 'take the first valid copy; every immutable record is read so anyway')
    .action(act<GetOptions>((context, o, [address = '']) => get(context, address, o)));
  program
    .command('put')
    .description('store content at an address')
    .argument('<address>')
    .argument('[-]', 'read the content from stdin')
    .option('--file <file>', 'the content is this file')
    .option('--ack <level>', 'fail below this acknowledgement: local, one or quorum')
    .option('--optimistic', 'answer before anything is stored')
    .action(act<PutOptions>((context, o, [address = '', dash]) => put(context, address, dash, o)));
  program
    .command('resolve')
    .description('what stands at an address')
    .argument('<address>')
    .action(
      act(async (context, _o, [address = '']) => {
        const client = await context.client({ patient: true });
        const path = '/v1/records/resolve';
        const found = await client.call<ResolveDocument>('GET', path, { query: { address } });
        context.result(found, (r) => resolvedText(context, r));
      }),
    );
}
