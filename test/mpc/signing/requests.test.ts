/** Several sessions for one request: one result while connected, and one answer for readers (S6). */
import { describe, expect, it } from 'vitest';
import type { SessionId } from '../../../src/base/brands.ts';
import { toHex, utf8Bytes } from '../../../src/base/bytes.ts';
import { chooseResult } from '../../../src/mpc/result.ts';
import { packResult } from '../../../src/mpc/signing/messages.ts';
import { CLUSTER, chance, Net, peer, toyOpen } from './net.ts';

const message = utf8Bytes('asked twice');
const ALL = [1, 2, 3, 4, 5].map(peer);

const signaturesOf = (net: Net, sids: readonly SessionId[], nodes = ALL): Set<string> =>
  new Set(
    nodes.flatMap((one) => sids.map((sid) => toHex(net.completion(one, sid).result.signature))),
  );

/** The answer of a reader who sees every record that any node stored. */
function answer(net: Net): string | undefined {
  const records = [...net.nodes.values()].flatMap(({ sessions }) =>
    [...sessions.values()].flatMap((machine) => machine.records),
  );
  const { key } = net.dealt;
  const context = { key, message, suite: net.suite };
  const chosen = chooseResult(records, CLUSTER, context, toyOpen);
  const reversed = chooseResult([...records].reverse(), CLUSTER, context, toyOpen);
  expect(reversed?.cid).toEqual(chosen?.cid);
  return chosen && toHex(chosen.record.signature);
}

describe('two nodes that ask for the same at once', () => {
  it('get one signature, in both sessions and on every node (S6)', () => {
    let superseded = 0;
    for (let seed = 0; seed < 20; seed++) {
      const dice = chance(`twice ${seed}`);
      const net = new Net({ threshold: 3, n: 5 });
      net.wire = ({ envelope }) => [{ envelope, delayMs: 1 + dice() * 4 }];
      const a = net.proposal(peer(1), message, { salt: seed });
      const b = net.proposal(peer(2), message, { salt: 1_000 + seed });
      net.beginAll(a, message, 1 + dice() * 4);
      net.at(dice() * 5, () => net.beginAll(b, message, 1 + dice() * 4));
      net.run();
      const found = signaturesOf(net, [a.sid, b.sid]);
      expect(found.size, `seed ${seed}`).toBe(1);
      expect([...found][0]).toBe(answer(net));
      expect(net.toy.violations).toEqual([]);
      expect(net.named()).toEqual([]);
      for (const one of ALL) {
        const all = [a.sid, b.sid].map((sid) => net.machine(one, sid));
        for (const machine of all) expect(machine.outcomes).toHaveLength(1);
        if (all.some(({ events }) => events.some(({ kind }) => kind === 'superseded')))
          superseded++;
      }
    }
    expect(superseded).toBeGreaterThan(50);
  });

  it('get it also when neither holds a share', () => {
    const net = new Net({ threshold: 2, n: 3 });
    const a = net.proposal(peer(8), message);
    const b = net.proposal(peer(9), message);
    net.beginAll(a, message);
    net.beginAll(b, message);
    net.run();
    const both = [
      net.completion(peer(8), a.sid).result.signature,
      net.completion(peer(9), b.sid).result.signature,
    ].map(toHex);
    expect(new Set(both).size).toBe(1);
  });

  it('in two halves of a torn network: readers agree once it is whole (S6)', () => {
    for (let seed = 0; seed < 10; seed++) {
      const net = new Net({ threshold: 2, n: 5 });
      const left = [1, 2, 3].map(peer);
      net.wire = ({ from, to, envelope }) =>
        left.includes(from) === left.includes(to) ? [{ envelope, delayMs: 1 }] : [];
      const a = net.proposal(peer(1), message, { salt: seed });
      const b = net.proposal(peer(4), message, { salt: 100 + seed });
      net.beginAll(a, message);
      net.beginAll(b, message);
      net.run();
      const here = net.completion(peer(1), a.sid);
      const there = net.completion(peer(4), b.sid);
      expect(toHex(here.result.signature)).not.toBe(toHex(there.result.signature));
      // The records meet; each machine that is told takes the smaller and keeps it.
      net.input(peer(1), a.sid, { type: 'result', record: there.record });
      net.input(peer(4), b.sid, { type: 'result', record: here.record });
      const states = [net.machine(peer(1), a.sid).state, net.machine(peer(4), b.sid).state];
      const kept = states.map(({ result }) => result && toHex(result.record.signature));
      expect(kept).toEqual([answer(net), answer(net)]);
    }
  });
});

describe('a session that stands back', () => {
  it('drives no more and answers no driver, then goes on when the other one ends', () => {
    const net = new Net({ threshold: 3, n: 5 });
    const [low, high] = [0, 1]
      .map((salt) => net.proposal(peer(1 + salt), message, { salt }))
      .sort((a, b) => (a.sid < b.sid ? -1 : 1));
    if (low === undefined || high === undefined) throw new Error('two proposals');
    // The lower one cannot complete: its packages are lost.
    net.wire = ({ sid, envelope, message: { kind } }) =>
      sid === low.sid && kind === 'package' ? [] : [{ envelope, delayMs: 1 }];
    net.beginAll(low, message);
    net.beginAll(high, message);
    net.run(20);
    const before = net.sent.length;
    net.run(5_000);
    const asked = net.sent
      .slice(before)
      .filter(({ sid, envelope }) => net.heard(sid, envelope).kind === 'commitRequest');
    expect(new Set(asked.map(({ sid }) => sid))).toEqual(new Set([low.sid]));
    const { proposer } = low.proposal;
    for (const one of ALL) {
      expect(net.outcomes(one, high.sid)).toEqual([]);
      expect(net.machine(one, high.sid).state.supersededBy).toBe(low.sid);
    }
    net.input(proposer, low.sid, { type: 'cancel', by: proposer, reason: 'changed my mind' });
    net.run();
    for (const one of ALL) {
      expect(net.outcomes(one, low.sid).map(({ state }) => state)).toEqual([
        'cancelled',
        'completed',
      ]);
      net.completion(one, high.sid);
    }
    expect(net.toy.violations).toEqual([]);
  });

  it('releases no share for a package that it made just before', () => {
    const net = new Net({ threshold: 2, n: 3 });
    const sealed = net.proposal(peer(1), message);
    const by = '0'.repeat(64) as SessionId;
    net.beforeStep = (_, id, input) => {
      if (input.type === 'signOwn')
        net.input(id, sealed.sid, { type: 'superseded', by, bound: false });
    };
    net.beginAll(sealed, message);
    net.run(100);
    const kinds = net.sent
      .filter(({ from }) => from === peer(1))
      .map(({ sid, envelope }) => net.heard(sid, envelope).kind);
    expect(kinds).toContain('package');
    expect(kinds).not.toContain('share');
  });

  it('tells a driver why it is silent, and that is no refusal', () => {
    const net = new Net({ threshold: 2, n: 3 });
    const sealed = net.proposal(peer(1), message);
    net.beginAll(sealed, message, 0);
    const by = '0'.repeat(64) as SessionId;
    net.at(0, () => net.input(peer(2), sealed.sid, { type: 'superseded', by, bound: false }));
    net.run();
    const { ignored, state } = net.machine(peer(1), sealed.sid);
    expect(ignored.some(({ from, reason }) => from === peer(2) && reason.includes(by))).toBe(true);
    expect(state.refused.size).toBe(0);
    expect(net.completion(peer(1), sealed.sid).result.signers).toEqual([peer(1), peer(3)]);
  });
});

describe('a request that has a result', () => {
  it('completes at once with it, tells the proposer, and signs nothing', () => {
    const net = new Net({ threshold: 2, n: 3 });
    const first = net.proposal(peer(1), message);
    net.beginAll(first, message);
    net.run();
    const { record, result } = net.completion(peer(2), first.sid);
    const later = net.proposal(peer(9), message, { salt: 7 });
    const sentBefore = net.sent.length;
    // The proposer does not know the result; one holder does.
    net.wire = ({ from, envelope }) => (from === peer(9) ? [] : [{ envelope, delayMs: 1 }]);
    net.begin(peer(9), later, message);
    net.begin(peer(2), later, message, 0, { result: record });
    net.run();
    expect(net.completion(peer(9), later.sid).result.signature).toEqual(result.signature);
    expect(net.completion(peer(2), later.sid).result.sid).toBe(first.sid);
    const kinds = net.sent
      .slice(sentBefore)
      .filter(({ from }) => from === peer(2))
      .map(({ sid, envelope }) => net.heard(sid, envelope).kind);
    expect(kinds).toEqual(['result']);
  });

  it('is signed again when a fresh signature is asked for, and the old one is no answer', () => {
    const net = new Net({ threshold: 2, n: 3 });
    const first = net.proposal(peer(1), message);
    net.beginAll(first, message);
    net.run();
    const old = net.completion(peer(1), first.sid);
    const fresh = net.proposal(peer(1), message, { salt: 1, fresh: true });
    const other = net.proposal(peer(2), message, { salt: 2, fresh: true });
    net.begin(peer(3), fresh, message, 0, { result: old.record });
    net.beginAll(fresh, message);
    net.beginAll(other, message);
    net.run();
    const three = [first, fresh, other].map(({ sid }) =>
      toHex(net.completion(peer(3), sid).result.signature),
    );
    expect(new Set(three).size).toBe(3);
    for (const { sid } of [fresh, other]) {
      expect(net.machine(peer(3), sid).events.some(({ kind }) => kind === 'superseded')).toBe(
        false,
      );
    }
  });
});

describe('a result that comes late', () => {
  it.each(['expired', 'cancelled', 'failed'] as const)('turns %s into completed (S1)', (end) => {
    const net = new Net({ threshold: 3, n: 5 });
    const sealed = net.proposal(peer(1), message, { ttlMs: 5_000 });
    // Peer 5 hears nothing of the session but its own start.
    net.wire = ({ to, envelope }) => (to === peer(5) ? [] : [{ envelope, delayMs: 1 }]);
    net.beginAll(sealed, message);
    if (end === 'cancelled') {
      net.at(2, () =>
        net.input(peer(5), sealed.sid, { type: 'cancel', by: peer(1), reason: 'no more' }),
      );
    }
    if (end === 'failed') {
      net.at(2, () =>
        net.input(peer(5), sealed.sid, { type: 'withdraw', code: 'REFUSED_BY_POLICY' }),
      );
    }
    net.run();
    expect(net.outcomes(peer(5), sealed.sid).map(({ state }) => state)).toEqual([end]);
    const { record } = net.completion(peer(1), sealed.sid);
    const late = packResult(record);
    net.inject(peer(2), peer(5), sealed.sid, late);
    expect(net.outcomes(peer(5), sealed.sid).map(({ state }) => state)).toEqual([end, 'completed']);
    // Once more changes nothing.
    net.inject(peer(2), peer(5), sealed.sid, late);
    expect(net.outcomes(peer(5), sealed.sid)).toHaveLength(2);
  });

  it('is had by asking: a party that missed the result gets it from those who have it', () => {
    const net = new Net({ threshold: 3, n: 5 });
    const sealed = net.proposal(peer(1), message);
    net.wire = ({ to, envelope, message: { kind }, now }) =>
      to === peer(5) && (kind === 'result' || kind === 'commitRequest') && now < 100
        ? []
        : [{ envelope, delayMs: 1 }];
    net.beginAll(sealed, message);
    net.run();
    net.completion(peer(5), sealed.sid);
    expect(signaturesOf(net, [sealed.sid]).size).toBe(1);
  });
});
