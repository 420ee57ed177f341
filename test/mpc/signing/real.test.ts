/** The machine on the real suites and real envelopes: standard tools accept what comes out. */
import { schnorr } from '@noble/curves/secp256k1.js';
import { describe, expect, it } from 'vitest';
import { utf8Bytes } from '../../../src/base/bytes.ts';
import type { Suite } from '../../../src/mpc/suites/types.ts';
import { opensslAccepts } from '../../support/ed25519.ts';
import { peer } from './net.ts';
import { realNet as net } from './real-net.ts';

const message = utf8Bytes('real bytes');

/** By an implementation that is none of ours. */
function acceptedByTools(suite: Suite, groupKey: Uint8Array, signature: Uint8Array): boolean {
  const publicKey = suite.publicKeyBytes(groupKey);
  if (suite.name === 'secp256k1-tr') return schnorr.verify(signature, message, publicKey);
  return opensslAccepts(publicKey, message, signature);
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
