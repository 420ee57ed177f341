/**
 * What the jobs of each kind do on this node.
 *
 * | kind   | subject             | does                                                          |
 * | ------ | ------------------- | ------------------------------------------------------------- |
 * | repair | an address          | reads what stands there and stands it there again, read back; |
 * |        |                     | of large content the list, and whoever lacks pieces gets them |
 * | repair | holders:PEER,...    | every member brings the copies of its records in line         |
 * | index  | name or id of a key | the same for the key's certificate                            |
 * | refresh | key, key@epoch      | new shares for its holders, see refreshes.ts                  |
 *
 * All have the same effect run twice as once; a refresh without an epoch only makes one more.
 * @module
 */
import type { Executors } from '../election/jobs/ports.ts';
import type { Party } from '../mpc/party/party.ts';
import type { Records } from './records.ts';
import { refreshByJob } from './refreshes.ts';
import { Repairs } from './repairs.ts';

/** @param party, repairs made after the job service, and there before the first job. */
export function executorsOf(
  records: Pick<Records, 'resolver'>,
  party: () => Party,
  repairs: () => Repairs,
): Executors {
  const repair = async (address: string): Promise<string> => {
    if (Repairs.isAbout(address)) return repairs().run(address);
    const { ack, holders } = await records.resolver.repair(address);
    return `${ack}: ${holders.length} holders`;
  };
  const refresh = (subject: string, signal: AbortSignal): Promise<string> =>
    refreshByJob(subject, party(), signal);
  return { repair, refresh, index: (name) => repair(party().key(name).address) };
}
