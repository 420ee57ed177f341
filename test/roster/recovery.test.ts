import { describe, expect, test } from 'vitest';
import type { PeerId } from '../../src/base/brands.ts';
import type { Signer } from '../../src/base/ports.ts';
import { type Chain, createChain, extendChain, growChain } from '../../src/roster/chain.ts';
import { type Change, decodeEntry } from '../../src/roster/entry.ts';
import { type ExchangeOutcome, runExchange } from '../../src/roster/exchange-driver.ts';
import { checkChange } from '../../src/roster/membership.ts';
import { RecoveryService } from '../../src/roster/recovery.ts';
import { encodeAsk, RECOVER_TOPIC } from '../../src/roster/recovery-wire.ts';
import { MemoryNet } from '../support/memory-net.ts';
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
  epoch,
  eve,
  fay,
  loggedLines,
  openNode,
  promote,
  recoveryAfter,
  refusalOf,
  remove,
  streamPair,
  type TestNode,
  term,
} from './support.ts';

const all = () => true;
const ids = (...who: Signer[]): PeerId[] => who.map((s) => s.peerId).sort();
/** Ada, ben, cyd and dov vote, eve does not; epoch 7. */
const members: Change[] = [ben, cyd, dov, eve].map((who) => admit(who));
const four = chainWith([...members, ...[ben, cyd, dov].map(promote)]);

interface Survivor extends TestNode {
  readonly recovery: RecoveryService;
  readonly lines: string[];
}

/** Hosts on one network, each with the chain `four` unless told otherwise. */
class Hosts {
  readonly net = new MemoryNet();

  async up(signer: Signer, disk?: Map<string, Uint8Array>, chain = four): Promise<Survivor> {
    const { lines, logger } = loggedLines();
    const options = disk === undefined ? { entries: bytesOf(chain) } : { disk, genesis: null };
    const node = await openNode(signer, { ...options, logger });
    const { direct } = this.net.join(signer.peerId);
    const recovery = new RecoveryService({ ...node, direct, logger });
    await recovery.start();
    return { ...node, recovery, lines };
  }
}

/** Lets messages travel until `ready`; fails when nothing comes of it. */
async function settles(ready: () => boolean): Promise<void> {
  for (let turn = 0; turn < 500 && !ready(); turn++) {
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
  expect(ready()).toBe(true);
}

const exchanged = async (a: TestNode, b: TestNode): Promise<(ExchangeOutcome | unknown)[]> => {
  const [left, right] = streamPair(4);
  const run = async (node: TestNode, stream: typeof left, remote: PeerId) => {
    try {
      return await runExchange(stream, { roster: node.roster, clock: node.clock, remote });
    } catch (thrown) {
      stream.close();
      return thrown;
    }
  };
  return Promise.all([run(a, left, b.roster.self), run(b, right, a.roster.self)]);
};

describe('a recovery in the chain', () => {
  const good = recoveryAfter(four, [cyd, ben]);

  test('makes its voters the only ones; the others stay members and lose the vote', () => {
    const { view } = extendChain(four, [good], all).chain;
    expect(view.voters).toEqual(ids(ben, cyd));
    expect(
      [...view.members.values()]
        .filter((m) => m.voter)
        .map((m) => m.peerId)
        .sort(),
    ).toEqual(ids(ben, cyd));
    expect(view.members.size).toBe(5);
    expect([view.epoch, view.term, view.recoveries]).toEqual([8, 1, [8]]);
  });

  test('is followed by what its own voters certify, in its term or a later one', () => {
    const { chain } = extendChain(four, [good], all);
    const next = entryAfter(chain, remove(ada), { by: [ben, cyd] });
    expect(extendChain(chain, [next]).chain.view.standing(ada.peerId)).toBe('removed');
    const old = entryAfter(chain, remove(ada), { by: [ada, dov] });
    expect(codeOf(() => extendChain(chain, [old]))).toBe('BAD_MESSAGE');
    const below = entryAfter(chain, remove(ada), { by: [ben, cyd], body: { term: term(0) } });
    expect(codeOf(() => extendChain(chain, [below]))).toBe('BAD_MESSAGE');
  });

  test('makes the same body of any order of the same voters', () => {
    expect(recoveryAfter(four, [ben, cyd]).hash).toEqual(good.hash);
  });

  test.each([
    ['not signed by all its voters', recoveryAfter(four, [ben, cyd], { by: [ben] })],
    ['signed by another than its voters', recoveryAfter(four, [ben], { by: [ben, cyd] })],
    ['signed by the old majority only', recoveryAfter(four, [eve], { by: [ada, ben, cyd] })],
    ['in another term', recoveryAfter(four, [ben], { body: { term: term(2) } })],
    ['in the term before', recoveryAfter(four, [ben], { body: { term: term(0) } })],
    ['with another time', recoveryAfter(four, [ben], { body: { time: 1 } })],
    ['under a higher ballot', recoveryAfter(four, [ben], { ballot: 2 })],
    ['of a voter that never was a member', recoveryAfter(four, [fay])],
  ])('%s is refused', (_, entry) => {
    expect(codeOf(() => extendChain(four, [entry], all))).toBe('BAD_MESSAGE');
  });

  test('of a member that cannot vote, or of too many, is refused', () => {
    const observer = chainWith([admit(ben, { role: 'observer' })]);
    const entry = recoveryAfter(observer, [ben]);
    expect(codeOf(() => extendChain(observer, [entry], all))).toBe('BAD_MESSAGE');
    const opted = chainWith([admit(ben, { noVoter: true })]);
    expect(extendChain(opted, [recoveryAfter(opted, [ben])], all).chain.view.voters).toEqual([
      ben.peerId,
    ]);
  });

  test('right after the genesis has the time 0', () => {
    const begin = chainWith([]);
    const entry = recoveryAfter(begin, [ada]);
    expect(extendChain(begin, [entry], all).chain.view).toMatchObject({ epoch: 1, term: 1 });
  });

  test('cannot be proposed: voters do not certify it', () => {
    const change = { kind: 'recover', voters: ids(ben) } as const;
    const check = () => checkChange(four.membership, four.genesis.policy, change, undefined);
    expect(codeOf(check)).toBe('REFUSED_BY_POLICY');
  });
});

describe('who follows a recovery', () => {
  const good = recoveryAfter(four, [ben, cyd]);
  const whole = extendChain(four, [good], all).chain;
  const later = extendChain(whole, [entryAfter(whole, remove(ada))]).chain;

  test('nobody by itself, for each member could certify one that names it alone', async () => {
    const { lines, logger } = loggedLines();
    const { roster } = await openNode(dov, { entries: bytesOf(four), logger });
    const forged = recoveryAfter(four, [eve]);
    const error = await refusalOf(roster.extend([forged.bytes]));
    expect(error.code).toBe('RECOVERY_UNCONFIRMED');
    expect(error.why).toContain(eve.peerId);
    expect(error.hint).toContain(`bzzz roster recover --voters ${eve.peerId}`);
    expect(roster.view.epoch).toBe(7);
    expect(lines.join()).toContain(`roster recover --voters ${eve.peerId}`);
  });

  test('what comes before it is taken in, so that the consent can name the right head', async () => {
    const { roster } = await openNode(eve, { entries: bytesOf(four).slice(0, 2) });
    expect((await refusalOf(roster.extend(bytesOf(later)))).code).toBe('RECOVERY_UNCONFIRMED');
    expect(roster.view.epoch).toBe(7);
    await roster.consentTo(ids(cyd, ben));
    expect(await roster.extend(bytesOf(later))).toBe(2);
    expect(roster.view.voters).toEqual(ids(ben, cyd));
    expect(roster.consent).toBeUndefined();
  });

  test('not who consented to other voters, or at another head', async () => {
    const { roster } = await openNode(eve, { entries: bytesOf(four) });
    await roster.consentTo(ids(ben));
    expect((await refusalOf(roster.extend([good.bytes]))).code).toBe('RECOVERY_UNCONFIRMED');
    const early = await openNode(eve, { entries: bytesOf(four).slice(0, 6) });
    await early.roster.consentTo(ids(ben, cyd));
    const error = await refusalOf(early.roster.extend(bytesOf(whole)));
    expect([error.code, early.roster.view.epoch]).toEqual(['RECOVERY_UNCONFIRMED', 7]);
  });

  test('who finds it on its own disk, again after a restart', async () => {
    const { roster, disk } = await openNode(eve, { entries: bytesOf(four) });
    await roster.consentTo(ids(ben, cyd));
    await roster.extend([good.bytes]);
    const { roster: again } = await openNode(eve, { disk, genesis: null });
    expect([again.view.recoveries, again.consent]).toEqual([[8], undefined]);
  });

  test('a host invited after it, up to the checkpoint and no further', async () => {
    const checkpoint = { epoch: later.view.epoch, head: later.view.head };
    const { roster } = await openNode(fay, { checkpoint });
    await roster.extend(bytesOf(later));
    expect(roster.checkpointReached).toBe(true);
    const second = recoveryAfter(later, [ben]);
    expect((await refusalOf(roster.extend([second.bytes]))).code).toBe('RECOVERY_UNCONFIRMED');
    const early = await openNode(fay, { checkpoint: { epoch: epoch(7), head: four.view.head } });
    const error = await refusalOf(early.roster.extend(bytesOf(later)));
    expect([error.code, early.roster.view.epoch]).toEqual(['RECOVERY_UNCONFIRMED', 7]);
  });

  test('a joining host that was led astray below its checkpoint finds back', async () => {
    const { lines, logger } = loggedLines();
    const begin = chainWith(members);
    const forged = extendChain(begin, [recoveryAfter(begin, [eve])], all).chain;
    const astray = extendChain(forged, [entryAfter(forged, remove(ada))]).chain;
    const checkpoint = { epoch: later.view.epoch, head: later.view.head };
    const { roster, disk } = await openNode(fay, { checkpoint, logger });
    await roster.extend(bytesOf(astray));
    expect(roster.view.epoch).toBe(6);
    await roster.extend(bytesOf(later));
    expect(roster.view.head).toEqual(later.view.head);
    expect(lines.join()).toContain('gave up a roster');
    const { roster: again } = await openNode(fay, { disk, genesis: null });
    expect(again.view.head).toEqual(later.view.head);
    // Past its checkpoint nothing is given up any more.
    expect((await refusalOf(roster.extend(bytesOf(astray)))).code).toBe('ROSTER_FORK');
    expect(roster.view.head).toEqual(later.view.head);
  });

  test('a shorter chain that takes its place leaves nothing of the longer one', async () => {
    const begin = chainWith(members);
    const forged = extendChain(begin, [recoveryAfter(begin, [eve])], all).chain;
    const astray = [remove(ada), remove(ben), remove(cyd)].reduce(
      (chain: Chain, change) => extendChain(chain, [entryAfter(chain, change)]).chain,
      forged,
    );
    const checkpoint = { epoch: later.view.epoch, head: later.view.head };
    const { roster, disk } = await openNode(fay, { checkpoint });
    await roster.extend(bytesOf(astray));
    expect(roster.view.epoch).toBe(8);
    await roster.extend(bytesOf(later).slice(0, 5));
    const { roster: again } = await openNode(fay, { disk, genesis: null });
    expect(again.view.epoch).toBe(5);
    expect(bytesOf(again.chain)).toEqual(bytesOf(later).slice(0, 5));
  });

  test('a chain that is refused gives nothing up', () => {
    const checkpoint = { epoch: later.view.epoch, head: later.view.head };
    const begin = chainWith(members);
    const forged = extendChain(begin, [recoveryAfter(begin, [eve])], all).chain;
    const joining = extendChain(createChain(four.genesis, checkpoint), entriesOf(forged)).chain;
    const broken = entryAfter(begin, promote(ben), { by: [eve] });
    expect(codeOf(() => growChain(joining, [broken], () => false))).toBe('BAD_MESSAGE');
    const alone = entryAfter(chainWith([...members, promote(ben)]), promote(cyd));
    expect(codeOf(() => growChain(joining, [alone], () => false))).toBe('BAD_MESSAGE');
    expect(joining.view.epoch).toBe(5);
  });
});

describe('consent', () => {
  test('lapses, with a line in the log, when the roster grows another way', async () => {
    const { lines, logger } = loggedLines();
    const { roster, disk } = await openNode(eve, { entries: bytesOf(four), logger });
    await roster.consentTo(ids(ben));
    await roster.extend([entryAfter(four, remove(dov)).bytes]);
    expect(roster.consent).toBeUndefined();
    expect(lines.at(-1)).toContain('run it again');
    const { roster: again } = await openNode(eve, { disk, genesis: null });
    expect(again.consent).toBeUndefined();
  });

  test('to strangers, observers, too many, and of a host that is no member is refused', async () => {
    const { roster } = await openNode(eve, { entries: bytesOf(four) });
    expect((await refusalOf(roster.consentTo(ids(fay)))).code).toBe('NOT_FOUND');
    const six = [ben, cyd, dov, eve, fay].map((who) => admit(who));
    const crowd = await openNode(ben, { entries: bytesOf(chainWith(six)) });
    const error = await refusalOf(crowd.roster.consentTo(ids(ada, ben, cyd, dov, eve, fay)));
    expect(error.code).toBe('REFUSED_BY_POLICY');
    const watching = chainWith([admit(ben, { role: 'observer' })]);
    const other = await openNode(ben, { entries: bytesOf(watching) });
    expect((await refusalOf(other.roster.consentTo(ids(ben)))).code).toBe('REFUSED_BY_POLICY');
    const stranger = await openNode(fay, { entries: bytesOf(four) });
    expect((await refusalOf(stranger.roster.consentTo(ids(ben)))).code).toBe('NOT_A_MEMBER');
    expect([roster.consent, stranger.roster.consent]).toEqual([undefined, undefined]);
  });
});

describe('carrying it through', () => {
  test('one of two gone: the other alone is done at once, and can admit again', async () => {
    const pair = chainWith([admit(ben), promote(ben)]);
    const hosts = new Hosts();
    const { recovery, roster, lines } = await hosts.up(ben, undefined, pair);
    expect((await refusalOf(roster.admit(cyd.peerId, { role: 'persistent' }))).code).toBe(
      'NOT_SUPPORTED',
    );
    const result = await recovery.recover([ben.peerId], 'ada burnt down');
    const voters = ids(ben);
    expect(result).toEqual({ state: 'done', voters, epoch: 3, waitingFor: [], needless: false });
    expect([roster.view.voters, roster.view.recoveries]).toEqual([voters, [3]]);
    await roster.admit(cyd.peerId, { role: 'persistent' });
    const audit = lines.filter((line) => line.startsWith('warn')).join('\n');
    expect(audit).toContain('ada burnt down');
    expect(audit).toContain(`"oldVoters":${JSON.stringify(pair.view.voters)}`);
    expect(audit).toContain(`"newVoters":${JSON.stringify(voters)}`);
    // Typed again it is not done again.
    expect(await recovery.recover([ben.peerId])).toMatchObject({ state: 'done', epoch: 4 });
    expect(roster.view.recoveries).toEqual([3]);
  });

  test('each survivor consents; the last one makes it, for all, with one head', async () => {
    const hosts = new Hosts();
    const [b, c, e] = [await hosts.up(ben), await hosts.up(cyd), await hosts.up(eve)];
    const voters = ids(ben, cyd);
    expect(await b.recovery.recover(voters)).toEqual({
      ...{ state: 'waiting', voters, epoch: 8, waitingFor: [cyd.peerId], needless: false },
    });
    expect(c.lines.join()).toContain('another host wants the roster recovered');
    expect(await e.recovery.recover(voters)).toMatchObject({ waitingFor: [cyd.peerId] });
    expect([b.roster.view.epoch, c.roster.view.epoch]).toEqual([7, 7]);
    expect(await c.recovery.recover(voters)).toMatchObject({ state: 'done', epoch: 8 });
    await settles(() => b.roster.view.epoch === 8);
    expect(b.roster.view.head).toEqual(c.roster.view.head);
    // Eve is no voter: it asks again by itself.
    e.clock.advance(2_000);
    await settles(() => e.roster.view.epoch === 8);
    expect(e.roster.view.head).toEqual(c.roster.view.head);
    expect([b, c, e].map(({ recovery }) => recovery.pending())).toEqual(Array(3).fill(undefined));
  });

  test('three new voters find all signatures whatever the order, and then are quiet', async () => {
    const orders = [
      [ben, cyd, eve],
      [eve, ben, cyd],
      [cyd, eve, ben],
    ];
    for (const order of orders) {
      const hosts = new Hosts();
      const up = await Promise.all(order.map((who) => hosts.up(who)));
      const voters = ids(ben, cyd, eve);
      for (const { recovery } of up) await recovery.recover(voters);
      await settles(() => up.every(({ roster }) => roster.view.epoch === 8));
      expect(new Set(up.map(({ roster }) => String(roster.view.head))).size).toBe(1);
      const { length } = hosts.net.frames;
      for (const { clock } of up) clock.advance(20_000);
      for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
      expect(hosts.net.frames).toHaveLength(length);
      expect(length).toBeLessThan(20);
    }
  });

  test('two that wait for a third ask at intervals, not without end', async () => {
    const hosts = new Hosts();
    const [b, c] = [await hosts.up(ben), await hosts.up(cyd)];
    const voters = ids(ben, cyd, eve);
    await b.recovery.recover(voters);
    await c.recovery.recover(voters);
    for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
    expect(hosts.net.frames.length).toBeLessThan(8);
    expect(b.recovery.pending()?.waitingFor).toEqual([eve.peerId]);
    expect(c.recovery.pending()?.waitingFor).toEqual([eve.peerId]);
  });

  test('consent outlives the process; it goes on when the other comes up', async () => {
    const hosts = new Hosts();
    const first = await hosts.up(ben);
    const voters = ids(ben, cyd);
    await first.recovery.recover(voters);
    await first.recovery.stop();
    hosts.net.leave(ben.peerId);
    const c = await hosts.up(cyd);
    expect(await c.recovery.recover(voters)).toMatchObject({ waitingFor: [ben.peerId] });
    const again = await hosts.up(ben, first.disk);
    expect(again.recovery.pending()?.voters).toEqual(voters);
    await settles(() => again.roster.view.epoch === 8 && c.roster.view.epoch === 8);
    expect(again.roster.view.head).toEqual(c.roster.view.head);
  });

  test('two that could not reach each other go on as soon as they can', async () => {
    const hosts = new Hosts();
    const [b, c] = [await hosts.up(ben), await hosts.up(cyd)];
    hosts.net.cut(ben.peerId, cyd.peerId);
    const voters = ids(ben, cyd);
    expect((await b.recovery.recover(voters)).state).toBe('waiting');
    expect((await c.recovery.recover(voters)).state).toBe('waiting');
    hosts.net.cut(ben.peerId, cyd.peerId, false);
    await settles(() => b.roster.view.epoch === 8 && c.roster.view.epoch === 8);
    expect([b.clock.now(), c.clock.now()]).toEqual([0, 0]);
  });

  test('a host that is asked signs nothing without its own operator', async () => {
    const hosts = new Hosts();
    const [b, c] = [await hosts.up(ben), await hosts.up(cyd)];
    await c.recovery.recover(ids(cyd, eve));
    const { direct } = hosts.net.join(dov.peerId);
    const ask = (voters: PeerId[], prev: Uint8Array) =>
      refusalOf(
        direct.request(ben.peerId, RECOVER_TOPIC, encodeAsk({ voters, prev, signatures: [] })),
      );
    const unsaid = await ask(ids(ben, cyd), four.view.head);
    expect([unsaid.code, unsaid.hint]).toEqual([
      'RECOVERY_UNCONFIRMED',
      expect.stringContaining('bzzz roster recover --voters'),
    ]);
    await b.recovery.recover(ids(ben, cyd));
    expect((await ask(ids(ben, eve), four.view.head)).code).toBe('RECOVERY_UNCONFIRMED');
    expect((await ask(ids(ben, cyd), new Uint8Array(32))).code).toBe('CONFLICT');
    expect([b.roster.view.epoch, c.roster.view.epoch]).toEqual([7, 7]);
  });

  test('signatures that do not hold are not counted', async () => {
    const hosts = new Hosts();
    const b = await hosts.up(ben);
    const voters = ids(ben, cyd);
    await b.recovery.recover(voters);
    const { direct } = hosts.net.join(dov.peerId);
    const offers = [
      recoveryAfter(four, [ben, cyd], { by: [dov] }).signatures,
      recoveryAfter(four, [cyd, eve], { by: [cyd] }).signatures,
      [new Uint8Array(8)],
    ];
    for (const signatures of offers) {
      const question = encodeAsk({ voters, prev: four.view.head, signatures });
      await direct.request(ben.peerId, RECOVER_TOPIC, question).catch(() => undefined);
    }
    expect(b.recovery.pending()?.waitingFor).toEqual([cyd.peerId]);
    expect(b.roster.view.epoch).toBe(7);
    // Nor do they stand in the way of the right one.
    const c = await hosts.up(cyd);
    expect((await c.recovery.recover(voters)).state).toBe('done');
    expect(b.roster.view.epoch).toBe(8);
  });

  test('with a majority of the old voters at hand it is said to be needless', async () => {
    const hosts = new Hosts();
    const up = await Promise.all([ben, cyd, dov].map((who) => hosts.up(who)));
    expect(await up[0]!.recovery.recover(ids(ben, cyd))).toMatchObject({ needless: true });
  });
});

describe('the old branch', () => {
  test('and the recovered one refuse each other, with the reason in both logs', async () => {
    const b = await openNode(ben, { entries: bytesOf(four) });
    await b.roster.consentTo(ids(ben));
    await b.roster.extend([recoveryAfter(four, [ben]).bytes]);
    const old = await openNode(ada, { entries: bytesOf(four) });
    await old.roster.extend([entryAfter(four, remove(eve), { by: [ada, cyd, dov] }).bytes]);
    for (const thrown of await exchanged(b, old)) {
      expect(thrown).toMatchObject({ code: 'ROSTER_FORK', details: { epoch: 8 } });
      expect(String((thrown as Error).message)).toContain(`recovery with the voters ${ben.peerId}`);
    }
    expect([b.roster.view.epoch, old.roster.view.epoch]).toEqual([8, 8]);
  });

  test('a host that did not go on follows by the exchange once its operator consents', async () => {
    const b = await openNode(ben, { entries: bytesOf(four) });
    await b.roster.consentTo(ids(ben));
    await b.roster.extend([recoveryAfter(four, [ben]).bytes]);
    await b.roster.admit(fay.peerId, { role: 'observer' });
    const late = await openNode(ada, { entries: bytesOf(four) });
    const [, refused] = await exchanged(b, late);
    expect(refused).toMatchObject({ code: 'RECOVERY_UNCONFIRMED' });
    await late.roster.consentTo(ids(ben));
    expect(await exchanged(b, late)).toMatchObject([{ epoch: 9 }, { epoch: 9 }]);
    expect(late.roster.view.head).toEqual(b.roster.view.head);
  });

  test('a recovery that strangers made up is no fork', () => {
    const gone = extendChain(four, [entryAfter(four, remove(eve))]).chain;
    const own = recoveryAfter(four, [eve]);
    expect(codeOf(() => extendChain(gone, [own]))).toBe('ROSTER_FORK');
    const strange = recoveryAfter(four, [fay]);
    expect(codeOf(() => extendChain(gone, [strange]))).toBe('BAD_MESSAGE');
    const decoded = decodeEntry(four.view.clusterId, own.bytes);
    expect(decoded.ballot).toBe(1);
  });
});
