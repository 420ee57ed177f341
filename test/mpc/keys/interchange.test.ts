/** Key packages of the Zcash Foundation's library: written, read back, refused. */
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../../src/base/bytes.ts';
import { BzzzError } from '../../../src/base/errors.ts';
import {
  checkKeyPackage,
  type KeyPackage,
  keyFromBytes,
  keyFromJson,
  keyToBytes,
  keyToJson,
  type PublicKeyPackage,
  publicFromBytes,
  publicFromJson,
  publicToBytes,
  publicToJson,
} from '../../../src/mpc/keys/interchange.ts';
import { suiteOf } from '../../../src/mpc/suites/index.ts';
import { SUITES, type SuiteName } from '../../../src/mpc/types.ts';
import { makeKey } from '../suites/keys.ts';

const folder = resolve(import.meta.dirname, '../../../../shared/vectors/zf-frost');
const missing = !existsSync(folder);
if (missing) console.warn('skipped: no test vectors in ../shared/vectors beside the checkout');

/** The last line of a snapshot is what the library wrote, in hex. */
function snapshot(suite: SuiteName, name: string): Uint8Array {
  const file = `serialization_tests__check_${name}_postcard_serialization.snap`;
  const text = readFileSync(resolve(folder, `frost-${suite}/snapshots`, file), 'utf8');
  return fromHex(text.trim().split('\n').at(-1)!)!;
}

interface Samples {
  readonly identifier: string;
  readonly element1: string;
  readonly scalar1: string;
}
const samples = (suite: SuiteName): Samples =>
  JSON.parse(readFileSync(resolve(folder, `frost-${suite}/samples.json`), 'utf8'));

function refusal(run: () => unknown): BzzzError {
  try {
    run();
  } catch (error) {
    if (error instanceof BzzzError) return error;
    throw error;
  }
  throw new Error('it was accepted');
}

describe.skipIf(missing)('snapshots of the library', () => {
  it.each(SUITES)('%s: a key package', (suite) => {
    const bytes = snapshot(suite, 'key_package');
    const { element1, scalar1 } = samples(suite);
    const pack = keyFromBytes(bytes);
    expect(pack).toEqual({
      ...{ suite, index: 42, minSigners: 2, signingShare: fromHex(scalar1) },
      ...{ verifyingShare: fromHex(element1), verifyingKey: fromHex(element1) },
    });
    expect(toHex(keyToBytes(pack))).toBe(toHex(bytes));
    expect(keyFromJson(keyToJson(pack))).toEqual(pack);
  });

  it.each(SUITES)('%s: a public key package, with and without its threshold', (suite) => {
    const share = fromHex(samples(suite).element1)!;
    const old = { suite, verifyingShares: new Map([[42, share]]), verifyingKey: share };
    for (const [name, expected] of [
      ['public_key_package', old],
      ['public_key_package_new', { ...old, minSigners: 2 }],
    ] as const) {
      const bytes = snapshot(suite, name);
      const pack = publicFromBytes(bytes);
      expect(pack).toEqual(expected);
      expect(toHex(publicToBytes(pack))).toBe(toHex(bytes));
      expect(publicFromJson(publicToJson(pack))).toEqual(pack);
    }
  });
});

describe.each(SUITES)('%s', (name) => {
  const suite = suiteOf(name);
  const { key, shares } = makeKey(suite, 2, 3);
  const share = shares[1]!;
  const pack: KeyPackage = {
    ...{ suite: name, index: share.index, minSigners: 2, signingShare: share.signingShare },
    ...{ verifyingShare: key.verifyingShares[1]!, verifyingKey: key.groupKey },
  };
  const open: PublicKeyPackage = {
    ...{ suite: name, verifyingKey: key.groupKey, minSigners: 2 },
    verifyingShares: new Map(key.verifyingShares.map((bytes, i) => [i + 1, bytes])),
  };

  it('comes back from both forms, and the share is known to fit', () => {
    for (const back of [keyFromJson(keyToJson(pack)), keyFromBytes(keyToBytes(pack))]) {
      expect(back).toEqual(pack);
      expect(() => checkKeyPackage(back, suite)).not.toThrow();
    }
    expect(publicFromJson(publicToJson(open))).toEqual(open);
    expect(publicFromBytes(publicToBytes(open))).toEqual(open);
  });

  it('a share of another party does not fit', () => {
    const other = { ...pack, signingShare: shares[0]!.signingShare };
    expect(refusal(() => checkKeyPackage(other, suite)).code).toBe('SHARE_CORRUPT');
  });

  it('is refused cut off, continued, under another version or ciphersuite', () => {
    for (const [bytes, from] of [
      [keyToBytes(pack), keyFromBytes],
      [publicToBytes(open), publicFromBytes],
    ] as const) {
      for (let length = 0; length < bytes.length; length++) {
        // Without its last field a public package is one of the older form.
        if (from === publicFromBytes && length === bytes.length - 2) continue;
        expect(refusal(() => from(bytes.subarray(0, length))).code).toBe('BAD_MESSAGE');
      }
      const longer = new Uint8Array([...bytes, 0]);
      expect(refusal(() => from(longer)).message).toContain('1 bytes too many');
      expect(refusal(() => from(bytes.with(0, 1))).message).toContain('version 1');
      const foreign = bytes.with(1, bytes[1]! ^ 1);
      expect(refusal(() => from(foreign)).code).toBe('UNSUPPORTED_SUITE');
    }
  });
});

describe('JSON that is refused', () => {
  const { key } = makeKey(suiteOf('ed25519'), 2, 3);
  const good = JSON.parse(
    publicToJson({
      ...{ suite: 'ed25519', verifyingKey: key.groupKey, minSigners: 2 },
      verifyingShares: new Map(key.verifyingShares.map((bytes, i) => [i + 1, bytes])),
    }),
  );
  const first = Object.keys(good.verifying_shares)[0]!;

  it.each<[string, object, RegExp]>([
    ['another version', { header: { ...good.header, version: 1 } }, /header\.version/],
    ['a short key', { verifying_key: 'ab' }, /verifying_key: expected 32 bytes/],
    ['a field too many', { secret: '00' }, /secret/],
    ['a threshold of 1', { min_signers: 1 }, /min_signers/],
    ['a short identifier', { verifying_shares: { ab: key.groupKey } }, /verifying_shares/],
    [
      'an identifier that is no index',
      { verifying_shares: { ['ff'.repeat(32)]: good.verifying_shares[first] } },
      /no party index/,
    ],
    [
      'one identifier in two spellings',
      {
        verifying_shares: {
          [`0a${first.slice(2)}`]: good.verifying_shares[first],
          [`0A${first.slice(2)}`]: good.verifying_shares[first],
        },
      },
      /twice|expected 32 bytes/,
    ],
  ])('%s', (_what, change, expected) => {
    const error = refusal(() => publicFromJson(JSON.stringify({ ...good, ...change })));
    expect(error.code).toBe('BAD_MESSAGE');
    expect(error.message).toMatch(expected);
  });

  it('another ciphersuite, and no JSON at all', () => {
    const header = { version: 0, ciphersuite: 'FROST-ED448-SHAKE256-v1' };
    const foreign = refusal(() => publicFromJson(JSON.stringify({ ...good, header })));
    expect(foreign.code).toBe('UNSUPPORTED_SUITE');
    expect(foreign.message).toContain('ED448');
    expect(refusal(() => publicFromJson('{')).code).toBe('BAD_MESSAGE');
  });

  it('reads no bytes as anything but a package or a refusal', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        for (const from of [keyFromBytes, publicFromBytes]) {
          expect(['BAD_MESSAGE', 'UNSUPPORTED_SUITE']).toContain(refusal(() => from(bytes)).code);
        }
      }),
      { numRuns: 300 },
    );
  });
});
