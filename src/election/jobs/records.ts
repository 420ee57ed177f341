/**
 * What this node did, and had begun, of the jobs that it was given; on the disk before anything
 * follows from it.
 *
 * Keys: the job's id. A begun job that is found at the start was taken away by the end of the
 * process: it is reported as lost.
 * @module
 */
import { z } from 'zod';
import { decode, encode } from '../../base/codec.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Clock, KeyValue, Logger } from '../../base/ports.ts';
import { clipResult, jobField } from './types.ts';
import type { Report } from './wire.ts';

const recordSchema = z
  .strictObject({
    v: z.literal(1),
    attempt: jobField.attempt,
    state: z.enum(['begun', 'done', 'failed', 'lost']),
    text: jobField.result,
    /** A leader has taken the report. */
    settled: z.boolean(),
    /** Wall clock in ms; the order of eviction. */
    time: z.int().min(0),
  })
  .readonly();
type JobRecord = z.infer<typeof recordSchema>;

const RECORD_BYTES = LIMITS.jobResultBytes + 256;

export interface RecordsDeps {
  readonly kv: KeyValue;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The executor's memory. Its owner serialises the calls of one job. */
export class JobRecords {
  readonly #deps: RecordsDeps;
  readonly #records = new Map<string, JobRecord>();

  private constructor(deps: RecordsDeps) {
    this.#deps = deps;
  }

  static async open(deps: RecordsDeps): Promise<JobRecords> {
    const records = new JobRecords(deps);
    const found: (readonly [string, JobRecord])[] = [];
    for await (const [id, bytes] of deps.kv.entries()) {
      try {
        found.push([id, decode('job record', recordSchema, bytes, RECORD_BYTES)]);
      } catch (err) {
        // The leader hears that nothing is known here, and gives the job to somebody again.
        deps.logger.error({ id, err }, 'a stored job record is damaged');
      }
    }
    found.sort(([, a], [, b]) => a.time - b.time);
    for (const [id, record] of found) {
      const state = record.state === 'begun' ? 'lost' : record.state;
      records.#records.set(id, { ...record, state });
    }
    return records;
  }

  /** The stored result of a job that was done here. */
  resultOf(id: string): string | undefined {
    const record = this.#records.get(id);
    return record?.state === 'done' ? record.text : undefined;
  }

  /** How the newest attempt here ended; undefined when none did. */
  ended(id: string): Report | undefined {
    const record = this.#records.get(id);
    return record === undefined ? undefined : reportOf(id, record);
  }

  /** Ended attempts that no leader has taken note of, the oldest first. */
  unsettled(limit: number): readonly Report[] {
    const reports: Report[] = [];
    for (const [id, record] of this.#records) {
      const report = record.settled ? undefined : reportOf(id, record);
      if (report !== undefined) reports.push(report);
      if (reports.length >= limit) break;
    }
    return reports;
  }

  /** Durable before it resolves; before the executor is called. @throws DISK_FAILED. */
  async begin(id: string, attempt: number): Promise<void> {
    await this.#put(id, { state: 'begun', attempt, text: '', settled: false });
  }

  /** Durable before it resolves; known here in any case. @throws DISK_FAILED. */
  async end(id: string, outcome: Report['outcome'], attempt: number, text: string): Promise<void> {
    await this.#put(id, { state: outcome, attempt, text: clipResult(text), settled: false });
    await this.#evict();
  }

  /** The stored result answers this attempt too, and is reported again. @throws DISK_FAILED. */
  async claim(id: string, attempt: number): Promise<void> {
    const record = this.#records.get(id);
    if (record?.state !== 'done') return;
    const { state, text } = record;
    await this.#put(id, {
      state,
      text,
      attempt: Math.max(attempt, record.attempt),
      settled: false,
    });
  }

  /**
   * A leader has taken the report of this attempt. Results are kept, failures are not: another
   * attempt may follow. Not synced: a report that is repeated does no harm.
   */
  async settle(id: string, attempt: number): Promise<void> {
    const record = this.#records.get(id);
    if (record === undefined || record.attempt !== attempt || record.state === 'begun') return;
    if (record.state === 'done') {
      const settled = { ...record, settled: true };
      this.#records.set(id, settled);
      await this.#deps.kv.put(id, encode(settled));
    } else {
      this.#records.delete(id);
      await this.#deps.kv.del(id);
    }
  }

  async #put(id: string, fields: Omit<JobRecord, 'v' | 'time'>): Promise<void> {
    const record: JobRecord = { v: 1, ...fields, time: this.#deps.clock.wallMs() };
    this.#records.delete(id);
    this.#records.set(id, record);
    await this.#deps.kv.put(id, encode(record), { sync: true });
  }

  async #evict(): Promise<void> {
    if (this.#records.size <= LIMITS.jobRecords) return;
    for (const [id, record] of this.#records) {
      if (this.#records.size <= LIMITS.jobRecords) return;
      if (!record.settled) continue;
      this.#records.delete(id);
      await this.#deps.kv.del(id);
    }
  }
}

function reportOf(id: string, { attempt, state, text }: JobRecord): Report | undefined {
  return state === 'begun' ? undefined : { id, attempt, outcome: state, text };
}
