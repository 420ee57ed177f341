/**
 * The reference of every ratio: the same protocol by noble alone, all parties in this one process,
 * no network, no disk.
 */
import type { FROST } from '@noble/curves/abstract/frost.js';
import { ed25519_FROST } from '@noble/curves/ed25519.js';
import { schnorr_FROST } from '@noble/curves/secp256k1.js';
import { quantiles, round, timed } from './stats.ts';

export const SUITES: Readonly<Record<string, FROST>> = {
  ed25519: ed25519_FROST,
  'secp256k1-tr': schnorr_FROST,
};

interface Group {
  readonly keys: readonly ReturnType<FROST['DKG']['round3']>[];
}

function generate(frost: FROST, min: number, max: number): Group {
  const signers = { min, max };
  const parties = Array.from({ length: max }, (_, i) => {
    const id = frost.Identifier.fromNumber(i + 1);
    return { id, ...frost.DKG.round1(id, signers) };
  });
  const others = parties.map((p) => parties.filter((q) => q !== p).map((q) => q.public));
  const sent = parties.map((p, i) => frost.DKG.round2(p.secret, others[i] ?? []));
  const keys = parties.map((p, i) =>
    frost.DKG.round3(
      p.secret,
      others[i] ?? [],
      sent.flatMap((shares, j) => (j === i ? [] : [shares[p.id]!])),
    ),
  );
  return { keys };
}

function sign(frost: FROST, group: Group, count: number, message: Uint8Array): Uint8Array {
  const signers = group.keys.slice(0, count);
  const rounds = signers.map((key) => frost.commit(key.secret));
  const list = rounds.map((round) => round.commitments);
  const shares: Record<string, Uint8Array> = {};
  for (const [i, key] of signers.entries()) {
    shares[key.secret.identifier] = frost.signShare(
      key.secret,
      key.public,
      rounds[i]!.nonces,
      list,
      message,
    );
  }
  return frost.aggregate(signers[0]!.public, list, message, shares);
}

/** Median of generating a key, in ms. */
export async function nobleKeygenMs(
  suite: string,
  t: number,
  n: number,
  runs = 15,
): Promise<number> {
  const frost = SUITES[suite]!;
  const times: number[] = [];
  for (let i = 0; i < runs + 3; i++) {
    const ms = await timed(async () => void generate(frost, t, n));
    if (i >= 3) times.push(ms);
  }
  return quantiles(times).p50;
}

/** One signature by `t` signers: its median duration, and its mean processor time. In ms. */
export async function nobleSign(
  suite: string,
  t: number,
  n: number,
  runs = 40,
): Promise<{ readonly ms: number; readonly cpuMs: number }> {
  const frost = SUITES[suite]!;
  const group = generate(frost, t, n);
  const message = new Uint8Array(32).fill(1);
  const times: number[] = [];
  for (let i = 0; i < 10; i++) sign(frost, group, t, message);
  const before = process.cpuUsage();
  for (let i = 0; i < runs; i++) {
    times.push(await timed(async () => void sign(frost, group, t, message)));
  }
  const { user, system } = process.cpuUsage(before);
  return { ms: quantiles(times).p50, cpuMs: round((user + system) / 1_000 / runs) };
}
