/**
 * The mark of a restored node. It remembers less than it once said, so
 *
 * - its boot counter begins far above the backup's: what peers have seen of its runs since then is
 *   lower, and no nonce commitment, announcement or attempt of the new run looks like an old one;
 * - as a voter it keeps silent: a vote or an acceptance that it forgot could be given a second time
 *   (E3, E8). Being demoted once ends that: whoever is made a voter after it votes with a clean
 *   record.
 * @module
 */
import { z } from 'zod';
import { decode, encode, field } from '../base/codec.ts';
import type { KeyValue, Logger } from '../base/ports.ts';
import type { RosterService } from '../roster/service.ts';

const MARK = 'restored';
/** More runs than a node has between two backups. */
export const BOOT_JUMP = 1_000_000;

const schema = z.strictObject({ v: z.literal(1), createdAtMs: field.uint });

/** Marks a store that was written from a backup. @param node the `node` namespace. */
export const markRestored = (node: KeyValue, createdAtMs: number): Promise<void> =>
  node.put(MARK, encode({ v: 1, createdAtMs }), { sync: true });

/**
 * Whether a restored voter must keep silent. One that votes alone has nobody to contradict, and
 * nobody who could demote it.
 */
const mustAbstain = (voters: readonly string[], self: string): boolean =>
  voters.length > 1 && voters.includes(self);

/** What watching needs of the node. */
interface RestoredDeps {
  /** The `node` namespace. */
  readonly store: KeyValue;
  readonly roster: RosterService;
  readonly logger: Logger;
}

/**
 * Whether this node keeps silent as a voter during this run. The mark is forgotten as soon as the
 * node is no voter; it votes again from the start after that.
 */
export async function keepsSilent({ store, roster, logger }: RestoredDeps): Promise<boolean> {
  const bytes = await store.get(MARK);
  if (bytes === undefined) return false;
  const { createdAtMs } = decode('restore mark', schema, bytes, 64);
  const forget = (): Promise<void> => store.del(MARK, { sync: true });
  if (!mustAbstain(roster.view.voters, roster.self)) {
    await forget();
    return false;
  }
  const from = new Date(createdAtMs).toISOString();
  logger.warn(
    { from },
    'restored from a backup: this voter keeps silent until it was demoted once',
  );
  const stop = roster.onChange(({ voters }) => {
    if (mustAbstain(voters, roster.self)) return;
    stop();
    forget().then(
      () => logger.info({}, 'no voter any more: from the next start on this node may vote again'),
      (error: unknown) => logger.error({ error: String(error) }, 'the restore mark stays'),
    );
  });
  return true;
}
