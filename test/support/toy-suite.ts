/**
 * FROST over a toy group, for thousands of runs in a second: an element is its own logarithm modulo
 * a prime, so every equation of RFC 9591 holds and nothing is secret.
 *
 * It is lenient on purpose: `signShare` works with spent nonces too. What keeps a nonce from being
 * used twice is then the machine alone, and {@link ToySuite.violations} shows when it does not.
 */
import { sha256, taggedHash, toHex } from '../../src/base/bytes.ts';
import { encode } from '../../src/base/codec.ts';
import { BzzzError } from '../../src/base/errors.ts';
import type { Random } from '../../src/base/ports.ts';
import type { NonceCommitment, SigningNonces, Suite } from '../../src/mpc/suites/types.ts';
import type { KeyShare } from '../../src/mpc/types.ts';

/** 2^127 - 1. */
const Q = (1n << 127n) - 1n;
const mod = (a: bigint): bigint => ((a % Q) + Q) % Q;

export function scalarBytes(n: bigint): Uint8Array {
  return new Uint8Array(Buffer.from(mod(n).toString(16).padStart(64, '0'), 'hex'));
}

function scalarOf(bytes: Uint8Array): bigint {
  const n = BigInt(`0x${toHex(bytes)}`);
  if (bytes.length !== 32 || n >= Q) throw new BzzzError('BAD_MESSAGE', 'toy scalar out of range');
  return n;
}

function elementOf(bytes: Uint8Array): bigint {
  const n = bytes.length === 32 ? scalarOf(bytes) : 0n;
  if (n === 0n) throw new BzzzError('BAD_MESSAGE', 'toy element is the identity');
  return n;
}

function inverse(a: bigint): bigint {
  let [result, base, power] = [1n, mod(a), Q - 2n];
  for (; power > 0n; power >>= 1n) {
    if (power & 1n) result = mod(result * base);
    base = mod(base * base);
  }
  return result;
}

const hashScalar = (tag: string, ...parts: readonly Uint8Array[]): bigint =>
  mod(BigInt(`0x${toHex(taggedHash(tag, ...parts))}`));

const randomScalar = (random: Random): bigint => mod(BigInt(`0x${toHex(random.bytes(15))}`) + 1n);

const lambda = (index: number, indexes: readonly number[]): bigint =>
  indexes
    .filter((other) => other !== index)
    .reduce((l, other) => mod(l * BigInt(other) * inverse(BigInt(other - index))), 1n);

interface Terms {
  readonly r: bigint;
  readonly challenge: bigint;
  readonly rho: (index: number) => bigint;
}

function terms(groupKey: Uint8Array, list: readonly NonceCommitment[], message: Uint8Array): Terms {
  const sorted = [...list].sort((a, b) => a.index - b.index);
  const bytes = encode(sorted.map(({ index, hiding, binding }) => [index, hiding, binding]));
  const rho = (index: number): bigint =>
    hashScalar('rho', groupKey, bytes, sha256(message), Uint8Array.of(index));
  const r = sorted.reduce(
    (sum, one) => mod(sum + elementOf(one.hiding) + rho(one.index) * elementOf(one.binding)),
    0n,
  );
  return { r, challenge: hashScalar('challenge', scalarBytes(r), groupKey, message), rho };
}

const unsupported = (): never => {
  throw new BzzzError('INTERNAL', 'the toy suite deals keys and generates none');
};

/** Deals a key: `f(0)` and the shares `f(1..n)` of a random polynomial. */
export function dealToyKey(threshold: number, parties: number, random: Random) {
  const coefficients = Array.from({ length: threshold }, () => randomScalar(random));
  const at = (x: number): bigint =>
    coefficients.reduceRight((sum, c) => mod(sum * BigInt(x) + c), 0n);
  const shares: KeyShare[] = Array.from({ length: parties }, (_, i) => ({
    index: i + 1,
    signingShare: scalarBytes(at(i + 1)),
  }));
  return {
    groupKey: scalarBytes(at(0)),
    commitments: coefficients.map(scalarBytes),
    verifyingShares: shares.map(({ signingShare }) => signingShare),
    shares,
  };
}

export interface ToySuite extends Suite {
  /** Nonce pairs that gave two different shares. Must stay empty (N1). */
  readonly violations: readonly string[];
  /** Nonce pairs that were neither used nor wiped. */
  liveNonces(): number;
}

export function toySuite(): ToySuite {
  const live = new Map<SigningNonces, { hiding: bigint; binding: bigint }>();
  const known = new WeakMap<SigningNonces, { hiding: bigint; binding: bigint }>();
  const used = new Map<string, string>();
  const violations: string[] = [];
  const verify: Suite['verify'] = (groupKey, message, signature) => {
    try {
      const r = scalarOf(signature.slice(0, 32));
      const z = scalarOf(signature.slice(32));
      const challenge = hashScalar('challenge', scalarBytes(r), groupKey, message);
      return signature.length === 64 && z === mod(r + challenge * elementOf(groupKey));
    } catch {
      return false;
    }
  };
  const verifyShare: Suite['verifyShare'] = (key, commitments, message, index, share) => {
    try {
      const { challenge, rho } = terms(key.groupKey, commitments, message);
      const one = commitments.find((c) => c.index === index);
      const verifyingShare = key.verifyingShares[index - 1];
      if (one === undefined || verifyingShare === undefined) return false;
      const nonce = elementOf(one.hiding) + rho(index) * elementOf(one.binding);
      const l = lambda(
        index,
        commitments.map((c) => c.index),
      );
      return scalarOf(share) === mod(nonce + challenge * l * elementOf(verifyingShare));
    } catch {
      return false;
    }
  };
  return {
    name: 'ed25519',
    pointBytes: 32,
    violations,
    liveNonces: () => live.size,
    dkgRound1: unsupported,
    checkRound1: unsupported,
    dkgRound2: unsupported,
    verifySubshare: unsupported,
    dkgFinish: unsupported,
    dkgPublic: unsupported,
    wipeDkg: unsupported,
    checkPublic: unsupported,
    verifyingShareOf: ({ signingShare }) => signingShare,
    commit(share, random) {
      const nonces: SigningNonces = { secret: 'nonces' };
      const pair = { hiding: randomScalar(random), binding: randomScalar(random) };
      live.set(nonces, pair);
      known.set(nonces, pair);
      const hiding = scalarBytes(pair.hiding);
      return {
        nonces,
        commitment: { index: share.index, hiding, binding: scalarBytes(pair.binding) },
      };
    },
    checkCommitment({ hiding, binding }) {
      elementOf(hiding);
      elementOf(binding);
    },
    wipeNonces: (nonces) => void live.delete(nonces),
    signShare(key, share, nonces, commitments, message) {
      const pair = known.get(nonces);
      if (pair === undefined) throw new BzzzError('INTERNAL', 'unknown nonces');
      live.delete(nonces);
      const { challenge, rho } = terms(key.groupKey, commitments, message);
      const l = lambda(
        share.index,
        commitments.map((c) => c.index),
      );
      const secret = challenge * l * scalarOf(share.signingShare);
      const bytes = scalarBytes(pair.hiding + rho(share.index) * pair.binding + secret);
      const name = `${share.index}/${pair.hiding}/${pair.binding}`;
      const before = used.get(name);
      if (before !== undefined && before !== toHex(bytes)) violations.push(name);
      used.set(name, toHex(bytes));
      return bytes;
    },
    verifyShare,
    aggregate(key, commitments, message, shares) {
      const { r } = terms(key.groupKey, commitments, message);
      const readable = (bytes: Uint8Array): bigint => {
        try {
          return scalarOf(bytes);
        } catch {
          return 0n;
        }
      };
      const z = [...shares.values()].reduce((sum, share) => sum + readable(share), 0n);
      const signature = new Uint8Array([...scalarBytes(r), ...scalarBytes(z)]);
      if (verify(key.groupKey, message, signature)) return { ok: true, signature };
      const culprits = [...shares]
        .filter(([index, share]) => !verifyShare(key, commitments, message, index, share))
        .map(([index]) => index);
      return { ok: false, culprits };
    },
    verify,
    publicKeyBytes: (groupKey) => groupKey,
    deal: unsupported,
    checkDeal: unsupported,
    reshareFinish: unsupported,
    resharePublic: unsupported,
    repairDeltas: unsupported,
    repairSigma: unsupported,
    repairFinish: unsupported,
    publicOfShares: unsupported,
    exportKey: unsupported,
  };
}
