/**
 * Results: a signature as it is stored and found again.
 *
 * The same request has the same id on every node, so its result has one address, whoever asked. The
 * record there is sealed by a holder of the key. It proves itself in two steps: a store checks the
 * form, the author's seal and that it belongs to the address; a reader, who has the message and the
 * certificate, verifies the signature itself and that the author is a holder.
 * @module
 */
import { z } from 'zod';
import { BoundedMap } from '../base/bounded.ts';
import type { ClusterId, KeyId, PeerId, RequestId, SessionId } from '../base/brands.ts';
import {
  compareBytes,
  equalBytes,
  fromHex,
  sha256,
  taggedHash,
  toBase32,
  toHex,
  utf8Bytes,
} from '../base/bytes.ts';
import { contentCid, decode, encode, field } from '../base/codec.ts';
import { type Opened, openEnvelope } from '../base/envelope.ts';
import { BzzzError, isBadMessage } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Signer } from '../base/ports.ts';
import type { RecordKind } from '../ucxl/kinds.ts';
import type { Suite } from './suites/types.ts';
import type { KeyInfo, SignatureResult } from './types.ts';
import { SUITES } from './types.ts';

/** Media type of a result record. */
export const RESULT_TYPE = 'application/vnd.bzzz.result+cbor';

/** Signature domain of the results of one cluster. */
export const resultDomain = (clusterId: ClusterId): string => `bzzz/${clusterId}/mpc/result/1`;

/** What makes two requests the same one. */
export interface RequestParts {
  readonly clusterId: ClusterId;
  readonly keyId: KeyId;
  readonly purpose: string;
  /** SHA-256 of the message. */
  readonly messageHash: Uint8Array;
}

/** Hex SHA-256(tag, clusterId, keyId, purpose, SHA-256(message)). */
export function requestIdOf({ clusterId, keyId, purpose, messageHash }: RequestParts): RequestId {
  const parts = [utf8Bytes(clusterId), utf8Bytes(keyId), utf8Bytes(purpose), messageHash];
  return toHex(taggedHash('bzzz/request/1', ...parts)) as RequestId;
}

/** The request id as a name of an address: base32, 52 characters (64 of hex would be too many). */
export function requestName(requestId: RequestId): string {
  const bytes = fromHex(requestId);
  if (bytes?.length !== 32) throw new BzzzError('INTERNAL', `not a request id: ${requestId}`);
  return toBase32(bytes);
}

/** @param cluster the cluster's name. */
export const resultAddress = (cluster: string, requestId: RequestId): string =>
  `ucxl://mpc:sign@${cluster}:${requestName(requestId)}/result`;

const bytes = (length: number): z.ZodType<Uint8Array> => field.bytes(length);
/** The longest of any suite: a SEC 1 point and a scalar. */
const SIGNATURE_BYTES = 65;
const groupKey: z.ZodType<Uint8Array> = field.bytesUpTo(64);
const signature: z.ZodType<Uint8Array> = field.bytesUpTo(SIGNATURE_BYTES);

const schema = z.strictObject({
  v: z.literal(1),
  requestId: field.hash<RequestId>(),
  clusterId: field.hash<ClusterId>(),
  keyId: field.hash<KeyId>(),
  sid: field.hash<SessionId>(),
  suite: z.enum(SUITES),
  purpose: field.text(LIMITS.purposeBytes),
  messageHash: bytes(32),
  groupKey,
  signature,
  signers: z.array(field.peerId).min(2).max(LIMITS.parties).readonly(),
});

/** The payload of a result. `purpose` stands in it so that anyone can recompute the request id. */
export type ResultRecord = Readonly<z.infer<typeof schema>>;

/** A result whose form, seal and request id hold; the signature is not verified yet. */
export interface OpenedResult {
  readonly author: PeerId;
  readonly record: ResultRecord;
  readonly envelope: Uint8Array;
  /** Name of the envelope bytes as content. Among valid results the smallest is the answer. */
  readonly cid: Uint8Array;
}

/** A result whose signature verifies for this key and message, sealed by one of its holders. */
export interface VerifiedResult extends OpenedResult {
  readonly verified: true;
}

/** Seals a result as one of the key's holders. */
export const sealResult = (record: ResultRecord, signer: Signer): Uint8Array =>
  signer.seal(resultDomain(record.clusterId), encode(record));

/**
 * Opens a result: size, seal, form, and that its request id is that of its contents.
 * @throws BAD_MESSAGE.
 */
export function openResult(
  envelope: Uint8Array,
  clusterId: ClusterId,
  open: (domain: string, envelope: Uint8Array) => Opened = openEnvelope,
): OpenedResult {
  if (envelope.length > LIMITS.candidateBytes) {
    throw new BzzzError('BAD_MESSAGE', `result: ${envelope.length} bytes`);
  }
  const bytes = new Uint8Array(envelope);
  const cid = contentCid(bytes).bytes;
  const name = `${clusterId} ${toHex(cid)}`;
  const before = open === openEnvelope ? known.get(name) : undefined;
  if (before !== undefined) return before;
  const { signer, payload } = open(resultDomain(clusterId), bytes);
  const record = decode('result', schema, payload, LIMITS.candidateBytes);
  if (record.clusterId !== clusterId || requestIdOf(record) !== record.requestId) {
    throw new BzzzError('BAD_MESSAGE', 'result: the request id is not that of its contents');
  }
  const opened = { author: signer, record, envelope: bytes, cid };
  if (open === openEnvelope) known.set(name, opened);
  return opened;
}

/** Opened before, by cluster and CID: session, guard and readers all look at the same result. */
const known = new BoundedMap<string, OpenedResult>(512);

/** The key and the message that a reader holds against a result. */
export interface ResultContext {
  readonly key: KeyInfo;
  readonly message: Uint8Array;
  readonly suite: Suite;
}

/**
 * Verifies a result by an implementation that took no part in signing.
 * @throws BAD_MESSAGE naming what does not fit: author, key, message, signers or signature.
 */
export function verifyResult(opened: OpenedResult, context: ResultContext): VerifiedResult {
  const { key, message, suite } = context;
  const { record, author } = opened;
  const refuse = (what: string): never => {
    throw new BzzzError('BAD_MESSAGE', `result of ${author}: ${what}`);
  };
  const index = new Map(key.parties.map((party) => [party.peerId, party.index]));
  if (!index.has(author)) refuse('its author holds no share of the key');
  if (
    record.keyId !== key.keyId ||
    record.suite !== key.suite ||
    record.purpose !== key.purpose ||
    !equalBytes(record.groupKey, key.groupKey)
  ) {
    refuse('made for another key');
  }
  if (!equalBytes(record.messageHash, sha256(message))) refuse('made for another message');
  const signers = record.signers.map((peer) => index.get(peer) ?? 0);
  const ascending = signers.every((n, i) => n > (signers[i - 1] ?? 0));
  if (signers.length !== key.threshold || !ascending) refuse('its signers are no signer set');
  if (!suite.verify(key.groupKey, message, record.signature)) refuse('the signature is not valid');
  return { ...opened, verified: true };
}

/** Order of valid results: the one with the smallest CID stands. */
export const compareResults = (
  a: Pick<OpenedResult, 'cid'>,
  b: Pick<OpenedResult, 'cid'>,
): number => compareBytes(a.cid, b.cid);

/**
 * The answer among candidates of one address: the valid result with the smallest CID, so that all
 * readers of the same candidates agree (S6). Invalid candidates are passed over.
 * @returns undefined when none is a valid result of this key, message and purpose.
 */
export function chooseResult(
  candidates: readonly Uint8Array[],
  clusterId: ClusterId,
  context: ResultContext,
  open: (domain: string, envelope: Uint8Array) => Opened = openEnvelope,
): VerifiedResult | undefined {
  let best: VerifiedResult | undefined;
  for (const candidate of candidates) {
    try {
      const result = verifyResult(openResult(candidate, clusterId, open), context);
      if (best === undefined || compareResults(result, best) < 0) best = result;
    } catch (error) {
      // Any member may write a candidate; a bad one must not hide a good one.
      if (!isBadMessage(error)) throw error;
    }
  }
  return best;
}

/** The result as it leaves towards the control socket. */
export const toSignatureResult = ({ record }: VerifiedResult): SignatureResult => ({
  keyId: record.keyId,
  requestId: record.requestId,
  sid: record.sid,
  signature: record.signature,
  messageHash: record.messageHash,
  signers: record.signers,
});

/** Results at `ucxl://mpc:sign@<cluster>:<requestId>/result`, one candidate per author. */
export function resultKind(cluster: string, clusterId: ClusterId): RecordKind {
  return {
    name: 'result',
    copies: 'perAuthor',
    maxBytes: LIMITS.candidateBytes,
    matches: ({ agent, role, project, path }) =>
      agent === 'mpc' && role === 'sign' && project === cluster && path === 'result',
    verify(address, bytes) {
      const { author, record } = openResult(bytes, clusterId);
      if (address.task !== requestName(record.requestId)) {
        throw new BzzzError('BAD_MESSAGE', 'result: it belongs to another address');
      }
      return { writer: author, type: RESULT_TYPE };
    },
  };
}
