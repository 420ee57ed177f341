import { execFileSync, spawnSync } from 'node:child_process';
import { createHash, createPublicKey } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ed25519, ristretto255 } from '@noble/curves/ed25519.js';
import { p256, p256_hasher } from '@noble/curves/nist.js';
import { schnorr, secp256k1, secp256k1_hasher } from '@noble/curves/secp256k1.js';
import { afterAll, describe, expect, it } from 'vitest';
import { equalBytes, fromHex, toHex, utf8Bytes } from '../../../src/base/bytes.ts';
import { BzzzError } from '../../../src/base/errors.ts';
import { SUITE_TABLE, suiteOf } from '../../../src/mpc/suites/index.ts';
import { memoiseDecoding } from '../../../src/mpc/suites/memo.ts';
import { taprootOutputKey, taprootScript } from '../../../src/mpc/suites/secp256k1-tr.ts';
import type { DkgRound1, NonceCommitment, Suite } from '../../../src/mpc/suites/types.ts';
import { SUITES, type SuiteName } from '../../../src/mpc/types.ts';
import { testRandom } from '../../support/world.ts';
import { makeKey, range, sign, systemRandom } from './keys.ts';

const message = utf8Bytes('a message');

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof BzzzError) return error.code;
    throw error;
  }
  return 'none';
}

/** Scalars of the Edwards curve are little endian, the others big endian. */
const isLittle = ({ name }: Suite): boolean => name === 'ed25519' || name === 'ristretto255';

const scalar = (suite: Suite, n: bigint): Uint8Array => {
  const bytes = fromHex(n.toString(16).padStart(64, '0'))!;
  return isLittle(suite) ? bytes.toReversed() : bytes;
};

const order = (suite: Suite): bigint => {
  if (isLittle(suite)) return ed25519.Point.Fn.ORDER;
  return (suite.name === 'p256' ? p256 : secp256k1).Point.Fn.ORDER;
};

/** Bytes of a public key and of a signature; no others have standard tools that verify them. */
const SIZES: Readonly<Record<SuiteName, readonly [key: number, signature: number]>> = {
  ed25519: [32, 64],
  'secp256k1-tr': [32, 64],
  secp256k1: [33, 65],
  p256: [33, 65],
  ristretto255: [32, 64],
};

/** By the library, which shares no code with the verifier of the suite where that is our own. */
function otherVerifier(
  suite: Suite,
  message: Uint8Array,
  publicKey: Uint8Array,
  signature: Uint8Array,
): boolean {
  if (suite.name === 'ed25519') return ed25519.verify(signature, message, publicKey);
  if (suite.name === 'secp256k1-tr') return schnorr.verify(signature, message, publicKey);
  return schnorrOfRfc9591(suite, message, publicKey, signature);
}

/** RFC 9591, appendix B, with the library's curves and hashes. */
function schnorrOfRfc9591(
  { name, pointBytes }: Suite,
  message: Uint8Array,
  publicKey: Uint8Array,
  signature: Uint8Array,
): boolean {
  const [nonce, response] = [signature.slice(0, pointBytes), signature.slice(pointBytes)];
  const hashed = new Uint8Array(Buffer.concat([nonce, publicKey, message]));
  if (name === 'ristretto255') {
    const { Point } = ristretto255;
    const tag = utf8Bytes('FROST-RISTRETTO255-SHA512-v1chal');
    const digest = createHash('sha512').update(tag).update(hashed).digest();
    const challenge = Point.Fn.create(BigInt(`0x${digest.reverse().toString('hex')}`));
    const right = Point.fromBytes(publicKey).multiply(challenge).add(Point.fromBytes(nonce));
    return Point.BASE.multiply(Point.Fn.fromBytes(response)).equals(right);
  }
  const [{ Point }, hasher, title] =
    name === 'p256' ? [p256, p256_hasher, 'P256'] : [secp256k1, secp256k1_hasher, 'secp256k1'];
  const DST = utf8Bytes(`FROST-${title}-SHA256-v1chal`);
  const challenge = hasher.hashToScalar(hashed, { DST });
  const right = Point.fromBytes(publicKey).multiply(challenge).add(Point.fromBytes(nonce));
  return Point.BASE.multiply(Point.Fn.fromBytes(response)).equals(right);
}

/** Encodings that no honest party sends, by name. */
function badPoints(suite: Suite): ReadonlyMap<string, Uint8Array> {
  if (suite.name === 'ed25519') {
    const torsion = fromHex('26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05')!;
    const mixed = ed25519.Point.BASE.add(ed25519.Point.fromBytes(torsion)).toBytes();
    const p = 2n ** 255n - 19n;
    return new Map([
      ['identity', scalar(suite, 1n)],
      ['order 8', torsion],
      ['order 2', scalar(suite, p - 1n)],
      ['order 4', scalar(suite, 0n)],
      ['prime-order point plus torsion', mixed],
      ['not canonical: y = p + 1', scalar(suite, p + 1n)],
      ['not canonical: minus zero', scalar(suite, 1n + 2n ** 255n)],
      ['off the curve', scalar(suite, 2n)],
      ['short', new Uint8Array(31)],
      ['empty', new Uint8Array()],
      ['long', new Uint8Array(33)],
    ]);
  }
  if (suite.name === 'ristretto255') {
    const p = 2n ** 255n - 19n;
    return new Map([
      ['identity', scalar(suite, 0n)],
      ['negative', scalar(suite, 1n)],
      ['not canonical: p', scalar(suite, p)],
      ['not canonical: p + 2', scalar(suite, p + 2n)],
      // RFC 9496, appendix A.3: non-square x^2, negative xy, s = -1 with y = 0.
      ['no square', fromHex('26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371')!],
      ['negative xy', fromHex('3eb858e78f5a7254d8c9731174a94f76755fd3941c0ac93735c07ba14579630e')!],
      ['y = 0', scalar(suite, p - 1n)],
      ['short', new Uint8Array(31)],
      ['empty', new Uint8Array()],
      ['long', new Uint8Array(33)],
    ]);
  }
  const base = (suite.name === 'p256' ? p256 : secp256k1).Point.BASE;
  const off = new Uint8Array(33);
  off.set([2], 0);
  off.set([suite.name === 'p256' ? 4 : 5], 32);
  return new Map([
    ['infinity', Uint8Array.of(0)],
    ['uncompressed', base.toBytes(false)],
    ['x over the field', new Uint8Array([2, ...new Uint8Array(32).fill(0xff)])],
    ['off the curve', off],
    ['prefix 4', new Uint8Array([4, ...base.toBytes().subarray(1)])],
    ['x only', base.toBytes().slice(1)],
    ['empty', new Uint8Array()],
  ]);
}

describe.each([...SUITE_TABLE.values()].map((suite) => [suite.name, suite] as const))(
  '%s',
  (_name, suite) => {
    const made = makeKey(suite, 3, 5);
    const { key, shares } = made;
    const round1 = (i: number, t = 3): DkgRound1 => suite.dkgRound1(i, t, 5, systemRandom).round1;

    it('generates one key: every party has a share of it, and the public part needs no secret', () => {
      for (const share of shares) {
        const expected = key.verifyingShares[share.index - 1]!;
        expect(suite.verifyingShareOf(share)).toEqual(expected);
      }
      expect(() => suite.checkPublic(3, 5, key)).not.toThrow();
      const rounds = range(5).map((i) => round1(i));
      const outcome = suite.dkgPublic(3, rounds);
      expect(() => suite.checkPublic(3, 5, outcome)).not.toThrow();
    });

    it('computes the public outcome alike with and without secrets', () => {
      for (let run = 0; run < 4; run++) {
        const parts = range(3).map((i) => suite.dkgRound1(i, 2, 3, systemRandom));
        const others = (i: number) =>
          new Map(range(3).flatMap((j) => (j === i ? [] : [[j, parts[j - 1]!.round1] as const])));
        const sub = range(3).map((i) => suite.dkgRound2(parts[i - 1]!.secret, others(i)));
        const mine = new Map([2, 3].map((j) => [j, sub[j - 1]!.get(1)!]));
        const finished = suite.dkgFinish(parts[0]!.secret, others(1), mine);
        expect(
          suite.dkgPublic(
            2,
            parts.map((p) => p.round1),
          ),
        ).toEqual(finished.public);
      }
    });

    it.each([[[1, 3, 5]], [[2, 3, 4]], [[5, 1, 2]], [[1, 2, 3, 4, 5]]])(
      'signs with %j, and an independent verifier accepts it',
      (signers) => {
        const { list, parts } = sign(suite, made, signers, message);
        for (const [index, part] of parts) {
          expect(suite.verifyShare(key, list, message, index, part)).toBe(true);
        }
        const result = suite.aggregate(key, list, message, parts);
        expect(result.ok).toBe(true);
        if (!result.ok) return;
        const [keyBytes, signatureBytes] = SIZES[suite.name];
        expect(result.signature).toHaveLength(signatureBytes);
        expect(suite.verify(key.groupKey, message, result.signature)).toBe(true);
        expect(suite.verify(key.groupKey, utf8Bytes('another'), result.signature)).toBe(false);
        const publicKey = suite.publicKeyBytes(key.groupKey);
        expect(publicKey).toHaveLength(keyBytes);
        expect(otherVerifier(suite, message, publicKey, result.signature)).toBe(true);
      },
    );

    it('signs an empty message and one of 1 MiB', () => {
      for (const long of [new Uint8Array(), new Uint8Array(1_048_576).fill(7)]) {
        const { list, parts } = sign(suite, made, [1, 2, 3], long);
        expect(suite.aggregate(key, list, long, parts).ok).toBe(true);
      }
    });

    it('names the signers of bad shares, and nobody else', () => {
      const { list, parts } = sign(suite, made, [1, 3, 5], message);
      const bad = new Map(parts);
      bad.set(3, parts.get(5)!);
      expect(suite.aggregate(key, list, message, bad)).toEqual({ ok: false, culprits: [3] });
      bad.set(1, scalar(suite, order(suite)));
      expect(suite.aggregate(key, list, message, bad)).toEqual({ ok: false, culprits: [1, 3] });
      bad.set(1, new Uint8Array(7));
      expect(suite.aggregate(key, list, message, bad)).toEqual({ ok: false, culprits: [1, 3] });
    });

    it('refuses to aggregate shares that do not match the commitments', () => {
      const { list, parts } = sign(suite, made, [1, 3, 5], message);
      const fewer = new Map([...parts].slice(1));
      expect(codeOf(() => suite.aggregate(key, list, message, fewer))).toBe('INTERNAL');
    });

    it('uses a nonce pair once, also when signing throws (N1, N2)', () => {
      const [a, b, c] = [1, 2, 3].map((i) => suite.commit(shares[i - 1]!, systemRandom));
      const list = [a!, b!, c!].map(({ commitment }) => commitment);
      suite.signShare(key, shares[0]!, a!.nonces, list, message);
      expect(() => suite.signShare(key, shares[0]!, a!.nonces, list, message)).toThrow(/used/);
      const without = list.slice(0, 1).concat(list.slice(2));
      expect(() => suite.signShare(key, shares[1]!, b!.nonces, without, message)).toThrow();
      expect(() => suite.signShare(key, shares[1]!, b!.nonces, list, message)).toThrow(/used/);
      suite.wipeNonces(c!.nonces);
      expect(() => suite.signShare(key, shares[2]!, c!.nonces, list, message)).toThrow(/used/);
    });

    it('refuses to sign where its own commitment was exchanged', () => {
      const [a, b, c] = [1, 2, 3].map((i) => suite.commit(shares[i - 1]!, systemRandom));
      const other = suite.commit(shares[0]!, systemRandom);
      const list = [other, b!, c!].map(({ commitment }) => commitment);
      expect(() => suite.signShare(key, shares[0]!, a!.nonces, list, message)).toThrow();
    });

    it('prints no secret', () => {
      const { nonces } = suite.commit(shares[0]!, systemRandom);
      const { secret } = suite.dkgRound1(1, 2, 3, systemRandom);
      expect(JSON.stringify([nonces, secret])).toBe('[{"secret":"nonces"},{"secret":"dkg"}]');
    });

    it('refuses every malformed point at the boundary with BAD_MESSAGE', () => {
      const good = round1(2);
      for (const [what, point] of badPoints(suite)) {
        const { hiding, binding } = suite.commit(shares[0]!, systemRandom).commitment;
        const check = (h: Uint8Array, b: Uint8Array): string =>
          codeOf(() => suite.checkCommitment({ index: 1, hiding: h, binding: b }));
        expect(check(hiding, binding)).toBe('none');
        expect(check(point, binding), what).toBe('BAD_MESSAGE');
        expect(check(hiding, point), what).toBe('BAD_MESSAGE');
        for (const at of [0, 1, 2]) {
          const commitments = good.commitments.with(at, point);
          const run = (): void => suite.checkRound1(2, 3, { commitments, proof: good.proof });
          expect(codeOf(run), what).toBe('BAD_MESSAGE');
        }
        const outcome = { ...key, commitments: key.commitments.with(1, point) };
        expect(
          codeOf(() => suite.checkPublic(3, 5, outcome)),
          what,
        ).toBe('BAD_MESSAGE');
      }
    });

    it('refuses a commitment that is no element, and takes one that it has seen', () => {
      const { commitment } = suite.commit(shares[0]!, systemRandom);
      const check = (change: Partial<NonceCommitment>): string =>
        codeOf(() => suite.checkCommitment({ ...commitment, ...change }));
      expect([check({}), check({})]).toEqual(['none', 'none']);
      for (const [what, point] of badPoints(suite)) {
        expect(check({ hiding: point }), what).toBe('BAD_MESSAGE');
        expect(check({ binding: point }), what).toBe('BAD_MESSAGE');
      }
    });

    it('refuses a first round of another index, threshold, proof or dealer', () => {
      const good = round1(2);
      const check = (i: number, t: number, r: DkgRound1): string =>
        codeOf(() => suite.checkRound1(i, t, r));
      expect(check(2, 3, good)).toBe('none');
      expect(check(3, 3, good), 'replayed under another index').toBe('BAD_MESSAGE');
      expect(check(2, 2, good), 'raised threshold').toBe('BAD_MESSAGE');
      expect(check(2, 4, good), 'lowered threshold').toBe('BAD_MESSAGE');
      expect(check(2, 3, { ...good, proof: round1(2).proof })).toBe('BAD_MESSAGE');
      expect(check(2, 3, { ...good, proof: good.proof.slice(1) })).toBe('BAD_MESSAGE');
      const response = good.proof.slice();
      response.set(scalar(suite, order(suite)), response.length - 32);
      expect(check(2, 3, { ...good, proof: response }), 'scalar = order').toBe('BAD_MESSAGE');
      for (const [what, point] of badPoints(suite)) {
        const proof = new Uint8Array([...point, ...good.proof.slice(-32)]);
        expect(check(2, 3, { ...good, proof }), what).toBe('BAD_MESSAGE');
      }
    });

    it('tells a good subshare from a bad one', () => {
      const dealer = suite.dkgRound1(1, 2, 3, systemRandom);
      const others = new Map([2, 3].map((i) => [i, round1(i, 2)]));
      const dealt = suite.dkgRound2(dealer.secret, others);
      const { commitments } = dealer.round1;
      const right = dealt.get(2)!;
      expect(suite.verifySubshare(commitments, 2, right)).toBe(true);
      expect(suite.verifySubshare(commitments, 3, right)).toBe(false);
      expect(suite.verifySubshare(commitments, 2, dealt.get(3)!)).toBe(false);
      expect(suite.verifySubshare(commitments, 2, scalar(suite, 0n))).toBe(false);
      expect(suite.verifySubshare(commitments, 2, scalar(suite, order(suite)))).toBe(false);
      expect(suite.verifySubshare(commitments, 2, new Uint8Array())).toBe(false);
      const n = BigInt(
        `0x${Buffer.from(isLittle(suite) ? right.toReversed() : right).toString('hex')}`,
      );
      if (n + order(suite) < 2n ** 256n) {
        const wrapped = scalar(suite, n + order(suite));
        expect(suite.verifySubshare(commitments, 2, wrapped), 'x + q').toBe(false);
      }
    });

    it('refuses an outcome whose shares are not on the polynomial', () => {
      const check = (change: object): string =>
        codeOf(() => suite.checkPublic(3, 5, { ...key, ...change }));
      const [a, b] = key.verifyingShares;
      expect(check({ verifyingShares: key.verifyingShares.with(0, b!).with(1, a!) })).toBe(
        'BAD_MESSAGE',
      );
      expect(check({ verifyingShares: key.verifyingShares.slice(1) })).toBe('BAD_MESSAGE');
      expect(check({ groupKey: key.verifyingShares[0] })).toBe('BAD_MESSAGE');
      expect(codeOf(() => suite.checkPublic(2, 5, key))).toBe('BAD_MESSAGE');
    });

    it('verifies nothing malformed, and throws nothing', () => {
      const { list, parts } = sign(suite, made, [1, 2, 3], message);
      const result = suite.aggregate(key, list, message, parts);
      if (!result.ok) throw new Error('no signature');
      const { signature } = result;
      for (const bad of [new Uint8Array(), signature.slice(1), new Uint8Array(64).fill(255)]) {
        expect(suite.verify(key.groupKey, message, bad)).toBe(false);
      }
      for (const point of badPoints(suite).values()) {
        expect(suite.verify(point, message, signature)).toBe(false);
      }
    });

    it('does not go on without its polynomial, and tells nobody what it was', () => {
      const { secret } = suite.dkgRound1(1, 2, 3, systemRandom);
      suite.wipeDkg(secret);
      suite.wipeDkg(secret);
      expect(() => suite.dkgRound2(secret, new Map())).toThrow(/gone/);
    });

    it('finds a share that is no scalar corrupt', () => {
      const signingShare = scalar(suite, order(suite));
      expect(codeOf(() => suite.verifyingShareOf({ index: 1, signingShare }))).toBe(
        'SHARE_CORRUPT',
      );
    });
  },
);

describe('key formats', () => {
  const ed = suiteOf('ed25519');
  const made = makeKey(ed, 2, 3);
  const { groupKey } = made.key;

  it('PEM is read by node:crypto and openssl, which accepts a threshold signature (R50)', () => {
    const pem = ed.exportKey(groupKey, 'pem', '');
    expect(createPublicKey(pem).export({ format: 'jwk' }).x).toBe(
      Buffer.from(groupKey).toString('base64url'),
    );
    const { list, parts } = sign(ed, made, [1, 3], message);
    const result = ed.aggregate(made.key, list, message, parts);
    if (!result.ok) throw new Error('no signature');
    const folder = mkdtempSync(join(tmpdir(), 'bzzz-suite-'));
    try {
      const file = (name: string, bytes: Uint8Array | string): string => {
        writeFileSync(join(folder, name), bytes);
        return join(folder, name);
      };
      const args = ['pkeyutl', '-verify', '-pubin', '-rawin', '-inkey', file('k.pem', pem)];
      args.push('-in', file('m', message), '-sigfile', file('s', result.signature));
      expect(execFileSync('openssl', args, { encoding: 'utf8' })).toContain('Verified');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('SSH is one line with the key in RFC 8709 form, whatever the comment is', () => {
    const [type, blob, comment] = ed.exportKey(groupKey, 'ssh', 'release\nssh-rsa x').split(' ');
    expect(type).toBe('ssh-ed25519');
    const bytes = Buffer.from(blob!, 'base64');
    expect(bytes.subarray(4, 15).toString()).toBe('ssh-ed25519');
    expect(equalBytes(bytes.subarray(19), groupKey)).toBe(true);
    expect(comment).toBe('releasessh-rsa');
  });

  it.each(['secp256k1-tr', 'secp256k1', 'p256', 'ristretto255'])(
    '%s has neither, and says so',
    (name) => {
      const suite = suiteOf(name);
      const { key } = makeKey(suite, 2, 3);
      for (const format of ['pem', 'ssh'] as const) {
        expect(codeOf(() => suite.exportKey(key.groupKey, format, ''))).toBe('NOT_SUPPORTED');
      }
    },
  );

  it('an unknown suite is refused with the known ones', () => {
    expect(codeOf(() => suiteOf('ed448'))).toBe('UNSUPPORTED_SUITE');
    expect(codeOf(() => suiteOf('__proto__'))).toBe('UNSUPPORTED_SUITE');
  });
});

describe('the table of decoded points', () => {
  it('stays within its bound, keeps what is used, and remembers no refusal', () => {
    let calls = 0;
    const decode = memoiseDecoding(
      (bytes) => {
        calls++;
        return ed25519.Point.fromBytes(bytes);
      },
      undefined,
      2,
    );
    const point = (n: bigint): Uint8Array => ed25519.Point.BASE.multiply(n).toBytes();
    const [a, b, c] = [point(5n), point(6n), point(7n)];
    decode(a);
    decode(b);
    decode(a);
    expect(calls).toBe(2);
    decode(c);
    decode(a);
    expect(calls).toBe(3);
    decode(b);
    expect(calls).toBe(4);
    const off = new Uint8Array(32).fill(2);
    expect(() => decode(off)).toThrow();
    expect(() => decode(off)).toThrow();
    expect(calls).toBe(6);
  });

  it('hands out bytes that the caller may change', () => {
    const decode = memoiseDecoding((bytes) => ed25519.Point.fromBytes(bytes));
    const bytes = ed25519.Point.BASE.toBytes();
    decode(bytes).toBytes().fill(0);
    expect(decode(bytes).toBytes()).toEqual(bytes);
    expect(decode(bytes).isTorsionFree()).toBe(true);
  });
});

describe.each(SUITES)('a key of which only verifying shares are known: %s', (name) => {
  const suite = suiteOf(name);
  const { key } = makeKey(suite, 3, 5);

  it('has the commitments that its makers had', () => {
    const found = suite.publicOfShares(3, key.verifyingShares);
    expect(found.groupKey).toEqual(key.groupKey);
    expect(found.commitments).toEqual(key.commitments);
    suite.checkPublic(3, 5, found);
  });

  it('is refused when a share is off the polynomial, or the threshold is not the real one', () => {
    const [one, two, ...rest] = key.verifyingShares;
    expect(codeOf(() => suite.publicOfShares(3, [two!, one!, ...rest]))).toBe('BAD_MESSAGE');
    expect(codeOf(() => suite.publicOfShares(2, key.verifyingShares))).toBe('BAD_MESSAGE');
    expect(codeOf(() => suite.publicOfShares(4, key.verifyingShares))).toBe('BAD_MESSAGE');
    expect(codeOf(() => suite.publicOfShares(6, key.verifyingShares))).toBe('BAD_MESSAGE');
    expect(codeOf(() => suite.publicOfShares(3, [...rest, new Uint8Array(33)]))).toBe(
      'BAD_MESSAGE',
    );
  });
});

describe('BIP 341 with the empty Merkle root', () => {
  it('gives the output key and script of the BIP’s own test vector', () => {
    const internal = fromHex('d6889cb081036e0faefa3a35157ad71086b123b2b144b649798b494c300a961d')!;
    const output = taprootOutputKey(internal);
    expect(toHex(output)).toBe('53a1f6e454df1aa2776a2814a721372d6258050de330b3c6d10ee8f4e0dda343');
    expect(toHex(taprootScript(output))).toBe(`5120${toHex(output)}`);
    expect(codeOf(() => taprootOutputKey(new Uint8Array(32)))).toBe('BAD_MESSAGE');
  });

  it('is what key generation does: the key is the output key of the sum of the dealers’', () => {
    const tr = suiteOf('secp256k1-tr');
    const random = testRandom('taproot');
    const round1 = [1, 2].map((i) => tr.dkgRound1(i, 2, 2, random).round1);
    const sum = round1
      .map(({ commitments }) => secp256k1.Point.fromBytes(commitments[0]!))
      .reduce((a, b) => a.add(b));
    const { groupKey } = tr.dkgPublic(2, round1);
    expect(groupKey.subarray(1)).toEqual(taprootOutputKey(sum.toBytes().slice(1)));
  });
});

describe('standard tools read what is exported', () => {
  const ed = suiteOf('ed25519');
  const { key } = makeKey(ed, 2, 3);
  const folder = mkdtempSync(join(tmpdir(), 'bzzz-forms-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const file = (format: 'pem' | 'ssh'): string => {
    const path = join(folder, format);
    writeFileSync(path, `${ed.exportKey(key.groupKey, format, 'release')}\n`);
    return path;
  };

  it('openssl pkey reads the PEM', () => {
    const args = ['pkey', '-pubin', '-noout', '-text', '-in', file('pem')];
    const text = execFileSync('openssl', args, { encoding: 'utf8' });
    expect(text).toContain('ED25519 Public-Key');
    const hex = [...text.matchAll(/[0-9a-f]{2}(?=[:\s])/g)].map(([byte]) => byte).join('');
    expect(hex).toContain(toHex(key.groupKey));
  });

  const hasKeygen = spawnSync('ssh-keygen', ['-?']).error === undefined;
  if (!hasKeygen) console.warn('skipped: no ssh-keygen on this machine');
  it.skipIf(!hasKeygen)('ssh-keygen -l reads the SSH line', () => {
    const out = execFileSync('ssh-keygen', ['-l', '-f', file('ssh')], { encoding: 'utf8' });
    expect(out).toMatch(/^256 SHA256:\S+ release \(ED25519\)/);
  });
});
