/** A key of the toy group that is handed on, on the network of the key generation tests. */
import type { Epoch } from '../../../src/base/brands.ts';
import type { Signer } from '../../../src/base/ports.ts';
import {
  type Certified,
  extendCertificate,
  verifyCertificate,
} from '../../../src/mpc/keys/certificate.ts';
import { reshareDealing } from '../../../src/mpc/reshare/dealing.ts';
import { planSuccession } from '../../../src/mpc/reshare/plan.ts';
import { sealProposal } from '../../../src/mpc/sessions/proposal.ts';
import type { KeyShare, ReshareProposal } from '../../../src/mpc/types.ts';
import { toyDkg } from '../../support/toy-dkg.ts';
import { CLUSTER, Network, type Options, TTL_MS, toyOpen } from '../keygen/network.ts';

export const suite = toyDkg();
export const certificateDeps = { open: toyOpen, suites: new Map([[suite.name, suite]]) };

/** A key as its holders have it. */
export interface Held {
  readonly certificate: Uint8Array;
  readonly certified: Certified;
  /** By position in SIGNERS. */
  readonly shares: ReadonlyMap<number, KeyShare>;
}

/** Real envelopes and suites, or the toys of these tests. */
const depsOf = (net: Network): Parameters<typeof verifyCertificate>[2] =>
  net.isReal ? {} : certificateDeps;

const heldOf = (certificate: Uint8Array, net: Network): Held => ({
  certificate,
  certified: verifyCertificate(certificate, CLUSTER, depsOf(net)),
  shares: new Map(
    net.nodes.flatMap(({ disk }, i) => (disk.share === undefined ? [] : [[i, disk.share.share]])),
  ),
});

/** A key of `threshold` of the first `parties` signers. */
export function makeKey(threshold: number, parties: number, more: Partial<Options> = {}): Held {
  const net = new Network({ threshold, parties, suite, ...more }).start().run();
  return heldOf(net.node(1).disk.certificate!, net);
}

/** How the key is handed on. */
export interface Wish {
  readonly threshold: number;
  /** New parties, by position in SIGNERS. */
  readonly parties: readonly number[];
  /** Old holders that are away, by position. */
  readonly away?: readonly number[];
  readonly change?: (proposal: ReshareProposal) => ReshareProposal;
  readonly seed?: number;
  readonly nonce?: number;
}

/** The session; its nodes stand in the order of SIGNERS, all of them. */
export function handOn(held: Held, wish: Wish, more: Partial<Options> = {}): Network {
  const { keyInfo: key, hash } = held.certified;
  const { nonce = 7, seed = 1, change = (p: ReshareProposal) => p } = wish;
  const positions = (used: readonly Signer[]) => ({
    peer: (i: number) => used[i]!.peerId,
    index: (peer: string) => used.findIndex(({ peerId }) => peerId === peer),
  });
  const people = Math.max(...wish.parties, ...held.shares.keys()) + 1;
  return new Network({
    ...{ threshold: wish.threshold, parties: people, suite, seed },
    ...more,
    other(used) {
      const { peer, index } = positions(used);
      const parties = wish.parties.map((i, at) => ({
        ...{ peerId: peer(i), index: at + 1, role: 'persistent' as const },
      }));
      const here = (who: string): boolean => !(wish.away ?? []).includes(index(who));
      const proposal: ReshareProposal = {
        ...{ v: 1, kind: 'reshare', clusterId: CLUSTER, proposer: peer(0) },
        ...{ rosterEpoch: 3 as Epoch, ttlMs: TTL_MS, nonce: new Uint8Array(16).fill(nonce) },
        ...{ keyId: key.keyId, keyEpoch: key.epoch, previous: hash, suite: suite.name },
        ...planSuccession(key, { threshold: wish.threshold, parties }, here),
      };
      const sealed = sealProposal(change(proposal), used[0]!);
      return {
        sealed,
        dealing(seat, deps) {
          const share = held.shares.get(seat - 1);
          const own = share && { index: share.index, signingShare: share.signingShare.slice() };
          return reshareDealing(sealed, { key, hash, ...(own && { share: own }) }, deps);
        },
      };
    },
  });
}

/** The key in its next epoch. */
export function next(held: Held, net: Network): Held {
  const link = net.nodes.find(({ disk }) => disk.certificate !== undefined)!.disk.certificate!;
  return heldOf(extendCertificate(held.certificate, link, CLUSTER, depsOf(net)), net);
}
