/**
 * Messages of the election on the wire: notes and direct messages of one topic. Beats are most of
 * them; their schema is small.
 * @module
 */
import { z } from 'zod';
import { decode, encode, field } from '../base/codec.ts';
import { LIMITS } from '../base/limits.ts';
import { bodySchema } from '../roster/entry.ts';
import type { Message } from './types.ts';

/** Notes and direct messages that carry a {@link Message}. */
export const ELECTION_TOPIC = 'election';

/** An Ed25519 envelope around a hash and a ballot takes about 200. */
const SIGNATURE_BYTES = 512;

const { term, epoch } = field;
const standing = { rosterTerm: term, epoch };
const refusal = z.enum(['behind', 'led', 'term', 'ineligible']).nullable();
const hash = field.bytes(32);

/** What a voter signed and keeps; see {@link Accepted}. */
export const acceptedSchema = z.strictObject({ ballot: term, body: bodySchema });

const schema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('beat'), term, round: field.uint, ...standing }),
  z.strictObject({ type: z.literal('beat-reply'), term, round: field.uint, ...standing }),
  z.strictObject({ type: z.literal('pre-vote'), term, ...standing }),
  z.strictObject({ type: z.literal('pre-vote-reply'), term, refusal, ...standing }),
  z.strictObject({ type: z.literal('vote'), term, transfer: z.boolean(), ...standing }),
  z.strictObject({
    type: z.literal('vote-reply'),
    ...{ term, refusal },
    vote: field.bytesUpTo(LIMITS.voteBytes).nullable(),
    accepted: acceptedSchema.nullable(),
    ...standing,
  }),
  z.strictObject({ type: z.literal('propose'), term, body: bodySchema }),
  z.strictObject({
    type: z.literal('propose-reply'),
    ...{ term, hash },
    signature: field.bytesUpTo(SIGNATURE_BYTES).nullable(),
    standing: z.strictObject(standing),
  }),
  z.strictObject({
    type: z.literal('entry'),
    term,
    entry: field.bytesUpTo(LIMITS.rosterEntryBytes),
  }),
  z.strictObject({ type: z.literal('stand'), term }),
]);

/** At most {@link LIMITS.noteBytes} for anything that passes the roster's own limits. */
export const encodeMessage = (message: Message): Uint8Array => encode(message);

/** @throws BAD_MESSAGE. */
export const decodeMessage = (bytes: Uint8Array): Message =>
  decode<Message>('election message', schema, bytes, LIMITS.noteBytes);
