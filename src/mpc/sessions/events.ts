/**
 * Session events: what each author says happened to a session, signed, in one hash chain per
 * (session, author).
 *
 * Nobody's word alone ends a session for somebody else: the state of an author is what its own
 * chain says; that a session *completed* needs evidence (a certificate, a verifying signature),
 * which the fold gets as a fact of its own.
 * @module
 */
import { z } from 'zod';
import type { ClusterId, KeyId, SessionId } from '../../base/brands.ts';
import { compareBytes, equalBytes, sha256, toHex } from '../../base/bytes.ts';
import { decode, encode, field } from '../../base/codec.ts';
import { type Opened, openEnvelope } from '../../base/envelope.ts';
import { BzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Signer } from '../../base/ports.ts';

/** What an author can say. */
export const EVENT_KINDS = [
  /** The proposer: here it is. */
  'proposed',
  'joined',
  /** Will not, or no longer, take part. */
  'refused',
  'started',
  /** Something worth telling, see `data.what`; changes no state. */
  'note',
  'completed',
  'failed',
  'expired',
  'cancelled',
] as const;
export type EventKind = (typeof EVENT_KINDS)[number];

const dataSchema = z.strictObject({
  what: field.text(64).optional(),
  code: field.text(64).optional(),
  message: field.text(512).optional(),
  attempt: field.uint.optional(),
  keyId: field.hash<KeyId>().optional(),
  culprits: z.array(field.peerId).max(LIMITS.parties).readonly().optional(),
  silent: z.array(field.peerId).max(LIMITS.parties).readonly().optional(),
});
/** What an event can carry: names and numbers, never a message, a share or a nonce. */
export type EventData = Readonly<z.infer<typeof dataSchema>>;

const eventSchema = z.strictObject({
  v: z.literal(1),
  sid: field.hash<SessionId>(),
  author: field.peerId,
  /** Counts from 1 without a gap. */
  seq: z.int().min(1).max(LIMITS.sessionEventsPerAuthor),
  /** SHA-256 of the payload before; null for the first. */
  prev: field.bytes(32).nullable(),
  kind: z.enum(EVENT_KINDS),
  /** The author's wall clock, for display only. */
  timeMs: field.uint,
  data: dataSchema,
});
/** The payload of an event. */
export type SessionEvent = Readonly<z.infer<typeof eventSchema>>;

/** An event whose seal and form hold. */
export interface OpenedEvent {
  readonly event: SessionEvent;
  /** SHA-256 of the payload: what the next event names as `prev`. */
  readonly hash: Uint8Array;
  readonly envelope: Uint8Array;
}

const EVENT_BYTES = 4_096;

/** Signature domain of session events of one cluster. */
export const eventDomain = (clusterId: ClusterId): string => `bzzz/${clusterId}/session-event/1`;

/** Signs the next event of this author's chain. @param before its newest event, if any. */
export function sealEvent(
  clusterId: ClusterId,
  signer: Signer,
  sid: SessionId,
  before: OpenedEvent | undefined,
  said: { readonly kind: EventKind; readonly timeMs: number; readonly data: EventData },
): OpenedEvent {
  const event: SessionEvent = {
    v: 1,
    sid,
    author: signer.peerId,
    seq: (before?.event.seq ?? 0) + 1,
    prev: before === undefined ? null : new Uint8Array(before.hash),
    ...said,
  };
  const payload = encode(event);
  const envelope = signer.seal(eventDomain(clusterId), payload);
  return { event, hash: sha256(payload), envelope };
}

/** @throws BAD_MESSAGE: size, seal, form, or an author that is not the signer. */
export function openEvent(
  envelope: Uint8Array,
  clusterId: ClusterId,
  open: (domain: string, envelope: Uint8Array) => Opened = openEnvelope,
): OpenedEvent {
  if (envelope.length > EVENT_BYTES) {
    throw new BzzzError('BAD_MESSAGE', `session event: ${envelope.length} bytes`);
  }
  const { signer, payload } = open(eventDomain(clusterId), envelope);
  const event = decode('session event', eventSchema, payload, EVENT_BYTES);
  if (event.author !== signer) {
    throw new BzzzError('BAD_MESSAGE', `session event of ${event.author} signed by ${signer}`);
  }
  return { event, hash: sha256(payload), envelope: new Uint8Array(envelope) };
}

/** What is known of one author's chain, in whatever order it came. */
export type Chain = ReadonlyMap<number, readonly OpenedEvent[]>;

/**
 * Adds an event. At most two per place are kept: two are the proof that the author forked its
 * chain, and a third proves no more.
 * @returns the same chain when the event is known or one too many.
 */
export function addToChain(chain: Chain, opened: OpenedEvent): Chain {
  const { seq } = opened.event;
  const here = chain.get(seq) ?? [];
  if (here.length >= 2 || here.some(({ hash }) => equalBytes(hash, opened.hash))) return chain;
  const both = [...here, opened].sort((a, b) => compareBytes(a.hash, b.hash));
  return new Map(chain).set(seq, both);
}

/** The unbroken, unforked beginning of a chain. */
export function chainPrefix(chain: Chain): readonly OpenedEvent[] {
  const prefix: OpenedEvent[] = [];
  for (let seq = 1; ; seq++) {
    const here = chain.get(seq) ?? [];
    const [next] = here;
    if (next === undefined || here.length > 1) return prefix;
    const before = prefix.at(-1);
    const { prev } = next.event;
    const linked =
      before === undefined ? prev === null : prev !== null && equalBytes(prev, before.hash);
    if (!linked) return prefix;
    prefix.push(next);
  }
}

/** Whether the author signed two events for one place. */
export const isForked = (chain: Chain): boolean => [...chain.values()].some((e) => e.length > 1);

/**
 * What the author's next event follows. In a forked chain that is the newest: the place behind the
 * unforked beginning may have no room for a third, and an end that is said late still counts.
 */
export function lastOf(chain: Chain): OpenedEvent | undefined {
  return isForked(chain) ? chain.get(Math.max(...chain.keys()))?.[0] : chainPrefix(chain).at(-1);
}

/** Short name of an event for a storage key. */
export const eventKey = ({ event, hash }: OpenedEvent): string =>
  `${event.author}/${String(event.seq).padStart(4, '0')}/${toHex(hash.subarray(0, 8))}`;
