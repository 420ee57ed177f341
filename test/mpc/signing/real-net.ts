/** Signing machines on real suites and real envelopes. */
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys';
import type { PeerId } from '../../../src/base/brands.ts';
import { sha256, utf8Bytes } from '../../../src/base/bytes.ts';
import { createSigner, openEnvelope } from '../../../src/base/envelope.ts';
import type { Random, Signer } from '../../../src/base/ports.ts';
import { suiteOf } from '../../../src/mpc/suites/index.ts';
import type { DkgRound1, Suite } from '../../../src/mpc/suites/types.ts';
import type { KeyShare } from '../../../src/mpc/types.ts';
import { testRandom } from '../../support/world.ts';
import { type DealtKey, keyInfo, Net, type NetOptions, peer } from './net.ts';

const signers = new Map<PeerId, Signer>();
for (let i = 0; i < 16; i++) {
  const key = await generateKeyPairFromSeed('Ed25519', sha256(utf8Bytes(`signer ${i}`)));
  const signer = createSigner(key);
  signers.set(signer.peerId, signer);
}
/** The key of a peer of the tests. */
export const signerOf = (id: PeerId): Signer => {
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

/** A network of machines on a real suite. */
export function realNet(
  name: string,
  threshold: number,
  n: number,
  more: Partial<NetOptions> = {},
): Net {
  const suite = suiteOf(name);
  const dealt = generate(suite, threshold, n, testRandom(`${name} ${threshold} ${n}`));
  return new Net({ threshold, n, real: { suite, dealt }, signerOf, open: openEnvelope, ...more });
}
