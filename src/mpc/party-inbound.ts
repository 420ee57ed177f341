/**
 * What peers want of this node: its part in their sessions, and messages of sessions that run here.
 * @module
 */
import type { PeerId, SessionId } from '../base/brands.ts';
import { BzzzError, type ErrorShape, toBzzzError } from '../base/errors.ts';
import { type AdmissionContext, admitKeygen, admitSigning } from './party-admit.ts';
import { type EarlyMessage, EarlyMessages } from './party-early.ts';
import type { SessionRegistry } from './party-registry.ts';
import { answerLate, strayCertificate, strayInquiry } from './party-stray.ts';
import { type ProposeBody, TOPICS, wire } from './party-wire.ts';
import { isKeygen, isSigning, openProposal } from './proposal.ts';
import { isTerminal } from './session-fold.ts';
import type { SealedProposal } from './types.ts';

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
      await this.#accept(from, wire.readPropose(bytes));
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
      const body = wire.readPropose(answer);
      if (openProposal(body.proposal, this.#registry.clusterId).sid === sid)
        await this.#accept(from, body);
    } catch (thrown) {
      const { code, message } = toBzzzError(thrown);
      this.#registry.deps.logger.debug({ sessionId: sid, from, code }, `not joined: ${message}`);
    } finally {
      if (!this.#registry.has(sid)) this.#early.take(sid);
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
      await this.#registry.resumeKeygen(inquiry);
      this.#registry.find(sid)?.receive(from, envelope);
      return;
    }
    const certificate = strayCertificate(envelope);
    if (certificate !== undefined) {
      await this.#registry.deps.keyring.add(certificate);
      return;
    }
    const known = this.#registry.deps.sessions.get(sid);
    if (known !== undefined && isTerminal(known.view.state)) {
      await answerLate(from, envelope, known.sealed, this.#registry);
    } else if (known?.view.parties.get(this.#registry.self) !== 'refused') {
      this.#early.add(sid, { from, envelope });
    }
  }

  /** @throws why this node takes no part. */
  #accept(from: PeerId, body: ProposeBody): Promise<void> {
    const sealed = openProposal(body.proposal, this.#registry.clusterId);
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
    const restarted = known?.taking === true && sealed.proposal.kind === 'keygen';
    if (over || refused || restarted || (await sessions.refusal(sealed.sid)) !== undefined) {
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
    } else if (isSigning(sealed)) {
      const again = known?.taking === true;
      const admitted = await admitSigning(from, sealed, body, this.#admission, again);
      const start = await this.#registry.signingStart(sealed, admitted);
      await this.#registry.openSigning(start, body);
    }
  }

  /** So that an operator of this node sees what it refused, and why. */
  async #noteRefusal(sealed: SealedProposal, { code, message }: ErrorShape): Promise<void> {
    const { sessions, keyring } = this.#registry.deps;
    if (sessions.get(sealed.sid)?.taking === true) return;
    const seats = isKeygen(sealed)
      ? sealed.proposal.parties
      : isSigning(sealed)
        ? (keyring.byId(sealed.proposal.keyId)?.key.parties ?? [])
        : [];
    const parties = seats.map(({ peerId }) => peerId);
    await sessions.remember(sealed, parties, parties.length, { taking: false, sync: false });
    if (parties.includes(this.#registry.self))
      this.#registry.say(sealed.sid, 'refused', { code, message });
    this.#registry.onlook(sealed);
  }
}
