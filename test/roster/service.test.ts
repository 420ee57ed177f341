import { describe, expect, test } from 'vitest';
import type { Epoch, Term } from '../../src/base/brands.ts';
import { BzzzError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import type { KeyValue } from '../../src/base/ports.ts';
import { decodeEntry } from '../../src/roster/entry.ts';
import { assertMaySign } from '../../src/roster/lone-voter.ts';
import { PaperElection } from './certifier.ts';
import {
  ada,
  admit,
  ben,
  bodyAfter,
  bytesOf,
  chainWith,
  codeOf,
  cyd,
  dov,
  entryAfter,
  epoch,
  eve,
  fay,
  genesisOf,
  loggedLines,
  openNode,
  promote,
  refusalOf,
  remove,
  term,
} from './support.ts';

/** A store whose batches fail while `broken` says so. */
const breakable = (broken: () => boolean) => (store: KeyValue) => {
  const wrap = (inner: KeyValue): KeyValue => ({
    ...inner,
    batch: async (ops, options) => {
      if (broken()) throw new BzzzError('DISK_FAILED', 'no space left');
      await inner.batch(ops, options);
    },
    sub: (name) => wrap(inner.sub(name)),
  });
  return wrap(store);
};

/** Notes for each write whether it was synced. */
const watched = (log: boolean[]) => (store: KeyValue) => {
  const wrap = (inner: KeyValue): KeyValue => ({
    ...inner,
    put: async (key, value, options) => {
      log.push(options?.sync === true);
      await inner.put(key, value, options);
    },
    batch: async (ops, options) => {
      log.push(options?.sync === true);
      await inner.batch(ops, options);
    },
    sub: (name) => wrap(inner.sub(name)),
  });
  return wrap(store);
};

describe('open', () => {
  test('needs a genesis once, and keeps to it', async () => {
    const { disk } = await openNode(ada);
    const again = await openNode(ada, { disk, genesis: null });
    expect(again.roster.view.clusterId).toBe(genesisOf().clusterId);
    await openNode(ada, { disk });
    const foreign = await refusalOf(openNode(ada, { disk, genesis: genesisOf('other') }));
    expect(foreign.code).toBe('ALREADY_INITIALISED');
    expect((await refusalOf(openNode(ada, { genesis: null }))).code).toBe('NOT_INITIALISED');
  });

  test('P2 finds after a restart what was acknowledged, written synced', async () => {
    const synced: boolean[] = [];
    const { roster, disk } = await openNode(ada, { store: watched(synced) });
    await roster.admit(ben.peerId, { role: 'persistent', name: 'host-b' });
    await roster.remove(ben.peerId);
    await roster.admit(cyd.peerId, { role: 'observer', noVoter: true });
    const { roster: later } = await openNode(ada, { disk, genesis: null });
    expect(later.view.head).toEqual(roster.view.head);
    expect(later.view.members).toEqual(roster.view.members);
    expect(later.view.standing(ben.peerId)).toBe('removed');
    expect(synced.length).toBeGreaterThan(3);
    expect(synced).not.toContain(false);
  });

  test('refuses a stored chain of which any entry was altered, lost or swapped', async () => {
    const entries = bytesOf(chainWith([admit(ben), admit(cyd), remove(ben)]));
    const { disk } = await openNode(ada, { entries });
    const keys = [...disk.keys()].filter((key) => key.includes('entry/')).sort();
    expect(keys).toHaveLength(3);
    const damage: ((d: Map<string, Uint8Array>) => void)[] = [
      (d) => d.delete(keys[1]!),
      (d) => d.set(keys[0]!, d.get(keys[1]!)!),
      (d) => d.set(keys[2]!, new Uint8Array([1, 2, 3])),
      (d) => d.set('roster!genesis', new Uint8Array(5)),
      ...keys.map((key) => (d: Map<string, Uint8Array>) => {
        const bytes = new Uint8Array(d.get(key)!);
        bytes[bytes.length >> 1]! ^= 1;
        d.set(key, bytes);
      }),
    ];
    for (const [i, harm] of damage.entries()) {
      const copy = new Map(disk);
      harm(copy);
      const { code } = await refusalOf(openNode(ada, { disk: copy, genesis: null }));
      expect(code, `damage ${i}`).toBe('DISK_FAILED');
    }
    await openNode(ada, { disk: new Map(disk), genesis: null });
  });

  test('remembers the checkpoint of the invitation across restarts', async () => {
    const chain = chainWith([admit(ben), admit(cyd)]);
    const checkpoint = { epoch: epoch(2), head: chain.view.head };
    const { disk } = await openNode(eve, { checkpoint });
    const { roster } = await openNode(eve, { disk, genesis: null });
    expect(roster.checkpointReached).toBe(false);
    const rival = chainWith([admit(ben), admit(dov)]);
    expect((await refusalOf(roster.extend(bytesOf(rival)))).code).toBe('ROSTER_FORK');
    expect(roster.view.epoch).toBe(0);
    await roster.extend(bytesOf(chain));
    expect(roster.checkpointReached).toBe(true);
  });

  test('does not remember a checkpoint that the stored chain contradicts', async () => {
    const { disk } = await openNode(ada, { entries: bytesOf(chainWith([admit(ben)])) });
    const checkpoint = { epoch: epoch(1), head: new Uint8Array(32) };
    expect((await refusalOf(openNode(ada, { disk, checkpoint }))).code).toBe('ROSTER_FORK');
    const { roster } = await openNode(ada, { disk, genesis: null });
    expect(roster.view.epoch).toBe(1);
  });

  test('E2 finishes an entry that was signed and synced before a crash, and signs no rival', async () => {
    const { disk, roster } = await openNode(ada);
    await roster.admit(ben.peerId, { role: 'persistent' });
    const head = roster.view.head;
    const [entryKey] = [...disk.keys()].filter((key) => key.includes('entry/'));
    disk.delete(entryKey!);
    const { lines, logger } = loggedLines();
    const { roster: later } = await openNode(ada, { disk, genesis: null, logger });
    expect(later.view.head).toEqual(head);
    expect(lines.join()).toContain('finished a roster entry');
    expect(disk.has(entryKey!)).toBe(true);
  });

  test('E3 a voter that lost more of its chain signs nothing until it has it back', async () => {
    const { disk, roster } = await openNode(ada);
    for (const who of [ben, cyd, dov]) await roster.admit(who.peerId, { role: 'persistent' });
    const entries = bytesOf(roster.chain);
    for (const key of disk.keys()) if (key.includes('entry/')) disk.delete(key);
    const { roster: later } = await openNode(ada, { disk, genesis: null });
    expect(later.view.epoch).toBe(0);
    const error = await refusalOf(later.admit(eve.peerId, { role: 'persistent' }));
    expect([error.code, later.view.epoch]).toEqual(['CONFLICT', 0]);
    await later.extend(entries);
    const { body } = await later.admit(eve.peerId, { role: 'persistent' });
    expect(body.epoch).toBe(4);
  });
});

describe('E3 one entry signed per (epoch, term), none below the own term', () => {
  const at = (e: number, t: number) =>
    bodyAfter(chainWith([]), admit(ben), { epoch: e as Epoch, term: t as Term });
  test.each([
    ['the first', undefined, at(1, 0), true],
    ['the next epoch of the term', at(1, 0), at(2, 0), true],
    ['the same epoch in a later term', at(2, 0), at(2, 1), true],
    ['an earlier epoch in a later term', at(3, 1), at(2, 2), true],
    ['the same epoch and term', at(2, 1), at(2, 1), false],
    ['an earlier epoch of the term', at(2, 1), at(1, 1), false],
    ['a lower term, however new the epoch', at(2, 1), at(3, 0), false],
  ])('%s', (_, last, next, may) => {
    const sign = () => assertMaySign(last, next);
    if (may) expect(sign).not.toThrow();
    else expect(codeOf(sign)).toBe('CONFLICT');
  });
});

describe('changes', () => {
  test('of a node that is no voter are refused', async () => {
    const { roster } = await openNode(ben, { entries: bytesOf(chainWith([admit(ben)])) });
    for (const work of [
      () => roster.admit(cyd.peerId, { role: 'persistent' }),
      () => roster.remove(ada.peerId),
      () => roster.promote(ben.peerId),
      () => roster.demote(ada.peerId),
    ]) {
      expect((await refusalOf(work())).code).toBe('NOT_A_VOTER');
    }
  });

  test('the only voter can be neither removed nor demoted, and the refusal says what to do', async () => {
    const { roster } = await openNode(ada, { entries: bytesOf(chainWith([admit(ben)])) });
    for (const work of [() => roster.remove(ada.peerId), () => roster.demote(ada.peerId)]) {
      const error = await refusalOf(work());
      expect(error.code).toBe('REFUSED_BY_POLICY');
      expect(error.why).toContain('only voter');
      expect(error.hint).toContain('keep this host');
    }
    expect(roster.view.epoch).toBe(1);
  });

  test('a second voter is refused while one signature must suffice', async () => {
    const { roster } = await openNode(ada, { entries: bytesOf(chainWith([admit(ben)])) });
    expect((await refusalOf(roster.promote(ben.peerId))).code).toBe('NOT_SUPPORTED');
    expect(roster.view.voters).toEqual([ada.peerId]);
  });

  test('of one voter among several are refused, not half done', async () => {
    const entries = bytesOf(chainWith([admit(ben), admit(cyd), promote(ben), promote(cyd)]));
    const { roster } = await openNode(ada, { entries });
    expect(roster.canCertify).toBe(false);
    const error = await refusalOf(roster.admit(dov.peerId, { role: 'persistent' }));
    expect(error.code).toBe('NOT_SUPPORTED');
    expect(roster.view.epoch).toBe(4);
  });

  test.each([
    ['a member again', admit(ben), 'CONFLICT'],
    ['removing a stranger', remove(eve), 'NOT_FOUND'],
    ['promoting an observer', promote(cyd), 'REFUSED_BY_POLICY'],
  ] as const)('%s is refused with a code of its own', async (_, change, code) => {
    const entries = bytesOf(chainWith([admit(ben), admit(cyd, { role: 'observer' })]));
    const { roster } = await openNode(ada, { entries });
    expect((await refusalOf(roster.propose(change))).code).toBe(code);
  });

  test('go on in the term that the chain has reached', async () => {
    const base = chainWith([]);
    const entry = entryAfter(base, admit(ben), { body: { term: term(7) } });
    const { roster } = await openNode(ada, { entries: [entry.bytes] });
    const { body } = await roster.admit(cyd.peerId, { role: 'persistent' });
    expect([body.epoch, body.term]).toEqual([2, 7]);
  });

  test('P5 of a disk that fails are not made, and can be made again', async () => {
    let broken = false;
    const { roster, disk } = await openNode(ada, { store: breakable(() => broken) });
    const heard: number[] = [];
    roster.onChange((view) => heard.push(view.epoch));
    broken = true;
    const error = await refusalOf(roster.admit(ben.peerId, { role: 'persistent' }));
    expect([error.code, roster.view.epoch]).toEqual(['DISK_FAILED', 0]);
    broken = false;
    await roster.admit(cyd.peerId, { role: 'persistent' });
    expect([roster.view.epoch, heard]).toEqual([1, [1]]);
    const { roster: later } = await openNode(ada, { disk, genesis: null });
    expect(later.view.members.has(cyd.peerId)).toBe(true);
  });

  test('made all at once form one chain', async () => {
    const { roster, disk } = await openNode(ada);
    const others = [ben, cyd, dov, eve, fay];
    const entries = await Promise.all(
      others.map(({ peerId }) => roster.admit(peerId, { role: 'persistent' })),
    );
    expect(entries.map((entry) => entry.body.epoch)).toEqual([1, 2, 3, 4, 5]);
    const twice = await Promise.allSettled([
      roster.remove(ben.peerId),
      roster.remove(ben.peerId),
      roster.remove(ben.peerId),
    ]);
    expect(twice.map((each) => each.status).sort()).toEqual(['fulfilled', 'rejected', 'rejected']);
    expect((await openNode(ada, { disk, genesis: null })).roster.view.epoch).toBe(6);
  });
});

describe('with a certifier', () => {
  const voting = [admit(ben), admit(cyd), promote(ben), promote(cyd)];
  const cluster = async () => {
    const entries = bytesOf(chainWith(voting));
    const nodes = await Promise.all([ada, ben, cyd].map((who) => openNode(who, { entries })));
    const election = new PaperElection();
    for (const { roster } of nodes) election.attach(roster);
    election.leader = ada.peerId;
    return { election, nodes: nodes.map(({ roster }) => roster) };
  };

  test('several voters change the roster, each through the leader', async () => {
    const { nodes } = await cluster();
    expect(nodes.map((roster) => roster.canCertify)).toEqual([true, false, false]);
    const { body } = await nodes[1]!.admit(dov.peerId, { role: 'persistent' });
    expect(body).toMatchObject({ epoch: 5, change: { kind: 'admit', peer: dov.peerId } });
    await nodes[2]!.promote(dov.peerId);
    await nodes[0]!.demote(ben.peerId);
    for (const { view } of nodes) {
      expect([view.epoch, view.voters]).toEqual([7, [ada, cyd, dov].map((s) => s.peerId).sort()]);
    }
    expect((await refusalOf(nodes[1]!.remove(dov.peerId))).code).toBe('NOT_A_VOTER');
  });

  test('P2 the queue is free while signatures are gathered: other entries come in', async () => {
    const { election, nodes } = await cluster();
    const leader = nodes[0]!;
    const other = entryAfter(leader.chain, admit(eve));
    let meanwhile = 0;
    election.before = async () => {
      meanwhile = await leader.extend([other.bytes]);
      await nodes[1]!.extend([other.bytes]);
      await nodes[2]!.extend([other.bytes]);
    };
    const { body } = await leader.admit(dov.peerId, { role: 'persistent' });
    expect([meanwhile, body.epoch, leader.view.epoch]).toEqual([1, 6, 6]);
  });

  test('refusals of the rules and of the election come through', async () => {
    const { election, nodes } = await cluster();
    expect((await refusalOf(nodes[1]!.admit(cyd.peerId, { role: 'observer' }))).code).toBe(
      'CONFLICT',
    );
    election.leader = undefined;
    expect((await refusalOf(nodes[1]!.remove(cyd.peerId))).code).toBe('NO_LEADER');
  });

  test('taken away again the roster of several voters stands still, and says why', async () => {
    const { nodes } = await cluster();
    nodes[0]!.useCertifier(undefined);
    const error = await refusalOf(nodes[0]!.remove(cyd.peerId));
    expect([error.code, nodes[0]!.canCertify]).toEqual(['NOT_SUPPORTED', false]);
    expect(error.message).toContain('election is off');
    expect(error.why).toContain('2 of 3 voters');
    expect(error.hint).toContain('BZZZ_ELECTION_ENABLED=true');
  });
});

describe('extension', () => {
  const chain = chainWith([admit(ben), admit(cyd), admit(dov), remove(ben)]);

  test('from many sides at once, in any cut, is the one chain', async () => {
    const { roster } = await openNode(eve);
    const all = bytesOf(chain);
    const heard: number[] = [];
    roster.onChange((_, added) => heard.push(...added.map((entry) => entry.body.epoch)));
    await Promise.all([
      roster.extend(all.slice(0, 2)),
      roster.extend(all),
      roster.extend(all.slice(1, 3)),
      roster.extend(all),
    ]);
    expect(roster.view.head).toEqual(chain.view.head);
    expect(heard).toEqual([1, 2, 3, 4]);
  });

  test('that fails leaves the queue working and tells nobody', async () => {
    const { roster } = await openNode(eve);
    let heard = 0;
    roster.onChange(() => heard++);
    const all = bytesOf(chain);
    const bad = roster.extend([new Uint8Array([0])]);
    const gap = roster.extend(all.slice(1));
    const good = roster.extend(all);
    expect((await refusalOf(bad)).code).toBe('BAD_MESSAGE');
    expect((await refusalOf(gap)).code).toBe('BAD_MESSAGE');
    expect(await good).toBe(4);
    expect(await roster.extend(all)).toBe(0);
    expect(heard).toBe(1);
  });

  test('is heard after it is on the disk; a listener that throws harms nobody', async () => {
    const { lines, logger } = loggedLines();
    const { roster, disk } = await openNode(eve, { logger });
    const stored: number[] = [];
    roster.onChange(() => {
      throw new Error('listener broke');
    });
    const stop = roster.onChange((view, added) => {
      stored.push([...disk.keys()].filter((key) => key.includes('entry/')).length);
      expect(view.head).toEqual(added.at(-1)!.hash);
    });
    await roster.extend(bytesOf(chain).slice(0, 2));
    stop();
    await roster.extend(bytesOf(chain));
    expect(stored).toEqual([2]);
    expect(lines.filter((line) => line.includes('listener broke'))).toHaveLength(2);
  });
});

describe('the writer queue', () => {
  test('lets nobody write while exclusive work goes on', async () => {
    const { roster } = await openNode(ada);
    const seen: number[] = [];
    const slow = roster.exclusive(async (chain) => {
      seen.push(chain.view.epoch, roster.view.epoch);
      await new Promise((resolve) => setTimeout(resolve, 20));
      seen.push(roster.view.epoch);
    });
    await Promise.all([slow, roster.admit(cyd.peerId, { role: 'persistent' })]);
    expect(seen).toEqual([0, 0, 0]);
    expect(roster.view.epoch).toBe(1);
  });

  test('P3 is bounded; what does not fit is refused at once', async () => {
    const { roster } = await openNode(ada);
    let release = () => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const waiting = Array.from({ length: LIMITS.rosterQueue }, () => roster.exclusive(() => gate));
    expect((await refusalOf(roster.extend([]))).code).toBe('CONFLICT');
    release();
    await Promise.all(waiting);
    expect(await roster.extend([])).toBe(0);
  });

  test('closes after the writes under way', async () => {
    const { roster, disk } = await openNode(ada);
    const admitted = roster.admit(ben.peerId, { role: 'persistent' });
    await roster.close();
    expect((await refusalOf(roster.remove(ben.peerId))).code).toBe('INTERRUPTED');
    expect((await admitted).body.epoch).toBe(1);
    const key = [...disk.keys()].find((each) => each.includes('entry/'))!;
    expect(decodeEntry(roster.view.clusterId, disk.get(key)!).body.epoch).toBe(1);
  });
});
