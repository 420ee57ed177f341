/**
 * Repairs of copies as the leader orders them. When holders are gone, or are back, the leader gives
 * out one `repair` job for all of them; whoever gets it has every member look at its own records,
 * and only at those that the change touches. Without a leader every member begins by itself
 * (dht/repair-core.ts).
 *
 * | topic            | from, to           | body -> answer                       |
 * | ---------------- | ------------------ | ------------------------------------ |
 * | `records/repair` | job owner, members | who is gone or back -> what was done |
 * @module
 */
import { z } from 'zod';
import type { PeerId } from '../base/brands.ts';
import { check, decode, encode, field } from '../base/codec.ts';
import { BzzzError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Cancel, Clock, Direct, Logger } from '../base/ports.ts';
import type { Repairer, RepairReport } from '../dht/repair.ts';

const TOPIC = 'records/repair';
/** Of a job that is about holders and not about an address. */
const SUBJECT = 'holders:';
/** Each takes 52 bytes and a comma; as many as a subject has room for. */
const MAX_CHANGED = Math.floor((LIMITS.jobSubjectBytes - SUBJECT.length) / 53);
/** A pass over all records of a node, in slices. */
const PASS_MS = 300_000;
/** A member that has been away for so long answers nothing that it was asked before. */
const AWAY_MS = 10_000;
const FRAME_BYTES = 4_096;

const changedSchema = z.array(field.peerId).min(1).max(MAX_CHANGED).readonly();
const orderSchema = z.strictObject({ v: z.literal(1), changed: changedSchema }).readonly();
const reportSchema = z
  .strictObject({ v: z.literal(1), checked: field.uint, whole: field.uint })
  .readonly();

export interface RepairsDeps {
  readonly self: PeerId;
  readonly direct: Direct;
  readonly repairer: Pick<Repairer, 'ordered' | 'useOrders'>;
  readonly clock: Clock;
  /** Who leads; undefined when nobody is known to. */
  readonly leader: () => PeerId | undefined;
  /** Has some member do a `repair` job. */
  readonly submit: (subject: string) => Promise<unknown>;
  readonly log: Logger;
  /** Has what is not a record looked after as well: large content. */
  readonly alsoRepair: () => void;
}

/** This node's part of it: orders while it leads, obeys, and does the job when it is given it. */
export class Repairs {
  readonly #deps: RepairsDeps;

  /** Handlers are registered at once. */
  constructor(deps: RepairsDeps) {
    this.#deps = deps;
    const { self, direct, repairer, leader } = deps;
    direct.handle(TOPIC, async (_from, body) => {
      const { changed } = decode('repair order', orderSchema, body, FRAME_BYTES);
      deps.alsoRepair();
      return encode({ v: 1, ...(await repairer.ordered(changed)) });
    });
    repairer.useOrders({
      standing() {
        const leading = leader();
        if (leading === undefined) return 'none';
        return leading === self ? 'self' : 'other';
      },
      order: (changed) => this.#order(changed),
    });
  }

  /** Whether a job's subject is one of these. */
  static isAbout(subject: string): boolean {
    return subject.startsWith(SUBJECT);
  }

  /**
   * Does the job: every connected member, this node too, looks at its records.
   * @throws BAD_MESSAGE for a subject that names no peers; the first failure when nobody answered.
   */
  async run(subject: string): Promise<string> {
    const { direct, repairer } = this.#deps;
    const named = subject.slice(SUBJECT.length).split(',');
    const changed = check('repair subject', changedSchema, named);
    const body = encode({ v: 1, changed });
    this.#deps.alsoRepair();
    const asked = direct.connected().map((peer) => this.#ask(peer, body));
    const done = await Promise.allSettled<RepairReport>([repairer.ordered(changed), ...asked]);
    const reports = done.flatMap((d) => (d.status === 'fulfilled' ? [d.value] : []));
    const sum = (of: (report: RepairReport) => number): number =>
      reports.reduce((total, report) => total + of(report), 0);
    const [checked, whole] = [sum((r) => r.checked), sum((r) => r.whole)];
    return `${reports.length} of ${done.length} members: ${whole} of ${checked} records whole`;
  }

  /** @throws PEER_UNREACHABLE when it goes away and stays away; TIMEOUT; its own error. */
  async #ask(peer: PeerId, body: Uint8Array): Promise<RepairReport> {
    const { direct, clock } = this.#deps;
    let gone: Cancel | undefined;
    let stop: Cancel | undefined;
    const away = new Promise<never>((_resolve, reject) => {
      stop = direct.onPeer((who, live) => {
        if (who !== peer) return;
        gone?.();
        gone = live ? undefined : clock.after(AWAY_MS, () => reject(wentAway(peer)));
      });
    });
    try {
      const answer = await Promise.race([direct.request(peer, TOPIC, body, PASS_MS), away]);
      return decode('repair report', reportSchema, answer, FRAME_BYTES);
    } finally {
      stop?.();
      gone?.();
    }
  }

  /** What cannot be ordered is begun by everybody a little later. */
  #order(changed: readonly PeerId[]): void {
    for (let i = 0; i < changed.length; i += MAX_CHANGED) {
      const subject = SUBJECT + changed.slice(i, i + MAX_CHANGED).join(',');
      this.#deps.submit(subject).catch((error: unknown) => {
        this.#deps.log.warn({ error: String(error) }, 'a repair could not be ordered');
      });
    }
  }
}

const wentAway = (peer: PeerId): BzzzError =>
  new BzzzError('PEER_UNREACHABLE', `${peer} went away during a repair of copies`);
