import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { equalBytes, fromHex, taggedHash, toHex, utf8Bytes } from '../../src/base/bytes.ts';
import { contentCid, decode, encode, field } from '../../src/base/codec.ts';

const schema = z.strictObject({ v: z.literal(1), n: field.uint, b: field.bytes(4) });
const good = { v: 1 as const, n: 7, b: Uint8Array.of(1, 2, 3, 4) };
const badMessage = expect.objectContaining({ code: 'BAD_MESSAGE' });

describe('codec', () => {
  it('gives back what it encoded, whatever the order of the keys', () => {
    expect(decode('x', schema, encode(good), 100)).toEqual(good);
    expect(encode({ b: good.b, n: 7, v: 1 })).toEqual(encode(good));
  });

  it('refuses too large, unknown fields, wrong lengths and wrong types, naming the place', () => {
    expect(() => decode('thing', schema, encode(good), 5)).toThrow(/thing: \d+ bytes, at most 5/);
    expect(() => decode('x', schema, encode({ ...good, extra: 1 }), 100)).toThrow(badMessage);
    expect(() => decode('x', schema, encode({ ...good, b: new Uint8Array(5) }), 100)).toThrow(
      /x: b: expected 4 bytes/,
    );
    expect(() => decode('x', schema, encode({ ...good, n: -1 }), 100)).toThrow(/x: n: /);
  });

  it('refuses non-canonical CBOR: one value has one encoding', () => {
    // {"v":1} with the integer in two bytes (0x18 0x01).
    const loose = Uint8Array.of(0xa1, 0x61, 0x76, 0x18, 0x01);
    expect(() => decode('x', z.strictObject({ v: z.literal(1) }), loose, 100)).toThrow(badMessage);
  });

  it('throws nothing but BAD_MESSAGE on any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(() => decode('x', schema, bytes, 1_000)).toThrow(badMessage);
      }),
    );
  });

  it('does not let a key named __proto__ reach the prototype', () => {
    const bytes = encode(JSON.parse('{"__proto__":{"polluted":1},"v":1}'));
    expect(() => decode('x', schema, bytes, 100)).toThrow(badMessage);
    expect('polluted' in {}).toBe(false);
  });

  it('copies received bytes out of the buffer they came in', () => {
    const frame = encode(good);
    const value = decode('x', schema, frame, 100);
    frame.fill(0);
    expect(value.b).toEqual(good.b);
  });

  it('names content as IPFS does', () => {
    // Published CID of the bytes "hello world" as a raw block.
    expect(contentCid(utf8Bytes('hello world')).toString()).toBe(
      'bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e',
    );
  });
});

describe('bytes', () => {
  it('hashes lists without ambiguity', () => {
    const hash = (...parts: string[]) => toHex(taggedHash('t', ...parts.map(utf8Bytes)));
    expect(hash('ab', 'c')).not.toBe(hash('a', 'bc'));
    expect(hash('a', '')).not.toBe(hash('a'));
  });

  it('round-trips hex and refuses what is not', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) =>
        equalBytes(fromHex(toHex(bytes)) ?? Uint8Array.of(1), bytes),
      ),
    );
    for (const bad of ['a', 'zz', '0x00', ' 00']) expect(fromHex(bad)).toBeUndefined();
  });
});
