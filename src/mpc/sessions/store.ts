/**
 * The sessions that this node knows, own and others', with their chains; kept in the embedded
 * store and rebuilt from it at the start.
 *
 * Keys: `s/<sid>` the record, `e/<sid>/<author>/<seq>/<hash>` the events, `r/<sid>` a refusal,
 * `k/<sid>` a consent. A refusal is a promise never to attest; it outlives the session's record.
 * @module
 */
import { z } from 'zod';
import type { ClusterId, PeerId, SessionId } from '../../base/brands.ts';
import { decode, encode, field } from '../../base/codec.ts';
import { BzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Clock, KeyValue, KeyValueOp, Logger, Signer } from '../../base/ports.ts';
import type { SealedProposal } from '../types.ts';
import type { Chain, EventData, EventKind, OpenedEvent } from './events.ts';
import { addToChain, chainPrefix, eventKey, lastOf, openEvent, sealEvent } from './events.ts';
import type { SessionFacts, SessionView } from './fold.ts';
import { foldAuthor, foldSession, isTerminal, PARTY_TABLE } from './fold.ts';
import { openProposal } from './proposal.ts';

/** Sessions over the limit that wait for company: to forget them costs a write. */
const EVICTED_AT_ONCE = 32;

const recordSchema = z.strictObject({
  v: z.literal(1),
  proposal: field.bytesUpTo(LIMITS.sessionMessageBytes),
  parties: z.array(field.peerId).max(LIMITS.parties).readonly(),
  needed: field.uint,
  receivedAtMs: field.uint,
  /** This node runs, or ran, a machine for it. */
  taking: z.boolean(),
  evidence: z.boolean(),
});
type Stored = Readonly<z.infer<typeof recordSchema>>;

/** One session as this node knows it. */
export interface KnownSession {
  readonly sealed: SealedProposal;
  readonly parties: readonly PeerId[];
  readonly receivedAtMs: number;
  readonly taking: boolean;
  readonly view: SessionView;
}

export interface SessionStoreDeps {
  readonly kv: KeyValue;
  readonly clusterId: ClusterId;
  readonly signer: Signer;
  readonly clock: Clock;
  readonly logger: Logger;
}

interface Entry {
  readonly sealed: SealedProposal;
  readonly record: Stored;
  readonly chains: ReadonlyMap<PeerId, Chain>;
  readonly view: SessionView;
}

/** The last place of every chain is kept for its end. */
const NOTES_PER_AUTHOR = LIMITS.sessionEventsPerAuthor - 8;

/**
 * How a session is remembered.
 * @property taking whether this node takes part.
 * @property sync durable before it resolves: the promise never to join it a second time.
 * @property evidence it is completed, see `SessionStore.prove`.
 */
export interface RememberOptions {
  readonly taking: boolean;
  readonly sync: boolean;
  readonly evidence?: boolean;
}

/** Chains and records of sessions. Its owner serialises the calls of one session. */
export class SessionStore {
  readonly #deps: SessionStoreDeps;
  readonly #entries = new Map<SessionId, Entry>();
  readonly #refused = new Set<SessionId>();

  private constructor(deps: SessionStoreDeps) {
    this.#deps = deps;
  }

  /** Reads everything back. A record that does not open is logged and left out. */
  static async open(deps: SessionStoreDeps): Promise<SessionStore> {
    const store = new SessionStore(deps);
    for await (const [key, bytes] of deps.kv.entries('s/')) {
      store.#tryLoad(key, () => {
        const record = decode('session record', recordSchema, bytes, LIMITS.recordBytes);
        const sealed = openProposal(record.proposal, deps.clusterId);
        store.#set({ sealed, record, chains: new Map() });
      });
    }
    store.#sortByAge();
    for await (const [key, bytes] of deps.kv.entries('e/')) {
      store.#tryLoad(key, () => store.#insert(openEvent(bytes, deps.clusterId)));
    }
    for await (const [key] of deps.kv.entries('r/')) store.#refused.add(key.slice(2) as SessionId);
    await store.#mend();
    return store;
  }

  get(sid: SessionId): KnownSession | undefined {
    const entry = this.#entries.get(sid);
    return entry === undefined ? undefined : known(entry);
  }

  /** @param id or unique prefix. @throws NOT_FOUND; CONFLICT when several begin so. */
  called(id: string): KnownSession {
    const whole = this.get(id as SessionId);
    if (whole !== undefined) return whole;
    const [found, ...more] = [...this.#entries].filter(([sid]) => sid.startsWith(id));
    if (found === undefined || id === '') throw new BzzzError('NOT_FOUND', `no session ${id}`);
    if (more.length === 0) return known(found[1]);
    throw new BzzzError('CONFLICT', `${more.length + 1} sessions begin with ${id}`, {
      hint: 'give more of the id; see `bzzz session ls --full`',
    });
  }

  /** Newest first. */
  list(): readonly KnownSession[] {
    return [...this.#entries.values()]
      .map(known)
      .sort((a, b) => b.receivedAtMs - a.receivedAtMs || (a.sealed.sid < b.sealed.sid ? -1 : 1));
  }

  /**
   * Remembers a session. The first time counts; `taking` is set when either call says so.
   * @param needed how many parties make it ready.
   */
  async remember(
    sealed: SealedProposal,
    parties: readonly PeerId[],
    needed: number,
    options: RememberOptions,
  ): Promise<void> {
    const { sid } = sealed;
    const before = this.#entries.get(sid);
    if (before !== undefined && (before.record.taking || !options.taking)) {
      if (options.evidence === true) await this.prove(sid);
      return;
    }
    const record: Stored =
      before === undefined
        ? {
            v: 1,
            proposal: new Uint8Array(sealed.envelope),
            parties,
            needed,
            receivedAtMs: this.#deps.clock.wallMs(),
            taking: options.taking,
            evidence: options.evidence ?? false,
          }
        : { ...before.record, taking: true };
    this.#set({ sealed, record, chains: before?.chains ?? new Map() });
    try {
      const stored = this.#deps.kv.put(`s/${sid}`, encode(record), { sync: options.sync });
      await Promise.all([stored, this.#evict()]);
    } catch (error) {
      // Nobody runs a session that could not be remembered, so nobody would ever end it here.
      if (before === undefined) this.#entries.delete(sid);
      else this.#set({ ...(this.#entries.get(sid) ?? before), record: before.record });
      throw error;
    }
  }

  /**
   * Says something in this node's own chain.
   * @returns undefined when the state of this node allows no such event (it ended before), or the
   * chain is full.
   */
  async say(
    sid: SessionId,
    kind: EventKind,
    data: EventData = {},
  ): Promise<OpenedEvent | undefined> {
    const { signer, clusterId, clock, kv } = this.#deps;
    const entry = this.#entries.get(sid);
    if (entry === undefined) throw new BzzzError('INTERNAL', `session ${sid} is not known`);
    const chain = entry.chains.get(signer.peerId) ?? new Map();
    const { state } = foldAuthor(chain);
    const last = lastOf(chain);
    const length = last?.event.seq ?? 0;
    if (PARTY_TABLE[state][kind] === undefined) return undefined;
    // An onlooker's deadline must not overrule an end that is known already (S1).
    if (kind !== 'note' && kind !== 'completed' && isTerminal(entry.view.state)) return undefined;
    if (kind === 'note' && length >= NOTES_PER_AUTHOR) return undefined;
    if (length >= LIMITS.sessionEventsPerAuthor) return undefined;
    const said = { kind, timeMs: clock.wallMs(), data };
    const opened = sealEvent(clusterId, signer, sid, last, said);
    this.#insert(opened);
    await kv.put(`e/${sid}/${eventKey(opened)}`, opened.envelope);
    return opened;
  }

  /**
   * Takes an event that others brought. One of this node's own was said by a copy of the host, or
   * before its disk went back: then `completed` is the word of one who saw the evidence, and the
   * only end that the session can have here.
   * @returns whether it was new and is of a known session.
   */
  async hear(opened: OpenedEvent): Promise<boolean> {
    if (!this.#insert(opened)) return false;
    const { sid, author } = opened.event;
    const stored = this.#deps.kv.put(`e/${sid}/${eventKey(opened)}`, opened.envelope);
    const own = author === this.#deps.signer.peerId;
    await Promise.all([stored, own && this.#saidCompleted(sid) ? this.prove(sid) : undefined]);
    return true;
  }

  /** Evidence was seen here: whatever the state was, it is completed (S1). */
  async prove(sid: SessionId): Promise<void> {
    const entry = this.#entries.get(sid);
    if (entry === undefined || entry.record.evidence) return;
    const record: Stored = { ...entry.record, evidence: true };
    this.#set({ ...entry, record });
    await this.#deps.kv.put(`s/${sid}`, encode(record));
  }

  /** Durable before it resolves. */
  async putRefusal(sid: SessionId, refusal: Uint8Array): Promise<void> {
    await this.#deps.kv.put(`r/${sid}`, refusal, { sync: true });
    this.#refused.add(sid);
  }

  /** Whether a refusal was put; every proposal asks for that. */
  hasRefused(sid: SessionId): boolean {
    return this.#refused.has(sid);
  }

  refusal(sid: SessionId): Promise<Uint8Array | undefined> {
    return this.#deps.kv.get(`r/${sid}`);
  }

  /** What a seat without a share attested. Durable before it resolves. */
  async putConsent(sid: SessionId, attestation: Uint8Array): Promise<void> {
    await this.#deps.kv.put(`k/${sid}`, attestation, { sync: true });
  }

  consent(sid: SessionId): Promise<Uint8Array | undefined> {
    return this.#deps.kv.get(`k/${sid}`);
  }

  /** Sessions that this node agreed to and that are not through. */
  async consents(): Promise<readonly SessionId[]> {
    const sids: SessionId[] = [];
    for await (const [key] of this.#deps.kv.entries('k/')) sids.push(key.slice(2) as SessionId);
    return sids;
  }

  async dropConsent(sid: SessionId): Promise<void> {
    await this.#deps.kv.del(`k/${sid}`, { sync: true });
  }

  /**
   * What a process that ended between two writes left: events of this node's own chains behind a
   * gap, where the next one would take a place that is taken and look like a fork; and evidence
   * that only its own `completed` tells of, which it says when it has seen it and never else.
   */
  async #mend(): Promise<void> {
    const { kv, signer } = this.#deps;
    const self = signer.peerId;
    const ops: KeyValueOp[] = [];
    for (const entry of this.#entries.values()) {
      const own = entry.chains.get(self) ?? new Map();
      const prefix = chainPrefix(own);
      const stranded = [...own.values()].flat().filter((opened) => !prefix.includes(opened));
      ops.push(...stranded.map(dropEvent));
      const kept: Chain = new Map(prefix.map((opened) => [opened.event.seq, [opened]]));
      const evidence = entry.record.evidence || foldAuthor(kept).state === 'completed';
      const chains = stranded.length === 0 ? entry.chains : new Map(entry.chains).set(self, kept);
      this.#set({ ...entry, chains, record: { ...entry.record, evidence } });
    }
    if (ops.length > 0) await kv.batch(ops);
  }

  #tryLoad(key: string, load: () => void): void {
    try {
      load();
    } catch (error) {
      // One damaged record must not keep the node from starting; the others still count.
      this.#deps.logger.warn({ key, error: String(error) }, 'a stored session record is damaged');
    }
  }

  /** The map's order is the order of eviction. */
  #sortByAge(): void {
    const byAge = [...this.#entries].sort(
      ([, a], [, b]) => a.record.receivedAtMs - b.record.receivedAtMs,
    );
    this.#entries.clear();
    for (const [sid, entry] of byAge) this.#entries.set(sid, entry);
  }

  #set(parts: Omit<Entry, 'view'>): void {
    const { sealed, record, chains } = parts;
    const facts: SessionFacts = {
      self: this.#deps.signer.peerId,
      proposer: sealed.proposal.proposer,
      parties: record.parties,
      needed: record.needed,
      taking: record.taking,
      evidence: record.evidence,
    };
    this.#entries.set(sealed.sid, { ...parts, view: foldSession(facts, chains) });
  }

  #insert(opened: OpenedEvent): boolean {
    const { sid, author } = opened.event;
    const entry = this.#entries.get(sid);
    if (entry === undefined) return false;
    const { proposer } = entry.sealed.proposal;
    const self = this.#deps.signer.peerId;
    if (author !== proposer && author !== self && !entry.record.parties.includes(author)) {
      return false;
    }
    const before = entry.chains.get(author) ?? new Map();
    const after = addToChain(before, opened);
    if (after === before) return false;
    this.#set({ ...entry, chains: new Map(entry.chains).set(author, after) });
    return true;
  }

  #saidCompleted(sid: SessionId): boolean {
    const own = this.#entries.get(sid)?.chains.get(this.#deps.signer.peerId);
    return own !== undefined && foldAuthor(own).state === 'completed';
  }

  /** Forgets the oldest sessions over the limit that ended, or that are none of this node's. */
  async #evict(): Promise<void> {
    if (this.#entries.size <= LIMITS.sessionHistory + EVICTED_AT_ONCE) return;
    const ops: KeyValueOp[] = [];
    for (const [sid, { record, view, chains }] of this.#entries) {
      if (this.#entries.size <= LIMITS.sessionHistory) break;
      if (record.taking && !isTerminal(view.state)) continue;
      this.#entries.delete(sid);
      ops.push({ type: 'del', key: `s/${sid}` });
      for (const chain of chains.values()) {
        for (const opened of [...chain.values()].flat()) ops.push(dropEvent(opened));
      }
    }
    if (ops.length > 0) await this.#deps.kv.batch(ops);
  }
}

const dropEvent = (opened: OpenedEvent): KeyValueOp => ({
  type: 'del',
  key: `e/${opened.event.sid}/${eventKey(opened)}`,
});

const known = ({ sealed, record, view }: Entry): KnownSession => ({
  sealed,
  parties: record.parties,
  receivedAtMs: record.receivedAtMs,
  taking: record.taking,
  view,
});
