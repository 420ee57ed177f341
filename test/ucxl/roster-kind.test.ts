import { expect, test } from 'vitest';
import type { Epoch } from '../../src/base/brands.ts';
import { toHex, utf8Bytes } from '../../src/base/bytes.ts';
import { BzzzError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { type Chain, createChain } from '../../src/roster/chain.ts';
import { entryRecord, verifyEntryRecord } from '../../src/roster/proof.ts';
import { series, seriesId } from '../../src/ucxl/address.ts';
import { membershipAddress } from '../../src/ucxl/fixed.ts';
import { makeAddress } from '../../src/ucxl/parse.ts';
import { encodeOne } from '../../src/ucxl/records.ts';
import { ROSTER_ENTRY_TYPE, rosterKind } from '../../src/ucxl/roster-kind.ts';
import { ada, admit, ben, chainWith, cyd, genesisOf } from '../roster/support.ts';
import { errorOf, MemoryStore, namespaceOf, rules, signers, world } from './support.ts';

const founder = signers[0]!.peerId;
const chain = ['genesis', 'first', 'second'].map(utf8Bytes);
const times = [0, Date.UTC(2026, 0, 1), 9e15];
const seen: Epoch[] = [];
const kind = rosterKind('lab', (epoch, bytes) => {
  seen.push(epoch);
  const expected = chain[epoch];
  if (expected === undefined || toHex(expected) !== toHex(bytes)) {
    throw new BzzzError('ROSTER_FORK', `not the entry of epoch ${epoch}`);
  }
  return epoch === 0 ? { writer: founder } : { writer: founder, time: times[epoch] ?? 0 };
});
const store = namespaceOf('i', { ...rules, kinds: [...rules.kinds, kind] });

test('an entry stands at its epoch of its cluster, and nowhere else', () => {
  expect(kind.matches(membershipAddress('lab', 2))).toBe(true);
  expect(kind.matches(membershipAddress('other', 2))).toBe(false);
  expect(kind.matches(makeAddress({ ...membershipAddress('lab', 2), path: '02' }))).toBe(false);
  expect(kind.matches(makeAddress({ ...membershipAddress('lab', 2), role: 'fork' }))).toBe(false);
});

test('the verifier gets the epoch of the address and names the writer and the time', async () => {
  seen.length = 0;
  const type = ROSTER_ENTRY_TYPE;
  const genesis = kind.verify(membershipAddress('lab', 0), utf8Bytes('genesis'));
  expect(genesis).toEqual({ writer: founder, type });
  const first = kind.verify(membershipAddress('lab', 1), utf8Bytes('first'));
  expect(first).toEqual({ writer: founder, type, time: '2026-01-01T00:00:00.000Z' });
  expect(seen).toEqual([0, 1]);
  const late = await errorOf(() => kind.verify(membershipAddress('lab', 2), utf8Bytes('second')));
  expect(late.code).toBe('BAD_MESSAGE');
});

test('a store refuses the entry of another epoch, and too large ones', async () => {
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

test('a node that knows the chain resolves its entries, one of another refuses them', async () => {
  const chain = chainWith([admit(ben), admit(cyd)]);
  const ofChain = (known: Chain) => ({
    ...rules,
    kinds: [rosterKind('lab', (epoch, bytes) => verifyEntryRecord(known, epoch, bytes))],
  });
  const ours = ofChain(chain);
  const store = new MemoryStore(ours);
  const { resolver } = world({}, store, ours);
  for (const epoch of [0, 1, 2]) {
    await resolver.publish(membershipAddress('lab', epoch), entryRecord(chain, epoch)!);
  }
  const last = await resolver.resolve('ucxl://roster:chain@lab:membership/2');
  expect(last).toMatchObject({ writer: ada.peerId, time: '1970-01-01T00:00:02.000Z', version: 1 });
  expect(last.bytes).toEqual(entryRecord(chain, 2));
  const elsewhere = world({}, store, ofChain(createChain(genesisOf('another')))).resolver;
  const error = await errorOf(() => elsewhere.resolve('ucxl://roster:chain@lab:membership/2'));
  expect(error.code).toBe('NOT_FOUND');
  expect(error.why).toMatch(/refused/);
});
