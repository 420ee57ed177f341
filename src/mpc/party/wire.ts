/**
 * What party services say to each other, around the messages of the session machines.
 *
 * | topic         | form    | body                                                           |
 * | ------------- | ------- | -------------------------------------------------------------- |
 * | `mpc/propose` | request | proposal, join token, the message to sign, the first envelope   |
 * | `mpc/fetch`   | request | a session id; answered like `mpc/propose` to its parties only  |
 * | `mpc/msg`     | send    | a session id and a machine's envelope                          |
 * | `mpc/cancel`  | send    | a session id and a reason; counts from its proposer only       |
 * | `mpc/certs`   | request | keys known, with their epochs; answered with what is newer     |
 * | `mpc/nonces`  | request | nonce commitments ahead of signatures, see nonces/batch.ts     |
 * | `mpc/import`  | request | a digest of terms; answered whether an operator brought them   |
 * | `mpc/join`    | request | the id of a gathering's token; answered with who is there       |
 * | `mpc/retire`  | send    | the statement that a key is retired                            |
 * | `mpc/session` | gossip  | proposals and session events: digests, never a message         |
 * @module
 */
import { z } from 'zod';
import type { KeyId, SessionId } from '../../base/brands.ts';
import { fromHex, toHex } from '../../base/bytes.ts';
import { decode, encode, field } from '../../base/codec.ts';
import { BzzzError, type ErrorShape } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import { TOKEN_BYTES } from '../join-token.ts';
import { RETIREMENT_BYTES } from '../keys/retirement.ts';
import { JTI_BYTES } from './gathering-token.ts';

export const TOPICS = {
  propose: 'mpc/propose',
  fetch: 'mpc/fetch',
  message: 'mpc/msg',
  cancel: 'mpc/cancel',
  certificates: 'mpc/certs',
  nonces: 'mpc/nonces',
  retire: 'mpc/retire',
  session: 'mpc/session',
  imports: 'mpc/import',
  join: 'mpc/join',
} as const;

const envelope = field.bytesUpTo(LIMITS.sessionMessageBytes);

/** A proposal with all that its parties need to take part. */
export interface ProposeBody {
  readonly v: 1;
  readonly proposal: Uint8Array;
  /** The seats of its parties, see join-token.ts. */
  readonly token: Uint8Array;
  /** The message to sign; null for a key generation. */
  readonly message: Uint8Array | null;
}

/** A proposal on its way to one party. */
export interface ProposeFrame extends ProposeBody {
  /** What the sender's machine has to say about it, if anything: one frame for both. */
  readonly first: Uint8Array | null;
}

const proposeSchema: z.ZodType<ProposeFrame> = z.strictObject({
  v: z.literal(1),
  proposal: envelope,
  token: field.bytesUpTo(TOKEN_BYTES),
  message: field.bytesUpTo(LIMITS.signMessageBytes).nullable(),
  first: envelope.nullable(),
});

const errorSchema = z.strictObject({
  code: field.text(64),
  message: field.text(512),
  /** Which rule of the policy said no. */
  rule: field.text(32).exactOptional(),
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
  known: z
    .array(z.strictObject({ keyId: field.bytes(32), epoch: field.uint, retired: z.boolean() }))
    .max(LIMITS.keys),
});
/** What a node that asks for certificates has already. */
export interface KnownKey {
  readonly keyId: KeyId;
  readonly epoch: number;
  readonly retired: boolean;
}

/** What the asker lacks; `more` when not all of it fits. */
export interface CertsAnswer {
  readonly v: 1;
  readonly certificates: readonly Uint8Array[];
  readonly retirements: readonly Uint8Array[];
  readonly more: boolean;
}

const certsAnswerSchema: z.ZodType<CertsAnswer> = z.strictObject({
  v: z.literal(1),
  certificates: z.array(field.bytesUpTo(LIMITS.recordBytes)).max(LIMITS.keys).readonly(),
  /** Statements about keys that the asker has, or gets with this answer. */
  retirements: z.array(field.bytesUpTo(RETIREMENT_BYTES)).max(LIMITS.keys).readonly(),
  more: z.boolean(),
});
const importAskSchema = z.strictObject({ v: z.literal(1), terms: field.bytes(32) });
const importAnswerSchema = z.strictObject({ v: z.literal(1), brought: z.boolean() });
const joinSchema = z.strictObject({ v: z.literal(1), jti: field.bytes(JTI_BYTES) });
const joinAnswerSchema = z.strictObject({ v: z.literal(1), need: field.uint, have: field.uint });
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

const ruleOf = ({ details }: ErrorShape): { readonly rule?: string } =>
  typeof details?.rule === 'string' ? { rule: details.rule.slice(0, 32) } : {};

export const wire = {
  propose: (body: Omit<ProposeBody, 'v'>, first: Uint8Array | null = null) =>
    encode({ v: 1, ...body, first }),
  readPropose: (bytes: Uint8Array) => decode('proposal frame', proposeSchema, bytes, FRAME),

  /** @param refusal why not; undefined when accepted. */
  answer: (refusal?: ErrorShape) =>
    encode({
      v: 1,
      refusal:
        refusal === undefined
          ? null
          : { code: refusal.code, message: refusal.message.slice(0, 512), ...ruleOf(refusal) },
    }),
  /** @returns the refusal; undefined when accepted. */
  readAnswer(bytes: Uint8Array): BzzzError | undefined {
    const { refusal } = decode('proposal answer', answerSchema, bytes, LIMITS.sessionMessageBytes);
    if (refusal === null) return undefined;
    const { code, message: text, rule } = refusal;
    const details = rule === undefined ? {} : { rule };
    return BzzzError.fromShape({ code, message: text, details });
  },

  message: (sid: SessionId, body: Uint8Array) => encode({ v: 1, sid, envelope: body }),
  readMessage: (bytes: Uint8Array) => decode('session frame', messageSchema, bytes, FRAME),

  fetch: (sid: SessionId) => encode({ v: 1, sid }),
  readFetch: (bytes: Uint8Array) => decode('fetch frame', sidSchema, bytes, 1_024),

  cancel: (sid: SessionId, reason: string) => encode({ v: 1, sid, reason: reason.slice(0, 256) }),
  readCancel: (bytes: Uint8Array) => decode('cancel frame', cancelSchema, bytes, 4_096),

  certsRequest: (known: readonly KnownKey[]) =>
    encode({
      v: 1,
      known: known.map(({ keyId, epoch, retired }) => ({
        keyId: fromHex(keyId) ?? new Uint8Array(),
        epoch,
        retired,
      })),
    }),
  /** @returns what the asker knows of each key. */
  readCertsRequest(bytes: Uint8Array): ReadonlyMap<KeyId, Omit<KnownKey, 'keyId'>> {
    const { known } = decode('certificate request', certsRequestSchema, bytes, FRAME);
    return new Map(known.map(({ keyId, ...rest }) => [toHex(keyId) as KeyId, rest]));
  },
  certsAnswer: (answer: Omit<CertsAnswer, 'v'>) => encode({ v: 1, ...answer }),
  readCertsAnswer: (bytes: Uint8Array) =>
    decode('certificate answer', certsAnswerSchema, bytes, FRAME),

  importAsk: (terms: Uint8Array) => encode({ v: 1, terms }),
  readImportAsk: (bytes: Uint8Array) =>
    decode('import question', importAskSchema, bytes, 256).terms,
  importAnswer: (brought: boolean) => encode({ v: 1, brought }),
  readImportAnswer: (bytes: Uint8Array) =>
    decode('import answer', importAnswerSchema, bytes, 256).brought,

  join: (jti: Uint8Array) => encode({ v: 1, jti }),
  readJoin: (bytes: Uint8Array) => decode('join request', joinSchema, bytes, 128).jti,
  joinAnswer: (answer: { readonly need: number; readonly have: number }) =>
    encode({ v: 1, ...answer }),
  readJoinAnswer: (bytes: Uint8Array) => decode('join answer', joinAnswerSchema, bytes, 128),

  news: (news: Omit<SessionNews, 'v'>) => encode({ v: 1, ...news }),
  readNews: (bytes: Uint8Array) => decode('session news', gossipSchema, bytes, LIMITS.gossipBytes),
} as const;
