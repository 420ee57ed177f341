/**
 * Messages between survivors of a lost majority, over the direct streams.
 *
 * ```
 * ask     {v, voters, prev, signatures}   here is what I have of this recovery; what have you?
 * answer  {v, signatures}
 * ```
 * Signatures are those of roster entries (entry.ts), so nothing here needs to be believed.
 * @module
 */
import { z } from 'zod';
import { decode, encode, field } from '../base/codec.ts';
import { LIMITS } from '../base/limits.ts';
import { rosterField } from './fields.ts';
import type { Consent } from './recovery-rules.ts';

/** Topic of the question. */
export const RECOVER_TOPIC = 'roster/recover';

const SIGNATURE_BYTES = 512;
const signatures = z.array(field.bytesUpTo(SIGNATURE_BYTES)).max(LIMITS.parties);
const askSchema = z.strictObject({
  v: z.literal(1),
  voters: z.array(rosterField.peerId).min(1).max(LIMITS.parties),
  prev: rosterField.hash,
  signatures,
});
const answerSchema = z.strictObject({ v: z.literal(1), signatures });
const BYTES = 16_384;

/** Which recovery the sender means, and the signatures over it that it has. */
export type RecoveryAsk = Consent & { readonly signatures: readonly Uint8Array[] };

export const encodeAsk = ({ voters, prev, signatures: known }: RecoveryAsk): Uint8Array =>
  encode({ v: 1, voters, prev, signatures: known });

/** @throws BAD_MESSAGE. */
export const decodeAsk = (bytes: Uint8Array): RecoveryAsk =>
  decode('question of a recovery', askSchema, bytes, BYTES);

export const encodeSignatures = (known: readonly Uint8Array[]): Uint8Array =>
  encode({ v: 1, signatures: known });

/** @throws BAD_MESSAGE. */
export const decodeSignatures = (bytes: Uint8Array): readonly Uint8Array[] =>
  decode('answer of a survivor', answerSchema, bytes, BYTES).signatures;
