/**
 * `bzzz roster recover` on this host: consent on the disk, and the signatures of the new voters.
 *
 * Every survivor's operator says the same voters; each new voter that has the consent signs, and
 * asks the others for their signatures, giving those that it knows. Whoever has all of them appends
 * the entry. A host that is no new voter asks too, and takes the entry from their answers or from
 * the roster exchange, whichever is first.
 * @module
 */
import type { Epoch, PeerId } from '../base/brands.ts';
import { equalBytes, toHex } from '../base/bytes.ts';
import { BzzzError, toBzzzError } from '../base/errors.ts';
import type { Cancel, Clock, Direct, Logger, Signer } from '../base/ports.ts';
import { type Chain, hashAt } from './chain.ts';
import { assembleEntry, type EntryBody, majority, openSignature, signBody } from './entry.ts';
import { type Consent, isConsented, recoveryBody } from './recovery-rules.ts';
import {
  decodeAsk,
  decodeSignatures,
  encodeAsk,
  encodeSignatures,
  RECOVER_TOPIC,
} from './recovery-wire.ts';
import type { RosterService } from './service.ts';

export interface RecoveryDeps {
  readonly roster: RosterService;
  /** The identity of this node. */
  readonly signer: Signer;
  readonly direct: Pick<Direct, 'request' | 'handle' | 'connected' | 'onPeer'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** How far a recovery has come. */
export interface RecoveryState {
  /** Sorted by peer id. */
  readonly voters: readonly PeerId[];
  /** Of the recovery; when done, the epoch at which these voters stand. */
  readonly epoch: Epoch;
  /** New voters whose signature is missing here. */
  readonly waitingFor: readonly PeerId[];
}

export interface RecoveryResult extends RecoveryState {
  readonly state: 'done' | 'waiting';
  /**
   * A majority of the old voters is connected, or is this node: a recovery is not needed then, and
   * parts the cluster in two unless all of them follow.
   */
  readonly needless: boolean;
}

/** Between rounds of asking while a recovery is pending. */
const RETRY_MS = 2_000;
const ASK_MS = 3_000;

/** Carries a recovery through, over restarts; see above. */
export class RecoveryService {
  readonly name = 'roster-recovery';
  readonly #deps: RecoveryDeps;
  /** By signer; of the pending recovery, whose `prev` and voters `#for` names. */
  #signatures = new Map<PeerId, Uint8Array>();
  #for = '';
  #round: Promise<void> | undefined;
  #again = false;
  #timer: Cancel | undefined;
  #unsubscribe: Cancel | undefined;
  #stopped = false;

  constructor(deps: RecoveryDeps) {
    this.#deps = deps;
    deps.direct.handle(RECOVER_TOPIC, (from, bytes) => this.#serve(from, bytes));
  }

  /** Goes on with what was pending when the process ended. */
  async start(): Promise<void> {
    this.#unsubscribe = this.#deps.direct.onPeer((_, live) => {
      if (live) this.#goOn();
    });
    this.#goOn();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#unsubscribe?.();
    this.#timer?.();
    await this.#round;
  }

  /**
   * Wants `voters` to vote from here on, durably, and does what can be done at once. What is left
   * happens by itself when the other survivors want the same.
   * @param reason for the log.
   * @throws NOT_A_MEMBER; NOT_FOUND, REFUSED_BY_POLICY: see checkRecover; DISK_FAILED.
   */
  async recover(voters: readonly PeerId[], reason?: string): Promise<RecoveryResult> {
    const { roster, logger } = this.#deps;
    const { view } = roster;
    const needless = this.#isMajorityHere();
    const wanted = recoveryBody(view, 0, voters).change.voters;
    // Typed again after it came about: another recovery would only part the hosts.
    if (wanted.join() === view.voters.join()) {
      return { state: 'done', voters: wanted, epoch: view.epoch, waitingFor: [], needless: false };
    }
    const fields = { epoch: view.epoch, oldVoters: view.voters, newVoters: wanted, reason };
    logger.warn({ ...fields, needless }, 'an operator wants the roster recovered');
    const consent = await roster.consentTo(wanted);
    await this.#gather();
    const open = this.pending();
    const epoch = (view.epoch + 1) as Epoch;
    if (open !== undefined) return { state: 'waiting', ...open, needless };
    const entry = roster.chain.links[epoch - 1]?.entry;
    if (entry !== undefined && isConsented(consent, entry.body)) {
      return { state: 'done', voters: wanted, epoch, waitingFor: [], needless };
    }
    throw new BzzzError('CONFLICT', 'the roster changed while the recovery was noted', {
      why: `it stands at epoch ${roster.view.epoch} now`,
      hint: 'look at `bzzz roster`; if the recovery is still needed, run it again',
    });
  }

  /** The recovery that waits for others; undefined when there is none. */
  pending(): RecoveryState | undefined {
    const { roster } = this.#deps;
    const { consent } = roster;
    if (consent === undefined) return undefined;
    const known = this.#known(consent);
    const waitingFor = consent.voters.filter((voter) => !known.has(voter));
    return { voters: consent.voters, epoch: (roster.view.epoch + 1) as Epoch, waitingFor };
  }

  // -- gathering

  /** One round of questions; while one runs, the next follows it. */
  #gather(): Promise<void> {
    if (this.#round !== undefined) {
      this.#again = true;
      return this.#round;
    }
    this.#round = this.#rounds().finally(() => {
      this.#round = undefined;
      if (this.#stopped || this.#deps.roster.consent === undefined) return;
      this.#timer = this.#deps.clock.after(RETRY_MS, () => this.#goOn());
    });
    return this.#round;
  }

  async #rounds(): Promise<void> {
    do {
      this.#again = false;
      try {
        await this.#askAll();
      } catch (thrown) {
        const error = toBzzzError(thrown).toShape();
        this.#deps.logger.error({ error }, 'a recovery could not go on; it is tried again');
      }
    } while (this.#again && !this.#stopped);
  }

  async #askAll(): Promise<void> {
    const { roster, direct } = this.#deps;
    if (await this.#finish()) return;
    const { consent } = roster;
    if (consent === undefined) return;
    const live = new Set(direct.connected());
    const others = consent.voters.filter((voter) => voter !== roster.self && live.has(voter));
    await Promise.all(others.map((voter) => this.#ask(voter, consent)));
    await this.#finish();
  }

  async #ask(voter: PeerId, consent: Consent): Promise<void> {
    const { direct, logger } = this.#deps;
    try {
      const question = encodeAsk({ ...consent, signatures: [...this.#known(consent).values()] });
      const answer = await direct.request(voter, RECOVER_TOPIC, question, ASK_MS);
      this.#keep(consent, decodeSignatures(answer));
    } catch (thrown) {
      const error = toBzzzError(thrown).toShape();
      logger.info({ voter, error }, 'a new voter does not sign the recovery yet');
    }
  }

  /** Appends the entry if every new voter has signed. @throws DISK_FAILED. */
  async #finish(): Promise<boolean> {
    const { roster } = this.#deps;
    const { consent } = roster;
    if (consent === undefined) return false;
    const known = this.#known(consent);
    if (consent.voters.some((voter) => !known.has(voter))) return false;
    const body = bodyOf(roster.chain, consent);
    const { clusterId } = roster.view;
    const entry = assembleEntry(clusterId, body, body.term, [...known.values()]);
    await roster.extend([entry.bytes]);
    return true;
  }

  // -- signatures

  /** The signatures for a consent, this node's own among them if it is one of the voters. */
  #known(consent: Consent): ReadonlyMap<PeerId, Uint8Array> {
    const { roster, signer } = this.#deps;
    const key = `${toHex(consent.prev)} ${consent.voters.join()}`;
    if (this.#for !== key) {
      this.#for = key;
      this.#signatures = new Map();
    }
    if (consent.voters.includes(roster.self) && !this.#signatures.has(roster.self)) {
      // The consent is durable, and it is all that a voter must remember of this signature.
      const body = bodyOf(roster.chain, consent);
      const own = signBody(roster.view.clusterId, signer, body, body.term);
      this.#signatures.set(roster.self, own);
    }
    return this.#signatures;
  }

  /** Keeps what holds of the signatures that came from elsewhere. @throws BAD_MESSAGE. */
  #keep(consent: Consent, signatures: readonly Uint8Array[]): void {
    const { roster } = this.#deps;
    // While the answer was on its way the roster may have grown.
    if (roster.consent !== consent) return;
    this.#known(consent);
    const body = bodyOf(roster.chain, consent);
    for (const bytes of signatures) {
      const by = openSignature(roster.view.clusterId, body, body.term, bytes);
      if (consent.voters.includes(by)) this.#signatures.set(by, bytes);
    }
  }

  // -- answering

  /** @throws RECOVERY_UNCONFIRMED: the operator here has not said the same. CONFLICT. */
  async #serve(from: PeerId, bytes: Uint8Array): Promise<Uint8Array> {
    const { roster, logger } = this.#deps;
    const ask = decodeAsk(bytes);
    const done = recoveryAfter(roster.chain, ask);
    if (done !== undefined) return encodeSignatures(done);
    const { consent, view } = roster;
    if (!equalBytes(ask.prev, view.head)) {
      throw new BzzzError('CONFLICT', `the roster of ${roster.self} has another head`, {
        why: `it stands at epoch ${view.epoch}`,
        hint: 'compare `bzzz roster` on both hosts',
      });
    }
    if (consent === undefined || consent.voters.join() !== ask.voters.join()) {
      const wish = ask.voters.join(',');
      const hint = `to follow: \`bzzz roster recover --voters ${wish}\` on this host`;
      logger.warn({ from, voters: ask.voters, hint }, 'another host wants the roster recovered');
      throw new BzzzError('RECOVERY_UNCONFIRMED', `${roster.self} has not confirmed the recovery`, {
        why: consent === undefined ? 'nothing was confirmed' : `other voters: ${consent.voters}`,
        hint: `run \`bzzz roster recover --voters ${wish}\` there`,
      });
    }
    this.#keep(consent, ask.signatures);
    const known = [...this.#known(consent).values()];
    if (await this.#finish()) logger.info({ from }, 'the last signature of a recovery arrived');
    return encodeSignatures(known);
  }

  // -- when

  #goOn(): void {
    if (this.#stopped || this.#deps.roster.consent === undefined) return;
    this.#timer?.();
    void this.#gather();
  }

  #isMajorityHere(): boolean {
    const { roster, direct } = this.#deps;
    const live = new Set([roster.self, ...direct.connected()]);
    const { voters } = roster.view;
    return voters.filter((voter) => live.has(voter)).length >= majority(voters.length);
  }
}

/** The body that a consent at the head of `chain` means. */
function bodyOf(chain: Chain, consent: Consent): EntryBody {
  const time = chain.links.at(-1)?.entry.body.time ?? 0;
  return recoveryBody(chain.view, time, consent.voters);
}

/** The signatures of the recovery that is asked for, if it is in the chain. */
function recoveryAfter(chain: Chain, ask: Consent): readonly Uint8Array[] | undefined {
  const epoch = chain.view.recoveries.find((at) => {
    const prev = hashAt(chain, at - 1);
    return prev !== undefined && equalBytes(prev, ask.prev);
  });
  const entry = epoch === undefined ? undefined : chain.links[epoch - 1]?.entry;
  return entry !== undefined && isConsented(ask, entry.body) ? entry.signatures : undefined;
}
