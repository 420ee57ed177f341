/**
 * What this node asks of the leader, be it itself or another: changes of the roster, transfers and
 * step-downs.
 * @module
 */
import type { Epoch, PeerId, Term } from '../base/brands.ts';
import { BzzzError, toBzzzError } from '../base/errors.ts';
import type { Clock, Direct, Logger } from '../base/ports.ts';
import type { Change } from '../roster/entry.ts';
import type { RosterService } from '../roster/service.ts';
import type { Asks } from './asks.ts';
import { epochOfChange } from './changes.ts';
import type { LeaderWatch } from './leader-watch.ts';
import { LEADER_TOPICS, LONGEST_WAIT_MS, leaderWire } from './leader-wire.ts';
import { noLeader, pursue } from './pursuit.ts';
import type { Leadership } from './types.ts';

export interface RequestsDeps {
  readonly self: PeerId;
  readonly roster: Pick<RosterService, 'view' | 'chain' | 'extend' | 'onChange'>;
  readonly direct: Pick<Direct, 'request' | 'connected'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly watch: LeaderWatch;
  /** To the machine of this node. */
  readonly asks: Asks;
  readonly exchange: (peer: PeerId) => Promise<void>;
  /** How long a change is pursued, ms. */
  readonly pursuitMs: number;
  /** How long a leader is waited for where one should be, ms. */
  readonly patienceMs: number;
}

/** Who is not ready, or does not lead any more, is asked again a moment later. */
const PAUSE_MS = 25;

/** See the methods of ElectionService, which say what each throws. */
export class LeaderRequests {
  readonly #deps: RequestsDeps;

  constructor(deps: RequestsDeps) {
    this.#deps = deps;
  }

  /** Voters that this node has no stream to, itself left out. */
  missing(): readonly PeerId[] {
    const { self, roster, direct } = this.#deps;
    const connected = new Set(direct.connected());
    return roster.view.voters.filter((voter) => voter !== self && !connected.has(voter));
  }

  async propose(change: Change, invitationId: Uint8Array | undefined): Promise<Epoch> {
    const { self, clock, roster, pursuitMs } = this.#deps;
    const leaves = change.kind === 'remove' && change.peer === self;
    if (!leaves) this.#assertVoter('change the roster');
    const deadline = clock.now() + pursuitMs;
    const epoch = await pursue(
      {
        withinMs: pursuitMs,
        attempt: (leader, leftMs) => this.#attempt(leader, change, invitationId, leftMs),
        isSo: async (leader) => {
          // The leader refused by a roster that this node may not have yet.
          if (leader !== undefined) await this.#catchUp(leader.leader);
          return epochOfChange(roster.chain, change);
        },
      },
      { ...this.#deps, missing: () => this.missing() },
    );
    // Who left need not hear of it.
    if (!leaves) await this.#arrival(epoch, deadline);
    return epoch;
  }

  /** Asks the machine here. */
  proposeHere(
    change: Change,
    invitationId: Uint8Array | undefined,
    waitMs: number,
  ): Promise<Epoch> {
    const id = invitationId === undefined ? {} : { invitationId };
    const time = this.#deps.clock.wallMs();
    return this.#deps.asks.ask({ type: 'propose', change, ...id, time }, waitMs);
  }

  async transfer(to: PeerId | undefined, force: boolean): Promise<Leadership> {
    const { self, direct, watch, patienceMs } = this.#deps;
    this.#assertVoter('transfer leadership');
    const old = await this.#withLeader(async ({ leader }) => {
      if (leader === to) throw new BzzzError('CONFLICT', `${to} leads already`);
      if (leader === self) return this.transferHere(to, force);
      const body = leaderWire.transfer.encode({ to: to ?? null, force });
      await direct.request(leader, LEADER_TOPICS.transfer, body, patienceMs);
    });
    await watch.until((now) => now !== undefined && now.term > old.term, patienceMs);
    const now = watch.current;
    if (now !== undefined && now.term > old.term) return now;
    throw new BzzzError('TIMEOUT', `${old.leader} handed over, and no leader was heard yet`, {
      hint: '`bzzz leader` tells who leads',
    });
  }

  /** Asks the machine here. */
  async transferHere(to: PeerId | undefined, force: boolean): Promise<void> {
    const { asks, patienceMs } = this.#deps;
    const target = to === undefined ? {} : { to };
    await asks.ask({ type: 'transfer', force, ...target }, patienceMs);
  }

  async stepDown(): Promise<{ readonly term: Term }> {
    const { self, direct, patienceMs } = this.#deps;
    this.#assertVoter('end a leadership');
    const { term } = await this.#withLeader(async ({ leader }) => {
      if (leader === self) return this.stepDownHere();
      await direct.request(leader, LEADER_TOPICS.stepDown, new Uint8Array(), patienceMs);
    });
    return { term };
  }

  /** Asks the machine here. */
  async stepDownHere(): Promise<void> {
    const { asks, patienceMs } = this.#deps;
    await asks.ask({ type: 'step-down' }, patienceMs);
  }

  /** Until another leads, nobody else votes, or time is over. */
  async handOver(timeoutMs: number): Promise<void> {
    const { self, clock, roster, watch, asks, logger } = this.#deps;
    const deadline = clock.now() + timeoutMs;
    const isOther = (now: Leadership | undefined) => now !== undefined && now.leader !== self;
    while (watch.current?.leader === self && roster.view.voters.length > 1) {
      const left = deadline - clock.now();
      if (left <= 0) return;
      try {
        await asks.ask({ type: 'transfer', force: true }, left);
        await watch.until(isOther, deadline - clock.now());
      } catch (thrown) {
        const { code, message } = toBzzzError(thrown);
        logger.debug({ code, message }, 'nobody took the lead over yet');
        // A stopped machine refuses for ever.
        if (code === 'DRAINING') return;
        await watch.until(isOther, Math.min(PAUSE_MS, left));
      }
    }
  }

  async #attempt(
    { leader }: Leadership,
    change: Change,
    invitationId: Uint8Array | undefined,
    leftMs: number,
  ): Promise<Epoch> {
    const { self, roster, direct } = this.#deps;
    if (leader === self) return this.proposeHere(change, invitationId, leftMs);
    if (!roster.view.members.has(leader)) {
      throw new BzzzError('NOT_LEADER', `${leader} led and is no longer a member`);
    }
    const body = leaderWire.propose.encode({
      ...{ change, invitationId: invitationId ?? null, have: roster.view.epoch },
      waitMs: Math.min(Math.ceil(leftMs), LONGEST_WAIT_MS),
    });
    const answer = await direct.request(leader, LEADER_TOPICS.propose, body, leftMs);
    const { epoch, entries } = leaderWire.proposed.decode(answer);
    if (entries.length > 0) await roster.extend(entries);
    return epoch;
  }

  /** Until the roster here has `epoch`. @throws TIMEOUT. */
  async #arrival(epoch: Epoch, deadline: number): Promise<void> {
    const { roster, clock, watch } = this.#deps;
    if (roster.view.epoch >= epoch) return;
    const { leader } = watch.current ?? {};
    if (leader !== undefined) await this.#catchUp(leader);
    const there = await new Promise<boolean>((resolve) => {
      const end = (value: boolean): void => {
        unsubscribe();
        cancel();
        resolve(value);
      };
      const look = (): void => {
        if (roster.view.epoch >= epoch) end(true);
      };
      const unsubscribe = roster.onChange(look);
      const cancel = clock.after(Math.max(0, deadline - clock.now()), () => end(false));
      look();
    });
    if (there) return;
    throw new BzzzError('TIMEOUT', `the change was made in epoch ${epoch}, which is not here yet`, {
      hint: 'nothing to do: the roster arrives as soon as another member is connected',
    });
  }

  async #catchUp(peer: PeerId): Promise<void> {
    const { self, exchange, logger } = this.#deps;
    if (peer === self) return;
    try {
      await exchange(peer);
    } catch (thrown) {
      const { code, message } = toBzzzError(thrown);
      logger.debug({ peer, code, message }, 'no roster from the leader');
    }
  }

  /** Does `work` with the leader; who leads no longer tells so, and the next one is asked. */
  async #withLeader(work: (leader: Leadership) => Promise<void>): Promise<Leadership> {
    const { watch, clock, patienceMs } = this.#deps;
    const deadline = clock.now() + patienceMs;
    for (;;) {
      await watch.until((now) => now !== undefined, deadline - clock.now());
      const leader = watch.current;
      if (leader === undefined) throw watch.ended ?? noLeader(this.missing());
      try {
        await work(leader);
        return leader;
      } catch (thrown) {
        const isOver = clock.now() >= deadline;
        if (isOver || toBzzzError(thrown).code !== 'NOT_LEADER') throw thrown;
      }
      await watch.until((now) => now?.term !== leader.term, PAUSE_MS);
    }
  }

  #assertVoter(what: string): void {
    const { self, roster } = this.#deps;
    const { voters } = roster.view;
    if (voters.includes(self)) return;
    throw new BzzzError('NOT_A_VOTER', `only a voter can ${what}`, {
      why: `the voters are ${voters.join(', ')}`,
    });
  }
}
