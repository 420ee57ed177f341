/**
 * Commands about keys and signatures: key create/ls/show, sign, verify.
 * @module
 */
import { writeFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { BzzzError } from '../../../base/errors.ts';
import { SUITES } from '../../../mpc/types.ts';
import { readPrivateFile } from '../../datadir.ts';
import type { KeyDocument, SignDocument } from '../../services.ts';
import type { Act } from '../command.ts';
import type { Context } from '../context.ts';
import {
  commaList,
  composition,
  hexBytes,
  type MessageOptions,
  readInput,
  readMessage,
  wholeNumber,
} from '../input.ts';
import { fields, ids, table } from '../text.ts';
import { whileGathering } from './gathering.ts';
import { addKeyForms } from './key-forms.ts';
import { addKeyLife } from './key-life.ts';
import { keyText, limitsOf } from './keys-text.ts';

/** A key package in JSON. */
const SHARE_BYTES = 8_192;

/** A session lives 60 s unless set otherwise; its own end comes first, with the reason. */
export const SESSION_MS = 120_000;

const segment = (name: string): string => encodeURIComponent(name);

interface CreateOptions {
  readonly suite: string;
  readonly threshold: string;
  readonly parties?: string;
  readonly role?: Readonly<Record<string, number>>;
  readonly participants?: readonly string[];
  readonly purpose?: string;
  readonly requester?: readonly string[];
  readonly policy?: string;
  readonly maxMessage?: string;
  readonly maxRate?: string;
  readonly ephemeral?: boolean;
}

async function createKey(context: Context, name: string, o: CreateOptions): Promise<void> {
  const times = context.sessionTimes(SESSION_MS);
  const json = {
    name,
    suite: o.suite,
    threshold: wholeNumber('--threshold', o.threshold),
    ...(o.parties === undefined ? {} : { parties: wholeNumber('--parties', o.parties) }),
    ...(o.role === undefined ? {} : { composition: o.role }),
    ...(o.participants === undefined ? {} : { participants: o.participants }),
    ...(o.purpose === undefined ? {} : { purpose: o.purpose }),
    ...(o.requester === undefined ? {} : { requesters: o.requester }),
    ...(o.policy === undefined ? {} : { policy: o.policy }),
    ...limitsOf(o),
    ...(o.ephemeral === undefined ? {} : { ephemeral: o.ephemeral }),
    ...(times.server === undefined ? {} : { timeoutMs: times.server }),
  };
  const client = await context.client({ patient: true });
  context.chatter(`making key ${name} together with the other parties...`);
  const request = client.call<KeyDocument>('POST', '/v1/keys', { json, timeoutMs: times.client });
  const key = await whileGathering(context, client, name, request);
  if (!hasStandardVerifier(key.suite)) {
    context.chatter(
      'its signatures are Schnorr signatures of RFC 9591: no standard tool verifies them',
    );
  }
  if (key.policy === 'auto') {
    context.chatter(
      'policy auto: one compromised requester can have anything signed within the purpose',
    );
  }
  context.result(key, (k) => keyText(context, k));
}

/** R50: RFC 8032 and BIP 340; the others are for implementations of RFC 9591. */
const hasStandardVerifier = (suite: string): boolean =>
  suite === 'ed25519' || suite === 'secp256k1-tr';

async function listKeys(context: Context): Promise<void> {
  const client = await context.client({ patient: true });
  const list = await client.call<KeyDocument[]>('GET', '/v1/keys');
  context.result(list, (all) =>
    table(
      ['NAME', 'SUITE', 'THRESHOLD', 'STATUS', 'PUBLIC KEY'],
      all.map((k) => [
        k.name,
        k.suite,
        `${k.threshold}/${k.parties.length}`,
        k.status,
        k.publicKey,
      ]),
      context.full ? 1_000 : undefined,
    ),
  );
}

async function showKey(context: Context, name: string): Promise<void> {
  const client = await context.client({ patient: true });
  const key = await client.call<KeyDocument>('GET', `/v1/keys/${segment(name)}`);
  context.result(key, (k) => keyText(context, k));
}

interface SignOptions extends MessageOptions {
  readonly out?: string;
  readonly share?: string;
  readonly fresh?: boolean;
}

async function sign(
  context: Context,
  key: string,
  dash: string | undefined,
  o: SignOptions,
): Promise<void> {
  const octets = await readMessage(o, dash, context.io.stdin);
  const times = context.sessionTimes(SESSION_MS);
  const fresh = o.fresh === true;
  const client = await context.client({ patient: true });
  const timeoutMs = times.client;
  const query = { key, fresh: fresh ? 1 : undefined, timeoutMs: times.server };
  const request =
    o.share === undefined
      ? { query, octets, timeoutMs }
      : { json: await withShare(o.share, octets, { key, fresh, ...times }), timeoutMs };
  const done = await client.call<SignDocument>('POST', '/v1/sign', request);
  if (o.out !== undefined) await writeOut(o.out, hexBytes('signature', done.signature));
  context.result(done, (s) =>
    fields([
      ['signature', s.signature],
      ['public key', s.publicKey],
      ['suite', s.suite],
      ['message hash', s.messageHash],
      ['signers', ids(s.signers, context.full)],
      ['address', s.address],
      ['made', s.cached ? 'earlier, for the same request' : `now, in ${Math.round(s.elapsedMs)}ms`],
    ]),
  );
}

/** A share must not stand in an address, so the message goes with it into the body. */
async function withShare(
  file: string,
  message: Uint8Array,
  o: { readonly key: string; readonly fresh: boolean; readonly server?: number },
): Promise<object> {
  const secret = await readPrivateFile(file, SHARE_BYTES);
  if (secret === undefined) throw new BzzzError('NOT_FOUND', `there is no file ${file}`);
  const share = new TextDecoder().decode(secret);
  secret.fill(0);
  const { key, fresh, server } = o;
  return {
    ...{ key, fresh, share },
    ...{ message: Buffer.from(message).toString('base64'), encoding: 'base64' },
    ...(server === undefined ? {} : { timeoutMs: server }),
  };
}

async function writeOut(path: string, bytes: Uint8Array): Promise<void> {
  try {
    await writeFile(path, bytes);
  } catch (cause) {
    throw new BzzzError('DISK_FAILED', `cannot write ${path}`, {
      cause,
      hint: 'check the path; the same `bzzz sign` gives the same signature again',
    });
  }
}

interface VerifyOptions extends MessageOptions {
  readonly signature?: string;
  readonly signatureFile?: string;
}

/** The signature, from hex or from a file of raw bytes as `sign --out` writes it. */
async function signatureOf(o: VerifyOptions): Promise<Uint8Array> {
  const given = [o.signature, o.signatureFile].filter((s) => s !== undefined);
  if (given.length !== 1) {
    throw new BzzzError('BAD_USAGE', 'give one signature', {
      hint: 'use --signature HEX or --signature-file FILE',
    });
  }
  if (o.signature !== undefined) return hexBytes('--signature', o.signature);
  const tooLarge = (what: string): BzzzError =>
    new BzzzError('TOO_LARGE', `${what} is no signature`);
  return readInput(o.signatureFile ?? '', 512, tooLarge);
}

async function verify(
  context: Context,
  key: string,
  dash: string | undefined,
  o: VerifyOptions,
): Promise<number> {
  const signature = Buffer.from(await signatureOf(o)).toString('hex');
  const octets = await readMessage(o, dash, context.io.stdin);
  const client = await context.client({ patient: true });
  const path = `/v1/keys/${segment(key)}/verify`;
  const done = await client.call<{ valid: boolean }>('POST', path, {
    query: { signature },
    octets,
  });
  context.result(done, ({ valid }) =>
    valid
      ? `valid: key ${key} signed this message\n`
      : `NOT valid for key ${key} and this message\n`,
  );
  return done.valid ? 0 : 1;
}

const addMessage = (command: Command): Command =>
  command
    .argument('<key>', 'name or id of the key')
    .argument('[-]', 'read the message from stdin')
    .option('--file <file>', 'the message is this file')
    .option('--message <text>', 'the message is this text')
    .option('--hex <hex>', 'the message is these bytes');

/** Adds them. */
export function addKeys(program: Command, act: Act): void {
  const key = program.command('key').description('keys that exist nowhere in whole');
  key
    .command('create')
    .description('make a key together; the secret exists nowhere in whole')
    .argument('<name>')
    .option('--suite <suite>', SUITES.join(', '), 'ed25519')
    .requiredOption('--threshold <t>', 'so many parties sign')
    .option('--parties <n>', 'so many parties hold a share')
    .option('--role <role=count>', 'composition by role, repeatable', composition)
    .option('--participants <peers>', 'exactly these members, separated by commas', commaList)
    .option('--purpose <text>', 'what the key is for')
    .option('--requester <peers>', 'who may ask for signatures (default: the holders)', commaList)
    .option('--policy <policy>', 'auto or approve (default: BZZZ_SIGN_POLICY)')
    .option('--max-message <bytes>', 'longest message that holders sign')
    .option('--max-rate <n>', 'requests of one requester in a minute')
    .option('--ephemeral', 'allow fewer persistent holders than the threshold')
    .addHelpText(
      'after',
      '\nWith policy auto, one compromised requester can have anything signed within the\n' +
        'purpose; with approve an operator says yes on each holder (`bzzz session approve`).\n' +
        'Keys of secp256k1, p256 and ristretto255 give Schnorr signatures of RFC 9591:\n' +
        'only `bzzz verify` and other implementations of that RFC verify them.',
    )
    .action(act<CreateOptions>((context, o, [name = '']) => createKey(context, name, o)));
  key
    .command('ls')
    .description('all keys that this node knows')
    .action(act((context) => listKeys(context)));
  key
    .command('show')
    .description('one key')
    .argument('<name>')
    .action(act((context, _o, [name = '']) => showKey(context, name)));
  addKeyForms(key, act);
  addKeyLife(key, act);

  addMessage(program.command('sign').description('a threshold signature'))
    .option('--out <file>', 'write the raw bytes of the signature there')
    .option('--share <file>', 'bring a delegated share')
    .option('--fresh', 'sign again although a result exists')
    .action(act<SignOptions>((context, o, [name = '', dash]) => sign(context, name, dash, o)));
  addMessage(program.command('verify').description('exit 0 if valid, 1 if not'))
    .option('--signature <hex>', 'the signature')
    .option('--signature-file <file>', 'a file with the raw bytes of the signature')
    .action(act<VerifyOptions>((context, o, [name = '', dash]) => verify(context, name, dash, o)));
}
