/**
 * What the jobs of each kind do on this node.
 *
 * | kind   | subject             | does                                                          |
 * | ------ | ------------------- | ------------------------------------------------------------- |
 * | repair | an address          | reads what stands there and stands it there again, read back  |
 * | repair | holders:PEER,...    | every member brings the copies of its records in line         |
 * | index  | name or id of a key | the same for the key's certificate                            |
 *
 * Both have the same effect run twice as once. `refresh` has no executor in this version.
 * @module
 */
import type { Executors } from '../election/jobs/ports.ts';
import type { Party } from '../mpc/party.ts';
import { recogniseFixed } from '../ucxl/fixed.ts';
import { parseConcrete } from '../ucxl/parse.ts';
import type { Records } from './records.ts';
import { Repairs } from './repairs.ts';

/** @param party, repairs made after the job service, and there before the first job. */
export function executorsOf(
  records: Records,
  party: () => Party,
  repairs: () => Repairs,
): Executors {
  const repair = async (address: string): Promise<string> => {
    if (Repairs.isAbout(address)) return repairs().run(address);
    const { resolver } = records;
    const { bytes } = await resolver.resolve(address);
    const isKind = recogniseFixed(parseConcrete(address)) !== undefined;
    const again = isKind ? resolver.publish(address, bytes) : resolver.putContent(address, bytes);
    const { ack, holders } = await again;
    return `${ack}: ${holders.length} holders`;
  };
  return { repair, index: (name) => repair(party().key(name).address) };
}
