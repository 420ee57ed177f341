import { expect, test } from 'vitest';
import type { Epoch } from '../../src/base/brands.ts';
import { toHex, utf8Bytes } from '../../src/base/bytes.ts';
import { BzzzError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { series, seriesId } from '../../src/ucxl/address.ts';
import { membershipAddress } from '../../src/ucxl/fixed.ts';
import { makeAddress } from '../../src/ucxl/parse.ts';
import { encodeOne } from '../../src/ucxl/records.ts';
import { ROSTER_ENTRY_TYPE, rosterKind } from '../../src/ucxl/roster-kind.ts';
import { errorOf, namespaceOf, rules, signers } from './support.ts';

const founder = signers[0]!.peerId;
const chain = ['genesis', 'first', 'second'].map(utf8Bytes);
const seen: Epoch[] = [];
const kind = rosterKind('lab', (epoch, bytes) => {
  seen.push(epoch);
  const expected = chain[epoch];
  if (expected === undefined || toHex(expected) !== toHex(bytes)) {
    throw new BzzzError('ROSTER_FORK', `not the entry of epoch ${epoch}`);
  }
  return founder;
});
const store = namespaceOf('i', { ...rules, kinds: [...rules.kinds, kind] });

test('an entry stands at its epoch of its cluster, and nowhere else', () => {
  expect(kind.matches(membershipAddress('lab', 2))).toBe(true);
  expect(kind.matches(membershipAddress('other', 2))).toBe(false);
  expect(kind.matches(makeAddress({ ...membershipAddress('lab', 2), path: '02' }))).toBe(false);
  expect(kind.matches(makeAddress({ ...membershipAddress('lab', 2), role: 'fork' }))).toBe(false);
});

test('the verifier gets the epoch of the address and names the writer', () => {
  seen.length = 0;
  const facts = kind.verify(membershipAddress('lab', 2), utf8Bytes('second'));
  expect(facts).toEqual({ writer: founder, type: ROSTER_ENTRY_TYPE });
  expect(seen).toEqual([2]);
});

test('a store keeps the right entry and refuses that of another epoch, and too large ones', async () => {
  const at = series(membershipAddress('lab', 1));
  store.validate(seriesId(at), encodeOne(at, utf8Bytes('first')));
  const wrong = await errorOf(() =>
    store.validate(seriesId(at), encodeOne(at, utf8Bytes('second'))),
  );
  expect(wrong.code).toBe('BAD_MESSAGE');
  expect(wrong.message).toMatch(/not the entry of epoch 1/);
  const large = new Uint8Array(LIMITS.rosterEntryBytes + 1);
  expect((await errorOf(() => store.validate(seriesId(at), encodeOne(at, large)))).message).toMatch(
    /at most 16384/,
  );
});

test('the verifier is not asked about an address of another kind or cluster', async () => {
  seen.length = 0;
  const address = membershipAddress('other', 1);
  expect((await errorOf(() => kind.verify(address, utf8Bytes('first')))).code).toBe('BAD_MESSAGE');
  expect(seen).toEqual([]);
});
