/**
 * One step of the roster chain: a body, and the signatures that make it count.
 *
 * The hash covers the body alone, because different majorities may sign the same step; the chain
 * links bodies, and whoever checks an entry needs one valid set of signatures, no matter which.
 * @module
 */
import { z } from 'zod';
import type { ClusterId, Epoch, PeerId, Term } from '../base/brands.ts';
import { compareText, equalBytes, fromHex, taggedHash } from '../base/bytes.ts';
import { check, decode, encode, field } from '../base/codec.ts';
import { openEnvelope } from '../base/envelope.ts';
import { assert, BzzzError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Signer } from '../base/ports.ts';
import { rosterField } from './fields.ts';
import type { Role } from './types.ts';

/** What one entry changes: one member or one voter, never more (Schultz et al. 2021, §3). */
export type Change =
  | {
      readonly kind: 'admit';
      readonly peer: PeerId;
      readonly role: Role;
      readonly noVoter: boolean;
      readonly name?: string;
    }
  | { readonly kind: 'remove'; readonly peer: PeerId; readonly reason: 'removed' | 'left' }
  | { readonly kind: 'promote'; readonly peer: PeerId }
  | { readonly kind: 'demote'; readonly peer: PeerId };

/** What the voters sign. */
export interface EntryBody {
  readonly v: 1;
  /** Counts from 1; the genesis is epoch 0. */
  readonly epoch: Epoch;
  readonly term: Term;
  /** Hash of the entry before, or of the genesis. */
  readonly prev: Uint8Array;
  readonly change: Change;
  /** 16 bytes; only with `admit`, and in one entry of a chain at most. */
  readonly invitationId?: Uint8Array;
  /** Proposer's wall clock in ms; for display only. */
  readonly time: number;
}

/** A decoded entry. Its signatures are not checked until {@link verifyCertified}. */
export interface Entry {
  readonly body: EntryBody;
  readonly bodyBytes: Uint8Array;
  readonly hash: Uint8Array;
  /** Envelopes around `hash`, in order of the signers' peer ids. */
  readonly signatures: readonly Uint8Array[];
  readonly bytes: Uint8Array;
}

const changeSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('admit'),
    peer: rosterField.peerId,
    role: rosterField.role,
    noVoter: z.boolean(),
    name: rosterField.memberName.exactOptional(),
  }),
  z.strictObject({
    kind: z.literal('remove'),
    peer: rosterField.peerId,
    reason: z.enum(['removed', 'left']),
  }),
  z.strictObject({ kind: z.literal('promote'), peer: rosterField.peerId }),
  z.strictObject({ kind: z.literal('demote'), peer: rosterField.peerId }),
]);

const bodySchema = z
  .strictObject({
    v: z.literal(1),
    epoch: field.epoch.refine((epoch) => epoch >= 1, { message: 'expected at least 1' }),
    term: field.term,
    prev: rosterField.hash,
    change: changeSchema,
    invitationId: rosterField.invitationId.exactOptional(),
    time: rosterField.wallMs,
  })
  .refine((body) => body.invitationId === undefined || body.change.kind === 'admit', {
    message: 'only an admission uses an invitation',
  });

const ENVELOPE_BYTES = 512;

const entrySchema = z.strictObject({
  v: z.literal(1),
  body: field.bytesUpTo(LIMITS.rosterEntryBytes),
  signatures: z.array(field.bytesUpTo(ENVELOPE_BYTES)).min(1).max(LIMITS.parties),
});

const signatureDomain = (clusterId: ClusterId): string => `bzzz/${clusterId}/roster-entry/1`;

/** Hash of an entry's body: what `prev` names and what voters sign. */
function entryHash(clusterId: ClusterId, bodyBytes: Uint8Array): Uint8Array {
  const cluster = fromHex(clusterId);
  assert(cluster !== undefined, 'a cluster id is hex');
  return taggedHash('bzzz/roster-entry/1', cluster, bodyBytes);
}

/** One voter's signature over a body. @throws BAD_MESSAGE: the body is not of the schema. */
export function signBody(clusterId: ClusterId, signer: Signer, body: EntryBody): Uint8Array {
  const bytes = encode(check('roster entry body', bodySchema, body));
  return signer.seal(signatureDomain(clusterId), entryHash(clusterId, bytes));
}

/**
 * Puts a body and the signatures gathered for it together; sorts them.
 * @throws BAD_MESSAGE: the body is not of the schema, or a signature is not valid.
 */
export function assembleEntry(
  clusterId: ClusterId,
  body: EntryBody,
  signatures: readonly Uint8Array[],
): Entry {
  const sorted = signatures
    .map((bytes) => ({ bytes, by: openEnvelope(signatureDomain(clusterId), bytes).signer }))
    .sort((a, b) => compareText(a.by, b.by))
    .map((signature) => signature.bytes);
  const bodyBytes = encode(check('roster entry body', bodySchema, body));
  return decodeEntry(clusterId, encode({ v: 1, body: bodyBytes, signatures: sorted }));
}

/** Form only: see {@link verifyCertified}. @throws BAD_MESSAGE. */
export function decodeEntry(clusterId: ClusterId, bytes: Uint8Array): Entry {
  const outer = decode('roster entry', entrySchema, bytes, LIMITS.rosterEntryBytes);
  const bodyBytes = outer.body;
  const body = decode('roster entry body', bodySchema, bodyBytes, LIMITS.rosterEntryBytes);
  const hash = entryHash(clusterId, bodyBytes);
  return { body, bodyBytes, hash, signatures: outer.signatures, bytes: new Uint8Array(bytes) };
}

/** How many of `voters` must sign. */
export const majority = (voters: number): number => Math.floor(voters / 2) + 1;

/**
 * The one rule of certification: signed by a majority of `voters`, the voters of the epoch before,
 * by nobody else, by nobody twice.
 * @returns the signers, sorted.
 * @throws BAD_MESSAGE: too few, foreign, repeated, unsorted or invalid signatures.
 */
export function verifyCertified(
  clusterId: ClusterId,
  entry: Entry,
  voters: readonly PeerId[],
): readonly PeerId[] {
  const what = `roster entry ${entry.body.epoch}`;
  const signers: PeerId[] = [];
  for (const signature of entry.signatures) {
    const { signer, payload } = openEnvelope(signatureDomain(clusterId), signature);
    const before = signers.at(-1);
    if (!equalBytes(payload, entry.hash)) fail(`${what}: a signature is for another body`);
    if (!voters.includes(signer)) fail(`${what}: signed by ${signer}, which was not a voter`);
    // Ascending order also rules out repetition, and makes the bytes of a set of signers unique.
    if (before !== undefined && compareText(before, signer) >= 0) {
      fail(`${what}: signatures are not sorted and distinct`);
    }
    signers.push(signer);
  }
  const need = majority(voters.length);
  if (signers.length < need) fail(`${what}: ${signers.length} signatures, ${need} needed`);
  return signers;
}

function fail(message: string): never {
  throw new BzzzError('BAD_MESSAGE', message);
}
