/**
 * Everything that is ranked by rendezvous hashing: hosts of different versions must compute the
 * same order, so these are fixed.
 */
import { describe, expect, it } from 'vitest';
import type { PeerId, RequestId } from '../../src/base/brands.ts';
import { utf8Bytes } from '../../src/base/bytes.ts';
import { ranked } from '../../src/dht/blocks/placement.ts';
import { byRank } from '../../src/dht/homes.ts';
import { nextByRank } from '../../src/election/jobs/plan.ts';
import { checkComposition } from '../../src/mpc/composition.ts';
import { staticPool } from '../../src/mpc/pool.ts';
import { selectParties } from '../../src/mpc/selection.ts';
import { rankHolders } from '../../src/mpc/signing/rank.ts';

const peers = ['a', 'b', 'c', 'd', 'e', 'f', 'g'] as PeerId[];
const reversed = peers.toReversed();

describe('by rendezvous hashing', () => {
  it('holders of a content', () => {
    expect(ranked('content', peers).join('')).toBe('acdgefb');
    expect(ranked('content', reversed)).toEqual(ranked('content', peers));
  });

  it('who repairs a record', () => {
    expect(byRank(utf8Bytes('record'), peers).join('')).toBe('fbgeacd');
    expect(byRank(utf8Bytes('record'), reversed)).toEqual(byRank(utf8Bytes('record'), peers));
  });

  it('owners of a job, one after the other', () => {
    const owners: PeerId[] = [];
    for (let i = 0; i < 8; i++) owners.push(nextByRank('job', peers, owners.at(-1)) as PeerId);
    expect(owners.join('')).toBe('gbcfdeag');
    // An owner that is gone has its place all the same.
    const after = peers.map((gone) =>
      nextByRank(
        'job',
        reversed.filter((peer) => peer !== gone),
        gone,
      ),
    );
    expect(after.join('')).toBe('gcfeadb');
  });

  it('drivers of a signature', () => {
    const order = (all: readonly PeerId[]) =>
      rankHolders('request' as RequestId, 'd' as PeerId, all);
    expect(order(peers).join('')).toBe('fabcge');
    expect(order(reversed)).toEqual(order(peers));
  });

  it('parties of a key', () => {
    const pool = staticPool(
      peers.map((peerId) => ({
        ...{ peerId, role: 'persistent', ready: true, draining: false, fresh: true },
        suites: ['ed25519'],
      })),
    );
    const chosen = ['seed', 'another', 'third'].map((seed) =>
      selectParties(
        checkComposition({ threshold: 2, parties: 3 }),
        'ed25519',
        pool,
        utf8Bytes(seed),
      )
        .map(({ peerId }) => peerId)
        .join(''),
    );
    expect(chosen).toEqual(['def', 'ceg', 'bdf']);
  });
});
