/** How entries are wished, proposed, signed and certified: proposing.ts. */
import { describe, expect, it } from 'vitest';
import { BzzzError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { wakeAt } from '../../src/election/machine.ts';
import type { EntryBody } from '../../src/roster/entry.ts';
import { Cluster } from './harness.ts';
import {
  admit,
  beatReply,
  demote,
  epoch,
  peer,
  promote,
  proposal,
  proposeReply,
  remove,
  term,
} from './letters.ts';
import { RUBBISH, story } from './story.ts';

const three = (others = ''): Cluster => {
  const cluster = new Cluster({ voters: 'ABC', others });
  cluster.elect('A');
  return cluster;
};

const refusals = (cluster: Cluster, name = 'A'): readonly string[] =>
  cluster.effectsOf(name, 'refused').map(({ id, error }) => `${id} ${error.code}`);

const done = (cluster: Cluster, name = 'A'): readonly string[] =>
  cluster.effectsOf(name, 'done').map(({ id, epoch: at }) => `${id} @${at}`);

/** What A gathers signatures for. */
function gathered(cluster: Cluster): EntryBody {
  const body = cluster.host('A').disk.accepted?.body;
  if (body === undefined) throw new Error('A signed nothing');
  return body;
}

describe('a wish', () => {
  it('is refused where nobody leads', () => {
    const cluster = three();
    cluster.propose('B', 'w', admit('D'));
    expect(refusals(cluster, 'B')).toEqual(['w NOT_LEADER']);
  });

  it('is refused by the rules of the roster, and the next one has its turn', () => {
    const cluster = three();
    cluster.propose('A', 'again', admit('B'));
    cluster.propose('A', 'nobody', remove('X'));
    cluster.propose('A', 'good', admit('D'));
    cluster.settle();
    expect(refusals(cluster)).toEqual(['again CONFLICT', 'nobody NOT_FOUND']);
    expect(done(cluster)).toEqual(['good @5']);
  });

  it('that an earlier one made impossible is refused at its turn', () => {
    const cluster = three();
    cluster.propose('A', 'one', admit('D'));
    cluster.propose('A', 'two', admit('D'));
    cluster.propose('A', 'three', admit('E'));
    cluster.settle();
    cluster.run(50);
    expect(refusals(cluster)).toEqual(['two CONFLICT']);
    expect(done(cluster)).toEqual(['one @5', 'three @6']);
  });

  it('waits with at most so many others (P3)', () => {
    const cluster = three();
    for (let n = 0; n <= LIMITS.rosterQueue; n++) cluster.propose('A', `w${n}`, admit('D'));
    expect(refusals(cluster)).toEqual([]);
    cluster.propose('A', 'one too many', admit('D'));
    expect(refusals(cluster)).toEqual(['one too many BUSY']);
  });

  it('carries the invitation that it uses', () => {
    const cluster = three();
    const invitationId = new Uint8Array(16).fill(7);
    cluster.input('A', { type: 'propose', id: 'w', change: admit('D'), invitationId, time: 5 });
    expect(gathered(cluster)).toMatchObject({ invitationId, time: 5, term: 1, epoch: 5 });
  });

  it('stops on an error of the program', () => {
    const cluster = three();
    const bug = new TypeError('out of order');
    const check = () => {
      throw bug;
    };
    cluster.host('A').override = { roster: { ...cluster.host('A').chain.facts, check } };
    expect(() => cluster.propose('A', 'w', admit('D'))).toThrow(bug);
  });
});

describe('whoever waits no longer', () => {
  it('takes a wish back that had not its turn', () => {
    const cluster = three();
    cluster.propose('A', 'one', admit('D'));
    cluster.propose('A', 'two', admit('E'));
    cluster.input('A', { type: 'abandon', id: 'two' });
    cluster.run(200);
    expect(done(cluster)).toEqual(['one @5']);
    expect(cluster.epochs()).toBe('A5 B5 C5');
  });

  it('does not stop what is signed already, and hears no more of it', () => {
    const cluster = three();
    cluster.propose('A', 'one', admit('D'));
    cluster.input('A', { type: 'abandon', id: 'one' });
    cluster.settle();
    expect(cluster.epochs()).toBe('A5 B5 C5');
    expect([...done(cluster), ...refusals(cluster)]).toEqual([]);
  });

  it('hears nothing of a lost leader either', () => {
    const cluster = three();
    cluster.propose('A', 'one', admit('D'));
    cluster.input('A', { type: 'abandon', id: 'one' });
    cluster.say('B', 'A', beatReply(9, 0));
    cluster.input('A', { type: 'abandon', id: 'one' });
    expect(refusals(cluster)).toEqual([]);
  });
});

describe('a signature', () => {
  /** A asks for signatures; nothing has arrived yet. */
  function asking(): { readonly cluster: Cluster; readonly body: EntryBody; hash: Uint8Array } {
    const cluster = three('D');
    cluster.propose('A', 'w', admit('E'));
    cluster.mail.length = 0;
    cluster.told();
    const body = gathered(cluster);
    return { cluster, body, hash: cluster.toy.hash(body) };
  }

  it.each([
    ['that nobody made', () => RUBBISH, 'no signature'],
    [
      'of another voter',
      (c: Cluster, body: EntryBody) => c.toy.sign(peer('C'), body, term(1)),
      'a signature of C',
    ],
    [
      'under another ballot',
      (c: Cluster, body: EntryBody) => c.toy.sign(peer('B'), body, term(2)),
      'a signature under another ballot',
    ],
    [
      'over another entry',
      (c: Cluster, body: EntryBody) => c.toy.sign(peer('B'), { ...body, time: 1 }, term(1)),
      'a signature over another body',
    ],
  ])('%s does not count', (_, make, reason) => {
    const { cluster, body, hash } = asking();
    cluster.say('B', 'A', proposeReply(1, hash, make(cluster, body)));
    expect(cluster.told()[1]).toBe(`A: ignores propose-reply of B: ${reason}`);
    expect(cluster.effectsOf('A', 'append')).toEqual([]);
  });

  it('of a member that does not vote does not count', () => {
    const { cluster, body, hash } = asking();
    cluster.say('D', 'A', proposeReply(1, hash, cluster.toy.sign(peer('D'), body, term(1))));
    expect(cluster.told()[1]).toBe('A: ignores propose-reply of D: not a voter');
    expect(cluster.effectsOf('A', 'append')).toEqual([]);
  });

  it('counts once, in its term, for what is gathered, while it is', () => {
    const cluster = new Cluster({ voters: 'ABCDE' });
    cluster.elect('A');
    cluster.propose('A', 'w', admit('F'));
    cluster.mail.length = 0;
    const body = gathered(cluster);
    const hash = cluster.toy.hash(body);
    const eight = { epoch: epoch(8) };
    const sign = (name: string) => cluster.toy.sign(peer(name), body, term(1));
    const signatures = () => {
      const state = cluster.state('A');
      return state.role === 'leader' ? state.gathering?.signatures.size : undefined;
    };
    cluster.say('B', 'A', proposeReply(1, hash, sign('B'), eight));
    cluster.say('B', 'A', proposeReply(1, hash, sign('B'), eight));
    cluster.say('C', 'A', proposeReply(0, hash, sign('C'), eight));
    cluster.say('C', 'A', proposeReply(1, RUBBISH, sign('C'), eight));
    cluster.say('C', 'A', proposeReply(1, hash, null, eight));
    expect(signatures()).toBe(2);
    cluster.say('C', 'B', proposeReply(1, hash, sign('C'), eight));
    cluster.say('C', 'A', proposeReply(1, hash, sign('C'), eight));
    expect(done(cluster)).toEqual(['w @9']);
    const late = cluster.state('A');
    cluster.say('D', 'A', proposeReply(1, hash, sign('D'), eight));
    expect(cluster.state('A')).toBe(late);
  });

  it('that comes while the entry is stored is not needed any more', () => {
    const { cluster, body, hash } = asking();
    const state = cluster.state('A');
    if (state.role !== 'leader' || state.gathering === null) throw new Error('nothing gathered');
    cluster.host('A').state = { ...state, gathering: { ...state.gathering, certified: true } };
    const before = cluster.state('A');
    cluster.say('B', 'A', proposeReply(1, hash, cluster.toy.sign(peer('B'), body, term(1))));
    cluster.pass(50);
    expect(cluster.state('A')).toBe(before);
    cluster.tick('A');
    expect(cluster.mail.map(({ message }) => message?.type)).not.toContain('propose');
  });

  it('refused in a higher term deposes', () => {
    const { cluster, hash } = asking();
    cluster.say('B', 'A', proposeReply(8, hash, null));
    expect(refusals(cluster)).toEqual(['w LEADERSHIP_LOST']);
    expect(cluster.host('A').disk.term).toBe(8);
  });

  it('refused by a voter that is ahead brings its roster', () => {
    const { cluster, hash } = asking();
    cluster.say('B', 'A', proposeReply(1, hash, null, { epoch: epoch(6) }));
    expect(cluster.effectsOf('A', 'exchange')).toEqual([{ type: 'exchange', with: 'B' }]);
  });

  it('that cannot be opened for another reason is an error of the program', () => {
    const { cluster, hash } = asking();
    const bug = new TypeError('out of order');
    const openSignature = () => {
      throw bug;
    };
    const seals = { ...cluster.toy.sealsOf(peer('A')), openSignature };
    cluster.host('A').override = { seals };
    expect(() => cluster.say('B', 'A', proposeReply(1, hash, RUBBISH))).toThrow(bug);
  });
});

describe('a voter signs', () => {
  const bodyAt = (cluster: Cluster, extra: Partial<EntryBody> = {}): EntryBody => ({
    ...{ v: 1, epoch: epoch(5), term: term(1), prev: cluster.host('B').chain.hash },
    ...{ change: admit('D'), time: 0, ...extra },
  });
  const signed = (cluster: Cluster, name = 'B'): boolean => {
    const answer = cluster.answer(name);
    return answer.type === 'propose-reply' && answer.signature !== null;
  };

  it('what it is asked for twice, and keeps it once', () => {
    const cluster = three();
    const before = cluster.effectsOf('B', 'persist').length;
    cluster.say('A', 'B', proposal(1, bodyAt(cluster)));
    const first = cluster.answer('B');
    cluster.say('A', 'B', proposal(1, bodyAt(cluster)));
    expect(cluster.answer('B')).toEqual(first);
    expect(cluster.effectsOf('B', 'persist')).toHaveLength(before + 1);
  });

  it('one entry in an epoch and a term (E8), also after a restart', () => {
    const cluster = three();
    cluster.host('B').diesBefore = 'send';
    cluster.say('A', 'B', proposal(1, bodyAt(cluster)));
    cluster.start('B');
    cluster.told();
    cluster.say('A', 'B', proposal(1, bodyAt(cluster, { time: 1 })));
    expect(signed(cluster)).toBe(false);
    expect(cluster.told()).toContain('B: ignores propose of A: another one is signed');
    expect(cluster.host('B').disk.accepted?.body.time).toBe(0);
  });

  it('another entry in a higher term: the first was not certified', () => {
    const cluster = three();
    cluster.say('A', 'B', proposal(1, bodyAt(cluster)));
    cluster.say('C', 'B', proposal(2, bodyAt(cluster, { term: term(2), change: admit('E') })));
    expect(signed(cluster)).toBe(true);
    expect(cluster.host('B').disk.accepted).toMatchObject({ ballot: 2, body: { term: 2 } });
  });

  it.each([
    ['of a later epoch', { epoch: epoch(6) }, 'epoch 6 after 4'],
    ['of an epoch that it has', { epoch: epoch(4) }, 'epoch 4 after 4'],
    ['after another head', { prev: RUBBISH }, 'it does not follow the head'],
    ['of a term to come', { term: term(2) }, 'term 2 in term 1'],
    ['against the rules', { change: admit('A') }, 'A is a member already'],
  ])('no entry %s', (_, wrong, reason) => {
    const cluster = three();
    cluster.say('A', 'B', proposal(1, bodyAt(cluster, wrong)));
    expect(signed(cluster)).toBe(false);
    expect(cluster.told()).toContain(`B: ignores propose of A: ${reason}`);
    expect(cluster.host('B').disk.accepted).toBeNull();
  });

  it('nothing when it is no voter', () => {
    const cluster = three('D');
    const prev = cluster.host('D').chain.hash;
    cluster.say('A', 'D', proposal(1, bodyAt(cluster, { prev, change: admit('E') })));
    expect(signed(cluster, 'D')).toBe(false);
  });

  it('nothing when its roster fails in another way', () => {
    const cluster = three();
    const bug = new TypeError('out of order');
    const check = () => {
      throw bug;
    };
    cluster.host('B').override = { roster: { ...cluster.host('B').chain.facts, check } };
    expect(() => cluster.say('A', 'B', proposal(1, bodyAt(cluster)))).toThrow(bug);
  });
});

describe('an entry that cannot be stored', () => {
  it('ends the leadership: another disk may be better', () => {
    const cluster = three();
    cluster.host('A').appendError = new BzzzError('DISK_FAILED', 'no space');
    cluster.propose('A', 'w', admit('D'));
    cluster.settle();
    expect(refusals(cluster)).toEqual(['w DISK_FAILED']);
    expect(cluster.role('A')).toBe('follower');
    cluster.run(700);
    expect(cluster.role('B')).toBe('leader');
    expect(cluster.epochs()).toBe('A4 B5 C5');
  });

  it('ends it silently when nobody waits for it', () => {
    const cluster = three();
    cluster.host('A').appendError = new BzzzError('DISK_FAILED', 'no space');
    cluster.propose('A', 'w', admit('D'));
    cluster.input('A', { type: 'abandon', id: 'w' });
    cluster.settle();
    expect(refusals(cluster)).toEqual([]);
    expect(cluster.role('A')).toBe('follower');
  });

  it('does not make a lone voter stand again and again without a pause', () => {
    const cluster = new Cluster({ voters: 'A' });
    cluster.start();
    cluster.tick('A');
    cluster.host('A').appendError = new BzzzError('DISK_FAILED', 'no space');
    cluster.propose('A', 'w', admit('D'));
    expect(cluster.role('A')).toBe('follower');
    expect(wakeAt(cluster.state('A'))).toBeGreaterThanOrEqual(cluster.now + 500);
  });

  it('does not concern a follower, nor a leader that made another', () => {
    const cluster = three();
    const error = new BzzzError('BAD_MESSAGE', 'no entry');
    const [follower, leader] = [cluster.state('B'), cluster.state('A')];
    cluster.input('B', { type: 'append-failed', error });
    cluster.input('A', { type: 'append-failed', error });
    expect(cluster.state('B')).toBe(follower);
    expect(cluster.state('A')).toBe(leader);
  });
});

describe('certified entries from elsewhere', () => {
  it('are appended by everyone, and raise the term', () => {
    const cluster = three();
    const { chain } = cluster.host('B');
    const entry = cluster.toy.grow(chain, admit('D')).bytes;
    if (entry === null) throw new Error('no entry');
    cluster.say('C', 'B', { type: 'entry', term: term(3), entry });
    expect(cluster.host('B').chain.epoch).toBe(5);
    expect(cluster.host('B').disk.term).toBe(3);
  });

  it('answer who waited for exactly this one', () => {
    const cluster = three();
    cluster.propose('A', 'w', admit('D'));
    const body = gathered(cluster);
    const by = ['A', 'B'].map((name) => cluster.toy.sign(peer(name), body, term(1)));
    const entry = cluster.toy.assemble(body, term(1), by);
    cluster.say('B', 'A', { type: 'entry', term: term(1), entry });
    expect(done(cluster)).toEqual(['w @5']);
  });

  it('refuse who waited for another of that epoch', () => {
    const cluster = three();
    cluster.propose('A', 'w', admit('D'));
    cluster.host('A').chain = cluster.toy.grow(cluster.host('A').chain, admit('E'));
    cluster.input('A', { type: 'roster' });
    expect(refusals(cluster)).toEqual(['w LEADERSHIP_LOST']);
  });

  it('answer for what lies behind the head by whether it was certified', () => {
    for (const certified of [true, false]) {
      const cluster = three();
      cluster.propose('A', 'w', admit('D'));
      const state = cluster.state('A');
      if (state.role !== 'leader' || state.gathering === null) throw new Error('none gathered');
      cluster.host('A').state = { ...state, gathering: { ...state.gathering, certified } };
      const grown = cluster.toy.grow(cluster.host('A').chain, admit('D'));
      cluster.host('A').chain = cluster.toy.grow(grown, admit('E'));
      cluster.input('A', { type: 'roster' });
      expect(done(cluster)).toEqual(certified ? ['w @5'] : []);
      expect(refusals(cluster)).toEqual(certified ? [] : ['w LEADERSHIP_LOST']);
    }
  });

  it('are not opened again by a leader that signed for that epoch in its term', () => {
    const cluster = three();
    cluster.propose('A', 'w', admit('D'));
    const state = cluster.state('A');
    if (state.role !== 'leader') throw new Error('A does not lead');
    // As if what was gathered were forgotten: the disk still knows it.
    cluster.host('A').state = { ...state, gathering: null };
    cluster.propose('A', 'x', admit('E'));
    cluster.run(200);
    expect(gathered(cluster).change).toEqual(admit('D'));
  });
});

describe('changes that follow each other', () => {
  it('may demote one voter while another is being promoted', () => {
    const cluster = three('D');
    cluster.propose('A', 'up', promote('D'));
    cluster.propose('A', 'down', demote('B'));
    cluster.run(100);
    expect(done(cluster)).toEqual(['up @6', 'down @7']);
    expect(cluster.host('C').chain.facts.voters).toEqual(['A', 'C', 'D']);
    expect(cluster.leaders()).toBe('A:A1 B:A1 C:A1 D:A1');
  });

  it('are signed by the voters of the epoch before: the new one, not the old one', () => {
    const cluster = new Cluster({ voters: 'AB', others: 'C' });
    cluster.elect('A');
    cluster.propose('A', 'up', promote('C'));
    cluster.propose('A', 'down', demote('B'));
    cluster.run(100);
    cluster.told();
    cluster.kill('B');
    cluster.propose('A', 'more', admit('D'));
    cluster.settle();
    expect(cluster.told().filter((line) => line.includes('appends'))).toEqual(story`
      A: appends +D @6 in 1 by A,C
      C: appends +D @6 in 1 by A,C
    `);
  });
});
