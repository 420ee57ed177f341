/**
 * What a voter must not forget, on the disk: its term, its vote and what it signed last, in one
 * record that is replaced as a whole and synced (invariants E2, E3, E8).
 * @module
 */
import { z } from 'zod';
import type { Term } from '../base/brands.ts';
import { decode, encode, field } from '../base/codec.ts';
import { BzzzError, toBzzzError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { KeyValue } from '../base/ports.ts';
import type { Hard } from './types.ts';
import { acceptedSchema } from './wire.ts';

const KEY = 'hard';
const VERSION = 1;

const versionSchema = z.looseObject({ v: z.int().min(1) });
const schema = z.strictObject({
  v: z.literal(VERSION),
  term: field.term,
  votedFor: field.peerId.nullable(),
  accepted: acceptedSchema.nullable(),
});

/** Of a node that never took part in an election. */
export const NO_HARD: Hard = { term: 0 as Term, votedFor: null, accepted: null };

/**
 * What was saved last; {@link NO_HARD} when nothing was.
 * @throws DISK_FAILED: unreadable; whoever goes on without it could vote twice. SCHEMA_TOO_NEW.
 */
export async function loadHard(store: KeyValue): Promise<Hard> {
  const bytes = await store.get(KEY);
  if (bytes === undefined) return NO_HARD;
  try {
    const { v } = decode('election state', versionSchema, bytes, LIMITS.noteBytes);
    if (v > VERSION) {
      throw new BzzzError('SCHEMA_TOO_NEW', `the stored election state is of version ${v}`);
    }
    const { term, votedFor, accepted } = decode('election state', schema, bytes, LIMITS.noteBytes);
    return { term, votedFor, accepted };
  } catch (thrown) {
    const error = toBzzzError(thrown);
    if (error.code === 'SCHEMA_TOO_NEW') throw error;
    throw new BzzzError('DISK_FAILED', 'the stored election state is damaged', {
      why: error.message,
      hint: 'a voter without it could vote twice: remove this host, and let it join with a new one',
      cause: thrown,
    });
  }
}

/** Resolves when the disk has it. @throws DISK_FAILED. */
export async function saveHard(store: KeyValue, hard: Hard): Promise<void> {
  const { term, votedFor, accepted } = hard;
  await store.put(KEY, encode({ v: VERSION, term, votedFor, accepted }), { sync: true });
}
