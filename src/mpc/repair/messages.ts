/**
 * What members say to each other while they rebuild a share. Each message is a signed envelope
 * whose domain names cluster and kind, and whose payload names the session.
 * @module
 */
import { z } from 'zod';
import type { ClusterId, PeerId, SessionId } from '../../base/brands.ts';
import { decode, encode, field } from '../../base/codec.ts';
import type { Opened } from '../../base/envelope.ts';
import { BzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Signer } from '../../base/ports.ts';

interface Head {
  readonly v: 1;
  readonly sid: SessionId;
}

/** One helper's part for another helper. */
export interface Delta extends Head {
  /** Index of the helper that it is for. */
  readonly to: number;
  readonly part: Uint8Array;
}

/** The sum of what a helper got; for the loser alone. */
export interface Sigma extends Head {
  readonly part: Uint8Array;
}

/** "My share is on the disk again, and it is the one of the certificate." */
export type Done = Head;

export const REPAIR_REFUSALS = [
  /** `evidence` is a delta or sigma that is no scalar. */
  'bad-part',
  /** The parts are scalars and not the share. */
  'mismatch',
  'deadline',
  'disk',
  'cancelled',
] as const;
export type RepairRefusal = (typeof REPAIR_REFUSALS)[number];

/** Ends the session for all. */
export interface Refusal extends Head {
  readonly reason: RepairRefusal;
  /** The signed message that proves a bad part. */
  readonly evidence: Uint8Array | null;
}

/** The kinds and their payloads. */
export interface Payloads {
  readonly delta: Delta;
  readonly sigma: Sigma;
  readonly done: Done;
  readonly refusal: Refusal;
}
export type RepairKind = keyof Payloads;

const KINDS = ['delta', 'sigma', 'done', 'refusal'] as const;
const MESSAGE_BYTES = 8_192;
const head = { v: z.literal(1), sid: field.hash<SessionId>() };
/** Longer than any scalar: what cannot be read cannot be blamed. */
const part = field.bytesUpTo(96);
const envelope = field.bytesUpTo(MESSAGE_BYTES);

const schemas: { readonly [K in RepairKind]: z.ZodType<Payloads[K]> } = {
  delta: z.strictObject({ ...head, to: z.int().min(1).max(LIMITS.parties), part }),
  sigma: z.strictObject({ ...head, part }),
  done: z.strictObject(head),
  refusal: z.strictObject({
    ...head,
    reason: z.enum(REPAIR_REFUSALS),
    evidence: field.bytesUpTo(MESSAGE_BYTES / 2).nullable(),
  }),
};
const packetSchema = z.strictObject({ kind: z.enum(KINDS), body: envelope });

/** Signature domain of one kind of message in one cluster. */
export const repairDomain = (clusterId: ClusterId, kind: RepairKind): string =>
  `bzzz/${clusterId}/repair/${kind}/1`;

/** A message that its author signed. */
export interface Said<K extends RepairKind> {
  readonly author: PeerId;
  readonly payload: Payloads[K];
  readonly envelope: Uint8Array;
}

/** What a session opens its messages with. */
export interface OpenDeps {
  readonly clusterId: ClusterId;
  readonly open: (domain: string, envelope: Uint8Array) => Opened;
}

/** Signs a message and wraps it for the way. */
export const sealRepair = <K extends RepairKind>(
  { clusterId, signer }: { readonly clusterId: ClusterId; readonly signer: Signer },
  kind: K,
  payload: Payloads[K],
): Uint8Array =>
  encode({ kind, body: signer.seal(repairDomain(clusterId, kind), encode(payload)) });

/** @throws BAD_MESSAGE: no packet of a repair. */
export const unpackRepair = (
  packet: Uint8Array,
): { readonly kind: RepairKind; readonly body: Uint8Array } =>
  decode('repair packet', packetSchema, packet, 2 * MESSAGE_BYTES);

/** Opens an envelope as one kind. @throws BAD_MESSAGE: signature, domain, form, other session. */
export function openRepair<K extends RepairKind>(
  { clusterId, open }: OpenDeps,
  sid: SessionId,
  kind: K,
  bytes: Uint8Array,
): Said<K> {
  const { signer, payload } = open(repairDomain(clusterId, kind), bytes);
  const read = decode(`repair ${kind}`, schemas[kind], payload, MESSAGE_BYTES);
  if ((read satisfies Head).sid !== sid) {
    throw new BzzzError('BAD_MESSAGE', `repair ${kind} of another session`);
  }
  return { author: signer, payload: read, envelope: bytes };
}
