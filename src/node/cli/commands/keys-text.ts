/**
 * Keys as people read them, and the options that several key commands share.
 * @module
 */
import type { KeyDocument } from '../../services.ts';
import type { Context } from '../context.ts';
import { wholeNumber } from '../input.ts';
import { fields, ids } from '../text.ts';

const limitRows = ({ limits }: KeyDocument): readonly (readonly [string, string])[] => [
  ...(limits.messageBytes === undefined
    ? []
    : [['longest message', `${limits.messageBytes} bytes`] as const]),
  ...(limits.perMinute === undefined
    ? []
    : [['rate', `${limits.perMinute} requests a minute, each requester`] as const]),
];

/** One key, a line a field. */
export const keyText = (context: Context, k: KeyDocument): string =>
  fields([
    ['name', k.name],
    ['key id', k.keyId],
    ['suite', k.suite],
    ['threshold', `${k.threshold} of ${k.parties.length}`],
    ['public key', k.publicKey],
    ...(k.taproot === undefined ? [] : [['taproot script', k.taproot.scriptPubKey] as const]),
    ['address', k.address],
    ['epoch', String(k.epoch)],
    ['status', k.imported ? `${k.status}, made elsewhere` : k.status],
    ['purpose', k.purpose],
    ['policy', k.policy],
    ...limitRows(k),
    ['created', k.createdAt ?? 'unknown'],
    ['session', k.sessionId],
    ...k.parties.map((p) => [`party ${p.index}`, `${p.peerId} ${p.role}`] as const),
    ['requesters', ids(k.requesters, context.full)],
  ]);

/** `--max-message` and `--max-rate` as a request has them. @throws BAD_USAGE. */
export function limitsOf({
  maxMessage,
  maxRate,
}: {
  readonly maxMessage?: string;
  readonly maxRate?: string;
}) {
  if (maxMessage === undefined && maxRate === undefined) return {};
  return {
    limits: {
      ...(maxMessage === undefined
        ? {}
        : { messageBytes: wholeNumber('--max-message', maxMessage) }),
      ...(maxRate === undefined ? {} : { perMinute: wholeNumber('--max-rate', maxRate) }),
    },
  };
}
