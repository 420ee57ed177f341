/**
 * What nodes say to each other about jobs. Every message is a request with an answer, and every act
 * of a leader carries its term, which the receiver fences.
 *
 * | topic         | from, to         | body -> answer                                           |
 * | ------------- | ---------------- | -------------------------------------------------------- |
 * | `jobs/submit` | anybody, leader  | a job -> the job as it stands, kept by a majority        |
 * | `jobs/begin`  | owner, leader    | attempts -> those that it may begin now                  |
 * | `jobs/ended`  | owner, leader    | ended attempts -> those it need not report again         |
 * | `jobs/assign` | leader, owner    | jobs -> ids for which it has no executor                 |
 * | `jobs/ask`    | leader, owner    | attempts -> what it has of them                          |
 * | `jobs/state`  | leader, voter    | term -> the newest manifest that it holds                |
 * | `jobs/chunk`  | leader, voter    | term, hashes -> the chunks of these that it holds        |
 * | `jobs/store`  | leader, voter    | manifest, chunks -> hashes that are still missing        |
 * @module
 */
import { z } from 'zod';
import { decode, encode, field } from '../../base/codec.ts';
import { LIMITS } from '../../base/limits.ts';
import { MANIFEST_BYTES } from './snapshot.ts';
import { JOB_STATES, type JobDocument, jobField } from './types.ts';

export const TOPICS = {
  submit: 'jobs/submit',
  begin: 'jobs/begin',
  ended: 'jobs/ended',
  assign: 'jobs/assign',
  ask: 'jobs/ask',
  state: 'jobs/state',
  chunk: 'jobs/chunk',
  store: 'jobs/store',
} as const;

/** Named in one message. */
const MANY = LIMITS.jobsPerOwner;
const SMALL = 262_144;
const LARGE = LIMITS.directFrameBytes;
/** Chunks in one message: at least one, and together at most `LIMITS.snapshotFrameBytes`. */
export const CHUNKS_PER_FRAME = LIMITS.snapshotFrameBytes / LIMITS.snapshotChunkBytes;

const attempt = z.strictObject({ id: jobField.id, attempt: jobField.attempt }).readonly();
const ids = z.array(jobField.id).max(MANY).readonly();
const hash: z.ZodType<Uint8Array> = field.bytes(32);
const hashes = (max: number) => z.array(hash).max(max).readonly();
const chunk: z.ZodType<Uint8Array> = field.bytesUpTo(LIMITS.snapshotChunkBytes);
const chunks = z.array(chunk).max(CHUNKS_PER_FRAME).readonly();
const manifest: z.ZodType<Uint8Array> = field.bytesUpTo(MANIFEST_BYTES);

/** One run of one job, by name. */
export type AttemptRef = z.infer<typeof attempt>;

const given = z
  .strictObject({
    id: jobField.id,
    kind: jobField.kind,
    subject: jobField.subject,
    attempt: jobField.attempt,
  })
  .readonly();
/** A job as its owner gets it. */
export type GivenJob = z.infer<typeof given>;

const report = z
  .strictObject({
    id: jobField.id,
    attempt: jobField.attempt,
    outcome: z.enum(['done', 'failed', 'lost']),
    text: jobField.result,
  })
  .readonly();
/** How an attempt ended. */
export type Report = z.infer<typeof report>;

const held = z
  .strictObject({
    id: jobField.id,
    /** `none` also when it has another attempt than the one asked for. */
    state: z.enum(['none', 'waiting', 'running', 'ended']),
    /** With `ended` only. */
    report: report.nullable(),
  })
  .readonly();
/** What an owner has of an attempt. */
export type HeldJob = z.infer<typeof held>;

const document: z.ZodType<JobDocument> = z.strictObject({
  id: jobField.id,
  kind: jobField.kind,
  subject: jobField.subject,
  state: z.enum(JOB_STATES),
  owner: field.peerId.nullable(),
  term: field.uint,
  attempt: jobField.attempt,
  createdAt: field.text(32),
  endedAt: field.text(32).nullable(),
  result: jobField.result.nullable(),
});

/** The two directions of a message kind. */
const message = <T>(what: string, schema: z.ZodType<T>, maxBytes: number) => ({
  encode: (body: T): Uint8Array => encode(body),
  decode: (bytes: Uint8Array): T => decode(what, schema, bytes, maxBytes),
});

const termed = { v: z.literal(1), term: field.term };

/** Encoders and decoders. @throws BAD_MESSAGE on what is no such message. */
export const wire = {
  submit: message(
    'job submission',
    z.strictObject({
      ...termed,
      id: jobField.id,
      kind: jobField.kind,
      subject: jobField.subject,
    }),
    SMALL,
  ),
  submitted: message('job', z.strictObject({ v: z.literal(1), job: document }), SMALL),

  begin: message(
    'begin request',
    z.strictObject({ ...termed, jobs: z.array(attempt).max(MANY).readonly() }),
    SMALL,
  ),
  granted: message('begin answer', z.strictObject({ v: z.literal(1), granted: ids }), SMALL),

  ended: message(
    'job report',
    z.strictObject({ ...termed, reports: z.array(report).max(MANY).readonly() }),
    SMALL,
  ),
  settled: message('report answer', z.strictObject({ v: z.literal(1), settled: ids }), SMALL),

  assign: message(
    'job assignment',
    z.strictObject({ ...termed, jobs: z.array(given).max(MANY).readonly() }),
    SMALL,
  ),
  unfit: message('assignment answer', z.strictObject({ v: z.literal(1), unfit: ids }), SMALL),

  ask: message(
    'job question',
    z.strictObject({ ...termed, jobs: z.array(attempt).max(MANY).readonly() }),
    SMALL,
  ),
  held: message(
    'job answer',
    z.strictObject({ v: z.literal(1), jobs: z.array(held).max(MANY).readonly() }),
    SMALL,
  ),

  state: message('state question', z.strictObject(termed), SMALL),
  manifest: message(
    'state answer',
    z.strictObject({
      v: z.literal(1),
      manifest: manifest.nullable(),
    }),
    LARGE,
  ),

  chunk: message(
    'chunk request',
    z.strictObject({ ...termed, hashes: hashes(CHUNKS_PER_FRAME) }),
    SMALL,
  ),
  chunks: message('chunks', z.strictObject({ v: z.literal(1), chunks }), LARGE),

  store: message('snapshot', z.strictObject({ ...termed, manifest, chunks }), LARGE),
  missing: message(
    'snapshot answer',
    z.strictObject({ v: z.literal(1), missing: hashes(LIMITS.snapshotChunks) }),
    SMALL,
  ),
} as const;
