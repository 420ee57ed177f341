/**
 * Messages of the roster exchange.
 *
 * ```
 * hello    where my chain stands: head, and samples at head - 1, - 3, - 7, ... down to 0
 * want     send me what follows from this epoch
 * entries  some of it, oldest first, in one frame
 * done     I have all that you announced; by my chain you are `standing` (with the entry that
 *          removed you)
 * refuse   I break off, because; with the entry that contradicts yours, for a fork
 * ```
 * @module
 */
import { z } from 'zod';
import type { ClusterId } from '../base/brands.ts';
import { decode, encode, field } from '../base/codec.ts';
import { LIMITS } from '../base/limits.ts';
import { type Chain, hashAt } from './chain.ts';
import { rosterField } from './fields.ts';
import type { Standing } from './types.ts';
import { wireErrorSchema } from './wire-error.ts';

const entryField = field.bytesUpTo(LIMITS.rosterEntryBytes);
const sampleSchema = z.strictObject({ epoch: field.epoch, hash: rosterField.hash });

const messageSchema = z.discriminatedUnion('type', [
  z.strictObject({
    v: z.literal(1),
    type: z.literal('hello'),
    clusterId: field.hash<ClusterId>(),
    epoch: field.epoch,
    head: rosterField.hash,
    samples: z.array(sampleSchema).max(LIMITS.rosterSamples),
  }),
  z.strictObject({
    v: z.literal(1),
    type: z.literal('want'),
    from: field.epoch.refine((epoch) => epoch >= 1, { message: 'expected at least 1' }),
  }),
  z.strictObject({
    v: z.literal(1),
    type: z.literal('entries'),
    entries: z.array(entryField).max(LIMITS.rosterEntriesPerFrame),
  }),
  z.strictObject({
    v: z.literal(1),
    type: z.literal('done'),
    standing: z.enum(['member', 'removed', 'stranger']),
    removal: entryField.exactOptional(),
  }),
  z.strictObject({
    v: z.literal(1),
    type: z.literal('refuse'),
    error: wireErrorSchema,
    evidence: entryField.exactOptional(),
  }),
]);

export type ExchangeMessage = z.infer<typeof messageSchema>;
export type Hello = Extract<ExchangeMessage, { type: 'hello' }>;

/** What a side sends after its hello; `error` is the outcome of `errorForWire`. */
export type Outgoing =
  | { readonly type: 'want'; readonly from: number }
  | { readonly type: 'entries'; readonly entries: readonly Uint8Array[] }
  | { readonly type: 'done'; readonly standing: Standing; readonly removal?: Uint8Array }
  | { readonly type: 'refuse'; readonly error: object; readonly evidence?: Uint8Array };

/** @throws BAD_MESSAGE. */
export const decodeMessage = (frame: Uint8Array): ExchangeMessage =>
  decode('roster exchange', messageSchema, frame, LIMITS.rosterFrameBytes);

export const encodeMessage = (message: Outgoing): Uint8Array => encode({ v: 1, ...message });

/** The hello of a chain. */
export function helloOf(chain: Chain): Uint8Array {
  const { clusterId, epoch, head } = chain.view;
  const samples: { epoch: number; hash: Uint8Array }[] = [];
  for (let back = 1; back <= epoch; back = back * 2 + 1) {
    const hash = hashAt(chain, epoch - back);
    if (hash !== undefined) samples.push({ epoch: epoch - back, hash });
  }
  return encode({ v: 1, type: 'hello', clusterId, epoch, head, samples });
}
