/**
 * The roster of this node: the chain in memory, on the disk, and who hears of changes. One writer
 * at a time; readers take `view` or `chain`, which never change under them.
 * @module
 */
import type { PeerId, Term } from '../base/brands.ts';
import { equalBytes, toHex } from '../base/bytes.ts';
import { BzzzError, toBzzzError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Clock, KeyValue, Logger, Signer } from '../base/ports.ts';
import { type Chain, extendChain, isCheckpointReached } from './chain.ts';
import {
  assembleEntry,
  type Change,
  decodeEntry,
  type Entry,
  type EntryBody,
  majority,
  signBody,
} from './entry.ts';
import { applyChange, checkChange, draftOf } from './membership.ts';
import { type Begin, loadRoster, saveEntries } from './store.ts';
import type { Role, RosterView, Standing } from './types.ts';

export interface RosterDeps {
  /** A namespace of its own. */
  readonly store: KeyValue;
  /** The identity of this node. */
  readonly signer: Signer;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Told after a change is on the disk. `added` are the new entries, oldest first. */
export type RosterListener = (view: RosterView, added: readonly Entry[]) => void;

/** What an exclusive writer may do; valid until its work ends. */
export interface RosterWriter {
  readonly chain: Chain;
  /** See {@link RosterService.propose}. */
  propose(change: Change, invitationId?: Uint8Array): Promise<Entry>;
}

/** The one writer and the source of every view; see above. */
export class RosterService {
  readonly #deps: RosterDeps;
  readonly #listeners = new Set<RosterListener>();
  #chain: Chain;
  #signed: Entry | undefined;
  #tail: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  #closed = false;

  private constructor(chain: Chain, signed: Entry | undefined, deps: RosterDeps) {
    this.#chain = chain;
    this.#signed = signed;
    this.#deps = deps;
  }

  /** Loads and verifies what is stored. @throws see {@link loadRoster}. */
  static async open(begin: Begin, deps: RosterDeps): Promise<RosterService> {
    const { chain, signed } = await loadRoster(deps.store, begin);
    const service = new RosterService(chain, signed, deps);
    await service.#finishSigned();
    return service;
  }

  get self(): PeerId {
    return this.#deps.signer.peerId;
  }

  get view(): RosterView {
    return this.#chain.view;
  }

  get chain(): Chain {
    return this.#chain;
  }

  /** What this node is by its own chain. */
  get standing(): Standing {
    return this.view.standing(this.self);
  }

  /** Whether the chain has come as far as the invitation said it was; before that nobody counts. */
  get checkpointReached(): boolean {
    return isCheckpointReached(this.#chain);
  }

  /** Whether this node's signature alone certifies the next entry. */
  get canCertify(): boolean {
    return mayCertifyAlone(this.view.voters, this.self);
  }

  /** @returns a function that ends the subscription. A listener that throws is logged. */
  onChange(listener: RosterListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /**
   * Verifies and appends entries that came from elsewhere; all or nothing.
   * @returns how many were new.
   * @throws BAD_MESSAGE, ROSTER_FORK (see chain.ts), DISK_FAILED.
   */
  extend(entries: readonly Uint8Array[]): Promise<number> {
    return this.#enqueue(async () => {
      const { clusterId } = this.view;
      const decoded = entries.map((bytes) => decodeEntry(clusterId, bytes));
      return (await this.#append(decoded)).length;
    });
  }

  /** Runs `work` while nobody else writes: for a decision and the entry that follows from it. */
  exclusive<T>(work: (writer: RosterWriter) => Promise<T>): Promise<T> {
    return this.#enqueue(async () => {
      const service = this;
      let open = true;
      try {
        return await work({
          get chain() {
            return service.#chain;
          },
          propose: async (change, invitationId) => {
            if (!open) throw new BzzzError('INTERNAL', 'a roster writer was used after its turn');
            return service.#propose(change, invitationId);
          },
        });
      } finally {
        open = false;
      }
    });
  }

  /**
   * Signs and appends a change.
   * @throws NOT_A_VOTER; NOT_SUPPORTED: other voters would have to sign; CONFLICT, NOT_FOUND,
   * INVITATION_USED, REFUSED_BY_POLICY: see membership.ts; DISK_FAILED: nothing changed.
   */
  propose(change: Change, invitationId?: Uint8Array): Promise<Entry> {
    return this.exclusive((writer) => writer.propose(change, invitationId));
  }

  /** Admits without an invitation. @throws see {@link propose}. */
  admit(
    peer: PeerId,
    options: { readonly role: Role; readonly noVoter?: boolean; readonly name?: string },
  ): Promise<Entry> {
    const { role, noVoter = false, name } = options;
    const change = { kind: 'admit', peer, role, noVoter } as const;
    return this.propose(name === undefined ? change : { ...change, name });
  }

  /** @throws see {@link propose}; REFUSED_BY_POLICY for the only voter. */
  remove(peer: PeerId): Promise<Entry> {
    return this.propose({ kind: 'remove', peer, reason: 'removed' });
  }

  /** @throws see {@link propose}; NOT_SUPPORTED while one voter must suffice. */
  promote(peer: PeerId): Promise<Entry> {
    return this.propose({ kind: 'promote', peer });
  }

  /** @throws see {@link propose}; REFUSED_BY_POLICY for the only voter. */
  demote(peer: PeerId): Promise<Entry> {
    return this.propose({ kind: 'demote', peer });
  }

  /** Takes no more writes and waits for those under way; then the store may be closed. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#tail;
  }

  #enqueue<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closed) {
      return Promise.reject(new BzzzError('INTERRUPTED', 'the roster is closed'));
    }
    if (this.#waiting >= LIMITS.rosterQueue) {
      return Promise.reject(
        new BzzzError('CONFLICT', `${this.#waiting} roster changes wait already`, {
          hint: 'try again in a moment',
        }),
      );
    }
    this.#waiting++;
    const run = this.#tail.then(work).finally(() => {
      this.#waiting--;
    });
    // The caller has the error; the next writer must not.
    this.#tail = run.catch(() => {});
    return run;
  }

  async #append(entries: readonly Entry[], signed?: Entry): Promise<readonly Entry[]> {
    const { chain, added } = extendChain(this.#chain, entries);
    if (added.length === 0) return added;
    await saveEntries(this.#deps.store, added, signed);
    this.#chain = chain;
    this.#signed = signed ?? this.#signed;
    for (const listener of this.#listeners) {
      try {
        listener(chain.view, added);
      } catch (thrown) {
        this.#deps.logger.error({ error: toBzzzError(thrown).toShape() }, 'roster listener failed');
      }
    }
    return added;
  }

  async #propose(change: Change, invitationId: Uint8Array | undefined): Promise<Entry> {
    const { genesis, membership, view } = this.#chain;
    const { signer, clock } = this.#deps;
    if (!view.voters.includes(this.self)) {
      throw new BzzzError('NOT_A_VOTER', 'only a voter can change the roster', {
        why: `the voters are ${view.voters.join(', ')}`,
      });
    }
    checkChange(membership, genesis.policy, change, invitationId);
    this.#assertStaysCertifiable(change);
    const body: EntryBody = {
      v: 1,
      epoch: (view.epoch + 1) as EntryBody['epoch'],
      term: Math.max(view.term, this.#signed?.body.term ?? 0) as Term,
      prev: view.head,
      change,
      ...(invitationId === undefined ? {} : { invitationId }),
      time: clock.wallMs(),
    };
    assertMaySign(this.#signed?.body, body);
    const signature = signBody(view.clusterId, signer, body, body.term);
    const entry = assembleEntry(view.clusterId, body, body.term, [signature]);
    await this.#append([entry], entry);
    return entry;
  }

  /**
   * Signatures of other voters are gathered by the election's leader. Where there is none, a change
   * that this node could not certify alone, or after which it could certify nothing, is refused.
   */
  #assertStaysCertifiable(change: Change): void {
    const { membership, view } = this.#chain;
    const after = draftOf(membership);
    applyChange(after, view.epoch, change, undefined);
    for (const voters of [view.voters, after.voters]) {
      if (mayCertifyAlone(voters, this.self)) continue;
      throw new BzzzError('NOT_SUPPORTED', 'a roster of several voters is not supported yet', {
        why: `${voters.length} voters would need ${majority(voters.length)} signatures an entry`,
      });
    }
  }

  /** An entry that was signed and synced, but not yet appended when the process died. */
  async #finishSigned(): Promise<void> {
    const signed = this.#signed;
    if (signed === undefined || signed.body.epoch !== this.view.epoch + 1) return;
    if (!this.canCertify || !equalBytes(signed.body.prev, this.view.head)) return;
    await this.#enqueue(() => this.#append([signed]));
    this.#deps.logger.warn({ epoch: signed.body.epoch }, 'finished a roster entry after a crash');
  }
}

const mayCertifyAlone = (voters: readonly PeerId[], self: PeerId): boolean =>
  voters.includes(self) && majority(voters.length) === 1;

/**
 * A voter signs one entry per (epoch, term) and none below its own term; `last`, which is durable
 * before a signature leaves, is all it must remember: within a term, epochs only grow.
 * @throws CONFLICT.
 */
export function assertMaySign(last: EntryBody | undefined, next: EntryBody): void {
  if (last === undefined || next.term > last.term) return;
  if (next.term === last.term && next.epoch > last.epoch) return;
  throw new BzzzError('CONFLICT', `epoch ${next.epoch} in term ${next.term} may not be signed`, {
    why: `this node signed epoch ${last.epoch} in term ${last.term} after ${toHex(last.prev)}`,
    hint: 'wait until this host has the newest roster from the other members',
  });
}
