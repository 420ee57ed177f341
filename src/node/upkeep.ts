/**
 * What the leader does all the time besides its jobs: it sees to it that there are enough voters,
 * and hands over to a voter that has been clearly better for long.
 * @module
 */
import type { Term } from '../base/brands.ts';
import { toBzzzError } from '../base/errors.ts';
import type { Clock, Logger } from '../base/ports.ts';
import type { Duty } from '../election/duty.ts';
import { pause } from '../election/jobs/calls.ts';
import { type TransferWatch, transferTarget } from '../election/score.ts';
import type { ElectionService } from '../election/service.ts';
import { planVoters } from '../election/voters.ts';
import type { RosterService } from '../roster/service.ts';
import type { Network } from './net/network.ts';
import type { Observer } from './observing.ts';

export interface UpkeepOptions {
  readonly autoPromote: boolean;
  readonly minTermMs: number;
}

export interface UpkeepDeps {
  readonly roster: RosterService;
  readonly network: Network;
  readonly election: ElectionService;
  readonly observer: Observer;
  /** Whether the job table is on a majority of the present voters. */
  readonly settled: () => boolean;
  readonly clock: Clock;
  readonly logger: Logger;
}

const EVERY_MS = 500;

/** The leader's duty `voters`. */
export function upkeep(options: UpkeepOptions, deps: UpkeepDeps): Duty {
  const { clock } = deps;
  return {
    name: 'voters',
    async run(term, signal, progress) {
      let watch: TransferWatch = new Map();
      while (!signal.aborted) {
        progress();
        if (options.autoPromote && deps.settled()) await arrangeVoters(deps);
        watch = await considerTransfer(watch, term, options.minTermMs, deps);
        await pause(clock, EVERY_MS, signal);
      }
    },
  };
}

async function arrangeVoters(deps: UpkeepDeps): Promise<void> {
  const { roster, network, logger } = deps;
  const { view, chain } = roster;
  const peers = new Map(network.peers().map((peer) => [peer.peerId, peer]));
  const connected = [...peers.values()].filter((peer) => peer.connected && peer.fresh);
  const change = planVoters({
    self: roster.self,
    voters: view.voters,
    members: view.members.values(),
    connected: new Set(connected.map(({ peerId }) => peerId)),
    epochOf: (peer) => peers.get(peer)?.announcement?.rosterEpoch,
    epoch: view.epoch,
    absentMs: (peer) => network.presence.absentMs(peer),
    maxVoters: chain.genesis.policy.maxVoters,
  });
  if (change === undefined) return;
  try {
    await roster.propose(change);
    logger.info({ ...change }, 'changed the voters');
  } catch (thrown) {
    // Seen again at the next turn, if it is still wanted then.
    const { code, message } = toBzzzError(thrown);
    logger.info({ ...change, code, message }, 'could not change the voters now');
  }
}

async function considerTransfer(
  watch: TransferWatch,
  term: Term,
  minTermMs: number,
  deps: UpkeepDeps,
): Promise<TransferWatch> {
  const { roster, clock, observer, election, logger } = deps;
  const scores = observer.scores();
  const input = { self: roster.self, scores, term, now: clock.now(), minTermMs };
  const advice = transferTarget(watch, input);
  if (advice.target === undefined) return advice.watch;
  try {
    await election.transfer(advice.target);
    logger.info({ to: advice.target }, 'handed over to a better host');
  } catch (thrown) {
    const { code, message } = toBzzzError(thrown);
    logger.info({ to: advice.target, code, message }, 'could not hand over now');
  }
  return new Map();
}
