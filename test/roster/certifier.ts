/** An election on paper: who leads is what the test says, and voters sign whatever it proposes. */
import type { Epoch, PeerId } from '../../src/base/brands.ts';
import { BzzzError } from '../../src/base/errors.ts';
import { type Change, majority } from '../../src/roster/entry.ts';
import { checkChange } from '../../src/roster/membership.ts';
import type { Certifier, RosterService } from '../../src/roster/service.ts';
import { entryAfter, signerOf } from './support.ts';

export class PaperElection {
  leader: PeerId | undefined;
  /** Waited for before the entry is made, by whoever proposes. */
  before: () => Promise<void> = async () => {};
  /** Runs after the entry is made, before its proposer hears of it; may throw. */
  after: () => Promise<void> = async () => {};
  readonly #rosters = new Map<PeerId, RosterService>();

  /** Lets a node take part. */
  attach(roster: RosterService): void {
    this.#rosters.set(roster.self, roster);
    roster.useCertifier(this.#certifierOf(roster));
  }

  #certifierOf(roster: RosterService): Certifier {
    const election = this;
    return {
      get isLeader() {
        return election.leader === roster.self;
      },
      propose: (change, invitationId) => election.#propose(change, invitationId),
    };
  }

  /** As `ElectionService` does, whoever asks: the leader proposes by its own roster. */
  async #propose(change: Change, invitationId?: Uint8Array): Promise<Epoch> {
    await this.before();
    const roster = this.leader && this.#rosters.get(this.leader);
    if (!roster) throw new BzzzError('NO_LEADER', 'nobody leads');
    const { chain } = roster;
    checkChange(chain.membership, chain.genesis.policy, change, invitationId);
    const by = chain.view.voters.slice(0, majority(chain.view.voters.length)).map(signerOf);
    const body = invitationId === undefined ? {} : { invitationId };
    const entry = entryAfter(chain, change, { body, by });
    for (const each of this.#rosters.values()) await each.extend([entry.bytes]);
    await this.after();
    return entry.body.epoch;
  }
}
