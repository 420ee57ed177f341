/**
 * Refreshes of keys as the leader orders them. It gives out a `refresh` job for each key whose
 * shares are older than `BZZZ_KEY_REFRESH`; whoever gets it asks the holders. A job is named by
 * key, epoch and time slot, so a leader that takes over orders nothing twice, and one that failed,
 * for instance because a holder was away, comes again in the next slot.
 *
 * | subject    | what the executor does                                       |
 * | ---------- | ------------------------------------------------------------ |
 * | KEYID@3    | refreshes the key if it is in epoch 3, and nothing otherwise |
 * | name or id | refreshes the key                                            |
 * @module
 */
import { toBzzzError } from '../base/errors.ts';
import { pause } from '../base/pause.ts';
import type { Clock, Logger } from '../base/ports.ts';
import type { Duty } from '../election/duty.ts';
import { dueKeys, type KeyAge } from '../mpc/keys/key-age.ts';
import type { Party } from '../mpc/party/party.ts';

export interface RefreshDeps {
  readonly keys: () => readonly KeyAge[];
  /** Has some member do a `refresh` job; the same id is the same job. */
  readonly submit: (subject: string, id: string) => Promise<unknown>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Keys grow old slowly; a short setting is looked after more often. */
const LOOK_MS = 60_000;
/** A failed refresh comes again after such a part of the setting. */
const SLOTS = 4;

/** The leader's duty `keys`. @param everyMs largest age of a share. */
export function refreshDuty(everyMs: number, deps: RefreshDeps): Duty {
  const { clock } = deps;
  return {
    name: 'keys',
    async run(_term, signal, progress) {
      while (!signal.aborted) {
        progress();
        for (const key of dueKeys(deps.keys(), everyMs)) await order(key, everyMs, deps);
        await pause(clock, Math.min(LOOK_MS, Math.max(1_000, everyMs / SLOTS)), signal);
      }
    },
  };
}

async function order(key: KeyAge, everyMs: number, deps: RefreshDeps): Promise<void> {
  const { keyId, name, epoch, ageMs } = key;
  const slot = Math.floor((ageMs * SLOTS) / everyMs);
  try {
    await deps.submit(`${keyId}@${epoch}`, `refresh-${keyId.slice(0, 16)}-${epoch}-${slot}`);
  } catch (thrown) {
    // The next turn orders it again.
    const { code, message } = toBzzzError(thrown);
    deps.logger.info({ name, code }, `a refresh could not be ordered: ${message}`);
  }
}

/** The executor of `refresh` jobs. @throws what `Party.changeKey` throws. */
export async function refreshByJob(
  subject: string,
  party: Party,
  signal: AbortSignal,
): Promise<string> {
  const [name = '', epoch] = subject.split('@');
  const key = party.key(name);
  if (epoch !== undefined && key.epoch !== Number(epoch)) return `epoch ${key.epoch} already`;
  return `epoch ${(await party.changeKey({ key: key.keyId }, signal)).epoch}`;
}
