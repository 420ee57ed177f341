/**
 * What party services say to each other, around the messages of the session machines.
 *
 * | topic         | form    | body                                                           |
 * | ------------- | ------- | -------------------------------------------------------------- |
 * | `mpc/propose` | request | proposal, everybody's join tokens, the message to sign         |
 * | `mpc/fetch`   | request | a session id; answered like `mpc/propose` to its parties only  |
 * | `mpc/msg`     | send    | a session id and a machine's envelope                          |
 * | `mpc/cancel`  | send    | a session id and a reason; counts from its proposer only       |
 * | `mpc/certs`   | request | ids of the keys known; answered with certificates of the others |
 * | `mpc/session` | gossip  | proposals and session events: digests, never a message         |
 * @module
 */
import { z } from 'zod';
import type { KeyId, PeerId, SessionId } from '../base/brands.ts';
import { fromHex, toHex } from '../base/bytes.ts';
import { decode, encode, field } from '../base/codec.ts';
import { BzzzError, type ErrorShape } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { TOKEN_BYTES } from './join-token.ts';

export const TOPICS = {
  propose: 'mpc/propose',
  fetch: 'mpc/fetch',
  message: 'mpc/msg',
  cancel: 'mpc/cancel',
  certificates: 'mpc/certs',
  session: 'mpc/session',
} as const;

const envelope = field.bytesUpTo(LIMITS.sessionMessageBytes);

/** A proposal with all that its parties need to take part. */
export interface ProposeBody {
  readonly v: 1;
  readonly proposal: Uint8Array;
  readonly tokens: readonly { readonly peerId: PeerId; readonly token: Uint8Array }[];
  /** The message to sign; null for a key generation. */
  readonly message: Uint8Array | null;
}

const proposeSchema: z.ZodType<ProposeBody> = z.strictObject({
  v: z.literal(1),
  proposal: envelope,
  tokens: z
    .array(z.strictObject({ peerId: field.peerId, token: field.bytesUpTo(TOKEN_BYTES) }))
    .max(LIMITS.parties)
    .readonly(),
  message: field.bytesUpTo(LIMITS.signMessageBytes).nullable(),
});

const errorSchema = z.strictObject({
  code: field.text(64),
  message: field.text(512),
});
const answerSchema = z.strictObject({ v: z.literal(1), refusal: errorSchema.nullable() });

const messageSchema = z.strictObject({
  v: z.literal(1),
  sid: field.hash<SessionId>(),
  envelope: field.bytesUpTo(LIMITS.sessionMessageBytes),
});
const sidSchema = z.strictObject({ v: z.literal(1), sid: field.hash<SessionId>() });
const cancelSchema = z.strictObject({
  v: z.literal(1),
  sid: field.hash<SessionId>(),
  reason: field.text(256),
});
const certsRequestSchema = z.strictObject({
  v: z.literal(1),
  known: z.array(field.bytes(32)).max(LIMITS.keys),
});
const certsAnswerSchema = z.strictObject({
  v: z.literal(1),
  certificates: z.array(field.bytesUpTo(LIMITS.recordBytes)).max(LIMITS.keys).readonly(),
  more: z.boolean(),
});
/** One batch of session news. */
export interface SessionNews {
  readonly v: 1;
  readonly proposals: readonly Uint8Array[];
  readonly events: readonly Uint8Array[];
}

const gossipSchema: z.ZodType<SessionNews> = z.strictObject({
  v: z.literal(1),
  proposals: z.array(envelope).max(256).readonly(),
  events: z.array(field.bytesUpTo(4_096)).max(512).readonly(),
});
/** Bytes of certificates in one answer; the asker comes again for the rest. */
export const CERTS_ANSWER_BYTES = 512 * 1_024;

const FRAME = LIMITS.directFrameBytes;

export const wire = {
  propose: (body: Omit<ProposeBody, 'v'>) => encode({ v: 1, ...body }),
  readPropose: (bytes: Uint8Array) => decode('proposal frame', proposeSchema, bytes, FRAME),

  /** @param refusal why not; undefined when accepted. */
  answer: (refusal?: ErrorShape) =>
    encode({
      v: 1,
      refusal:
        refusal === undefined
          ? null
          : { code: refusal.code, message: refusal.message.slice(0, 512) },
    }),
  /** @returns the refusal; undefined when accepted. */
  readAnswer(bytes: Uint8Array): BzzzError | undefined {
    const { refusal } = decode('proposal answer', answerSchema, bytes, LIMITS.sessionMessageBytes);
    return refusal === null ? undefined : BzzzError.fromShape(refusal);
  },

  message: (sid: SessionId, body: Uint8Array) => encode({ v: 1, sid, envelope: body }),
  readMessage: (bytes: Uint8Array) => decode('session frame', messageSchema, bytes, FRAME),

  fetch: (sid: SessionId) => encode({ v: 1, sid }),
  readFetch: (bytes: Uint8Array) => decode('fetch frame', sidSchema, bytes, 1_024),

  cancel: (sid: SessionId, reason: string) => encode({ v: 1, sid, reason: reason.slice(0, 256) }),
  readCancel: (bytes: Uint8Array) => decode('cancel frame', cancelSchema, bytes, 4_096),

  certsRequest: (known: readonly KeyId[]) =>
    encode({ v: 1, known: known.map((keyId) => fromHex(keyId) ?? new Uint8Array()) }),
  readCertsRequest(bytes: Uint8Array): ReadonlySet<KeyId> {
    const { known } = decode('certificate request', certsRequestSchema, bytes, FRAME);
    return new Set(known.map((id) => toHex(id) as KeyId));
  },
  certsAnswer: (certificates: readonly Uint8Array[], more: boolean) =>
    encode({ v: 1, certificates, more }),
  readCertsAnswer: (bytes: Uint8Array) =>
    decode('certificate answer', certsAnswerSchema, bytes, FRAME),

  news: (news: Omit<SessionNews, 'v'>) => encode({ v: 1, ...news }),
  readNews: (bytes: Uint8Array) => decode('session news', gossipSchema, bytes, LIMITS.gossipBytes),
} as const;
