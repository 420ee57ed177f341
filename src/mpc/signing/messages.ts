/**
 * What the parties of a signing session say to each other. Each message is one signed envelope; its
 * domain contains the cluster and its payload the session, so it means nothing anywhere else. Only
 * a result travels as it is: its record is signed already.
 *
 * No message names its own author: the envelope does. A party's index is looked up from the key by
 * that author and never read from a message.
 * @module
 */
import { z } from 'zod';
import type { ClusterId, PeerId, SessionId } from '../../base/brands.ts';
import { decode, encode, field } from '../../base/codec.ts';
import { BzzzError, ERRORS, type ErrorCode } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { MachineDeps } from '../types.ts';
import type { Refusal } from './types.ts';

/** Signature domain of the messages of signing sessions. */
export const signingDomain = (clusterId: ClusterId): string => `bzzz/${clusterId}/mpc/sign/1`;

/** An envelope inside an envelope: a commitment, a share. */
const SMALL_ENVELOPE_BYTES = 1_024;
/** A package of one commitment per party. */
const PACKAGE_BYTES = LIMITS.parties * SMALL_ENVELOPE_BYTES + SMALL_ENVELOPE_BYTES;
const REASON_CHARACTERS = 256;
const RULE_CHARACTERS = 32;

const base = { v: z.literal(1), sid: field.hash<SessionId>() };
const upTo = (max: number): z.ZodType<Uint8Array> => field.bytesUpTo(max);
const small = upTo(SMALL_ENVELOPE_BYTES);
const packaged = upTo(PACKAGE_BYTES);
const hash: z.ZodType<Uint8Array> = field.bytes(32);
/** A point or a scalar of any suite. */
const element = upTo(64);
/** Which attempt of the author: its run (boot counter) and a number within the run. */
const attempt = { boot: field.uint, counter: z.int().min(1) };

/** A commitment of a holder to one pair of its run `boot`. */
const pair = z.strictObject({
  holder: field.peerId,
  boot: field.uint,
  seq: z.int().min(1),
  hiding: element,
  binding: element,
});

const evidence = z.discriminatedUnion('fault', [
  /** A commitment with an invalid point. */
  z.strictObject({ fault: z.literal('badCommitment'), commitment: small }),
  /** A package that breaks the rules by itself. */
  z.strictObject({ fault: z.literal('badPackage'), package: packaged }),
  /** Two packages of one driver for one attempt. */
  z.strictObject({ fault: z.literal('twoPackages'), first: packaged, second: packaged }),
  /**
   * Two packages of one driver with one commitment that was exchanged ahead. The first may be of
   * another session; a driver that works as it should names each once.
   */
  z.strictObject({ fault: z.literal('twoUses'), first: packaged, second: packaged }),
  /** A share that does not fit the package it was made for. */
  z.strictObject({ fault: z.literal('badShare'), package: packaged, share: small }),
]);

const codes = Object.keys(ERRORS).filter((code): code is ErrorCode => Object.hasOwn(ERRORS, code));

const message = z.discriminatedUnion('kind', [
  /** Driver to all: commit to nonces for this attempt of mine. */
  z.strictObject({ kind: z.literal('commitRequest'), ...base, ...attempt }),
  /** Holder to driver. RFC 9591 §5.1. `holderBoot` tells the runs of the holder apart. */
  z.strictObject({
    kind: z.literal('commitment'),
    ...base,
    ...attempt,
    driver: field.peerId,
    holderBoot: field.uint,
    hiding: element,
    binding: element,
  }),
  /** Driver to the signers: their signed commitments in index order, which are the signer set. */
  z.strictObject({
    kind: z.literal('package'),
    ...base,
    ...attempt,
    commitments: z.array(small).min(1).max(LIMITS.parties).readonly(),
  }),
  /**
   * Driver to the signers: commitments that they gave it ahead, in index order. They are not signed
   * one by one: each signer knows its own, and a share acknowledges the whole package.
   */
  z.strictObject({
    kind: z.literal('pooled'),
    ...base,
    ...attempt,
    pairs: z.array(pair).min(1).max(LIMITS.parties).readonly(),
  }),
  /** Signer to a driver: I do not have the pair that your package names; go on without it. */
  z.strictObject({ kind: z.literal('spent'), ...base, ...attempt }),
  /** Signer to the signers and the driver. RFC 9591 §5.2. `attempt` is the attempt's id. */
  z.strictObject({
    kind: z.literal('share'),
    ...base,
    attempt: hash,
    share: element,
  }),
  /** Evidence against a party; whoever receives it judges for itself. */
  z.strictObject({ kind: z.literal('blame'), ...base, evidence }),
  /** Holder to all: I will not sign this. */
  z.strictObject({
    kind: z.literal('refuse'),
    ...base,
    code: z.enum(codes),
    rule: field.text(RULE_CHARACTERS).exactOptional(),
    reason: field.text(REASON_CHARACTERS).exactOptional(),
  }),
  /** Holder to driver: I work on another session of the same request first. */
  z.strictObject({ kind: z.literal('superseded'), ...base, by: field.hash<SessionId>() }),
  /** Proposer to all. */
  z.strictObject({ kind: z.literal('cancel'), ...base, reason: field.text(REASON_CHARACTERS) }),
]);

/** Proof of a fault: envelopes that the culprit itself signed. */
export type Evidence = Readonly<z.infer<typeof evidence>>;
/** What can be proven against a party. */
export type Fault = Evidence['fault'];
/** A checked message. */
export type SigningMessage = Readonly<z.infer<typeof message>>;
/** A checked message of one kind. */
export type MessageOf<K extends SigningMessage['kind']> = Extract<
  SigningMessage,
  { readonly kind: K }
>;

type WithoutBase<M> = M extends SigningMessage ? Omit<M, 'v' | 'sid'> : never;
/** A message that is a package, in either form. */
export type PackageMessage = MessageOf<'package' | 'pooled'>;
/** A message before it is bound to its session. */
export type Draftable = WithoutBase<SigningMessage>;

/** A message with its envelope, its author and the payload that was signed. */
export interface Received<M extends SigningMessage = SigningMessage> {
  readonly author: PeerId;
  readonly message: M;
  readonly envelope: Uint8Array;
  readonly payload: Uint8Array;
}

type SealDeps = Pick<MachineDeps, 'clusterId' | 'signer'>;

/** The payload that is signed for a message. */
export const messagePayload = (sid: SessionId, body: Draftable): Uint8Array =>
  encode({ v: 1, sid, ...body });

/** Signs a message for one session. */
export function sealMessage(sid: SessionId, body: Draftable, deps: SealDeps): Uint8Array {
  return deps.signer.seal(signingDomain(deps.clusterId), messagePayload(sid, body));
}

/** A refusal that is short enough for a message, and nothing else that stood beside it. */
export const shortRefusal = ({ code, rule, reason }: Refusal): Refusal => ({
  code,
  ...(rule === undefined ? {} : { rule: rule.slice(0, RULE_CHARACTERS) }),
  ...(reason === undefined ? {} : { reason: shortReason(reason) }),
});

const packedResult = z.strictObject({ result: upTo(LIMITS.candidateBytes) });
/** CBOR of a map of one; no envelope begins with it. */
const PACKED = 0xa1;

/** A sealed result record on its way; it proves itself, whoever brings it. */
export const packResult = (record: Uint8Array): Uint8Array => encode({ result: record });

/** @returns the record; undefined for a signed message. @throws BAD_MESSAGE. */
export const unpackResult = (message: Uint8Array): Uint8Array | undefined =>
  message[0] === PACKED
    ? decode('result on its way', packedResult, message, LIMITS.sessionMessageBytes).result
    : undefined;

/** A reason that is short enough for a message. */
export const shortReason = (reason: string): string => reason.slice(0, REASON_CHARACTERS);

/**
 * Opens a message of one session.
 * @throws BAD_MESSAGE: size, seal, form, or another session.
 */
export function openMessage(
  sid: SessionId,
  envelope: Uint8Array,
  deps: Pick<MachineDeps, 'clusterId' | 'open'>,
): Received {
  const received = openAny(envelope, deps);
  if (received.message.sid !== sid) {
    throw new BzzzError('BAD_MESSAGE', `signing message: of session ${received.message.sid}`);
  }
  return received;
}

/** Opens a message of whatever session. @throws BAD_MESSAGE. */
export function openAny(
  envelope: Uint8Array,
  deps: Pick<MachineDeps, 'clusterId' | 'open'>,
): Received {
  if (envelope.length > LIMITS.sessionMessageBytes) {
    throw new BzzzError('BAD_MESSAGE', `signing message: ${envelope.length} bytes`);
  }
  const { signer, payload } = deps.open(signingDomain(deps.clusterId), envelope);
  const opened = decode('signing message', message, payload, LIMITS.sessionMessageBytes);
  return { author: signer, message: opened, envelope: new Uint8Array(envelope), payload };
}

/** Opens a message that must be of one kind, such as an envelope inside evidence. */
export function openKind<K extends SigningMessage['kind']>(
  kind: K,
  sid: SessionId,
  envelope: Uint8Array,
  deps: Pick<MachineDeps, 'clusterId' | 'open'>,
): Received<MessageOf<K>> {
  const received = openMessage(sid, envelope, deps);
  if (!isKind(kind, received)) {
    throw new BzzzError('BAD_MESSAGE', `expected a ${kind}, found a ${received.message.kind}`);
  }
  return received;
}

/** Opens a package in either form. @throws BAD_MESSAGE. */
export function openPackage(
  sid: SessionId,
  envelope: Uint8Array,
  deps: Pick<MachineDeps, 'clusterId' | 'open'>,
): Received<PackageMessage> {
  const received = openMessage(sid, envelope, deps);
  const { message: opened } = received;
  if (opened.kind !== 'package' && opened.kind !== 'pooled') {
    throw new BzzzError('BAD_MESSAGE', `expected a package, found a ${opened.kind}`);
  }
  return { ...received, message: opened };
}

const isKind = <K extends SigningMessage['kind']>(
  kind: K,
  received: Received,
): received is Received<MessageOf<K>> => received.message.kind === kind;
