/**
 * Requests to the leader, over direct streams. The answer to a change brings the entries that the
 * asker lacks, so that it need not wait until they come by another way.
 * @module
 */
import { z } from 'zod';
import type { Epoch, PeerId, Term } from '../base/brands.ts';
import { decode, encode, field } from '../base/codec.ts';
import { LIMITS } from '../base/limits.ts';
import { type Change, changeSchema } from '../roster/entry.ts';

/** Topics of the requests. */
export const LEADER_TOPICS = {
  propose: 'election/propose',
  transfer: 'election/transfer',
  stepDown: 'election/step-down',
  certificate: 'election/certificate',
} as const;

/** The longest that a leader keeps an asker waiting, ms. */
export const LONGEST_WAIT_MS = 60_000;

const proposeSchema = z.strictObject({
  change: changeSchema,
  invitationId: field.bytes(16).nullable(),
  /** Epoch of the asker's roster. */
  have: field.epoch,
  waitMs: z.int().min(0).max(LONGEST_WAIT_MS),
});
const proposedSchema = z.strictObject({
  epoch: field.epoch,
  entries: z
    .array(field.bytesUpTo(LIMITS.rosterEntryBytes))
    .max(LIMITS.rosterEntriesPerFrame)
    .readonly(),
});
const transferSchema = z.strictObject({ to: field.peerId.nullable(), force: z.boolean() });
const termSchema = z.strictObject({ term: field.term });
const certificateSchema = z.strictObject({
  certificate: field.bytesUpTo(LIMITS.leaderCertificateBytes).nullable(),
});

export interface ProposeRequest {
  readonly change: Change;
  readonly invitationId: Uint8Array | null;
  readonly have: Epoch;
  /** Longer than this the asker does not wait. */
  readonly waitMs: number;
}

export interface ProposeAnswer {
  readonly epoch: Epoch;
  /** Those behind `have`, as far as they fit. */
  readonly entries: readonly Uint8Array[];
}

export interface TransferRequest {
  readonly to: PeerId | null;
  readonly force: boolean;
}

interface Codec<T> {
  encode(value: T): Uint8Array;
  /** @throws BAD_MESSAGE. */
  decode(bytes: Uint8Array): T;
}

const codec = <T>(what: string, schema: z.ZodType<T>, maxBytes: number): Codec<T> => ({
  encode: (value) => encode(value),
  decode: (bytes) => decode(what, schema, bytes, maxBytes),
});

/** One for each kind of body. */
export const leaderWire = {
  propose: codec<ProposeRequest>('change request', proposeSchema, LIMITS.rosterEntryBytes),
  proposed: codec<ProposeAnswer>('change answer', proposedSchema, LIMITS.rosterFrameBytes),
  transfer: codec<TransferRequest>('transfer request', transferSchema, 256),
  /** Asks for a certificate; answers a transfer or a step-down: the term that ended. */
  term: codec<{ readonly term: Term }>('term', termSchema, 64),
  certificate: codec<{ readonly certificate: Uint8Array | null }>(
    'certificate answer',
    certificateSchema,
    LIMITS.leaderCertificateBytes + 64,
  ),
};
