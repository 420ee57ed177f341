/**
 * One step of the roster chain: a body, and the signatures that make it count.
 *
 * The hash covers the body alone, because different majorities may sign the same step; the chain
 * links bodies, and whoever checks an entry needs one valid set of signatures, no matter which.
 *
 * Each epoch is one single-decree Paxos instance (Lamport 2001) whose acceptors are the voters of
 * the epoch before. The *ballot* is the term of the leader that proposed the body to them; a later
 * leader that takes the body over proposes the same body under its own, higher term. A signature
 * covers hash and ballot, and an entry carries signatures of one ballot only: acceptances under
 * different ballots do not add up to a choice.
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

/**
 * What one entry changes: one member or one voter, never more (Schultz et al. 2021, §3). Only a
 * recovery replaces all voters at once; it is no step of the protocol but an operator's decision.
 */
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
  | { readonly kind: 'demote'; readonly peer: PeerId }
  | RecoverChange;

/** `bzzz roster recover`: these members are the voters from here on; see recovery.ts. */
export interface RecoverChange {
  readonly kind: 'recover';
  /** Sorted by peer id, distinct. All of them must sign. */
  readonly voters: readonly PeerId[];
}

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
  /** Term in which the signatures were given; at least `body.term`. */
  readonly ballot: Term;
  /** Envelopes around hash and ballot, in order of the signers' peer ids. */
  readonly signatures: readonly Uint8Array[];
  readonly bytes: Uint8Array;
}

/** Of a {@link Change}, for messages that carry one. */
export const changeSchema = z.discriminatedUnion('kind', [
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
  z.strictObject({
    kind: z.literal('recover'),
    voters: z
      .array(rosterField.peerId)
      .min(1)
      .max(LIMITS.parties)
      .refine(isAscending, { message: 'expected sorted and distinct peers' }),
  }),
]);

/** Of an {@link EntryBody}, for messages and records that carry one. */
export const bodySchema = z
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
const STATEMENT_BYTES = 64;

const entrySchema = z.strictObject({
  v: z.literal(1),
  body: field.bytesUpTo(LIMITS.rosterEntryBytes),
  ballot: field.term,
  signatures: z.array(field.bytesUpTo(ENVELOPE_BYTES)).min(1).max(LIMITS.parties),
});

/** What a signature says. */
const statementSchema = z.strictObject({ hash: rosterField.hash, ballot: field.term });

const signatureDomain = (clusterId: ClusterId): string => `bzzz/${clusterId}/roster-entry/1`;

const encodeBody = (body: EntryBody): Uint8Array =>
  encode(check('roster entry body', bodySchema, body));

/** Hash of an entry's encoded body: what `prev` names and what voters sign. */
function hashBytes(clusterId: ClusterId, bodyBytes: Uint8Array): Uint8Array {
  const cluster = fromHex(clusterId);
  assert(cluster !== undefined, 'a cluster id is hex');
  return taggedHash('bzzz/roster-entry/1', cluster, bodyBytes);
}

/**
 * The hash that an entry with this body has, whatever its ballot and its signatures: 32 bytes.
 * @throws BAD_MESSAGE: the body is not of the schema.
 */
export const hashBody = (clusterId: ClusterId, body: EntryBody): Uint8Array =>
  hashBytes(clusterId, encodeBody(body));

/**
 * One voter's signature over a body under a ballot. Whether it may be given is for the caller to
 * know: at most one body per (epoch, ballot), and none below the voter's term.
 * @throws BAD_MESSAGE: the body is not of the schema.
 */
export function signBody(
  clusterId: ClusterId,
  signer: Signer,
  body: EntryBody,
  ballot: Term,
): Uint8Array {
  const statement = encode({ hash: hashBody(clusterId, body), ballot });
  return signer.seal(signatureDomain(clusterId), statement);
}

/**
 * @returns who signed exactly this body under exactly this ballot; a voter or not.
 * @throws BAD_MESSAGE: no signature, or one over something else.
 */
export const openSignature = (
  clusterId: ClusterId,
  body: EntryBody,
  ballot: Term,
  bytes: Uint8Array,
): PeerId => openOver(clusterId, hashBody(clusterId, body), ballot, bytes);

function openOver(clusterId: ClusterId, hash: Uint8Array, ballot: Term, bytes: Uint8Array): PeerId {
  const { signer, payload } = openEnvelope(signatureDomain(clusterId), bytes);
  const signed = decode('roster signature', statementSchema, payload, STATEMENT_BYTES);
  if (!equalBytes(signed.hash, hash)) fail(`the signature of ${signer} is for another body`);
  if (signed.ballot !== ballot) {
    fail(`the signature of ${signer} is for ballot ${signed.ballot}, not ${ballot}`);
  }
  return signer;
}

/**
 * Puts a body and the signatures gathered for it under one ballot together; sorts them. Whether
 * they suffice, {@link verifyCertified} says.
 * @throws BAD_MESSAGE: the body is not of the schema, or a signature is no valid envelope.
 */
export function assembleEntry(
  clusterId: ClusterId,
  body: EntryBody,
  ballot: Term,
  signatures: readonly Uint8Array[],
): Entry {
  const sorted = signatures
    .map((bytes) => ({ bytes, by: openEnvelope(signatureDomain(clusterId), bytes).signer }))
    .sort((a, b) => compareText(a.by, b.by))
    .map((signature) => signature.bytes);
  const outer = { v: 1, body: encodeBody(body), ballot, signatures: sorted };
  return decodeEntry(clusterId, encode(outer));
}

/** Form only: see {@link verifyCertified}. @throws BAD_MESSAGE. */
export function decodeEntry(clusterId: ClusterId, bytes: Uint8Array): Entry {
  const outer = decode('roster entry', entrySchema, bytes, LIMITS.rosterEntryBytes);
  const { body: bodyBytes, ballot, signatures } = outer;
  const body = decode('roster entry body', bodySchema, bodyBytes, LIMITS.rosterEntryBytes);
  const hash = hashBytes(clusterId, bodyBytes);
  return { body, bodyBytes, hash, ballot, signatures, bytes: new Uint8Array(bytes) };
}

/** How many of `voters` must sign. */
export const majority = (voters: number): number => Math.floor(voters / 2) + 1;

/**
 * The one rule of certification: signed under one ballot, which is at least the body's term, by a
 * majority of `voters`, the voters of the epoch before; by nobody else, by nobody twice. A recovery
 * is signed by all the voters that it names instead, under the body's own term.
 * @returns the signers, sorted.
 * @throws BAD_MESSAGE: too few, foreign, repeated, unsorted or invalid signatures.
 */
export function verifyCertified(
  clusterId: ClusterId,
  entry: Entry,
  voters: readonly PeerId[],
): readonly PeerId[] {
  const { body, ballot, hash } = entry;
  const what = `roster entry ${body.epoch}`;
  const recovery = body.change.kind === 'recover' ? body.change : undefined;
  if (ballot < body.term || (recovery !== undefined && ballot !== body.term)) {
    fail(`${what}: ballot ${ballot} does not fit term ${body.term}`);
  }
  const entitled = recovery?.voters ?? voters;
  const signers: PeerId[] = [];
  for (const signature of entry.signatures) {
    const signer = openOver(clusterId, hash, ballot, signature);
    const before = signers.at(-1);
    if (!entitled.includes(signer)) fail(`${what}: signed by ${signer}, which was not a voter`);
    // Ascending order also rules out repetition, and makes the bytes of a set of signers unique.
    if (before !== undefined && compareText(before, signer) >= 0) {
      fail(`${what}: signatures are not sorted and distinct`);
    }
    signers.push(signer);
  }
  const need = recovery === undefined ? majority(voters.length) : recovery.voters.length;
  if (signers.length < need) fail(`${what}: ${signers.length} signatures, ${need} needed`);
  return signers;
}

function isAscending(peers: readonly PeerId[]): boolean {
  return peers.every((peer, i) => i === 0 || compareText(peers[i - 1] ?? '', peer) < 0);
}

function fail(message: string): never {
  throw new BzzzError('BAD_MESSAGE', message);
}
