/**
 * backup and restore.
 * @module
 */
import type { Command } from 'commander';
import { BzzzError } from '../../../base/errors.ts';
import { LIMITS } from '../../../base/limits.ts';
import { prepareDataDir, readPrivateFile, writePrivateFile } from '../../datadir.ts';
import type { BackupDocument } from '../../services.ts';
import { type Act, settingOptions } from '../command.ts';
import type { Context } from '../context.ts';
import { fields } from '../text.ts';

interface Options {
  readonly passphraseFile: string;
  readonly force?: boolean;
}

/** Deriving a key takes half a second, and shares are opened one by one. */
const BACKUP_MS = 60_000;

type Summary = Omit<BackupDocument, 'backup'> & { readonly file: string };

const rows = (s: Summary): readonly (readonly [string, string])[] => [
  ['peer id', s.peerId],
  ['cluster', s.cluster],
  ['made', s.createdAt],
  ['shares', String(s.shares)],
  ['file', s.file],
];

async function backup(context: Context, file: string, o: Options): Promise<void> {
  const { passphraseFile } = await import('../../../mpc/keys/keyfile.ts');
  const secret = await passphraseFile(o.passphraseFile).read(false);
  const json = { passphrase: new TextDecoder('utf-8', { fatal: true }).decode(secret) };
  secret.fill(0);
  const client = await context.client({ patient: true });
  const timeoutMs = context.timeoutMs ?? BACKUP_MS;
  const made = await client.call<BackupDocument>('POST', '/v1/backup', { json, timeoutMs });
  const { backup: text, ...summary } = made;
  await writePrivateFile(file, new Uint8Array(Buffer.from(text, 'base64')), 'create');
  context.result({ ...summary, file }, (s) => fields(rows(s)));
}

async function restore(context: Context, file: string, o: Options): Promise<void> {
  const [{ openBackup, summaryOf, wipeContents }, { restoreBackup }, keyfile, { systemRandom }] =
    await Promise.all([
      import('../../backup-file.ts'),
      import('../../restore.ts'),
      import('../../../mpc/keys/keyfile.ts'),
      import('../../system.ts'),
    ]);
  const { config } = await context.settings();
  const bytes = await readPrivateFile(file, LIMITS.backupBytes + 1_024);
  if (bytes === undefined) throw new BzzzError('NOT_FOUND', `there is no file ${file}`);
  const secret = await keyfile.passphraseFile(o.passphraseFile).read(false);
  const contents = await openBackup(bytes, secret).finally(() => secret.fill(0));
  try {
    const paths = await prepareDataDir(config.dataDir);
    const source =
      config.keyPassphraseFile === undefined
        ? keyfile.keyFile(paths.shareKey, systemRandom)
        : keyfile.passphraseFile(config.keyPassphraseFile);
    const deps = { random: systemRandom, source, force: o.force === true };
    const aside = await restoreBackup(paths, contents, deps);
    const summary = { ...summaryOf(contents), file, dataDir: paths.dir };
    context.result({ ...summary, replaced: aside ?? null }, (s) =>
      fields([
        ...rows(s),
        ['restored to', s.dataDir],
        ...(s.replaced === null ? [] : [['former content', s.replaced] as const]),
      ]),
    );
  } finally {
    wipeContents(contents);
  }
  context.chatter('next: bzzz daemon. Never run the former node and this one at once.');
}

/** Adds them. */
export function addBackup(program: Command, act: Act): void {
  program
    .command('backup')
    .description('identity, shares and certificates of this node, in one encrypted file')
    .argument('<file>', 'a new file, mode 0600')
    .requiredOption('--passphrase-file <file>', 'what the backup is encrypted under')
    .action(act<Options>((context, o, [file = '']) => backup(context, file, o)));
  const restoring = program
    .command('restore')
    .description('write a data directory from a backup; no daemon may run on it')
    .argument('<file>', 'what `bzzz backup` wrote')
    .requiredOption('--passphrase-file <file>', 'what the backup is encrypted under')
    .option('--force', 'move what is in the data directory aside');
  settingOptions(restoring, ['keyPassphraseFile']).action(
    act<Options>((context, o, [file = '']) => restore(context, file, o)),
  );
}
