/** Published vectors, through the port that the sessions use. They are not part of the checkout. */
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/base/bytes.ts';
import type { Random } from '../../src/base/ports.ts';
import { suiteOf } from '../../src/mpc/suites/index.ts';
import type { DkgRound1, Suite } from '../../src/mpc/suites/types.ts';
import { SUITES, type SuiteName } from '../../src/mpc/types.ts';
import { keyOf, range } from './suites/keys.ts';

const folder = resolve(import.meta.dirname, '../../../shared/vectors');
const missing = !existsSync(folder);
if (missing) console.warn('skipped: no test vectors in ../shared/vectors beside the checkout');

const read = (file: string) => readFileSync(resolve(folder, file), 'utf8');
const hex = (text: string): Uint8Array => fromHex(text)!;

/** Hands out the given bytes in order. */
function replay(...chunks: readonly Uint8Array[]): Random {
  const queue = [...chunks];
  return {
    bytes(length) {
      const next = queue.shift()!;
      expect(next).toHaveLength(length);
      return next;
    },
  };
}

const pointOf = (name: SuiteName, scalar: Uint8Array): Uint8Array =>
  suiteOf(name).verifyingShareOf({ index: 1, signingShare: scalar });

interface SigningVector {
  readonly config: { readonly MAX_PARTICIPANTS: string; readonly MIN_PARTICIPANTS: string };
  readonly inputs: {
    readonly group_secret_key: string;
    readonly message: string;
    readonly share_polynomial_coefficients: readonly string[];
    readonly participant_shares: readonly {
      readonly identifier: number;
      readonly participant_share: string;
    }[];
  };
  readonly round_one_outputs: {
    readonly outputs: readonly Readonly<Record<string, string>>[];
  };
  readonly round_two_outputs: {
    readonly outputs: readonly { readonly identifier: number; readonly sig_share: string }[];
  };
  readonly final_output: { readonly sig: string };
}

const SIGNING: readonly (readonly [SuiteName, string])[] = [
  ['ed25519', 'cfrg-rfc9591/frost-ed25519-sha512.json'],
  ['ed25519', 'zf-frost/frost-ed25519/vectors.json'],
  ['ed25519', 'zf-frost/frost-ed25519/vectors-big-identifier.json'],
  ['secp256k1-tr', 'zf-frost/frost-secp256k1-tr/vectors.json'],
  ['secp256k1-tr', 'zf-frost/frost-secp256k1-tr/vectors-big-identifier.json'],
  ['secp256k1', 'cfrg-rfc9591/frost-secp256k1-sha256.json'],
  ['secp256k1', 'zf-frost/frost-secp256k1/vectors.json'],
  ['secp256k1', 'zf-frost/frost-secp256k1/vectors-big-identifier.json'],
  ['p256', 'cfrg-rfc9591/frost-p256-sha256.json'],
  ['p256', 'zf-frost/frost-p256/vectors.json'],
  ['p256', 'zf-frost/frost-p256/vectors-big-identifier.json'],
  ['ristretto255', 'cfrg-rfc9591/frost-ristretto255-sha512.json'],
  ['ristretto255', 'zf-frost/frost-ristretto255/vectors.json'],
  ['ristretto255', 'zf-frost/frost-ristretto255/vectors-big-identifier.json'],
];

describe.skipIf(missing)('signing vectors (RFC 9591 appendix E, Zcash Foundation)', () => {
  it.each(SIGNING)('%s: %s', (name, file) => {
    const suite = suiteOf(name);
    const { config, inputs, ...vector }: SigningVector = JSON.parse(read(file));
    const shares = inputs.participant_shares.map((row) => ({
      index: row.identifier,
      signingShare: hex(row.participant_share),
    }));
    const key = keyOf(Number(config.MIN_PARTICIPANTS), Number(config.MAX_PARTICIPANTS), {
      groupKey: pointOf(name, hex(inputs.group_secret_key)),
      commitments: [inputs.group_secret_key, ...inputs.share_polynomial_coefficients].map((c) =>
        pointOf(name, hex(c)),
      ),
      verifyingShares: shares.map(({ signingShare }) => pointOf(name, signingShare)),
    });
    const message = hex(inputs.message);
    const rows = vector.round_one_outputs.outputs;
    const commits = rows.map((row) => {
      const share = shares[Number(row.identifier) - 1]!;
      const randomness = [row.hiding_nonce_randomness!, row.binding_nonce_randomness!];
      return { share, ...suite.commit(share, replay(...randomness.map(hex))) };
    });
    const list = commits.map(({ commitment }) => commitment);
    for (const [i, row] of rows.entries()) {
      expect(toHex(list[i]!.hiding)).toBe(row.hiding_nonce_commitment);
      expect(toHex(list[i]!.binding)).toBe(row.binding_nonce_commitment);
    }
    const parts = new Map(
      commits.map(({ share, nonces }) => [
        share.index,
        suite.signShare(key, share, nonces, list, message),
      ]),
    );
    for (const { identifier, sig_share } of vector.round_two_outputs.outputs) {
      expect(toHex(parts.get(identifier)!)).toBe(sig_share);
    }
    const result = suite.aggregate(key, list, message, parts);
    expect(result.ok && toHex(result.signature)).toBe(vector.final_output.sig);
  });
});

interface DkgParty {
  readonly signing_key: string;
  readonly coefficient: string;
  readonly vss_commitments: readonly string[];
  readonly proof_of_knowledge: string;
  readonly signing_shares: Readonly<Record<string, string>>;
  readonly verifying_share: string;
  readonly signing_share: string;
}

/** The bytes from which the library draws exactly this scalar: 48 bytes of scalar - 1. */
function seedOf(suite: Suite, scalar: Uint8Array): Uint8Array {
  const little = suite.name === 'ed25519' || suite.name === 'ristretto255';
  const n = BigInt(`0x${toHex(little ? scalar.toReversed() : scalar)}`) - 1n;
  const bytes = hex(n.toString(16).padStart(96, '0'));
  return little ? bytes.toReversed() : bytes;
}

describe.skipIf(missing)('key generation vectors (Zcash Foundation)', () => {
  it.each(SUITES)('%s', (name) => {
    const suite = suiteOf(name);
    const { inputs } = JSON.parse(read(`zf-frost/frost-${name}/vectors_dkg.json`));
    const parties = range(3).map((i): DkgParty => inputs[String(i)]);
    const rounds = parties.map(
      (party): DkgRound1 => ({
        commitments: party.vss_commitments.map(hex),
        proof: hex(party.proof_of_knowledge),
      }),
    );
    for (const [at, party] of parties.entries()) {
      const index = at + 1;
      suite.checkRound1(index, 2, rounds[at]!);
      const seeds = [party.signing_key, party.coefficient].map((s) => seedOf(suite, hex(s)));
      const own = suite.dkgRound1(index, 2, 3, replay(...seeds, new Uint8Array(48).fill(9)));
      expect(own.round1.commitments).toEqual(rounds[at]!.commitments);
      const others = new Map(
        range(3).flatMap((j) => (j === index ? [] : [[j, rounds[j - 1]!] as const])),
      );
      const dealt = suite.dkgRound2(own.secret, others);
      const received = new Map<number, Uint8Array>();
      for (const j of others.keys()) {
        // The vectors file a subshare under its receiver, by the dealer's index.
        expect(toHex(dealt.get(j)!)).toBe(parties[j - 1]!.signing_shares[String(index)]);
        const subshare = hex(party.signing_shares[String(j)]!);
        expect(suite.verifySubshare(rounds[j - 1]!.commitments, index, subshare)).toBe(true);
        received.set(j, subshare);
      }
      const key = suite.dkgFinish(own.secret, others, received);
      expect(toHex(key.share.signingShare)).toBe(party.signing_share);
      expect(toHex(key.public.verifyingShares[at]!)).toBe(party.verifying_share);
      expect(toHex(key.public.groupKey)).toBe(inputs.verifying_key);
    }
    const outcome = suite.dkgPublic(2, rounds);
    expect(toHex(outcome.groupKey)).toBe(inputs.verifying_key);
    expect(outcome.verifyingShares.map(toHex)).toEqual(parties.map((p) => p.verifying_share));
  });
});

describe.skipIf(missing)('BIP 340 vectors', () => {
  const rows = missing
    ? []
    : read('bip340/test-vectors.csv')
        .trim()
        .split(/\r?\n/)
        .slice(1)
        .map((line) => line.split(','));

  it('there are some of both kinds', () => {
    expect(new Set(rows.map((row) => row[6]))).toEqual(new Set(['TRUE', 'FALSE']));
  });

  it.each(rows)('%s', (_index, _secret, publicKey, _aux, message, signature, expected) => {
    const groupKey = new Uint8Array([2, ...hex(publicKey!)]);
    const verified = suiteOf('secp256k1-tr').verify(groupKey, hex(message!), hex(signature!));
    expect(verified).toBe(expected === 'TRUE');
  });
});
