/**
 * What peers want of this node: its part in their sessions, and messages of sessions that run here.
 * @module
 */
import type { PeerId, SessionId } from '../../base/brands.ts';
import { BzzzError, type ErrorShape, toBzzzError } from '../../base/errors.ts';
import { isTerminal } from '../sessions/fold.ts';
import {
  isKeygen,
  isRepair,
  isReshare,
  isSigning,
  openProposal,
  seatPeers,
} from '../sessions/proposal.ts';
import type { SigningStart } from '../signing/types.ts';
import type { SealedProposal, SignProposal } from '../types.ts';
import {
  type AdmissionContext,
  type AdmittedSigning,
  admitKeygen,
  admitReshare,
  admitSigning,
  learnedKey,
} from './admit.ts';
import { type EarlyMessage, EarlyMessages } from './early-messages.ts';
import { admitRepair } from './mend.ts';
import type { SessionRegistry } from './registry.ts';
import { answerInquiry, answerLate, strayCertificate, strayInquiry } from './stray.ts';
import { takeTold } from './told.ts';
import { type ProposeBody, TOPICS, wire } from './wire.ts';

/** The handlers of the direct topics. */
export class Inbound {
  readonly #registry: SessionRegistry;
  readonly #admission: AdmissionContext;
  readonly #early: EarlyMessages;

  constructor(registry: SessionRegistry, admission: AdmissionContext) {
    this.#registry = registry;
    this.#admission = admission;
    this.#early = new EarlyMessages(registry.deps.clock, (sid, from) => {
      registry.background('fetch proposal', this.#fetch(sid, from));
    });
  }

  get timers(): number {
    return this.#early.timers;
  }

  start(): void {
    const { direct } = this.#registry.deps;
    direct.handle(TOPICS.propose, async (from, bytes) => this.#onPropose(from, bytes));
    direct.handle(TOPICS.fetch, async (from, bytes) => this.#onFetch(from, bytes));
    direct.handle(TOPICS.message, async (from, bytes) => {
      const { sid, envelope } = wire.readMessage(bytes);
      await this.#onMessage(from, sid, envelope);
      return undefined;
    });
    direct.handle(TOPICS.cancel, async (from, bytes) => {
      const { sid, reason } = wire.readCancel(bytes);
      const live = this.#registry.find(sid);
      if (live?.sealed.proposal.proposer === from) live.cancel(from, reason);
      return undefined;
    });
  }

  /** Removes and returns what came for a session before it was open. */
  takeEarly(sid: SessionId): readonly EarlyMessage[] {
    return this.#early.take(sid);
  }

  close(): void {
    this.#early.close();
  }

  async #onPropose(from: PeerId, bytes: Uint8Array): Promise<Uint8Array> {
    try {
      const { first, ...body } = wire.readPropose(bytes);
      await this.#join(from, body, first);
      return wire.answer();
    } catch (thrown) {
      const error = toBzzzError(thrown);
      const { code, message } = error;
      this.#registry.deps.logger.info({ from, code }, `refused a proposal: ${message}`);
      return wire.answer(error.toShape());
    }
  }

  async #onFetch(from: PeerId, bytes: Uint8Array): Promise<Uint8Array> {
    const { sid } = wire.readFetch(bytes);
    const live = this.#registry.find(sid);
    const { proposer } = live?.sealed.proposal ?? {};
    if (live?.body === undefined || !(live.parties.includes(from) || proposer === from)) {
      throw new BzzzError('NOT_FOUND', `no session ${sid} to pass on`);
    }
    return wire.propose(live.body);
  }

  /** Asks a party of a session that this node does not have for its proposal. */
  async #fetch(sid: SessionId, from: PeerId): Promise<void> {
    try {
      const answer = await this.#registry.deps.direct.request(from, TOPICS.fetch, wire.fetch(sid));
      const { first: _none, ...body } = wire.readPropose(answer);
      const sealed = openProposal(body.proposal, this.#registry.clusterId);
      if (sealed.sid === sid) await this.#accept(from, sealed, body);
    } catch (thrown) {
      const { code, message } = toBzzzError(thrown);
      this.#registry.deps.logger.debug({ sessionId: sid, from, code }, `not joined: ${message}`);
    } finally {
      if (!this.#registry.has(sid)) this.#early.forget(sid, from);
    }
  }

  async #onMessage(from: PeerId, sid: SessionId, envelope: Uint8Array): Promise<void> {
    const live = this.#registry.find(sid);
    if (live !== undefined) {
      live.receive(from, envelope);
      return;
    }
    const inquiry = strayInquiry(envelope, this.#registry);
    if (inquiry !== undefined) {
      if (isReshare(inquiry)) {
        // Of a change to an epoch that is not known here nothing can be said: the next time it can.
        const learned = learnedKey(from, inquiry.proposal, this.#admission);
        this.#registry.background('learn keys', learned);
      }
      await this.#registry.resumeDealt(inquiry);
      const woken = this.#registry.find(sid);
      if (woken === undefined) answerInquiry(from, inquiry, this.#registry);
      else woken.receive(from, envelope);
      return;
    }
    const certificate = strayCertificate(envelope);
    if (certificate !== undefined) {
      await this.#learn(sid, certificate);
      return;
    }
    const known = this.#registry.deps.sessions.get(sid);
    if (known !== undefined && isTerminal(known.view.state)) {
      await answerLate(from, envelope, known.sealed, this.#registry);
    } else if (known?.view.parties.get(this.#registry.self) !== 'refused') {
      this.#early.add(sid, { from, envelope });
    }
  }

  /** The certificate of a session that is over here: a new key's, or the next epoch's. */
  async #learn(sid: SessionId, certificate: Uint8Array): Promise<void> {
    const { keyring, sessions } = this.#registry.deps;
    const sealed = sessions.get(sid)?.sealed;
    if (sealed === undefined || !isReshare(sealed)) await keyring.add(certificate);
    else await keyring.follow(sealed.proposal.keyId, certificate);
  }

  /** Takes part, then hears what came with the proposal. @throws why this node takes no part. */
  async #join(from: PeerId, body: ProposeBody, first: Uint8Array | null): Promise<void> {
    const sealed = openProposal(body.proposal, this.#registry.clusterId);
    if (first !== null && !this.#isKnown(sealed.sid)) {
      if (await takeTold(sealed, body, first, this.#registry)) return;
    }
    const { sid } = sealed;
    // It is heard as soon as the session is open, while that is written down.
    if (first !== null) this.#early.add(sid, { from, envelope: first });
    try {
      await this.#accept(from, sealed, body);
    } finally {
      // A session that is over has an answer for a driver that missed its end.
      for (const each of this.takeEarly(sid)) await this.#onMessage(each.from, sid, each.envelope);
    }
  }

  /** Whether a session takes part here, or is told of already. */
  #isKnown(sid: SessionId): boolean {
    const known = this.#registry.deps.sessions.get(sid);
    return this.#registry.has(sid) || known?.taking === true;
  }

  /** @throws why this node takes no part. */
  #accept(from: PeerId, sealed: SealedProposal, body: ProposeBody): Promise<void> {
    return this.#registry.once(sealed.sid, async () => {
      if (this.#registry.has(sealed.sid)) return;
      try {
        await this.#admit(from, sealed, body);
      } catch (thrown) {
        await this.#noteRefusal(sealed, toBzzzError(thrown).toShape());
        throw thrown;
      }
    });
  }

  async #admit(from: PeerId, sealed: SealedProposal, body: ProposeBody): Promise<void> {
    const { sessions } = this.#registry.deps;
    const known = sessions.get(sealed.sid);
    const over = known !== undefined && isTerminal(known.view.state);
    const refused = known?.view.parties.get(this.#registry.self) === 'refused';
    const restarted = known?.taking === true && !isSigning(sealed);
    if (over || refused || restarted || sessions.hasRefused(sealed.sid)) {
      const why = over
        ? 'it is over'
        : refused
          ? 'this node refused it'
          : 'this node was restarted';
      throw new BzzzError('CONFLICT', `session ${sealed.sid} is known: ${why}`, {
        hint: 'ask again with a new request',
      });
    }
    if (isKeygen(sealed)) {
      admitKeygen(from, sealed, body, this.#admission);
      await this.#registry.openKeygen(sealed, body);
    } else if (isReshare(sealed)) {
      const { entry, share } = await admitReshare(from, sealed, body, this.#admission);
      const { key, hash } = entry;
      const old = { key, hash, ...(share === undefined ? {} : { share }) };
      await this.#registry.openReshare(sealed, body, old);
    } else if (isRepair(sealed)) {
      const start = await admitRepair(from, sealed, body, this.#admission);
      await this.#registry.openRepair(start, body);
    } else if (isSigning(sealed)) {
      const again = known?.taking === true;
      const admitted = await admitSigning(from, sealed, body, this.#admission, again);
      const start = await this.#signingStart(sealed, admitted);
      await this.#registry.openSigning(start, body, [from]);
    }
  }

  /** With the result if this node has one: in memory, or on its disk from before a restart (S6). */
  async #signingStart(
    sealed: SealedProposal<SignProposal>,
    parts: AdmittedSigning,
  ): Promise<SigningStart> {
    const { results, options } = this.#registry;
    const { fresh, requestId } = sealed.proposal;
    const known = fresh
      ? undefined
      : await results.find(requestId, parts.key, parts.message, 'local');
    const result = known === undefined ? {} : { result: known.envelope };
    return { sealed, boot: options.boot, ...parts, ...result };
  }

  /** So that an operator of this node sees what it refused, and why. */
  async #noteRefusal(sealed: SealedProposal, { code, message }: ErrorShape): Promise<void> {
    const { sessions, keyring } = this.#registry.deps;
    if (sessions.get(sealed.sid)?.taking === true) return;
    const { proposal } = sealed;
    const parties =
      proposal.kind === 'keygen' || proposal.kind === 'reshare'
        ? seatPeers(proposal)
        : (keyring.byId(proposal.keyId)?.key.parties ?? []).map(({ peerId }) => peerId);
    await sessions.remember(sealed, parties, parties.length, { taking: false, sync: false });
    if (parties.includes(this.#registry.self))
      this.#registry.say(sealed.sid, 'refused', { code, message });
    this.#registry.onlook(sealed);
  }
}
