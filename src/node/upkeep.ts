/**
 * What the leader does all the time besides its jobs: it sees to it that there are enough voters,
 * and hands over to a voter that has been clearly better for long.
 * @module
 */
import { millis, type Term } from '../base/brands.ts';
import { toBzzzError } from '../base/errors.ts';
import { pause } from '../base/pause.ts';
import type { Clock, Logger } from '../base/ports.ts';
import type { Duty } from '../election/duty.ts';
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
/**
 * After a change another one is likely, and soon: an even number of voters, which stands the loss
 * of one voter less, is only passed through.
 */
const HURRY_MS = 2_000;
const SOON_MS = 25;

/** The leader's duty `voters`. */
export function upkeep(options: UpkeepOptions, deps: UpkeepDeps): Duty {
  const { clock } = deps;
  return {
    name: 'voters',
    async run(term, signal, progress) {
      let watch: TransferWatch = new Map();
      let hurryUntil = clock.now();
      while (!signal.aborted) {
        progress();
        const changed = options.autoPromote && deps.settled() && (await arrangeVoters(deps));
        if (changed) hurryUntil = millis(clock.now() + HURRY_MS);
        watch = await considerTransfer(watch, term, options.minTermMs, deps);
        await pause(clock, clock.now() < hurryUntil ? SOON_MS : EVERY_MS, signal);
      }
    },
  };
}

/** @returns whether it changed anything. */
async function arrangeVoters(deps: UpkeepDeps): Promise<boolean> {
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
  if (change === undefined) return false;
  try {
    await roster.propose(change);
    logger.info({ ...change }, 'changed the voters');
    return true;
  } catch (thrown) {
    // Seen again at the next turn, if it is still wanted then.
    const { code, message } = toBzzzError(thrown);
    logger.info({ ...change, code, message }, 'could not change the voters now');
    return false;
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
