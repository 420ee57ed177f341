/**
 * Which keys want attention: shares that grew old, holders that are gone. Pure.
 * @module
 */
import type { PeerId } from '../../base/brands.ts';
import type { ShareStanding } from '../party/share-book.ts';
import type { KeyEntry } from './keyring.ts';

/** A key as its upkeep sees it. */
export interface KeyAge {
  readonly keyId: string;
  readonly name: string;
  readonly epoch: number;
  readonly ageMs: number;
  /** How this node stands to it. */
  readonly standing: ShareStanding;
  /** Holders that the roster does not have any more. */
  readonly gone: readonly PeerId[];
  /** Whether it can be refreshed: delegates and temporary parties take part in no change. */
  readonly durable: boolean;
}

/** @param nowMs wall clock. @param isMember whether the roster has a peer. */
export const keyAge = (
  { key: { keyId, name, epoch, parties }, sinceMs }: KeyEntry,
  standing: ShareStanding,
  nowMs: number,
  isMember: (peer: PeerId) => boolean,
): KeyAge => ({
  ...{ keyId, name, epoch, standing, ageMs: Math.max(0, nowMs - sinceMs) },
  gone: parties.map(({ peerId }) => peerId).filter((peer) => !isMember(peer)),
  durable: parties.every(({ role }) => role === 'persistent'),
});

/** Keys that a refresh is due for: all holders are members, and the shares are old enough. */
export const dueKeys = (keys: readonly KeyAge[], everyMs: number): readonly KeyAge[] =>
  keys.filter(({ ageMs, gone, durable }) => durable && ageMs >= everyMs && gone.length === 0);

/** What an operator should do, one sentence for each matter. @param everyMs undefined: never. */
export const keyReminders = (
  keys: readonly KeyAge[],
  everyMs: number | undefined,
): readonly string[] =>
  keys.flatMap(({ name, standing, gone, ageMs, durable }) => {
    const out: string[] = [];
    if (standing === 'lost' || standing === 'stale') {
      const what = standing === 'lost' ? 'lost' : 'of an older epoch';
      out.push(`the share of key ${name} here is ${what}: bzzz key repair ${name} THIS-HOST`);
    }
    if (gone.length > 0) {
      out.push(`key ${name} has holders that were removed: bzzz key reshare ${name}`);
    }
    if (durable && everyMs !== undefined && ageMs >= everyMs) {
      out.push(`key ${name} was not refreshed for ${days(ageMs)}: bzzz key refresh ${name}`);
    }
    return out;
  });

const DAY_MS = 24 * 3_600_000;
const days = (ms: number): string =>
  ms < DAY_MS ? `${Math.floor(ms / 1_000)} s` : `${Math.floor(ms / DAY_MS)} days`;
