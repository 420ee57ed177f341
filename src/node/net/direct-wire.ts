/**
 * Frames of the direct stream. Every frame but `hello`, `ack` and `note` carries a sequence
 * number.
 * @module
 */
import { z } from 'zod';
import { decode, encode, field } from '../../base/codec.ts';
import type { ErrorShape } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';

/** Topic names are short words of ours: `announce/sync`, `mpc`. */
const topic = z.string().min(1).max(64);
/** A view into the decoded frame, which is a copy of the received bytes already. */
const body = z.instanceof(Uint8Array);
const seq = z.int().min(1);
const instance = field.bytes(16);

const helloSchema = z.strictObject({
  kind: z.literal('hello'),
  v: z.literal(1),
  /** Durable boot counter of the sender. */
  boot: field.uint,
  /** Random per run: tells two processes with one identity apart. */
  instance,
  /** The last sequence number received from that run of the reader; an acknowledgement. */
  got: z.strictObject({ instance, seq: field.uint }).nullable(),
});

const errorSchema = z.strictObject({
  code: z.string().max(64),
  message: z.string().max(2_048),
  why: z.string().max(2_048).optional(),
  try: z.string().max(2_048).optional(),
  details: z.record(z.string().max(64), z.unknown()).optional(),
});

const frameSchema = z.discriminatedUnion('kind', [
  helloSchema,
  z.strictObject({ kind: z.literal('ack'), seq }),
  z.strictObject({
    kind: z.literal('note'),
    topic,
    body: body.refine((b) => b.length <= LIMITS.noteBytes, { message: 'too large for a note' }),
  }),
  z.strictObject({ kind: z.literal('msg'), seq, topic, body }),
  z.strictObject({ kind: z.literal('request'), seq, id: field.uint, topic, body }),
  z.strictObject({ kind: z.literal('response'), seq, id: field.uint, body }),
  z.strictObject({ kind: z.literal('error'), seq, id: field.uint, error: errorSchema }),
]);

/** What opens a stream, from both sides. */
export interface Hello {
  readonly kind: 'hello';
  readonly v: 1;
  readonly boot: number;
  readonly instance: Uint8Array;
  readonly got: { readonly instance: Uint8Array; readonly seq: number } | null;
}

/** What a frame carries, before it gets its number. */
export type Payload =
  | { readonly kind: 'msg'; readonly topic: string; readonly body: Uint8Array }
  | {
      readonly kind: 'request';
      readonly id: number;
      readonly topic: string;
      readonly body: Uint8Array;
    }
  | { readonly kind: 'response'; readonly id: number; readonly body: Uint8Array }
  | { readonly kind: 'error'; readonly id: number; readonly error: ErrorShape };

/** A numbered payload. */
export type DataFrame = Payload & { readonly seq: number };

/** Not numbered, not acknowledged, not repeated. */
export interface Note {
  readonly kind: 'note';
  readonly topic: string;
  readonly body: Uint8Array;
}

export type Frame = Hello | DataFrame | Note | { readonly kind: 'ack'; readonly seq: number };

export const encodeDirectFrame = (frame: Frame): Uint8Array => encode(frame);

/** @throws BAD_MESSAGE. */
export const decodeDirectFrame = (bytes: Uint8Array): Frame =>
  decode('direct frame', frameSchema, bytes, LIMITS.directFrameBytes) as Frame;

/** Bytes a payload occupies while it waits, near enough for a bound. */
export const sizeOf = (payload: Payload): number =>
  128 + ('body' in payload ? payload.body.length : 1_024);
