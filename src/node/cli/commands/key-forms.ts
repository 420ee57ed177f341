/**
 * Keys in the forms of other tools: key export, key import.
 * @module
 */
import type { Command } from 'commander';
import { BzzzError } from '../../../base/errors.ts';
import { readPrivateFile, removePrivateFile, writePrivateFile } from '../../datadir.ts';
import type { KeyDocument } from '../../services.ts';
import type { Act } from '../command.ts';
import type { Context } from '../context.ts';
import { commaList, readInput } from '../input.ts';
import { keyText, limitsOf } from './keys-text.ts';

/** A key package has a few hundred bytes, a public one a few thousand. */
const PACKAGE_BYTES = 8_192;
const IMPORT_MS = 120_000;

interface ExportOptions {
  readonly format: string;
  readonly share?: boolean;
  readonly out?: string;
}

const pathOf = (name: string, verb: string): string =>
  `/v1/keys/${encodeURIComponent(name)}/${verb}`;

async function exportKey(context: Context, name: string, o: ExportOptions): Promise<void> {
  if (o.share === true) return exportShare(context, name, o);
  const client = await context.client({ patient: true });
  const done = await client.call<{ format: string; text: string }>('GET', pathOf(name, 'export'), {
    query: { format: o.format },
  });
  const text = done.text.endsWith('\n') ? done.text : `${done.text}\n`;
  if (o.out === undefined) context.result(done, () => text);
  else {
    await writePrivateFile(o.out, new TextEncoder().encode(text), 'create');
    context.result({ format: done.format, file: o.out }, ({ file }) => `written to ${file}\n`);
  }
}

const WARNING = 'this file is a share in plain text: threshold-many of them are the key';

/** The private half goes to a file of this user only, never to a terminal or a pipe. */
async function exportShare(context: Context, name: string, o: ExportOptions): Promise<void> {
  if (o.format !== 'zf-json' || o.out === undefined) {
    throw new BzzzError('BAD_USAGE', '--share needs --format zf-json and --out FILE', {
      why: 'a share has no other form, and is written to a file of mode 0600 only',
    });
  }
  const client = await context.client({ patient: true });
  const { text } = await client.call<{ text: string }>('POST', pathOf(name, 'share-export'));
  const bytes = new TextEncoder().encode(text);
  try {
    await writePrivateFile(o.out, bytes, 'create');
  } finally {
    bytes.fill(0);
  }
  const document = { format: o.format, file: o.out, warning: WARNING };
  context.result(document, ({ file }) => `written to ${file}\nwarning: ${WARNING}\n`);
}

/** The only copy there is: the file is made before the share is asked for. */
async function takeShare(context: Context, name: string, out: string): Promise<void> {
  await writePrivateFile(out, new Uint8Array(0), 'create');
  const client = await context.client({ patient: true });
  try {
    const { text } = await client.call<{ text: string }>('POST', pathOf(name, 'share'));
    const bytes = new TextEncoder().encode(text);
    await writePrivateFile(out, bytes, 'replace').finally(() => bytes.fill(0));
  } catch (error) {
    await removePrivateFile(out);
    throw error;
  }
  const document = { file: out, warning: WARNING };
  context.result(document, ({ file }) => `written to ${file}\nwarning: ${WARNING}\n`);
}

interface ImportOptions {
  readonly public: string;
  readonly name: string;
  readonly participants: readonly string[];
  readonly purpose?: string;
  readonly requester?: readonly string[];
  readonly policy?: string;
  readonly maxMessage?: string;
  readonly maxRate?: string;
}

/** JSON stays as it is, the binary form becomes hex. */
function packageText(bytes: Uint8Array): string {
  const isText = bytes.every((byte) => byte === 9 || byte === 10 || byte === 13 || byte >= 32);
  return isText && bytes.includes(0x7b)
    ? new TextDecoder().decode(bytes)
    : Buffer.from(bytes).toString('hex');
}

async function importKey(context: Context, file: string, o: ImportOptions): Promise<void> {
  const times = context.sessionTimes(IMPORT_MS);
  const secret = await readPrivateFile(file, PACKAGE_BYTES);
  if (secret === undefined) throw new BzzzError('NOT_FOUND', `there is no file ${file}`);
  const tooLarge = (what: string): BzzzError =>
    new BzzzError('TOO_LARGE', `${what} is no public key package`);
  const json = {
    name: o.name,
    keyPackage: packageText(secret),
    publicKeyPackage: packageText(await readInput(o.public, PACKAGE_BYTES, tooLarge)),
    participants: o.participants,
    ...(o.purpose === undefined ? {} : { purpose: o.purpose }),
    ...(o.requester === undefined ? {} : { requesters: o.requester }),
    ...(o.policy === undefined ? {} : { policy: o.policy }),
    ...limitsOf(o),
    ...(times.server === undefined ? {} : { timeoutMs: times.server }),
  };
  secret.fill(0);
  const client = await context.client({ patient: true });
  const done = await client.call<{
    readonly state: 'done' | 'waiting';
    readonly waitingFor: readonly string[];
    readonly key: KeyDocument | null;
  }>('POST', '/v1/keys/import', { json, timeoutMs: times.client });
  context.result(done, ({ key, waitingFor }) =>
    key === null
      ? `brought; run the same command on ${waitingFor.map((p) => context.id(p)).join(', ')}\n`
      : keyText(context, key),
  );
}

/** Adds them to `bzzz key`. */
export function addKeyForms(key: Command, act: Act): void {
  key
    .command('export')
    .description('the public key for other tools; with --share this node’s own share')
    .argument('<name>')
    .option('--format <format>', 'pem, ssh or zf-json', 'pem')
    .option('--share', 'this node’s share, in plain text, as zf-json')
    .option('--out <file>', 'a new file, mode 0600')
    .action(act<ExportOptions>((context, o, [name = '']) => exportKey(context, name, o)));
  key
    .command('share')
    .description('on a delegate: take its share, once; it comes back with `sign --share`')
    .argument('<name>')
    .requiredOption('--out <file>', 'a new file, mode 0600')
    .action(act<{ out: string }>((context, { out }, [name = '']) => takeShare(context, name, out)));
  key
    .command('import')
    .description('bring a share of a key from elsewhere; the same command on every holder')
    .argument('<file>', 'the key package of this holder, JSON or binary, mode 0600')
    .requiredOption('--public <file>', 'the public key package')
    .requiredOption('--name <name>', 'what the key is called here')
    .requiredOption(
      '--participants <peers>',
      'the holders, in the order of their numbers',
      commaList,
    )
    .option('--purpose <text>', 'what the key is for')
    .option('--requester <peers>', 'who may ask for signatures (default: the holders)', commaList)
    .option('--policy <policy>', 'auto or approve (default: BZZZ_SIGN_POLICY)')
    .option('--max-message <bytes>', 'longest message that holders sign')
    .option('--max-rate <n>', 'requests of one requester in a minute')
    .action(act<ImportOptions>((context, o, [file = '']) => importKey(context, file, o)));
}
