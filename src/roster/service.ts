/**
 * The roster of this node: the chain in memory, on the disk, and who hears of changes. One writer
 * at a time; readers take `view` or `chain`, which never change under them.
 * @module
 */
import type { Epoch, PeerId } from '../base/brands.ts';
import { equalBytes } from '../base/bytes.ts';
import { assert, BzzzError, toBzzzError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Clock, KeyValue, Logger, Signer } from '../base/ports.ts';
import { type Chain, growChain, isCheckpointReached } from './chain.ts';
import {
  assembleEntry,
  type Change,
  decodeEntry,
  type Entry,
  type EntryBody,
  signBody,
} from './entry.ts';
import { loneBody, mayCertifyAlone, type Wanted } from './lone-voter.ts';
import { checkRecover } from './membership.ts';
import { type Consent, isConsented, recoveryBody } from './recovery-rules.ts';
import { type Begin, type Loaded, loadRoster, saveRoster } from './store.ts';
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

/** Gathers the signatures of a majority of the voters: the election. */
export interface Certifier {
  /** Whether this node leads now, so that it decides instead of asking another. */
  readonly isLeader: boolean;
  /**
   * Has a change certified, by whichever node leads. Resolves with its epoch once the entry is
   * appended here.
   * @throws NO_LEADER, LEADERSHIP_LOST, TIMEOUT: the change may still be made; or the refusal by
   * the rules of membership.
   */
  propose(change: Change, invitationId?: Uint8Array): Promise<Epoch>;
}

/** The one writer and the source of every view; see above. */
export class RosterService {
  readonly #deps: RosterDeps;
  readonly #listeners = new Set<RosterListener>();
  #chain: Chain;
  #signed: Entry | undefined;
  #consent: Consent | undefined;
  #certifier: Certifier | undefined;
  #tail: Promise<unknown> = Promise.resolve();
  #refused: BzzzError | undefined;
  #waiting = 0;
  #closed = false;

  private constructor({ chain, signed, consent }: Loaded, deps: RosterDeps) {
    this.#chain = chain;
    this.#signed = signed;
    this.#consent = consent;
    this.#deps = deps;
  }

  /** Loads and verifies what is stored. @throws see {@link loadRoster}. */
  static async open(begin: Begin, deps: RosterDeps): Promise<RosterService> {
    const service = new RosterService(await loadRoster(deps.store, begin), deps);
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

  /** Whether this node decides on changes: it leads, or without an election votes alone. */
  get canCertify(): boolean {
    if (this.#certifier !== undefined) return this.#certifier.isLeader;
    return mayCertifyAlone(this.view.voters, this.self);
  }

  /** Whether an election decides who certifies. */
  get hasCertifier(): boolean {
    return this.#certifier !== undefined;
  }

  /** Who certifies from here on; undefined: this node, if it can alone. */
  useCertifier(certifier: Certifier | undefined): void {
    this.#certifier = certifier;
  }

  /** The recovery that the operator wants and that has not come about; see recovery.ts. */
  get consent(): Consent | undefined {
    return this.#consent;
  }

  /** A recovery by others that this host was offered since it started and does not follow. */
  get refusedRecovery(): BzzzError | undefined {
    return this.#refused;
  }

  /** @returns a function that ends the subscription. A listener that throws is logged. */
  onChange(listener: RosterListener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /**
   * Verifies and appends entries that came from elsewhere; all or nothing.
   * @returns how many were new.
   * @throws BAD_MESSAGE, ROSTER_FORK (see chain.ts), DISK_FAILED. RECOVERY_UNCONFIRMED: a recovery
   * that nobody here consented to; the entries before it were appended.
   */
  extend(entries: readonly Uint8Array[]): Promise<number> {
    return this.#enqueue(async () => {
      const { clusterId } = this.view;
      const decoded = entries.map((bytes) => decodeEntry(clusterId, bytes));
      try {
        return (await this.#append(decoded)).length;
      } catch (thrown) {
        if (!(thrown instanceof BzzzError) || thrown.code !== 'RECOVERY_UNCONFIRMED') throw thrown;
        const recovery = Number(thrown.details.epoch);
        await this.#append(decoded.filter(({ body }) => body.epoch < recovery));
        this.#refuse(recovery, thrown);
        throw thrown;
      }
    });
  }

  /**
   * Notes durably that the operator wants exactly `voters` to vote from the head on. It takes the
   * place of an earlier consent, and lapses when the roster grows another way.
   * @throws NOT_A_MEMBER; NOT_FOUND, REFUSED_BY_POLICY: see checkRecover; DISK_FAILED.
   */
  consentTo(voters: readonly PeerId[]): Promise<Consent> {
    return this.#enqueue(async () => {
      const { genesis, membership, view, links } = this.#chain;
      if (this.standing !== 'member') {
        throw new BzzzError('NOT_A_MEMBER', 'this host is not a member of the cluster');
      }
      const time = links.at(-1)?.entry.body.time ?? 0;
      const change = recoveryBody(view, time, voters).change;
      checkRecover(membership, genesis.policy, change);
      const consent: Consent = { voters: change.voters, prev: view.head };
      await saveRoster(this.#deps.store, { entries: [], consent });
      this.#consent = consent;
      return consent;
    });
  }

  /** Runs `work` while nobody else writes. It must not change the roster: that would wait. */
  exclusive<T>(work: (chain: Chain) => Promise<T>): Promise<T> {
    return this.#enqueue(() => work(this.#chain));
  }

  /**
   * Makes a change: through the certifier, or by this node's own signature. Another writer may come
   * first; then the rules are applied to what it left.
   * @throws NOT_A_VOTER; CONFLICT, NOT_FOUND, INVITATION_USED, REFUSED_BY_POLICY: see
   * membership.ts; what {@link Certifier.propose} throws; without a certifier NOT_SUPPORTED: other
   * voters would have to sign; DISK_FAILED: nothing changed.
   */
  async propose(change: Change, invitationId?: Uint8Array): Promise<Entry> {
    const { voters } = this.view;
    if (!voters.includes(this.self)) {
      throw new BzzzError('NOT_A_VOTER', 'only a voter can change the roster', {
        why: `the voters are ${voters.join(', ')}`,
      });
    }
    const certifier = this.#certifier;
    if (certifier === undefined) return this.#enqueue(() => this.#certify(change, invitationId));
    // Not in the queue: the certifier needs it to append.
    const epoch = await certifier.propose(change, invitationId);
    const entry = this.#chain.links[epoch - 1]?.entry;
    assert(entry !== undefined, `epoch ${epoch} was certified and is not in the roster`);
    return entry;
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

  /** @throws see {@link propose}. */
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

  /** Told once: every peer offers it again at every turn. */
  #refuse(epoch: number, refusal: BzzzError): void {
    if (this.#refused?.details.epoch === epoch) return;
    this.#refused = refusal;
    const { message, why, hint } = refusal;
    this.#deps.logger.warn({ epoch, why, hint }, `not followed: ${message}`);
  }

  async #append(entries: readonly Entry[], signed?: Entry): Promise<readonly Entry[]> {
    const before = this.#chain;
    const consented = (body: EntryBody) => isConsented(this.#consent, body);
    const { chain, added, dropped } = growChain(before, entries, consented);
    if (added.length === 0) return added;
    await saveRoster(this.#deps.store, {
      entries: added,
      drop: dropped,
      ...(signed === undefined ? {} : { signed }),
      ...(this.#consent === undefined ? {} : { consent: null }),
    });
    const wish = this.#consent;
    this.#consent = undefined;
    this.#refused = undefined;
    this.#chain = chain;
    this.#signed = signed ?? this.#signed;
    this.#audit(before, added, dropped, wish);
    for (const listener of this.#listeners) {
      try {
        listener(chain.view, added);
      } catch (thrown) {
        this.#deps.logger.error({ error: toBzzzError(thrown).toShape() }, 'roster listener failed');
      }
    }
    return added;
  }

  /** What an operator must find in the log, whatever else becomes of it. */
  #audit(
    before: Chain,
    added: readonly Entry[],
    dropped: readonly Epoch[],
    consent: Consent | undefined,
  ): void {
    const { logger } = this.#deps;
    if (dropped.length > 0) {
      logger.warn({ dropped }, 'gave up a roster that does not lead to the invitation');
    }
    for (const { body } of added) {
      if (body.change.kind !== 'recover') continue;
      const oldVoters = this.#chain.links[body.epoch - 1]?.voters;
      const fields = { epoch: body.epoch, oldVoters, newVoters: body.change.voters };
      logger.warn(fields, 'the roster was recovered: an operator replaced the voters');
    }
    if (consent === undefined || added.some(({ body }) => isConsented(consent, body))) return;
    logger.warn(
      { epoch: before.view.epoch, voters: consent.voters },
      'the roster grew without the recovery that was wanted; if it is still needed, run it again',
    );
  }

  async #certify(change: Change, invitationId: Uint8Array | undefined): Promise<Entry> {
    const { signer, clock } = this.#deps;
    const { clusterId } = this.view;
    const wanted: Wanted = { change, invitationId, time: clock.wallMs() };
    const body = loneBody(this.#chain, this.self, this.#signed?.body, wanted);
    const signature = signBody(clusterId, signer, body, body.term);
    const entry = assembleEntry(clusterId, body, body.term, [signature]);
    await this.#append([entry], entry);
    return entry;
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
