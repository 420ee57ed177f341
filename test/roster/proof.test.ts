import { describe, expect, test } from 'vitest';
import { createChain, extendChain } from '../../src/roster/chain.ts';
import { entryRecord, verifyEntryRecord } from '../../src/roster/proof.ts';
import {
  ada,
  admit,
  ben,
  bytesOf,
  chainWith,
  codeOf,
  cyd,
  dov,
  entriesOf,
  entryAfter,
  eve,
  genesisOf,
  promote,
} from './support.ts';

const chain = chainWith([admit(ben), admit(cyd), promote(ben), promote(cyd), admit(dov)]);

describe('A3 the record of an epoch', () => {
  test('proves itself, the genesis included', () => {
    expect(verifyEntryRecord(chain, 0, entryRecord(chain, 0)!)).toEqual({ writer: ada.peerId });
    expect(verifyEntryRecord(chain, 2, entryRecord(chain, 2)!)).toEqual({
      writer: ada.peerId,
      time: 2_000,
    });
    expect(entryRecord(chain, 6)).toBeUndefined();
  });

  test('may carry the signatures of another majority, as long as they hold', () => {
    const before = chainWith([admit(ben), admit(cyd), promote(ben), promote(cyd)]);
    const other = entryAfter(before, admit(dov), { by: [ben, cyd] });
    expect(other.bytes).not.toEqual(entryRecord(chain, 5));
    expect([ben.peerId, cyd.peerId]).toContain(verifyEntryRecord(chain, 5, other.bytes).writer);
    const few = entryAfter(before, admit(dov), { by: [ben] });
    expect(codeOf(() => verifyEntryRecord(chain, 5, few.bytes))).toBe('BAD_MESSAGE');
    const foreign = entryAfter(before, admit(dov), { by: [ben, eve] });
    expect(codeOf(() => verifyEntryRecord(chain, 5, foreign.bytes))).toBe('BAD_MESSAGE');
  });

  test('is judged by the voters of its own epoch, also in a chain taken in at once', () => {
    const loaded = extendChain(createChain(genesisOf()), entriesOf(chain)).chain;
    for (let at = 0; at <= 5; at++) {
      const record = entryRecord(chain, at)!;
      expect(verifyEntryRecord(loaded, at, record)).toEqual(verifyEntryRecord(chain, at, record));
    }
    const before = chainWith([admit(ben), admit(cyd), promote(ben), promote(cyd)]);
    const one = entryAfter(before, admit(dov), { by: [ada] }).bytes;
    expect(codeOf(() => verifyEntryRecord(loaded, 5, one))).toBe('BAD_MESSAGE');
  });

  test('is refused under another epoch', () => {
    expect(codeOf(() => verifyEntryRecord(chain, 3, entryRecord(chain, 2)!))).toBe('BAD_MESSAGE');
    expect(codeOf(() => verifyEntryRecord(chain, 0, entryRecord(chain, 1)!))).toBe('BAD_MESSAGE');
    expect(codeOf(() => verifyEntryRecord(chain, 1, entryRecord(chain, 0)!))).toBe('BAD_MESSAGE');
  });

  test('of another cluster is refused', () => {
    const other = chainWith([admit(ben)], genesisOf('other'));
    expect(codeOf(() => verifyEntryRecord(chain, 1, entryRecord(other, 1)!))).toBe('BAD_MESSAGE');
    expect(codeOf(() => verifyEntryRecord(chain, 0, entryRecord(other, 0)!))).toBe('BAD_MESSAGE');
  });

  test('right after the head is judged, further ahead is not', () => {
    const short = extendChain(createChain(genesisOf()), entriesOf(chain).slice(0, 2)).chain;
    expect(verifyEntryRecord(short, 3, bytesOf(chain)[2]!).writer).toBe(ada.peerId);
    expect(codeOf(() => verifyEntryRecord(short, 4, bytesOf(chain)[3]!))).toBe('BAD_MESSAGE');
  });

  test('that is certified and contradicts the chain is a fork', () => {
    const base = chainWith([admit(ben)]);
    const rival = entryAfter(base, admit(eve));
    expect(codeOf(() => verifyEntryRecord(chain, 2, rival.bytes))).toBe('ROSTER_FORK');
  });
});
