/**
 * How many sessions ended how, and in which phases their time went (S4). A phase is told by the
 * machine's events; what came before the first counts as `opening`.
 *
 * | machine                    | event                            | phase                        |
 * | -------------------------- | -------------------------------- | ---------------------------- |
 * | keygen, reshare and repair | `phase`                          | as the event says            |
 * | sign                       | `driving`, `resumed`             | driving: signers are chosen  |
 * | sign                       | `package`                        | signing: the share is made   |
 * | sign                       | `share`                          | gathering the others' shares |
 * | sign                       | `superseded`                     | standing-back                |
 * @module
 */
import type { Millis, SessionId } from '../../base/brands.ts';
import type { Clock } from '../../base/ports.ts';
import type { Proposal } from '../types.ts';
import type { Ended } from './live.ts';

type Protocol = Proposal['kind'];

/** What was counted under one pair of names. */
export interface MeteredTime {
  readonly kind: Protocol;
  /** Of a session: how it ended. Of a phase: which. */
  readonly name: string;
  readonly count: number;
  readonly ms: number;
}

/** Since the start of the process. */
export interface SessionFigures {
  readonly ended: readonly MeteredTime[];
  readonly phases: readonly MeteredTime[];
}

interface Running {
  readonly begun: Millis;
  phase: string;
  since: Millis;
}

const OF_SIGNING: Readonly<Record<string, string>> = {
  driving: 'driving',
  resumed: 'driving',
  package: 'signing',
  share: 'gathering',
  superseded: 'standing-back',
};

/** The phase that begins with an event; undefined when the event begins none. */
function phaseOf(event: string, data: Readonly<Record<string, unknown>>): string | undefined {
  if (event !== 'phase') return OF_SIGNING[event];
  return typeof data.phase === 'string' ? data.phase : undefined;
}

/** Bounded by the sessions that run: their kinds and phases are few. */
export class SessionMeter {
  readonly #clock: Clock;
  readonly #running = new Map<SessionId, Running>();
  readonly #ended = new Map<string, MeteredTime>();
  readonly #phases = new Map<string, MeteredTime>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  begin(sid: SessionId): void {
    const now = this.#clock.now();
    this.#running.set(sid, { begun: now, phase: 'opening', since: now });
  }

  event(
    sid: SessionId,
    kind: Protocol,
    event: string,
    data: Readonly<Record<string, unknown>>,
  ): void {
    const running = this.#running.get(sid);
    const phase = phaseOf(event, data);
    if (running === undefined || phase === undefined || phase === running.phase) return;
    const now = this.#clock.now();
    add(this.#phases, kind, running.phase, now - running.since);
    running.phase = phase;
    running.since = now;
  }

  /** Later ends of the same session, which are evidence for the record, are not counted. */
  end(sid: SessionId, kind: Protocol, { state }: Ended<object>): void {
    const running = this.#running.get(sid);
    if (running === undefined) return;
    this.#running.delete(sid);
    const now = this.#clock.now();
    add(this.#phases, kind, running.phase, now - running.since);
    add(this.#ended, kind, state, now - running.begun);
  }

  figures(): SessionFigures {
    return { ended: [...this.#ended.values()], phases: [...this.#phases.values()] };
  }
}

function add(to: Map<string, MeteredTime>, kind: Protocol, name: string, ms: number): void {
  const id = `${kind}/${name}`;
  const known = to.get(id) ?? { kind, name, count: 0, ms: 0 };
  to.set(id, { ...known, count: known.count + 1, ms: known.ms + ms });
}
