/**
 * What the parties of a key generation say to each other.
 *
 * A *packet* is what travels: the kind and a body. The body is a signed envelope, whose domain
 * names cluster and kind, so no message can pass for one of another kind or cluster; its payload
 * names the session. Only a certificate travels bare, because it proves itself. Who speaks follows
 * from the envelope's signer and the proposal, never from a field: packets may be passed on.
 *
 * Points and scalars are bounded here and judged by the suite: a bad one must be blamed, and only
 * what can be read can be blamed.
 * @module
 */
import { z } from 'zod';
import type { ClusterId, KeyId, PeerId, SessionId } from '../../base/brands.ts';
import { decode, encode, field } from '../../base/codec.ts';
import type { Opened } from '../../base/envelope.ts';
import { BzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Signer } from '../../base/ports.ts';
import type { DkgPublic, DkgRound1 } from '../suites/types.ts';

interface Head {
  readonly v: 1;
  readonly sid: SessionId;
}

/** First round: the dealer's commitments and its proof; empty where nothing is to be proven. */
export interface Round1 extends Head, DkgRound1 {}

/** The sender's view of the whole first round: hashes of all payloads, in index order. */
export interface Echo extends Head {
  readonly hashes: readonly Uint8Array[];
}

/** Second round, to one receiver only: the dealer's polynomial at the receiver's index. */
export interface Round2 extends Head {
  readonly receiver: number;
  readonly subshare: Uint8Array;
}

/** "My share of this key is on the disk." Equal bytes from all n parties make the certificate. */
export interface Statement extends Head, DkgPublic {
  readonly keyId: KeyId;
  /** Hash over the first round that all parties saw alike. */
  readonly transcript: Uint8Array;
}

/** What a complaint can prove, and the envelopes that prove it. */
export const COMPLAINTS = [
  /** [round1]: commitments or proof do not hold. */
  'round1',
  /** [round1, round2 to the accuser]: the subshare is not on the polynomial. */
  'subshare',
  /** Two different [round1, round1], [echo, echo], [statement, statement] of one author. */
  'two-round1',
  'two-echo',
  'two-statement',
  /** [statement]: not the outcome of the first round that all parties echoed. */
  'statement',
] as const;
export type ComplaintKind = (typeof COMPLAINTS)[number];

/** Carries its own evidence: who reads it judges alone, against the accused or the accuser. */
export interface Complaint extends Head {
  readonly accused: number;
  readonly kind: ComplaintKind;
  readonly evidence: readonly Uint8Array[];
}

/** Why a party will never attest. */
export const REFUSALS = [
  'restarted',
  'deadline',
  'culprit',
  'peer-refused',
  'cancelled',
  'withdrawn',
  'disk',
  'internal',
] as const;
export type RefusalReason = (typeof REFUSALS)[number];

/** "I never attested and never will": durable before it is said. */
export interface Refusal extends Head {
  readonly reason: RefusalReason;
  /** The complaint that made the party refuse, so that whoever hears the refusal can judge it. */
  readonly complaint: Uint8Array | null;
}

/** Asks a party where it stands; carries the proposal for one that has forgotten the session. */
export interface Inquiry extends Head {
  readonly proposal: Uint8Array;
}

/** The signed kinds and their payloads. */
export interface Payloads {
  readonly round1: Round1;
  readonly echo: Echo;
  readonly round2: Round2;
  readonly statement: Statement;
  readonly complaint: Complaint;
  readonly refusal: Refusal;
  readonly inquiry: Inquiry;
}
export type SignedKind = keyof Payloads;

const KINDS = [
  'round1',
  'echo',
  'round2',
  'statement',
  'complaint',
  'refusal',
  'inquiry',
  'certificate',
] as const;
export type PacketKind = (typeof KINDS)[number];

/** Old and new holders of a key that is handed on. */
const SEATS = 2 * LIMITS.parties;
/** Longest encoded point or scalar that is read at all; suites use 32 and 33 bytes. */
const ELEMENT_BYTES = 96;

const head = { v: z.literal(1), sid: field.hash<SessionId>() };
const element = field.bytesUpTo(ELEMENT_BYTES);
/** One more than the most that is valid: a raised threshold must be read to be blamed. */
const elements = z.array(element).max(LIMITS.parties + 1);
const envelope = field.bytesUpTo(LIMITS.sessionMessageBytes);
const index = z.int().min(1).max(LIMITS.parties);

const schemas: { readonly [K in SignedKind]: z.ZodType<Payloads[K]> } = {
  round1: z.strictObject({ ...head, commitments: elements, proof: element }),
  echo: z.strictObject({ ...head, hashes: z.array(field.bytes(32)).max(LIMITS.parties) }),
  round2: z.strictObject({ ...head, receiver: index, subshare: element }),
  statement: z.strictObject({
    ...head,
    keyId: field.hash<KeyId>(),
    groupKey: element,
    commitments: elements,
    verifyingShares: elements,
    transcript: field.bytes(32),
  }),
  complaint: z.strictObject({
    ...head,
    accused: z.int().min(1).max(SEATS),
    kind: z.enum(COMPLAINTS),
    evidence: z.array(envelope).min(1).max(2),
  }),
  refusal: z.strictObject({
    ...head,
    reason: z.enum(REFUSALS),
    complaint: envelope.nullable(),
  }),
  inquiry: z.strictObject({ ...head, proposal: envelope }),
};

const packetSchema = z.strictObject({ kind: z.enum(KINDS), body: envelope });

/** Signature domain of one kind of message in one cluster. */
export const keygenDomain = (clusterId: ClusterId, kind: SignedKind): string =>
  `bzzz/${clusterId}/keygen/${kind}/1`;

/** @returns the signed envelope of one message. */
export const sealMessage = <K extends SignedKind>(
  clusterId: ClusterId,
  signer: Signer,
  kind: K,
  payload: Payloads[K],
): Uint8Array => signer.seal(keygenDomain(clusterId, kind), encode(payload));

/** A message whose signature and form hold. */
export interface Said<K extends SignedKind> {
  readonly author: PeerId;
  readonly payload: Payloads[K];
  /** The signed bytes. */
  readonly bytes: Uint8Array;
  readonly envelope: Uint8Array;
}

/** Opens an envelope as one kind. @throws BAD_MESSAGE: signature, domain, form. */
export function openMessage<K extends SignedKind>(
  clusterId: ClusterId,
  open: (domain: string, envelope: Uint8Array) => Opened,
  kind: K,
  bytes: Uint8Array,
): Said<K> {
  if (bytes.length > LIMITS.sessionMessageBytes) {
    throw new BzzzError('BAD_MESSAGE', `${kind}: ${bytes.length} bytes`);
  }
  const { signer, payload } = open(keygenDomain(clusterId, kind), bytes);
  return {
    author: signer,
    payload: decode(`keygen ${kind}`, schemas[kind], payload, LIMITS.sessionMessageBytes),
    bytes: payload,
    envelope: bytes,
  };
}

/** What travels in the `envelope` field of a `send` effect and a `message` input. */
export const pack = (kind: PacketKind, body: Uint8Array): Uint8Array => encode({ kind, body });

/** @throws BAD_MESSAGE: too large, or no packet. */
export const unpack = (
  packet: Uint8Array,
): { readonly kind: PacketKind; readonly body: Uint8Array } =>
  decode('keygen packet', packetSchema, packet, LIMITS.sessionMessageBytes);
