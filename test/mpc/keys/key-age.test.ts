import { describe, expect, it } from 'vitest';
import type { PeerId } from '../../../src/base/brands.ts';
import { dueKeys, type KeyAge, keyReminders } from '../../../src/mpc/keys/key-age.ts';

const key = (change: Partial<KeyAge> = {}): KeyAge => ({
  ...{ keyId: 'ab', name: 'release', epoch: 0, ageMs: 1_000, standing: 'active', gone: [] },
  durable: true,
  ...change,
});
const gone = ['p1' as PeerId];

describe('the upkeep of keys', () => {
  it('refreshes what is old enough, and not what lacks a holder', () => {
    expect(dueKeys([key({ ageMs: 999 })], 1_000)).toEqual([]);
    expect(dueKeys([key()], 1_000)).toHaveLength(1);
    expect(dueKeys([key({ gone })], 1_000)).toEqual([]);
  });

  it('neither refreshes nor reminds of a key with delegates: they take part in no change', () => {
    expect(dueKeys([key({ durable: false })], 1_000)).toEqual([]);
    expect(keyReminders([key({ durable: false })], 1_000)).toEqual([]);
  });

  it('reminds of old keys when there is a setting, of removed holders and lost shares always', () => {
    expect(keyReminders([key()], undefined)).toEqual([]);
    expect(keyReminders([key({ ageMs: 999 })], 1_000)).toEqual([]);
    expect(keyReminders([key()], 1_000)).toEqual([
      expect.stringMatching(/bzzz key refresh release/),
    ]);
    const old = key({ ageMs: 40 * 24 * 3_600_000 });
    expect(keyReminders([old], 1_000)[0]).toMatch(/40 days/);
    expect(keyReminders([key({ gone })], undefined)).toEqual([
      expect.stringMatching(/key reshare release/),
    ]);
    expect(keyReminders([key({ standing: 'lost' })], undefined)[0]).toMatch(/lost.*key repair/);
    expect(keyReminders([key({ standing: 'stale' })], undefined)[0]).toMatch(/older.*key repair/);
    expect(keyReminders([key({ standing: 'none' })], undefined)).toEqual([]);
  });
});
