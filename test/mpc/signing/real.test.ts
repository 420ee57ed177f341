/** The machine on the real suites and real envelopes: standard tools accept what comes out. */
import { createPublicKey, verify as verifySignature } from 'node:crypto';
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys';
import { schnorr } from '@noble/curves/secp256k1.js';
import { describe, expect, it } from 'vitest';
import type { PeerId } from '../../../src/base/brands.ts';
import { sha256, utf8Bytes } from '../../../src/base/bytes.ts';
import { createSigner, openEnvelope } from '../../../src/base/envelope.ts';
import type { Random, Signer } from '../../../src/base/ports.ts';
import { suiteOf } from '../../../src/mpc/suites/index.ts';
import type { DkgRound1, Suite } from '../../../src/mpc/suites/types.ts';
import type { KeyShare } from '../../../src/mpc/types.ts';
import { testRandom } from '../../support/world.ts';
import { type DealtKey, keyInfo, Net, peer } from './net.ts';

const message = utf8Bytes('real bytes');

const signers = new Map<PeerId, Signer>();
for (let i = 0; i < 16; i++) {
  const key = await generateKeyPairFromSeed('Ed25519', sha256(utf8Bytes(`signer ${i}`)));
  const signer = createSigner(key);
  signers.set(signer.peerId, signer);
}
const signerOf = (id: PeerId): Signer => {
  const signer = signers.get(id);
  if (signer === undefined) throw new Error(`no signer ${id}`);
  return signer;
};

/** Key generation without a network. */
function generate(suite: Suite, threshold: number, n: number, random: Random): DealtKey {
  const indexes = Array.from({ length: n }, (_, i) => i + 1);
  const first = new Map(indexes.map((i) => [i, suite.dkgRound1(i, threshold, n, random)]));
  const othersOf = (i: number): ReadonlyMap<number, DkgRound1> =>
    new Map([...first].filter(([j]) => j !== i).map(([j, { round1 }]) => [j, round1]));
  const second = new Map(
    [...first].map(([i, { secret }]) => [i, suite.dkgRound2(secret, othersOf(i))]),
  );
  const shares = new Map<PeerId, KeyShare>();
  let parts: ReturnType<Suite['dkgFinish']>['public'] | undefined;
  for (const [i, { secret }] of first) {
    const subshares = new Map<number, Uint8Array>();
    for (const [j, out] of second) {
      const subshare = out.get(i);
      if (j !== i && subshare !== undefined) subshares.set(j, subshare);
    }
    const done = suite.dkgFinish(secret, othersOf(i), subshares);
    shares.set(peer(i), done.share);
    parts = done.public;
  }
  if (parts === undefined) throw new Error('no party');
  return { key: keyInfo(threshold, n, suite, parts), shares };
}

function net(name: string, threshold: number, n: number): Net {
  const suite = suiteOf(name);
  const dealt = generate(suite, threshold, n, testRandom(`${name} ${threshold} ${n}`));
  return new Net({ threshold, n, real: { suite, dealt }, signerOf, open: openEnvelope });
}

/** By an implementation that is none of ours. */
function acceptedByTools(suite: Suite, groupKey: Uint8Array, signature: Uint8Array): boolean {
  const publicKey = suite.publicKeyBytes(groupKey);
  if (suite.name === 'secp256k1-tr') return schnorr.verify(signature, message, publicKey);
  const prefix = Buffer.from('302a300506032b6570032100', 'hex');
  const der = Buffer.concat([prefix, publicKey]);
  const key = createPublicKey({ key: der, format: 'der', type: 'spki' });
  return verifySignature(null, message, key, signature);
}

describe.each(['ed25519', 'secp256k1-tr'])('%s', (name) => {
  it.each([
    [2, 3, []],
    [3, 5, [2, 4]],
  ])('%d of %d signs, without %j, what standard tools accept', (t, n, dead) => {
    const run = net(name, t, n);
    for (const i of dead) run.kill(peer(i));
    const sealed = run.proposal(peer(1), message);
    run.beginAll(sealed, message);
    run.run();
    const { result } = run.completion(peer(1), sealed.sid);
    expect(acceptedByTools(run.suite, run.dealt.key.groupKey, result.signature)).toBe(true);
    if (dead.length > 0) expect(result.signers).toEqual([1, 3, 5].map(peer));
    const wrong = new Uint8Array(result.signature);
    wrong[40] = (wrong[40] ?? 0) ^ 1;
    expect(acceptedByTools(run.suite, run.dealt.key.groupKey, wrong)).toBe(false);
  });

  it('names the signer of a wrong share and signs without it', () => {
    const run = net(name, 2, 3);
    run.wire = ({ from, sid, envelope, message: m }) => {
      if (from !== peer(2) || m.kind !== 'share') return [{ envelope, delayMs: 1 }];
      const share = new Uint8Array(m.share);
      share[4] = (share[4] ?? 0) ^ 1;
      return [{ envelope: run.seal(from, sid, { ...m, share }), delayMs: 1 }];
    };
    const sealed = run.proposal(peer(1), message);
    run.beginAll(sealed, message);
    run.run();
    for (const i of [1, 3]) {
      const { result, culprits } = run.completion(peer(i), sealed.sid);
      expect(culprits).toEqual([peer(2)]);
      expect(result.signers).toEqual([peer(1), peer(3)]);
    }
    expect(run.named()).toEqual([peer(2)]);
  });

  it('names the author of a commitment with an invalid point', () => {
    const run = net(name, 2, 3);
    run.wire = ({ from, sid, envelope, message: m }) => {
      if (from !== peer(2) || m.kind !== 'commitment') return [{ envelope, delayMs: 1 }];
      const hiding = new Uint8Array(run.suite.pointBytes).fill(0xff);
      return [{ envelope: run.seal(from, sid, { ...m, hiding }), delayMs: 1 }];
    };
    const sealed = run.proposal(peer(1), message);
    run.beginAll(sealed, message);
    run.run();
    expect(run.completion(peer(1), sealed.sid).result.signers).toEqual([peer(1), peer(3)]);
    expect(run.named()).toEqual([peer(2)]);
  });

  it('survives the death of the proposer after its package went out', () => {
    const run = net(name, 2, 3);
    const sealed = run.proposal(peer(1), message);
    run.wire = ({ from, envelope, message: m }) => {
      if (from === peer(1) && m.kind === 'package') run.at(0, () => run.kill(peer(1)));
      return [{ envelope, delayMs: 1 }];
    };
    run.beginAll(sealed, message);
    run.run();
    const { result } = run.completion(peer(2), sealed.sid);
    expect(acceptedByTools(run.suite, run.dealt.key.groupKey, result.signature)).toBe(true);
  });
});
