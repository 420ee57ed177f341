/** Who is heard, in which term, and when a node stands: machine.ts, and what restarts bring. */
import { describe, expect, it } from 'vitest';
import { millis } from '../../src/base/brands.ts';
import { wakeAt } from '../../src/election/machine.ts';
import { Cluster, NOTHING } from './harness.ts';
import {
  admit,
  beat,
  beatReply,
  demote,
  epoch,
  peer,
  preVoteReply,
  promote,
  proposal,
  remove,
  stand,
  term,
  vote,
} from './letters.ts';
import { RUBBISH, story } from './story.ts';

const three = (): Cluster => {
  const cluster = new Cluster({ voters: 'ABC' });
  cluster.elect('A');
  return cluster;
};

describe('whoever is heard', () => {
  it('is a member: a stranger is not even answered', () => {
    const cluster = three();
    cluster.say('X', 'B', vote(9));
    expect(cluster.told()).toEqual(story`
      X -> B: vote 9 @4
      B: ignores vote of X: not a member
    `);
    expect(cluster.mail).toEqual([]);
    expect(cluster.host('B').disk.term).toBe(1);
  });

  it('speaks in no lower term: a stale beat is answered with the newer term', () => {
    const cluster = three();
    cluster.say('A', 'B', beat(7));
    cluster.mail.length = 0;
    cluster.told();
    cluster.say('C', 'B', beat(6, { round: 3 }));
    expect(cluster.told()).toEqual(story`
      C -> B: beat 6 #3 @4
      B: ignores beat of C: term 6 after 7
    `);
    expect(cluster.answer('B')).toEqual(beatReply(7, 3));
  });

  it('speaks in no lower term: stale entries and calls to stand are not answered at all', () => {
    const cluster = three();
    cluster.say('A', 'B', beat(7));
    cluster.mail.length = 0;
    cluster.told();
    cluster.say('C', 'B', { type: 'entry', term: term(6), entry: RUBBISH });
    cluster.say('A', 'B', stand(6));
    expect(cluster.effectsOf('B', 'ignored').map(({ what }) => what)).toEqual(['entry', 'stand']);
    expect(cluster.effectsOf('B', 'append')).toEqual([]);
    expect(cluster.mail).toEqual([]);
  });

  it('leads its term alone: a second leader of one term is ignored by follower and leader', () => {
    const cluster = three();
    cluster.say('C', 'B', beat(1));
    cluster.say('C', 'A', beat(1));
    expect(cluster.told()).toEqual(story`
      C -> B: beat 1 #1 @4
      B: ignores beat of C: term 1 has another leader
      C -> A: beat 1 #1 @4
      A: ignores beat of C: term 1 has another leader
    `);
    expect(cluster.leaders()).toBe('A:A1 B:A1 C:A1');
  });

  it('is followed in a higher term, durably, by a leader as well', () => {
    const cluster = three();
    cluster.say('B', 'A', beat(5));
    expect(cluster.told()).toEqual(story`
      B -> A: beat 5 #1 @4
      A: deposed 1 (split-brain)
      A: leader none (split-brain)
      A: keeps 5 for nobody
      A: leader B in 5 (split-brain)
    `);
  });

  it('is no leader that lost its vote and does not know: it is told', () => {
    const cluster = new Cluster({ voters: 'ABC' });
    cluster.elect('A');
    cluster.cut('A', 'BC');
    cluster.run(700);
    expect(cluster.role('B')).toBe('leader');
    cluster.propose('B', 'w', demote('A'));
    cluster.settle();
    cluster.heal();
    cluster.told();
    // In whatever term it thinks that it leads.
    cluster.say('A', 'C', beat(9));
    expect(cluster.told().slice(0, 2)).toEqual(story`
      A -> C: beat 9 #1 @4
      C: ignores beat of A: it lost its vote
    `);
    expect(cluster.host('C').disk.term).toBe(2);
    cluster.settle();
    expect(cluster.host('A').chain.epoch).toBe(5);
  });

  it('leads although it is no voter here, if this roster is the older one', () => {
    const cluster = new Cluster({ voters: 'AB', others: 'C' });
    cluster.elect('A');
    cluster.say('C', 'B', beat(3, { epoch: epoch(9) }));
    expect(cluster.state('B').leader).toEqual({ leader: 'C', term: 3 });
  });
});

describe('a member that does not vote', () => {
  it('follows and fences: it refuses a leader of the past (E5)', () => {
    const cluster = new Cluster({ voters: 'A', others: 'D' });
    cluster.start();
    cluster.run(0);
    cluster.told();
    cluster.say('A', 'D', beat(4, { epoch: epoch(1) }));
    cluster.say('A', 'D', beat(3, { epoch: epoch(1) }));
    expect(cluster.told()).toEqual(story`
      A -> D: beat 4 #1 @1
      D: keeps 4 for nobody
      D: leader A in 4 (start)
      A -> D: beat 3 #1 @1
      D: ignores beat of A: term 3 after 4
    `);
  });

  it('never stands and never votes', () => {
    const cluster = new Cluster({ voters: 'A', others: 'D' });
    cluster.start('D');
    expect(wakeAt(cluster.state('D'))).toBe(Number.POSITIVE_INFINITY);
    cluster.input('D', { type: 'campaign', trigger: 'manual' });
    cluster.pass(60_000);
    cluster.tick('D');
    cluster.say('A', 'D', vote(1, { epoch: epoch(1) }));
    expect(cluster.effectsOf('D', 'persist')).toEqual([]);
    expect(cluster.answer('D')).toMatchObject({ refusal: 'ineligible', vote: null });
  });

  it('gives a silent leader up after three time-outs, and does nothing about it', () => {
    const cluster = new Cluster({ voters: 'A', others: 'D' });
    cluster.start();
    cluster.run(0);
    cluster.kill('A');
    cluster.told();
    cluster.run(1_499);
    expect(cluster.told()).toEqual([]);
    cluster.run(1);
    expect(cluster.told()).toEqual(story`D: leader none (timeout)`);
    expect(wakeAt(cluster.state('D'))).toBe(Number.POSITIVE_INFINITY);
  });

  it('sees at once that the leader closed its connection', () => {
    const cluster = new Cluster({ voters: 'A', others: 'D' });
    cluster.start();
    cluster.run(0);
    cluster.told();
    cluster.link('D', 'A', false);
    expect(cluster.told()).toEqual(story`D: leader none (closed)`);
    expect(wakeAt(cluster.state('D'))).toBe(Number.POSITIVE_INFINITY);
  });

  it('takes a higher term over from a late reply, without standing', () => {
    const cluster = new Cluster({ voters: 'A', others: 'D' });
    cluster.start('D');
    cluster.say('A', 'D', preVoteReply(6, 'term', { epoch: epoch(1) }));
    expect(cluster.host('D').disk.term).toBe(6);
    expect(wakeAt(cluster.state('D'))).toBe(Number.POSITIVE_INFINITY);
  });
});

describe('connections', () => {
  it('matter to a follower only if they are the leader’s', () => {
    const cluster = three();
    cluster.link('B', 'C', false);
    cluster.link('A', 'C', false);
    expect(cluster.told()).toEqual([]);
    expect(cluster.leaders()).toBe('A:A1 B:A1 C:A1');
  });

  it('that close do not disturb a node that stands already', () => {
    const cluster = three();
    cluster.cut('A', 'BC');
    cluster.run(490);
    cluster.tick('B');
    cluster.pass(100);
    cluster.tick('B');
    const before = cluster.state('B');
    expect(before.role).toBe('pre-candidate');
    cluster.link('B', 'A', false);
    expect(cluster.state('B')).toBe(before);
  });

  it('that come up bring the beat of the leader, and of nobody else', () => {
    const cluster = three();
    cluster.link('B', 'C', true);
    expect(cluster.mail).toEqual([]);
    cluster.link('A', 'C', true);
    expect(cluster.answer('A')).toMatchObject({ type: 'beat', term: 1, epoch: 4 });
  });
});

describe('a restart', () => {
  it('counts as having just heard a leader', () => {
    const cluster = three();
    cluster.kill('B');
    cluster.start('B');
    cluster.say('C', 'B', vote(2));
    expect(cluster.answer('B')).toMatchObject({ refusal: 'led' });
    expect(cluster.host('B').disk.term).toBe(1);
  });

  it('does not undo a vote that was kept and not yet sent (E3)', () => {
    const cluster = new Cluster({ voters: 'ABC' });
    cluster.start();
    cluster.pass(700);
    cluster.host('B').diesBefore = 'send';
    cluster.say('A', 'B', vote(1));
    expect(cluster.host('B').disk).toMatchObject({ term: 1, votedFor: 'A' });
    cluster.start('B');
    cluster.pass(700);
    cluster.say('C', 'B', vote(1));
    expect(cluster.answer('B')).toMatchObject({ refusal: 'term', vote: null });
    cluster.say('A', 'B', vote(1));
    expect(cluster.answer('B')).toMatchObject({ refusal: null });
  });

  it('forgets a vote that was neither kept nor sent', () => {
    const cluster = new Cluster({ voters: 'ABC' });
    cluster.start();
    cluster.pass(700);
    cluster.host('B').diesBefore = 'persist';
    cluster.say('A', 'B', vote(1));
    cluster.start('B');
    cluster.pass(700);
    cluster.say('C', 'B', vote(1));
    expect(cluster.answer('B')).toMatchObject({ refusal: null });
  });

  it('with a roster of a higher term than its own stands above both', () => {
    const cluster = new Cluster({ voters: 'ABC' });
    cluster.host('A').disk = { ...NOTHING, term: term(5) };
    cluster.elect('A');
    cluster.propose('A', 'w', admit('D'));
    cluster.settle();
    expect(cluster.host('B').chain.facts.term).toBe(6);
    for (const name of 'ABC') cluster.kill(name);
    // As after a recovery: these two have the roster, but never heard its leader.
    for (const name of 'BC') cluster.host(name).disk = { ...NOTHING };
    cluster.start('BC');
    cluster.run(700);
    expect(cluster.effectsOf('B', 'elected')).toMatchObject([{ term: 7 }]);
  });

  it('of all hosts at once ends in one leader', () => {
    const cluster = three();
    for (const name of 'ABC') cluster.kill(name);
    cluster.start();
    cluster.run(600);
    expect(cluster.leaders()).toBe('A:A2 B:A2 C:A2');
  });
});

describe('a campaign', () => {
  it('makes a voter stand, whose pre-vote the others refuse while they are led', () => {
    const cluster = three();
    cluster.input('B', { type: 'campaign', trigger: 'manual' });
    cluster.run(10);
    expect(cluster.told()).toEqual(story`
      B -> A: pre-vote 2 @4
      B -> C: pre-vote 2 @4
      A -> B: pre-vote-reply 1 led
      C -> B: pre-vote-reply 1 led
    `);
    cluster.run(1_000);
    expect(cluster.leaders()).toBe('A:A1 B:A1 C:A1');
  });

  it('names its trigger in the election that follows', () => {
    const cluster = three();
    cluster.cut('A', 'BC');
    for (const name of 'BC') cluster.input(name, { type: 'campaign', trigger: 'discovery' });
    cluster.run(10);
    expect(cluster.effectsOf('B', 'elected')).toMatchObject([{ term: 2, trigger: 'discovery' }]);
  });

  it('never makes a voter stand later than it would', () => {
    const cluster = three();
    cluster.cut('A', 'BC');
    cluster.pass(wakeAt(cluster.state('C')) - cluster.now - 1);
    const planned = wakeAt(cluster.state('C'));
    cluster.input('C', { type: 'campaign', trigger: 'discovery' });
    expect(wakeAt(cluster.state('C'))).toBe(planned);
  });

  it('does nothing at a leader or at a node that stands', () => {
    const cluster = three();
    const leader = cluster.state('A');
    cluster.input('A', { type: 'campaign', trigger: 'manual' });
    expect(cluster.state('A')).toBe(leader);
  });
});

describe('another roster', () => {
  it('ends a candidacy that it was not asked for by, and another begins at once', () => {
    const cluster = new Cluster({ voters: 'ABC' });
    cluster.start();
    cluster.pass(700);
    cluster.tick('A');
    cluster.deliver('A>B');
    cluster.deliver('B>A');
    expect(cluster.role('A')).toBe('candidate');
    const { chain } = cluster.host('A');
    cluster.host('A').chain = cluster.toy.grow(chain, admit('D'));
    cluster.input('A', { type: 'roster' });
    expect(cluster.role('A')).toBe('follower');
    expect(wakeAt(cluster.state('A'))).toBe(cluster.now);
  });

  it('of a higher term deposes whoever led before: it was made by a recovery', () => {
    const cluster = three();
    const roster = { ...cluster.host('A').chain.facts, term: term(5) };
    cluster.host('A').override = { roster };
    cluster.input('A', { type: 'roster' });
    expect(cluster.told()).toEqual(story`
      A: deposed 1 (quorum)
      A: leader none (quorum)
      A: keeps 5 for nobody
    `);
  });

  it('makes a member a voter that waits for its leader first', () => {
    const cluster = new Cluster({ voters: 'AB', others: 'C' });
    cluster.elect('A');
    cluster.propose('A', 'w', promote('C'));
    cluster.settle();
    expect(wakeAt(cluster.state('C'))).toBe(cluster.now + 500 + 100);
    expect(cluster.leaders()).toBe('A:A1 B:A1 C:A1');
  });

  it('that removes this node leaves it quiet', () => {
    const cluster = three();
    cluster.propose('A', 'w', remove('C'));
    cluster.settle();
    cluster.connect('C', 'A');
    expect(cluster.host('C').chain.epoch).toBe(5);
    cluster.kill('A');
    cluster.link('C', 'A', false);
    cluster.told();
    cluster.run(60_000);
    expect(cluster.told().filter((line) => line.startsWith('C'))).toEqual([]);
    expect(cluster.role('C')).toBe('follower');
    expect(cluster.host('C').disk.term).toBe(1);
  });

  it('that leaves one voter lets that one lead alone, without a time-out', () => {
    const cluster = new Cluster({ voters: 'AB' });
    cluster.elect('A');
    cluster.propose('A', 'w', demote('A'));
    cluster.settle();
    cluster.run(0);
    expect(cluster.leaders()).toBe('A:B2 B:B2');
  });
});

describe('a hand-over', () => {
  it('is taken from the leader of this term only', () => {
    const cluster = three();
    cluster.say('C', 'B', stand(1));
    cluster.say('A', 'B', stand(2));
    expect(cluster.told()).toEqual(story`
      C -> B: stand 1
      B: ignores stand of C: it does not lead
      A -> B: stand 2
      B: ignores stand of A: it does not lead
    `);
    expect(cluster.role('B')).toBe('follower');
  });

  it('is not taken by a member that does not vote', () => {
    const cluster = new Cluster({ voters: 'A', others: 'D' });
    cluster.start();
    cluster.run(0);
    cluster.told();
    cluster.say('A', 'D', stand(1));
    expect(cluster.told()).toEqual(story`
      A -> D: stand 1
      D: ignores stand of A: this host is no voter
    `);
  });
});

describe('proposals out of time', () => {
  const body = (cluster: Cluster) => ({
    ...{ v: 1 as const, epoch: epoch(5), term: term(1), prev: cluster.host('B').chain.hash },
    ...{ change: admit('D'), time: 0 },
  });

  it('of a lower term are answered with the higher one and no signature', () => {
    const cluster = three();
    cluster.say('A', 'B', beat(7));
    cluster.say('A', 'B', proposal(1, body(cluster)));
    expect(cluster.answer('B')).toMatchObject({ type: 'propose-reply', term: 7, signature: null });
    expect(cluster.host('B').disk.accepted).toBeNull();
  });

  it('of a higher term make their sender the leader', () => {
    const cluster = three();
    cluster.say('C', 'B', proposal(3, body(cluster)));
    expect(cluster.host('B').disk).toMatchObject({ term: 3, accepted: { ballot: 3 } });
    expect(cluster.state('B').leader).toEqual({ leader: 'C', term: 3 });
  });
});

describe('the clock', () => {
  it('says nothing before its time', () => {
    const cluster = three();
    const [follower, leader] = [cluster.state('B'), cluster.state('A')];
    cluster.pass(1);
    cluster.tick('B');
    cluster.tick('A');
    expect(cluster.state('B')).toBe(follower);
    expect(cluster.state('A')).toBe(leader);
    expect(wakeAt(follower)).toBeGreaterThan(wakeAt(leader));
  });

  it('spreads candidacies by rank, and by chance within a rank', () => {
    const cluster = new Cluster({ voters: 'ABC' });
    cluster.chance = 0.5;
    cluster.host('C').ranking = [peer('A'), peer('B')];
    cluster.start();
    expect([...'ABC'].map((name) => wakeAt(cluster.state(name)))).toEqual([525, 625, 725]);
    expect(cluster.now).toBe(millis(0));
  });
});
