/** Signatures with commitments that were exchanged ahead: one exchange, and every way it fails. */
import { describe, expect, it } from 'vitest';
import type { PeerId, SessionId } from '../../../src/base/brands.ts';
import { utf8Bytes } from '../../../src/base/bytes.ts';
import type { PooledCommitment } from '../../../src/mpc/nonces/types.ts';
import type { Draftable } from '../../../src/mpc/signing/messages.ts';
import { SIGNING_TIMING } from '../../../src/mpc/signing/timing.ts';
import { scalarBytes } from '../../support/toy-suite.ts';
import { chance, Net, peer } from './net.ts';
import { Pools } from './pools.ts';

const message = utf8Bytes('in one exchange');
const PARTIES = [1, 2, 3, 4, 5].map(peer);

function setUp(threshold = 3, n = 5) {
  const pools = new Pools();
  const net = new Net({ threshold, n, nonces: pools.portOf });
  const sealed = net.proposal(peer(1), message);
  const kinds = (sid: SessionId = sealed.sid) => [
    ...new Set(net.sent.filter((s) => s.sid === sid).map((s) => net.heard(sid, s.envelope).kind)),
  ];
  return { net, pools, sealed, sid: sealed.sid, kinds };
}

const pairOf = ({ author, holderBoot, seq, hiding, binding }: PooledCommitment) => ({
  ...{ holder: author, boot: holderBoot, seq, hiding, binding },
});

/** A package with one issued commitment of each of `holders`, as its driver would sign it. */
function packageOf(
  issued: readonly PooledCommitment[],
  holders: readonly PeerId[],
  counter = 1,
): Draftable {
  const pairs = holders.flatMap((holder) => {
    const one = issued.find(({ author }) => author === holder);
    return one === undefined ? [] : [pairOf(one)];
  });
  return { kind: 'pooled', boot: 1, counter, pairs };
}

function expectClean(net: Net, pools: Pools, named: readonly PeerId[] = []): void {
  pools.clear();
  expect(net.toy.violations).toEqual([]);
  expect(net.toy.liveNonces()).toBe(0);
  expect(net.named()).toEqual(named);
}

describe('a pooled attempt', () => {
  it.each([
    [2, 3],
    [3, 5],
    [7, 10],
  ])('completes after one exchange, %d of %d, without a round of commitments', (t, n) => {
    const { net, pools, sealed, sid, kinds } = setUp(t, n);
    pools.issue(net, peer(1), 2);
    net.beginAll(sealed, message, 0);
    net.run();
    for (let i = 1; i <= n; i++) expect(net.completion(peer(i), sid).attempts).toBeLessThan(2);
    expect(kinds().sort()).toEqual(['pooled', 'result', 'share']);
    expectClean(net, pools);
  });

  it.each([
    [2, 3],
    [7, 10],
  ])('costs each other signer of %d of %d a package and a share, each holder a result', (t, n) => {
    const { net, pools, sealed, sid } = setUp(t, n);
    pools.issue(net, peer(1), 2);
    net.beginAll(sealed, message, 0);
    net.run();
    const heard = net.sent.map(({ envelope }) => net.heard(sid, envelope).kind);
    const count = (kind: string) => heard.filter((one) => one === kind).length;
    expect([count('pooled'), count('share'), count('result')]).toEqual([t - 1, t - 1, n - 1]);
    expectClean(net, pools);
  });

  it('S3: gives its share to the signers when it has none of theirs', () => {
    const { net, pools, sealed, sid } = setUp();
    pools.issue(net, peer(1), 2);
    net.wire = ({ to, envelope, message: { kind } }) =>
      to === peer(1) && kind === 'share' ? [] : [{ envelope, delayMs: 1 }];
    net.beginAll(sealed, message, 0);
    net.runUntil(() => net.outcomes(peer(2), sid).length > 0);
    expect(net.completion(peer(2), sid).attempts).toBe(1);
    expect(net.now).toBeGreaterThanOrEqual(SIGNING_TIMING.exchangeMs);
    net.run();
    expectClean(net, pools);
  });

  it('asks for commitments when the pool does not do, and uses it again when it is filled', () => {
    const { net, pools, sealed, kinds } = setUp();
    net.beginAll(sealed, message);
    net.run();
    expect(kinds()).toContain('commitRequest');
    pools.issue(net, peer(1), 1);
    const next = net.proposal(peer(1), message, { salt: 1, fresh: true });
    net.beginAll(next, message);
    net.run();
    expect(kinds(next.sid)).not.toContain('commitRequest');
    expectClean(net, pools);
  });

  it('N1: a signer that was restarted says so, is blamed by nobody, and others sign', () => {
    const { net, pools, sealed, sid, kinds } = setUp();
    pools.issue(net, peer(1), 1);
    for (const one of PARTIES.slice(1)) net.restart(one);
    net.beginAll(sealed, message);
    net.run();
    expect(kinds()).toContain('spent');
    expect(pools.lost.length).toBeGreaterThan(0);
    for (const one of PARTIES) expect(net.completion(one, sid).state).toBe('completed');
    expectClean(net, pools);
  });

  it('replaces a signer at once when its stream closes, without waiting for a timer', () => {
    const { net, pools, sealed, sid } = setUp();
    pools.issue(net, peer(1), 2);
    net.beginAll(sealed, message, 0);
    let struck: PeerId | undefined;
    net.wire = ({ message: m, to, envelope }) => {
      if (m.kind === 'pooled' && struck === undefined) {
        struck = to;
        net.at(0, () => net.kill(to));
        net.at(5, () => net.input(peer(1), sid, { type: 'gone', peer: to }));
      }
      return [{ envelope, delayMs: 1 }];
    };
    net.runUntil(() => net.outcomes(peer(1), sid).length > 0);
    expect(net.completion(peer(1), sid).attempts).toBe(2);
    expect(net.now).toBeLessThan(50);
    net.run();
    expect(net.named()).toEqual([]);
  });

  it('S3: goes on soon when the stream to the driver closes', () => {
    const { net, pools, sealed, sid } = setUp();
    pools.issue(net, peer(1), 1);
    net.beginAll(sealed, message, 0);
    net.at(1, () => net.kill(peer(1)));
    for (const one of PARTIES.slice(1)) {
      net.at(2, () => net.input(one, sid, { type: 'gone', peer: peer(1) }));
    }
    net.runUntil(() => PARTIES.slice(1).every((one) => net.outcomes(one, sid).length > 0));
    expect(net.now).toBeLessThan(400);
    expect(net.named()).toEqual([]);
  });

  it('S5: a wrong share in it names its signer', () => {
    const { net, pools, sealed, sid } = setUp();
    pools.issue(net, peer(1), 2);
    let culprit: PeerId | undefined;
    net.wire = ({ from, envelope, message: m }) => {
      if (m.kind !== 'share' || from === peer(1)) return [{ envelope, delayMs: 1 }];
      culprit ??= from;
      if (from !== culprit) return [{ envelope, delayMs: 1 }];
      const wrong = net.seal(from, sid, { ...m, share: scalarBytes(5n) });
      return [{ envelope: wrong, delayMs: 1 }];
    };
    net.beginAll(sealed, message, 0);
    net.run();
    expect(net.completion(peer(1), sid).culprits).toEqual([culprit]);
    expectClean(net, pools, culprit === undefined ? [] : [culprit]);
  });
});

describe('N1, N2: a pair gives one share', () => {
  it('for a package that comes twice, in any session state', () => {
    const { net, pools, sealed, sid } = setUp();
    pools.issue(net, peer(1), 1);
    net.wire = ({ envelope, message: m }) =>
      m.kind === 'pooled'
        ? [1, 1, 3, 700].map((delayMs) => ({ envelope, delayMs }))
        : [{ envelope, delayMs: 2 }];
    net.beginAll(sealed, message, 0);
    net.run();
    for (const one of PARTIES) {
      const events = net.machine(one, sid).events.filter(({ kind }) => kind === 'share');
      expect(events.length).toBeLessThan(2);
    }
    expectClean(net, pools);
  });

  it('for another driver: it gets none, and is told that there is none', () => {
    const { net, pools, sealed, sid } = setUp();
    const issued = pools.issue(net, peer(1), 1);
    pools.of(net, peer(1)).pool.prune(() => true);
    net.beginAll(sealed, message, 0);
    net.runUntil(() => net.node(peer(3)).sessions.has(sid));
    const body = packageOf(issued, [peer(2), peer(3), peer(4)]);
    net.inject(peer(2), peer(3), sid, net.seal(peer(2), sid, body));
    const answers = net.sent.filter(({ from, to }) => from === peer(3) && to === peer(2));
    expect(answers.map((s) => net.heard(sid, s.envelope).kind)).toEqual(['spent']);
    net.run();
    expectClean(net, pools);
  });

  it('in two sessions of one driver: the second gets none, and everyone can judge it', () => {
    const { net, pools } = setUp();
    const issued = pools.issue(net, peer(1), 1);
    pools.of(net, peer(1)).pool.prune(() => true);
    const signers = [1, 2, 3].map(peer);
    const sids = [1, 2].map((salt) => {
      const sealed = net.proposal(peer(1), message, { salt, fresh: true });
      for (const one of PARTIES) net.begin(one, sealed, message);
      net.runUntil(() => PARTIES.every((one) => net.node(one).sessions.has(sealed.sid)));
      const seal = net.seal(peer(1), sealed.sid, packageOf(issued, signers, 9));
      for (const one of [2, 3]) net.inject(peer(1), peer(one), sealed.sid, seal);
      return sealed.sid;
    });
    const [first, second] = sids as [SessionId, SessionId];
    const shares = (sid: SessionId, one: PeerId) =>
      net.machine(one, sid).events.filter(({ kind }) => kind === 'share').length;
    expect([2, 3].map((one) => shares(first, peer(one)))).toEqual([1, 1]);
    expect([2, 3].map((one) => shares(second, peer(one)))).toEqual([0, 0]);
    net.run();
    for (const one of PARTIES.slice(1)) {
      expect([...net.machine(one, second).state.culprits]).toEqual([[peer(1), 'twoUses']]);
      expect(net.completion(one, second).result.signers).not.toContain(peer(1));
      expect(net.machine(one, first).state.culprits.size).toBe(0);
    }
    pools.clear();
    expect(net.toy.violations).toEqual([]);
  });

  it('S5: two packages that share no pair, or are of two drivers, or one twice, prove nothing', () => {
    const { net, pools, sealed, sid } = setUp();
    const issued = pools.issue(net, peer(1), 2);
    const [a, b] = [issued.filter((_, i) => i % 2 === 0), issued.filter((_, i) => i % 2 === 1)];
    const signers = [1, 2, 3].map(peer);
    net.begin(peer(5), sealed, message);
    net.runUntil(() => net.node(peer(5)).sessions.has(sid));
    const seal = (driver: number, pairs: readonly PooledCommitment[], counter: number) =>
      net.seal(peer(driver), sid, packageOf(pairs, signers, counter));
    const claims = [
      [seal(1, a, 1), seal(1, b, 2)],
      [seal(1, a, 1), seal(2, a, 2)],
      [seal(1, a, 1), seal(1, a, 1)],
    ] as const;
    for (const [first, second] of claims) {
      const evidence = { fault: 'twoUses', first, second } as const;
      net.inject(peer(4), peer(5), sid, net.seal(peer(4), sid, { kind: 'blame', evidence }));
    }
    expect(net.machine(peer(5), sid).ignored).toHaveLength(3);
    const evidence = { fault: 'twoUses', first: seal(1, a, 1), second: seal(1, a, 2) } as const;
    net.inject(peer(4), peer(5), sid, net.seal(peer(4), sid, { kind: 'blame', evidence }));
    expect([...net.machine(peer(5), sid).state.culprits.keys()]).toEqual([peer(1)]);
  });

  it('when the driver swaps the points: the pair is gone, nothing is signed', () => {
    const { net, pools, sealed, sid } = setUp();
    const issued = pools.issue(net, peer(1), 1);
    net.wire = ({ envelope, message: m, to }) => {
      if (m.kind !== 'pooled' || to === peer(1)) return [{ envelope, delayMs: 1 }];
      const pairs = m.pairs.map((pair) => ({ ...pair, hiding: scalarBytes(77n) }));
      const lie = net.seal(peer(1), sid, { ...m, pairs });
      return [{ envelope: lie, delayMs: 1 }];
    };
    net.beginAll(sealed, message, 0);
    net.run();
    for (const one of PARTIES) expect(net.completion(one, sid).attempts).toBeGreaterThan(0);
    for (const { author, seq } of issued) {
      const { stock } = pools.of(net, author);
      const lane = { keyId: net.dealt.key.keyId, epoch: 0 };
      const taken = stock.take(lane, peer(1), seq, new Uint8Array());
      const members = net.sent.some(({ to, envelope }) => {
        const sent = net.heard(sid, envelope);
        return to === author && sent.kind === 'pooled';
      });
      if (members) expect(taken.found).not.toBe('pair');
      else if (taken.found === 'pair') net.suite.wipeNonces(taken.pair.nonces);
    }
    expectClean(net, pools);
  });
});

describe('a bad network with pools', () => {
  it('N1, S1, S5: kills and restarts at random: no nonce twice, nobody blamed, all complete', () => {
    for (let seed = 0; seed < 40; seed++) {
      const dice = chance(`pooled ${seed}`);
      const { net, pools, sealed, sid } = setUp();
      net.wire = ({ envelope }) => {
        if (dice() < 0.15) return [];
        const copies = dice() < 0.3 ? 2 : 1;
        return Array.from({ length: copies }, () => ({ envelope, delayMs: dice() * 60 }));
      };
      for (const driver of PARTIES) pools.issue(net, driver, 1 + Math.floor(dice() * 3));
      net.beginAll(sealed, message);
      const victims = PARTIES.filter(() => dice() < 0.5);
      for (const victim of victims) {
        net.at(dice() * 100, () => net.kill(victim));
        for (const one of PARTIES) {
          net.at(dice() * 300, () => net.input(one, sid, { type: 'gone', peer: victim }));
        }
        if (dice() < 0.7 || victims.length > 2) {
          net.at(400 + dice() * 1_000, () => {
            net.restart(victim);
            if (dice() < 0.5) pools.issue(net, victim, 1);
            net.begin(victim, sealed, message);
          });
        }
      }
      net.run();
      for (const [id, node] of net.nodes) {
        if (!node.alive) continue;
        expect(net.outcomes(id, sid).at(-1)?.state, `seed ${seed}`).toBe('completed');
      }
      expect(net.toy.violations, `seed ${seed}`).toEqual([]);
      expect(net.named(), `seed ${seed}`).toEqual([]);
    }
  });
});
