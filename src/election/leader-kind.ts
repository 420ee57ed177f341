/**
 * The leader at `ucxl://leader:slurp@<cluster>:election/current`: a head whose epoch is the term,
 * so that no store ever lets the leader of an older term take the place of a newer one's.
 *
 * A store judges a head by its own roster. One that is behind the epoch of the election cannot; it
 * refuses, and is offered the head again once it has caught up.
 * @module
 */
import type { Epoch } from '../base/brands.ts';
import { BzzzError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Chain } from '../roster/chain.ts';
import { series } from '../ucxl/address.ts';
import { recogniseFixed } from '../ucxl/fixed.ts';
import type { HeadKind } from '../ucxl/kinds.ts';
import { leaderHeadOrder, openLeaderHead, type VerifiedHead } from './leader-head.ts';

/** Media type of the leader's head. */
export const LEADER_TYPE = 'application/vnd.bzzz.leader+cbor';

export interface LeaderKindDeps {
  /** The chain as it stands now; every check asks again. */
  readonly chain: () => Chain;
  /** A head of an epoch that this node's roster does not have yet: refused, for now. */
  readonly ahead: (epoch: Epoch) => void;
}

/** @param cluster the cluster's name. */
export function leaderKind(cluster: string, { chain, ahead }: LeaderKindDeps): HeadKind {
  return {
    name: 'leader',
    copies: 'newest',
    maxBytes: LIMITS.headBytes,
    matches(address) {
      const fixed = recogniseFixed(address);
      return fixed?.record === 'leader' && fixed.cluster === cluster;
    },
    verify(address, bytes) {
      if (!this.matches(address)) {
        throw new BzzzError('BAD_MESSAGE', `no leader stands at ${series(address)}`);
      }
      const { verified, time } = opened(bytes, chain(), ahead);
      return {
        writer: verified.leader,
        type: LEADER_TYPE,
        time: new Date(time).toISOString(),
        expires: new Date(time + LIMITS.leaderHeadLifeMs).toISOString(),
      };
    },
    order: (bytes) => leaderHeadOrder(chain().genesis.clusterId, bytes),
  };
}

function opened(bytes: Uint8Array, chain: Chain, ahead: LeaderKindDeps['ahead']): VerifiedHead {
  try {
    return openLeaderHead(bytes, chain);
  } catch (thrown) {
    if (thrown instanceof BzzzError && thrown.details.violation === 'epoch-unknown') {
      ahead(thrown.details.epoch as Epoch);
    }
    throw thrown;
  }
}
