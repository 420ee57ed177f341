/** Sessions wait as long as signatures take lately. */
import { describe, expect, it } from 'vitest';
import { type KeyId, type Millis, millis, type PeerId } from '../../../src/base/brands.ts';
import { utf8Bytes } from '../../../src/base/bytes.ts';
import type { Clock } from '../../../src/base/ports.ts';
import { Paces } from '../../../src/mpc/party/paces.ts';
import { SIGNING_TIMING } from '../../../src/mpc/signing/timing.ts';
import { Net, peer } from '../signing/net.ts';
import { Pools } from '../signing/pools.ts';

const key = 'b2'.repeat(32) as KeyId;
const message = utf8Bytes('on busy hosts');
/** Of a key whose attempts are soon done. */
const SOON = { ...SIGNING_TIMING, sharesMs: 240, bindsMs: 300, rankMs: 360 };

function pacesAt() {
  let now: Millis = millis(1_000);
  const clock: Clock = { now: () => now, wallMs: () => 0, after: () => () => {} };
  const paces = new Paces(clock);
  const pass = (ms: number): void => {
    now = millis(now + ms);
  };
  const gather = (ms: number): void => {
    const read = paces.reader(key);
    read('package', { attempt: 'a', driver: peer(1) });
    pass(ms);
    read('gathered', { attempt: 'a' });
    read('result', { author: peer(1) });
  };
  return { paces, pass, gather, waitMs: () => paces.timing(key).sharesMs };
}

describe('the pace of a key', () => {
  it('waits less where signatures are soon done, and not too little', () => {
    const { paces, gather } = pacesAt();
    for (let i = 0; i < 20; i++) gather(20);
    expect(paces.timing(key)).toEqual(SOON);
    const other = 'c3'.repeat(32) as KeyId;
    expect(paces.timing(other)).toEqual(SIGNING_TIMING);
    for (const one of [key, other]) expect(paces.longMs(one, 250)).toBe(250);
  });

  it.each([0, 100, 120, 200, 300, 1_000])(
    'lets a driver ask others while its signers are bound, and nobody drive yet, at %i ms',
    (ms) => {
      const { paces, gather } = pacesAt();
      gather(ms);
      const { sharesMs, bindsMs, rankMs } = paces.timing(key);
      expect(bindsMs - sharesMs).toBeGreaterThanOrEqual(50);
      expect(rankMs - bindsMs).toBeGreaterThanOrEqual(50);
    },
  );

  it('postpones all that makes busy hosts busier, for that key, until they are no longer busy', () => {
    const { paces, gather } = pacesAt();
    for (const ms of [20, 20, 20, 210, 190, 230, 210, 250, 210]) gather(ms);
    const { sharesMs, exchangeMs, bindsMs, rankMs, ...others } = paces.timing(key);
    expect([sharesMs, exchangeMs, bindsMs, rankMs]).toEqual([420, 420, 525, 630]);
    expect(paces.longMs(key, 250)).toBe(840);
    expect(SIGNING_TIMING).toMatchObject(others);
    expect(paces.timing('c3'.repeat(32) as KeyId)).toEqual(SIGNING_TIMING);
    for (let i = 0; i < 5; i++) gather(20);
    expect(paces.timing(key)).toEqual(SOON);
  });

  it('has an end, after which a request is still done in time', () => {
    const { paces, gather, waitMs } = pacesAt();
    for (let i = 0; i < 10; i++) gather(60_000);
    expect(waitMs()).toBe(600);
    expect(paces.timing(key)).toMatchObject({ rankMs: 900, exchangeMs: 2_000 });
    expect(paces.longMs(key, 250)).toBe(2_000);
  });

  it('is not that of hosts which died or were stopped', () => {
    const { paces, gather } = pacesAt();
    for (const ms of [20, 30, 20, 30, 20]) gather(ms);
    for (const ms of [900, 60_000, 700, 20, 1_200, 30]) {
      gather(ms);
      expect(paces.timing(key)).toEqual(SOON);
    }
  });

  it('is that of a late attempt, also when another was begun meanwhile', () => {
    const { paces, pass, waitMs } = pacesAt();
    const read = paces.reader(key);
    read('package', { attempt: 'a', driver: peer(1) });
    pass(200);
    read('package', { attempt: 'b', driver: peer(1) });
    pass(50);
    read('gathered', { attempt: 'a' });
    read('result', { author: peer(1) });
    expect(waitMs()).toBe(500);
  });

  it.each([
    ['the driver of its only attempt', [1], 1, 400],
    ['another, after its driver', [1], 2, 300],
    ['one of the attempts of a driver', [1, 1], 1, 300],
    ['one of two drivers', [1, 2], 1, 300],
  ])('is read off a result of %s', (_, drivers, author, expected) => {
    const { paces, pass, waitMs } = pacesAt();
    const read = paces.reader(key);
    drivers.forEach((driver, i) => void read('package', { attempt: i, driver: peer(driver) }));
    pass(200);
    read('result', { author: peer(author) });
    expect(waitMs()).toBe(expected);
  });
});

describe('machines on a slow network', () => {
  /** Messages of `sessions` signatures in turn, one line each. */
  function run(sessions: number, patient: boolean): readonly string[][] {
    const pools = new Pools();
    const net = new Net({ threshold: 7, n: 10, nonces: pools.portOf });
    net.wire = ({ envelope }) => [{ envelope, delayMs: 180 }];
    const clock: Clock = { now: () => millis(net.now), wallMs: () => 0, after: () => () => {} };
    const paces = new Map<PeerId, Paces>();
    const pacesOf = (one: PeerId): Paces => {
      const known = paces.get(one) ?? new Paces(clock);
      paces.set(one, known);
      return known;
    };
    if (patient) net.timing = (one) => pacesOf(one).timing(key);
    const sids = Array.from({ length: sessions }, (_, salt) => {
      pools.issue(net, peer(1), 3);
      const sealed = net.proposal(peer(1), message, { salt, fresh: true });
      const readers = new Map(
        [...net.dealt.shares.keys()].map((one) => [one, pacesOf(one).reader(key)]),
      );
      net.onEvent = (one, { kind, data }) => readers.get(one)?.(kind, data);
      net.beginAll(sealed, message, 0);
      net.run(net.now + 120_000);
      expect(net.completion(peer(1), sealed.sid).state).toBe('completed');
      return sealed.sid;
    });
    return sids.map((sid) =>
      net.sent.filter((one) => one.sid === sid).map((one) => net.heard(sid, one.envelope).kind),
    );
  }
  const count = (kinds: readonly string[] | undefined, kind: string): number =>
    (kinds ?? []).filter((one) => one === kind).length;

  it('ask each signer once when they know its pace, and everybody twice when they do not', () => {
    const [first, ...others] = run(4, true);
    for (const hasty of [first, run(4, false).at(-1)]) {
      expect(count(hasty, 'commitRequest')).toBe(9);
      expect(count(hasty, 'share')).toBeGreaterThan(6 * 6);
    }
    const last = others.at(-1);
    const counts = ['pooled', 'commitRequest', 'share'].map((kind) => count(last, kind));
    expect(counts).toEqual([6, 0, 6]);
  });
});
