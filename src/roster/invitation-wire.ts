/**
 * The question of a leader to the voter that issued an invitation, and its answer. Only the issuer
 * knows whether it revoked it.
 *
 * ```
 * query  {v, id}
 * reply  {v, standing}
 * ```
 * @module
 */
import { z } from 'zod';
import { decode, encode } from '../base/codec.ts';
import { rosterField } from './fields.ts';

/** What the issuer's book says; `unknown`: nothing, as after an older backup was restored. */
export const TOKEN_STANDINGS = ['issued', 'revoked', 'unknown'] as const;
export type TokenStanding = (typeof TOKEN_STANDINGS)[number];

const querySchema = z.strictObject({ v: z.literal(1), id: rosterField.invitationId });
const replySchema = z.strictObject({ v: z.literal(1), standing: z.enum(TOKEN_STANDINGS) });
const BYTES = 128;

/** @param id 16 bytes. */
export const encodeQuery = (id: Uint8Array): Uint8Array => encode({ v: 1, id });

/** @returns the invitation's id. @throws BAD_MESSAGE. */
export const decodeQuery = (bytes: Uint8Array): Uint8Array =>
  decode('question about an invitation', querySchema, bytes, BYTES).id;

export const encodeReply = (standing: TokenStanding): Uint8Array => encode({ v: 1, standing });

/** @throws BAD_MESSAGE. */
export const decodeReply = (bytes: Uint8Array): TokenStanding =>
  decode('answer about an invitation', replySchema, bytes, BYTES).standing;
