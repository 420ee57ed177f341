/** The leader's head: what a store believes, which of two stands, and what a reader is told. */
import fc from 'fast-check';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import type { Epoch } from '../../src/base/brands.ts';
import { toHex, utf8Bytes } from '../../src/base/bytes.ts';
import { contentCid, encode } from '../../src/base/codec.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { Counters } from '../../src/dht/counters.ts';
import { RecordGuard } from '../../src/dht/guard.ts';
import { createRules } from '../../src/dht/rules.ts';
import { openLeaderHead, sealLeaderHead } from '../../src/election/leader-head.ts';
import { LEADER_TYPE, leaderKind } from '../../src/election/leader-kind.ts';
import type { Chain } from '../../src/roster/chain.ts';
import { series, seriesId } from '../../src/ucxl/address.ts';
import { leaderAddress } from '../../src/ucxl/fixed.ts';
import { recordNamespaces } from '../../src/ucxl/namespaces.ts';
import { comparePins, encodeOne, type RecordRules } from '../../src/ucxl/records.ts';
import { openDisk } from '../dht/support.ts';
import {
  CHAIN,
  CLUSTER_ID,
  certificateOf,
  headOf,
  NOON,
  rawCertificate,
  violationOf,
  votesBy,
} from '../election/certificate-support.ts';
import { ada, admit, ben, chainWith, cyd, dov, genesisOf, promote } from '../roster/support.ts';
import { quietLogger, type TestClock, testClock } from '../support/world.ts';
import { errorOf, MemoryStore, namespaceOf, world } from './support.ts';

const ADDRESS = 'ucxl://leader:slurp@lab:election/current';
const HOUR = 3_600_000;
const ahead: Epoch[] = [];
const rulesOf = (chain: () => Chain): RecordRules => ({
  kinds: [leaderKind('lab', { chain, ahead: (epoch) => void ahead.push(epoch) })],
  isKnown: () => true,
});
const rules = rulesOf(() => CHAIN);
const kind = rules.kinds[0]!;
const heads = namespaceOf('h', rules);
const suffix = seriesId(series(leaderAddress('lab')));
const stored = (body: Uint8Array): Uint8Array => encodeOne(ADDRESS, body);
const pinOf = (body: Uint8Array): string => contentCid(body).toString();
const validate = (body: Uint8Array) => heads.validate(suffix, stored(body));
/** Sealed by ada, around whatever certificate. */
const around = (certificate: Uint8Array) =>
  sealLeaderHead(CLUSTER_ID, ada, { certificate, seq: 1, time: NOON });
const sealed = (payload: unknown) => ada.seal(`bzzz/${CLUSTER_ID}/leader-head/1`, encode(payload));

beforeEach(() => void ahead.splice(0));

describe('what a store believes (R98)', () => {
  test('a head of the leader, which says who leads, since when and until when', () => {
    validate(headOf(ben, { term: 3 }));
    expect(kind.verify(leaderAddress('lab'), headOf(ben))).toEqual({
      writer: ben.peerId,
      type: LEADER_TYPE,
      time: '2026-01-01T12:00:00.000Z',
      expires: '2026-01-02T12:00:00.000Z',
    });
  });

  test('it stands at the address of its own cluster and nowhere else', async () => {
    expect(kind.matches(leaderAddress('lab'))).toBe(true);
    expect(kind.matches(leaderAddress('other'))).toBe(false);
    const error = await errorOf(() => kind.verify(leaderAddress('other'), headOf()));
    expect(error.message).toMatch(/no leader stands/);
    const elsewhere = 'ucxl://leader:slurp@other:election/current';
    const at = seriesId(elsewhere);
    const value = encodeOne(elsewhere, headOf());
    expect((await errorOf(() => heads.validate(at, value))).message).toMatch(/no record/);
    expect((await errorOf(() => heads.validate(at, stored(headOf())))).message).toMatch(/series/);
    const selfProving = namespaceOf('i', rules);
    const wrong = await errorOf(() => selfProving.validate(suffix, stored(headOf())));
    expect(wrong.message).toMatch(/no record of this form/);
  });

  const foreign = chainWith(
    [admit(ben), promote(ben), admit(cyd), promote(cyd)],
    genesisOf('another'),
  );
  const certificate = certificateOf();
  test.each<[string, Uint8Array, RegExp]>([
    ['too few votes', around(rawCertificate(votesBy([ada]))), /1 votes, 2 needed/],
    [
      'a vote of a member that is no voter',
      around(rawCertificate(votesBy([ada, dov]))),
      /no voter/,
    ],
    [
      'votes for another',
      around(rawCertificate(votesBy([ada, ben], { candidate: cyd }))),
      /is for/,
    ],
    ['votes of an older term', around(rawCertificate(votesBy([ada, ben], { term: 6 }))), /term 6/],
    ["another's certificate under its own seal", headOf(ada, { by: ben }), /sealed by/],
    ['a head of another cluster', headOf(ada, { chain: foreign }), /signature/],
    [
      'votes of another cluster',
      around(rawCertificate(votesBy([ada, ben], {}, foreign.genesis.clusterId))),
      /signature/,
    ],
    ['the certificate alone', certificate, /envelope/],
    ['no certificate', around(utf8Bytes('x')), /not DAG-CBOR/],
    ['seq 0', sealed({ v: 1, certificate, seq: 0, time: NOON }), /seq/],
    ['a time that has no text', sealed({ v: 1, certificate, seq: 1, time: 8.64e15 }), /time/],
    ['another version', sealed({ v: 2, certificate, seq: 1, time: NOON }), /v:/],
    ['an unknown field', sealed({ v: 1, certificate, seq: 1, time: NOON, x: 1 }), /x/],
    ['more bytes than a head may have', new Uint8Array(LIMITS.headBytes + 1), /at most 4096/],
  ])('it refuses %s', async (_what, body, reason) => {
    const error = await errorOf(() => validate(body));
    expect(error.code).toBe('BAD_MESSAGE');
    expect(error.message).toMatch(reason);
    expect(ahead).toEqual([]);
  });

  test('an epoch beyond its own roster: refused and counted, good once it has caught up', () => {
    let chain = chainWith([admit(ben)]);
    const behind = namespaceOf(
      'h',
      rulesOf(() => chain),
    );
    const value = stored(headOf());
    expect(violationOf(() => behind.validate(suffix, value))).toBe('epoch-unknown');
    expect(ahead).toEqual([4]);
    chain = CHAIN;
    behind.validate(suffix, value);
    expect(ahead).toEqual([4]);
  });

  test('the largest certificate fits under its seal', () => {
    const most = new Uint8Array(LIMITS.leaderCertificateBytes);
    const seq = Number.MAX_SAFE_INTEGER;
    const head = sealLeaderHead(CLUSTER_ID, ada, { certificate: most, seq, time: NOON });
    expect(head.length).toBeLessThanOrEqual(LIMITS.headBytes);
  });

  test('whoever fetched the bytes verifies them without a network', () => {
    const { verified, seq } = openLeaderHead(headOf(cyd, { seq: 9, term: 12 }), CHAIN);
    expect({ leader: verified.leader, term: verified.term, seq }).toEqual({
      leader: cyd.peerId,
      term: 12,
      seq: 9,
    });
  });
});

describe('which of two heads stands (UCXL.md, order of heads)', () => {
  const merge = (a: Uint8Array, b: Uint8Array) => heads.merge(suffix, stored(a), stored(b));
  const late = NOON + 100 * HOUR;

  test.each([
    ['a higher term', headOf(ben, { term: 8 }), headOf(ada, { term: 7, seq: 99, time: late })],
    ['a higher term of an older epoch', headOf(ben, { term: 9, epoch: 2 }), headOf(ada)],
    ['a later seq of one term', headOf(ada, { seq: 2, time: NOON - HOUR }), headOf(ada)],
  ])('%s, whatever the clocks say', (_what, high, low) => {
    expect(merge(high, low)).toEqual(stored(high));
    expect(merge(low, high)).toEqual(stored(high));
    expect(merge(high, high)).toEqual(stored(high));
  });

  test('of one term and seq the larger CID', () => {
    const two = [headOf(ada, { time: NOON }), headOf(ada, { time: NOON + 1 })];
    const [first, second] = two.sort((a, b) => comparePins(pinOf(a), pinOf(b)));
    expect(merge(first!, second!)).toEqual(stored(second!));
    expect(merge(second!, first!)).toEqual(stored(second!));
  });

  test('copies that met in any order end up equal (a semilattice)', () => {
    const pool = [3, 4, 5].flatMap((term) =>
      [1, 2].flatMap((seq) => [
        headOf(ada, { term, seq }),
        headOf(ada, { term, seq, time: NOON + HOUR, voters: [ada, cyd] }),
      ]),
    );
    const values = pool.map(stored);
    const some = fc.array(fc.constantFrom(...values), { minLength: 1, maxLength: 6 });
    const all = (list: readonly Uint8Array[]) =>
      toHex(list.reduce((a, b) => heads.merge(suffix, a, b)));
    fc.assert(
      fc.property(some, fc.array(fc.nat(), { minLength: 6, maxLength: 6 }), (list, keys) => {
        const order = list.map((value, i) => ({ value, key: keys[i]! }));
        const shuffled = order.sort((a, b) => a.key - b.key).map(({ value }) => value);
        expect(all(shuffled)).toBe(all(list));
        expect(all([...list, ...list])).toBe(all(list));
        const [head = values[0]!, ...rest] = list;
        if (rest.length > 0)
          expect(toHex(heads.merge(suffix, head, unhex(all(rest))))).toBe(all(list));
      }),
      { numRuns: 40 },
    );
  });
});

describe('the guard on the disk', () => {
  const disks: { remove(): Promise<void> }[] = [];
  afterAll(() => Promise.all(disks.map((disk) => disk.remove())));

  test('lets no lower term take the place of a higher one, and no false head of any', async () => {
    const disk = await openDisk();
    disks.push(disk);
    const counters = new Counters();
    const dhtRules = createRules(recordNamespaces(rules));
    const guard = new RecordGuard(
      disk.store.db,
      {},
      { rules: dhtRules, clock: testClock(), log: quietLogger, counters },
    );
    const key = dhtRules.key('h', suffix);
    const high = stored(headOf(ben, { term: 8 }));
    const low = stored(headOf(ada, { term: 7, seq: 50 }));
    expect(await guard.store(key, low)).toEqual(low);
    expect(await guard.store(key, high)).toEqual(high);
    expect(await guard.store(key, low)).toEqual(high);
    expect(counters.get('absorbed')).toBe(1);
    const forged = around(rawCertificate(votesBy([ada], { term: 9 }), { term: 9 }));
    await expect(guard.store(key, stored(forged))).rejects.toThrow(/2 needed/);
    expect(counters.get('refused.invalid')).toBe(1);
    expect(await guard.load(key)).toEqual(high);
    const { keys } = await guard.page('', 10);
    expect(keys).toEqual([key]);
  });
});

describe('what a reader is told', () => {
  interface Reading extends ReturnType<typeof world> {
    readonly clock: TestClock;
  }
  const at = (body: Uint8Array, options = {}): Reading => {
    const store = new MemoryStore(rules);
    store.values.set(`h/${suffix}`, stored(body));
    const made = world(options, store, rules);
    made.clock.advance(NOON - made.clock.wallMs());
    return made;
  };

  test('who leads, and the bytes that prove it', async () => {
    const body = headOf(ben, { term: 8 });
    const found = await at(body).resolver.resolve(ADDRESS);
    expect(found).toMatchObject({
      ...{ address: ADDRESS, version: null, type: LEADER_TYPE, writer: ben.peerId },
      ...{ time: '2026-01-01T12:00:00.000Z', stale: false, source: 'dht', pin: pinOf(body) },
    });
    expect(openLeaderHead(found.bytes, CHAIN).verified.term).toBe(8);
  });

  test('always the newest: a head is read from several holders and never cached', async () => {
    const { resolver, store } = at(headOf());
    await resolver.resolve(ADDRESS);
    store.values.set(`h/${suffix}`, stored(headOf(cyd, { term: 8 })));
    expect((await resolver.resolve(ADDRESS)).writer).toBe(cyd.peerId);
    expect(store.gets.map(({ options }) => options)).toEqual([{ merge: true }, { merge: true }]);
    store.values.clear();
    expect((await errorOf(() => resolver.resolve(ADDRESS))).code).toBe('NOT_FOUND');
    store.values.set(`h/${suffix}`, stored(headOf()));
    expect((await resolver.resolve(ADDRESS)).writer).toBe(ada.peerId);
  });

  test('publishing a lower term changes nothing', async () => {
    const { resolver, store } = at(headOf(ben, { term: 8 }));
    const outcome = await resolver.publish(ADDRESS, headOf(ada, { term: 7, seq: 99 }));
    expect(outcome).toMatchObject({ address: ADDRESS, version: null });
    expect(store.values.get(`h/${suffix}`)).toEqual(stored(headOf(ben, { term: 8 })));
    expect((await resolver.resolve(ADDRESS)).writer).toBe(ben.peerId);
    const forged = around(rawCertificate(votesBy([ada])));
    expect((await errorOf(() => resolver.publish(ADDRESS, forged))).code).toBe('BAD_MESSAGE');
  });

  test('without a majority of its holders it does not pass for fresh', async () => {
    const { resolver, store } = at(headOf(ben));
    store.majority = false;
    expect(await resolver.resolve(ADDRESS)).toMatchObject({ stale: true, writer: ben.peerId });
    // Who asks for the first valid copy knows what it is.
    expect(await resolver.resolve(ADDRESS, { merge: false })).toMatchObject({ stale: false });
    store.majority = true;
    expect(await resolver.resolve(ADDRESS)).toMatchObject({ stale: false });
  });

  test('past its time it is an answer only to who asks for stale ones', async () => {
    const { resolver, clock } = at(headOf(ben));
    clock.advance(24 * HOUR - 1);
    expect(await resolver.resolve(`${ADDRESS}?stale`)).toMatchObject({ stale: false });
    expect((await resolver.resolve(ADDRESS)).stale).toBe(false);
    clock.advance(1);
    const error = await errorOf(() => resolver.resolve(ADDRESS));
    expect(error.code).toBe('NOT_FOUND');
    expect(error.why).toContain(`${ben.peerId} let it expire at 2026-01-02T12:00:00.000Z`);
    expect(error.hint).toContain(`${ADDRESS}?stale`);
    const stale = await resolver.resolve(`${ADDRESS}?stale`);
    expect(stale).toMatchObject({ stale: true, writer: ben.peerId });
  });

  test('a store that lies is not believed', async () => {
    const { resolver, store, warnings } = at(headOf());
    store.answer = () => stored(around(rawCertificate(votesBy([ada]))));
    const error = await errorOf(() => resolver.resolve(ADDRESS));
    expect(error.why).toMatch(/refused: leader certificate: 1 votes, 2 needed/);
    expect(warnings).toHaveLength(1);
  });

  test('there are no versions of it, and a pin names the newest or nothing', async () => {
    const body = headOf();
    const { resolver } = at(body);
    for (const temporal of ['*~', '*~1', '~~1', '^^1', '*@20270101T000000Z']) {
      const text = ADDRESS.replace('/current', `/${temporal}/current`);
      const error = await errorOf(() => resolver.resolve(text));
      expect(error.code).toBe('TEMPORAL_OUT_OF_RANGE');
      expect(error.why).toMatch(/only the newest/);
    }
    for (const temporal of ['*^', '~~0', `*=${pinOf(body)}`]) {
      const text = ADDRESS.replace('/current', `/${temporal}/current`);
      expect((await resolver.resolve(text)).pin).toBe(pinOf(body));
    }
    const gone = ADDRESS.replace('/current', `/*=${pinOf(headOf(cyd))}/current`);
    expect((await errorOf(() => resolver.resolve(gone))).code).toBe('NOT_FOUND');
    const put = await errorOf(() => resolver.putContent(ADDRESS, utf8Bytes('me')));
    expect(put.code).toBe('REFUSED_BY_POLICY');
  });
});

const unhex = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, 'hex'));
