/**
 * Commands about the life of a key after it was made: key refresh, reshare, repair, retire.
 * @module
 */
import type { Command } from 'commander';
import type { KeyDocument } from '../../services.ts';
import type { Act } from '../command.ts';
import type { Context } from '../context.ts';
import { commaList, wholeNumber } from '../input.ts';
import { SESSION_MS } from './keys.ts';
import { keyText } from './keys-text.ts';

const path = (name: string, what: string): string => `/v1/keys/${encodeURIComponent(name)}/${what}`;

/** A session's own end comes before the client's, with the reason. */
async function changed(context: Context, to: string, wish: object): Promise<void> {
  const { client: timeoutMs, server } = context.sessionTimes(SESSION_MS);
  const json = { ...wish, ...(server === undefined ? {} : { timeoutMs: server }) };
  const client = await context.client({ patient: true });
  const key = await client.call<KeyDocument>('POST', to, { json, timeoutMs });
  context.result(key, (k) => keyText(context, k));
}

interface ReshareOptions {
  readonly threshold: string;
  readonly participants: readonly string[];
}

/** Adds them. @param key the command `key`. */
export function addKeyLife(key: Command, act: Act): void {
  key
    .command('refresh')
    .description('new shares for the same holders; old copies of shares become worthless')
    .argument('<name>')
    .action(act((context, _o, [name = '']) => changed(context, path(name, 'refresh'), {})));
  key
    .command('reshare')
    .description('hand the key on to other holders, or with another threshold')
    .argument('<name>')
    .requiredOption('--threshold <t>', 'so many of the new holders sign')
    .requiredOption('--participants <peers>', 'the new holders, separated by commas', commaList)
    .addHelpText(
      'after',
      '\nHolders that are left out wipe their shares when they hear of it. Backups keep theirs:\n' +
        'threshold many old shares still make the key.',
    )
    .action(
      act<ReshareOptions>((context, o, [name = '']) =>
        changed(context, path(name, 'reshare'), {
          threshold: wholeNumber('--threshold', o.threshold),
          participants: o.participants,
        }),
      ),
    );
  key
    .command('repair')
    .description('have the others rebuild the share that a holder has lost')
    .argument('<name>')
    .argument('<peer>', 'the holder, by peer id or name')
    .action(
      act((context, _o, [name = '', peer]) => changed(context, path(name, 'repair'), { peer })),
    );
  key
    .command('retire')
    .description('nobody signs with the key any more; this cannot be taken back')
    .argument('<name>')
    .option('--wipe', 'also destroy the share on this host')
    .action(
      act<{ wipe?: boolean }>(async (context, { wipe = false }, [name = '']) => {
        const client = await context.client({ patient: true });
        const json = { wipe };
        const key = await client.call<KeyDocument>('POST', path(name, 'retire'), { json });
        context.result(key, (k) => keyText(context, k));
      }),
    );
}
