/** Result records: what they prove, to whom, and which of several stands. */
import { describe, expect, it } from 'vitest';
import type { ClusterId, KeyId, PeerId, RequestId } from '../../../src/base/brands.ts';
import { sha256, toHex, utf8Bytes } from '../../../src/base/bytes.ts';
import { contentCid, encode } from '../../../src/base/codec.ts';
import {
  chooseResult,
  openResult,
  type RequestParts,
  type ResultRecord,
  requestIdOf,
  requestName,
  resultAddress,
  resultDomain,
  resultKind,
  sealResult,
  toSignatureResult,
  verifyResult,
} from '../../../src/mpc/result.ts';
import { parse } from '../../../src/ucxl/parse.ts';
import { testSigner } from '../../support/world.ts';
import { CLUSTER, Net, peer, toyOpen, toySigner } from './net.ts';

const message = utf8Bytes('a result');
const net = new Net({ threshold: 2, n: 3 });
const sealed = net.proposal(peer(1), message);
net.beginAll(sealed, message);
net.run();
const { record: envelope } = net.completion(peer(1), sealed.sid);
const { record } = openResult(envelope, CLUSTER, toyOpen);
const context = { key: net.dealt.key, message, suite: net.suite };
const badMessage = expect.objectContaining({ code: 'BAD_MESSAGE' });

const verify = (change: Partial<ResultRecord>, author: PeerId = peer(2)) =>
  verifyResult(openResult(seal(change, author), CLUSTER, toyOpen), context);

/** Seals a changed record; the request id is made to fit, unless it is what changes. */
function seal(change: Partial<ResultRecord>, author: PeerId = peer(2)): Uint8Array {
  const changed = { ...record, ...change };
  const requestId = change.requestId ?? requestIdOf(changed);
  return sealResult({ ...changed, requestId }, toySigner(author));
}

describe('the request id', () => {
  const parts: RequestParts = {
    clusterId: 'a'.repeat(64) as ClusterId,
    keyId: 'b'.repeat(64) as KeyId,
    purpose: 'tests',
    messageHash: sha256(message),
  };

  it('is the same for the same request and another for any other', () => {
    const all = [
      parts,
      { ...parts, clusterId: 'c'.repeat(64) as ClusterId },
      { ...parts, keyId: 'c'.repeat(64) as KeyId },
      { ...parts, purpose: 'test' },
      { ...parts, messageHash: sha256(utf8Bytes('other')) },
    ].map(requestIdOf);
    expect(new Set(all).size).toBe(5);
    expect(requestIdOf({ ...parts })).toBe(all[0]);
    expect(all[0]).toMatch(/^[0-9a-f]{64}$/);
  });

  it('fits into an address as a name of 52 characters', () => {
    const id = requestIdOf(parts);
    expect(requestName(id)).toMatch(/^[a-z2-7]{52}$/);
    const address = parse(resultAddress('lab', id));
    expect(address).toMatchObject({
      agent: 'mpc',
      role: 'sign',
      project: 'lab',
      task: requestName(id),
      path: 'result',
    });
    expect(() => requestName('xyz' as RequestId)).toThrow();
  });
});

describe('a result', () => {
  it('verifies for its key and message', () => {
    const result = verifyResult(openResult(envelope, CLUSTER, toyOpen), context);
    expect(toSignatureResult(result)).toEqual({
      keyId: context.key.keyId,
      requestId: sealed.proposal.requestId,
      sid: sealed.sid,
      signature: record.signature,
      messageHash: sha256(message),
      signers: [peer(1), peer(2)],
    });
    expect(verify({}).author).toBe(peer(2));
  });

  it.each([
    ['another message', { messageHash: sha256(utf8Bytes('other')) }],
    ['another key', { keyId: 'c'.repeat(64) as KeyId }],
    ['another group key', { groupKey: new Uint8Array(32).fill(1) }],
    ['another purpose', { purpose: 'payments' }],
    ['another suite', { suite: 'secp256k1-tr' as const }],
    ['a wrong signature', { signature: new Uint8Array(64).fill(1) }],
    ['too few signers', { signers: [peer(1), peer(1)].slice(0, 1) }],
    ['a signer twice', { signers: [peer(1), peer(1)] }],
    ['unsorted signers', { signers: [peer(2), peer(1)] }],
    ['a signer without a share', { signers: [peer(1), peer(9)] }],
    ['too many signers', { signers: [peer(1), peer(2), peer(3)] }],
  ])('for %s is refused', (_, change) => {
    expect(() => verify(change)).toThrowError(badMessage);
  });

  it('of an author without a share is refused by readers', () => {
    expect(() => verify({}, peer(9))).toThrowError(badMessage);
  });

  it('is refused by every store: wrong request id, other cluster, other domain, garbage, too big', () => {
    const open = (bytes: Uint8Array) => () => openResult(bytes, CLUSTER, toyOpen);
    expect(open(seal({ requestId: 'd'.repeat(64) as RequestId }))).toThrowError(badMessage);
    expect(open(seal({ clusterId: 'd'.repeat(64) as ClusterId }))).toThrowError(badMessage);
    expect(open(toySigner(peer(1)).seal('another domain', encode(record)))).toThrowError(
      badMessage,
    );
    expect(open(utf8Bytes('garbage'))).toThrowError(badMessage);
    expect(open(new Uint8Array(4_097))).toThrowError(badMessage);
    const extra = toySigner(peer(1)).seal(resultDomain(CLUSTER), encode({ ...record, x: 1 }));
    expect(open(extra)).toThrowError(badMessage);
  });
});

describe('several results', () => {
  it('have one answer, the valid one with the smallest CID, in any order and among bad ones (S6)', () => {
    const good = [1, 2, 3].map((i) => seal({}, peer(i)));
    const bad = [seal({}, peer(9)), seal({ signature: new Uint8Array(64) }), utf8Bytes('x')];
    const byCid = (a: Uint8Array, b: Uint8Array) =>
      Buffer.compare(contentCid(a).bytes, contentCid(b).bytes);
    const smallest = [...good].sort(byCid)[0];
    const all = [...bad, ...good];
    for (let turn = 0; turn < all.length; turn++) {
      const order = [...all.slice(turn), ...all.slice(0, turn)];
      expect(chooseResult(order, CLUSTER, context, toyOpen)?.envelope).toEqual(smallest);
    }
    expect(chooseResult(bad, CLUSTER, context, toyOpen)).toBeUndefined();
  });
});

describe('the record kind', () => {
  it('takes a result at its own address only, and tells its author', async () => {
    const signer = await testSigner('holder');
    const real = sealResult(record, signer);
    const kind = resultKind('lab', CLUSTER);
    const at = (text: string) => {
      const address = parse(text);
      if (address.form !== 'concrete') throw new Error('a pattern');
      return address;
    };
    const own = at(resultAddress('lab', record.requestId));
    expect(kind.matches(own)).toBe(true);
    expect(kind.verify(own, real)).toMatchObject({ writer: signer.peerId });
    const other = at(resultAddress('lab', toHex(sha256(message)) as RequestId));
    expect(() => kind.verify(other, real)).toThrowError(badMessage);
    expect(kind.matches(at(resultAddress('home', record.requestId)))).toBe(false);
    expect(kind.matches(at(`ucxl://mpc:sign@lab:${requestName(record.requestId)}/other`))).toBe(
      false,
    );
    expect(kind.copies).toBe('perAuthor');
    expect(real.length).toBeLessThanOrEqual(kind.maxBytes);
  });

  it('fits its limit with the most signers there can be', async () => {
    const signers = Array.from({ length: 16 }, (_, i) => peer(i + 1));
    const purpose = 'p'.repeat(128);
    const requestId = requestIdOf({ ...record, purpose });
    const big = sealResult({ ...record, requestId, purpose, signers }, await testSigner('holder'));
    expect(openResult(big, CLUSTER).record.signers).toHaveLength(16);
  });
});
