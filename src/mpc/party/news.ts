/**
 * Session news: what this node says of its sessions goes out by gossip in batches, and what others
 * say comes in. Digests only; losing all of it costs nobody a session.
 * @module
 */
import type { ClusterId, PeerId } from '../../base/brands.ts';
import { isBadMessage } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Cancel } from '../../base/ports.ts';
import { type OpenedEvent, openEvent } from '../sessions/events.ts';
import { openProposal, seatPeers } from '../sessions/proposal.ts';
import type { SealedProposal } from '../types.ts';
import type { PartyDeps } from './ports.ts';
import { TOPICS, wire } from './wire.ts';

/**
 * News wait this long for company: one gossip message for many sessions. Longer while one message
 * follows the other, because each costs every node its check, however little is in it.
 */
const BATCH_MS = 50;
const BUSY_BATCH_MS = 500;
/** News that wait; over this the oldest go. */
const BACKLOG = 2_048;
/** Leaves room for the frame around the parts. */
const BATCH_BYTES = LIMITS.gossipBytes - 2_048;

interface Item {
  readonly kind: 'proposal' | 'event';
  readonly bytes: Uint8Array;
}

export interface NewsDeps extends PartyDeps {
  readonly clusterId: ClusterId;
  /** An event of another node that was new here. */
  readonly heard: (opened: OpenedEvent) => void;
  /** An event of a session whose proposal did not come here. */
  readonly missed: (opened: OpenedEvent) => void;
  /** A session that this node looks on at. */
  readonly watching: (sealed: SealedProposal) => void;
}

/** Both directions of the news. */
export class SessionNewsService {
  readonly #deps: NewsDeps;
  readonly #items: Item[] = [];
  #timer: Cancel | undefined;
  #flushedAt = Number.NEGATIVE_INFINITY;
  #dropped = 0;

  constructor(deps: NewsDeps) {
    this.#deps = deps;
  }

  /** News lost to a full backlog. */
  get dropped(): number {
    return this.#dropped;
  }

  get timers(): number {
    return this.#timer === undefined ? 0 : 1;
  }

  start(): void {
    const { gossip, logger, roster } = this.#deps;
    gossip.subscribe(
      TOPICS.session,
      (from, body) => roster().standing(from) === 'member' && body.length <= LIMITS.gossipBytes,
      (from, body) => {
        this.#hear(from, body).catch((error: unknown) => {
          logger.debug({ from, error: String(error) }, 'session news were refused');
        });
      },
    );
  }

  proposal(sealed: SealedProposal): void {
    this.#add({ kind: 'proposal', bytes: sealed.envelope });
  }

  event(opened: OpenedEvent): void {
    this.#add({ kind: 'event', bytes: opened.envelope });
  }

  close(): void {
    this.#timer?.();
    this.#timer = undefined;
    this.#items.length = 0;
  }

  #add(item: Item): void {
    this.#items.push(item);
    if (this.#items.length > BACKLOG) {
      this.#items.shift();
      this.#dropped++;
    }
    const { clock } = this.#deps;
    const rest = BUSY_BATCH_MS - (clock.now() - this.#flushedAt);
    this.#timer ??= clock.after(Math.max(BATCH_MS, rest), () => {
      this.#timer = undefined;
      this.#flushedAt = clock.now();
      this.#flush();
    });
  }

  #flush(): void {
    while (this.#items.length > 0) {
      let size = 0;
      let count = 0;
      for (const { bytes } of this.#items) {
        if (size + bytes.length + 8 > BATCH_BYTES || count >= 250) break;
        size += bytes.length + 8;
        count++;
      }
      const batch = this.#items.splice(0, Math.max(1, count));
      const of = (kind: Item['kind']): Uint8Array[] =>
        batch.filter((item) => item.kind === kind).map(({ bytes }) => bytes);
      const body = wire.news({ proposals: of('proposal'), events: of('event') });
      this.#deps.gossip.publish(TOPICS.session, body).catch((error: unknown) => {
        this.#deps.logger.debug({ error: String(error) }, 'session news were not sent');
      });
    }
  }

  async #hear(from: PeerId, body: Uint8Array): Promise<void> {
    const news = wire.readNews(body);
    for (const bytes of news.proposals) await this.#guard(from, () => this.#onProposal(bytes));
    for (const bytes of news.events) await this.#guard(from, () => this.#onEvent(bytes));
  }

  /** One bad item spoils no other. */
  async #guard(from: PeerId, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!isBadMessage(error)) throw error;
      this.#deps.logger.debug({ from, reason: error.message }, 'session news were refused');
    }
  }

  async #onProposal(bytes: Uint8Array): Promise<void> {
    const { clusterId, sessions, roster, watching } = this.#deps;
    const sealed = openProposal(bytes, clusterId);
    if (sessions.get(sealed.sid) !== undefined) return;
    if (roster().standing(sealed.proposal.proposer) !== 'member') return;
    const seats = this.#seats(sealed);
    if (seats === undefined) return;
    await sessions.remember(sealed, seats.parties, seats.needed, { taking: false, sync: false });
    watching(sealed);
  }

  /** undefined for a signature of a key that is not known here yet. */
  #seats({ proposal }: SealedProposal): { parties: readonly PeerId[]; needed: number } | undefined {
    if (proposal.kind === 'keygen' || proposal.kind === 'reshare') {
      const parties = seatPeers(proposal);
      return { parties, needed: parties.length };
    }
    const key = this.#deps.keyring.byId(proposal.keyId)?.key;
    if (key === undefined) return undefined;
    return { parties: key.parties.map(({ peerId }) => peerId), needed: key.threshold };
  }

  async #onEvent(bytes: Uint8Array): Promise<void> {
    const { clusterId, sessions, heard, missed } = this.#deps;
    const opened = openEvent(bytes, clusterId);
    if (await sessions.hear(opened)) heard(opened);
    else if (sessions.get(opened.event.sid) === undefined) missed(opened);
  }
}
