/** Who votes for whom, and which votes count: voting.ts and standing.ts. */
import { describe, expect, it } from 'vitest';
import { wakeAt } from '../../src/election/machine.ts';
import type { Seals } from '../../src/election/types.ts';
import { Cluster } from './harness.ts';
import {
  admit,
  beat,
  epoch,
  peer,
  preVote,
  preVoteReply,
  promote,
  proposal,
  term,
  vote,
  voteReply,
} from './letters.ts';
import { RUBBISH, story } from './story.ts';

/** Three hosts without a leader, past the grace of a start. */
function leaderless(voters = 'ABC', others = ''): Cluster {
  const cluster = new Cluster({ voters, others });
  cluster.start();
  cluster.pass(700);
  return cluster;
}

/** B stands in term 1, with the word of C; its requests for votes are on their way. */
function candidate(voters = 'ABC', others = ''): Cluster {
  const cluster = leaderless(voters, others);
  cluster.tick('A');
  const electors = [...voters].slice(1, 1 + Math.floor(voters.length / 2));
  for (const name of electors) {
    cluster.deliver(`A>${name}`);
    cluster.deliver(`${name}>A`);
  }
  expect(cluster.role('A')).toBe('candidate');
  cluster.mail.length = 0;
  cluster.told();
  return cluster;
}

const sealsOf = (cluster: Cluster, name: string): Seals => cluster.toy.sealsOf(peer(name));

/** A vote that `voter` sealed, with any detail wrong. */
function sealed(cluster: Cluster, voter: string, wrong: object = {}): Uint8Array {
  const right = { term: term(1), epoch: cluster.host('A').chain.epoch, candidate: peer('A') };
  return sealsOf(cluster, voter).sealVote({ ...right, ...wrong });
}

describe('a vote is refused', () => {
  const refusal = (cluster: Cluster, name: string): unknown => {
    const answer = cluster.answer(name);
    return 'refusal' in answer ? answer.refusal : answer.type;
  };

  it('in a lower term, and a pre-vote in a term that is not higher', () => {
    const cluster = leaderless();
    cluster.say('A', 'B', vote(3));
    cluster.answer('B');
    cluster.say('C', 'B', vote(2));
    expect(refusal(cluster, 'B')).toBe('term');
    cluster.pass(700);
    cluster.say('C', 'B', preVote(3));
    expect(refusal(cluster, 'B')).toBe('term');
    expect(cluster.host('B').disk).toMatchObject({ term: 3, votedFor: 'A' });
  });

  it('to a second candidate of one term (E3)', () => {
    const cluster = leaderless();
    cluster.say('A', 'C', vote(1));
    cluster.answer('C');
    cluster.say('B', 'C', vote(1));
    expect(refusal(cluster, 'C')).toBe('term');
  });

  it('to a member that is no voter, and by one', () => {
    const cluster = leaderless('ABC', 'D');
    const five = { epoch: epoch(5) };
    cluster.say('D', 'B', vote(1, five));
    expect(refusal(cluster, 'B')).toBe('ineligible');
    cluster.say('D', 'B', preVote(1, five));
    expect(refusal(cluster, 'B')).toBe('ineligible');
    cluster.say('B', 'D', vote(1, five));
    expect(refusal(cluster, 'D')).toBe('ineligible');
    expect(cluster.mail).toEqual([]);
  });

  it('to whom an older roster does not know as a voter, which then asks for the newer one', () => {
    const cluster = leaderless('ABC', 'D');
    const { chain } = cluster.host('D');
    cluster.host('D').chain = cluster.toy.grow(chain, promote('D'));
    cluster.say('D', 'B', preVote(1, { epoch: epoch(6) }));
    expect(refusal(cluster, 'B')).toBe('ineligible');
    cluster.deliver('B>D exchange');
    expect(cluster.host('B').chain.epoch).toBe(6);
  });

  it('to a candidate that is behind in epoch', () => {
    const cluster = leaderless();
    cluster.say('A', 'B', vote(1, { epoch: epoch(3) }));
    expect(refusal(cluster, 'B')).toBe('behind');
    expect(cluster.host('B').disk.term).toBe(0);
  });

  it('to a candidate whose roster is of an older term, whatever its epoch', () => {
    const cluster = new Cluster({ voters: 'ABC' });
    cluster.elect('A');
    cluster.propose('A', 'w', admit('D'));
    cluster.settle();
    cluster.pass(700);
    cluster.say('C', 'B', preVote(2, { rosterTerm: term(0), epoch: epoch(9) }));
    expect(refusal(cluster, 'B')).toBe('behind');
    cluster.say('C', 'B', preVote(2, { rosterTerm: term(1), epoch: epoch(5) }));
    expect(refusal(cluster, 'B')).toBeNull();
  });

  it('by a follower and by a leader that is led (E4), and no term is taken over', () => {
    const cluster = new Cluster({ voters: 'ABC' });
    cluster.elect('A');
    for (const name of 'AB') {
      cluster.say('C', name, vote(5));
      expect(refusal(cluster, name)).toBe('led');
      expect(cluster.host(name).disk.term).toBe(1);
    }
    expect(cluster.role('A')).toBe('leader');
  });

  it('to a candidate of the same term by whoever stands itself', () => {
    const cluster = candidate();
    cluster.say('B', 'A', vote(1));
    expect(refusal(cluster, 'A')).toBe('term');
    cluster.say('B', 'A', preVote(2));
    expect(refusal(cluster, 'A')).toBe('led');
  });
});

describe('a vote is granted', () => {
  it('again to the same candidate: its question may come twice', () => {
    const cluster = leaderless();
    cluster.tick('A');
    cluster.deliver('A>B');
    cluster.deliver('B>A');
    cluster.duplicate('A>B vote');
    const first = cluster.answer('B');
    cluster.deliver('A>B vote');
    expect(cluster.answer('B')).toEqual(first);
    expect(cluster.effectsOf('B', 'persist')).toHaveLength(1);
  });

  it('by a led voter when its leader hands over', () => {
    const cluster = new Cluster({ voters: 'ABC' });
    cluster.elect('A');
    cluster.say('C', 'B', vote(2, { transfer: true }));
    expect(cluster.answer('B')).toMatchObject({ type: 'vote-reply', term: 2, refusal: null });
  });

  it('in a term whose leader it follows without having voted: that one has its majority', () => {
    const cluster = leaderless();
    cluster.say('A', 'B', beat(3));
    cluster.say('C', 'B', vote(3));
    expect(cluster.answer('B')).toMatchObject({ term: 3, refusal: null });
    expect(cluster.state('B').leader).toEqual({ leader: 'A', term: 3 });
  });

  it('with what this voter signed for the next epoch', () => {
    const cluster = new Cluster({ voters: 'ABC' });
    cluster.elect('A');
    cluster.propose('A', 'w', admit('D'));
    cluster.deliver('A>B propose');
    cluster.pass(700);
    cluster.say('C', 'B', vote(2));
    const body = cluster.host('B').disk.accepted?.body;
    expect(cluster.answer('B')).toMatchObject({ accepted: { ballot: 1, body } });
  });

  it('and puts off this voter’s own candidacy', () => {
    const cluster = leaderless();
    const before = wakeAt(cluster.state('C'));
    cluster.say('A', 'C', vote(1));
    expect(wakeAt(cluster.state('C'))).toBeGreaterThan(before);
    cluster.say('A', 'B', preVote(1));
    expect(wakeAt(cluster.state('B'))).toBe(cluster.now + 125);
  });
});

describe('two that stand at once', () => {
  it('with different opinions of their rank still end in one leader', () => {
    const cluster = leaderless();
    cluster.host('A').ranking = [peer('A'), peer('B'), peer('C')];
    cluster.host('B').ranking = [peer('B'), peer('A'), peer('C')];
    cluster.kill('C');
    cluster.tick('A');
    cluster.tick('B');
    cluster.settle();
    expect(cluster.told().slice(-4)).toEqual(story`
      A -> B: pre-vote 1 @4
      B -> A: pre-vote 1 @4
      B -> A: pre-vote-reply 0 led
      A -> B: pre-vote-reply 0 led
    `);
    cluster.run(400);
    expect(['A:A1 B:A1', 'A:B1 B:B1']).toContain(cluster.leaders());
  });

  it('as candidates for the same votes never both win', () => {
    const cluster = leaderless();
    cluster.tick('A');
    cluster.tick('B');
    for (const pick of ['A>C pre-vote', 'B>C pre-vote', 'C>A', 'C>B']) cluster.deliver(pick);
    expect([cluster.role('A'), cluster.role('B')]).toEqual(['candidate', 'candidate']);
    cluster.deliver('B>C vote');
    cluster.deliver('A>C vote');
    cluster.deliver('C>A vote-reply');
    cluster.deliver('C>B vote-reply');
    expect([cluster.role('A'), cluster.role('B')]).toEqual(['candidate', 'leader']);
  });
});

describe('a vote does not count', () => {
  const told = (cluster: Cluster): readonly string[] =>
    cluster.told().filter((line) => line.includes('ignores'));

  it.each([
    ['that nobody sealed', () => RUBBISH, 'no vote'],
    ['that another sealed (forged)', (c: Cluster) => sealed(c, 'C'), 'a vote of C'],
    [
      'for another candidate',
      (c: Cluster) => sealed(c, 'B', { candidate: peer('C') }),
      'a vote for C',
    ],
    [
      'of another term (replayed)',
      (c: Cluster) => sealed(c, 'B', { term: term(0) }),
      'a vote of term 0',
    ],
    ['of another epoch', (c: Cluster) => sealed(c, 'B', { epoch: epoch(3) }), 'a vote of epoch 3'],
  ])('%s', (_, make, reason) => {
    const cluster = candidate();
    cluster.say('B', 'A', voteReply(1, make(cluster)));
    expect(told(cluster)).toEqual([`A: ignores vote-reply of B: ${reason}`]);
    expect(cluster.role('A')).toBe('candidate');
    cluster.say('B', 'A', voteReply(1, sealed(cluster, 'B')));
    expect(cluster.role('A')).toBe('leader');
  });

  it('of an unknown voter', () => {
    const cluster = candidate('ABC', 'D');
    cluster.say('D', 'A', voteReply(1, sealed(cluster, 'D')));
    expect(told(cluster)).toEqual(['A: ignores vote-reply of D: not a voter']);
    expect(cluster.role('A')).toBe('candidate');
  });

  it('twice', () => {
    const cluster = candidate('ABCDE');
    cluster.say('B', 'A', voteReply(1, sealed(cluster, 'B')));
    cluster.say('B', 'A', voteReply(1, sealed(cluster, 'B')));
    expect(cluster.role('A')).toBe('candidate');
    cluster.say('C', 'A', voteReply(1, sealed(cluster, 'C')));
    expect(cluster.role('A')).toBe('leader');
    expect(cluster.effectsOf('A', 'elected')[0]?.votes).toHaveLength(3);
  });

  it('that comes late, to a leader or to a follower', () => {
    const cluster = candidate();
    cluster.say('B', 'A', voteReply(1, sealed(cluster, 'B')));
    const leader = cluster.state('A');
    cluster.say('C', 'A', voteReply(1, sealed(cluster, 'C')));
    expect(cluster.state('A')).toBe(leader);
    const follower = cluster.state('B');
    cluster.say('C', 'B', voteReply(0, sealed(cluster, 'C')));
    expect(cluster.state('B')).toBe(follower);
  });

  it('of an earlier candidacy', () => {
    const cluster = candidate();
    cluster.say('C', 'B', beat(3));
    cluster.run(300);
    expect(cluster.host('A').disk.term).toBeGreaterThan(1);
    const now = cluster.state('A');
    cluster.say('B', 'A', voteReply(1, sealed(cluster, 'B')));
    expect(cluster.state('A')).toBe(now);
  });

  it('that is refused, or granted without a seal', () => {
    const cluster = candidate();
    cluster.say('B', 'A', voteReply(1, null, { refusal: 'led' }));
    cluster.say('B', 'A', voteReply(1, null));
    expect(cluster.role('A')).toBe('candidate');
    expect(cluster.mail).toEqual([]);
  });
});

describe('an answer', () => {
  it('of a higher term ends a candidacy, and it is tried again soon', () => {
    const cluster = candidate();
    cluster.say('B', 'A', voteReply(6, null, { refusal: 'term' }));
    expect(cluster.told().slice(1)).toEqual(story`A: keeps 6 for nobody`);
    expect(cluster.role('A')).toBe('follower');
    expect(wakeAt(cluster.state('A'))).toBe(cluster.now + 20);
  });

  it('of a higher term ends a pre-candidacy likewise, and deposes a leader', () => {
    const cluster = leaderless();
    cluster.tick('A');
    cluster.say('B', 'A', preVoteReply(6, 'term'));
    expect(cluster.host('A').disk.term).toBe(6);
    expect(wakeAt(cluster.state('A'))).toBe(cluster.now + 20);
    cluster.mail.length = 0;
    cluster.run(50);
    expect(cluster.role('A')).toBe('leader');
    cluster.say('B', 'A', preVoteReply(9, 'term'));
    expect(cluster.effectsOf('A', 'deposed')).toMatchObject([{ term: 7, trigger: 'timeout' }]);
  });

  it.each(['pre-vote', 'vote'])('to a %s from a newer roster asks for that roster', (type) => {
    const cluster = type === 'vote' ? candidate() : leaderless();
    if (type === 'pre-vote') cluster.tick('A');
    cluster.mail.length = 0;
    const newer = { epoch: epoch(5) };
    const reply = preVoteReply(0, 'behind', newer);
    const late = voteReply(1, null, { refusal: 'behind', ...newer });
    cluster.say('B', 'A', type === 'vote' ? late : reply);
    expect(cluster.effectsOf('A', 'exchange')).toEqual([{ type: 'exchange', with: 'B' }]);
  });

  it('that refuses is no reason to stand later than planned', () => {
    const cluster = leaderless();
    cluster.tick('A');
    cluster.say('B', 'A', preVoteReply(0, 'led'));
    const planned = wakeAt(cluster.state('A'));
    expect(planned).toBe(cluster.now + 20);
    cluster.pass(10);
    cluster.say('C', 'A', preVoteReply(0, 'led'));
    expect(wakeAt(cluster.state('A'))).toBe(planned);
  });

  it('to a pre-vote counts for the term asked for, from a voter, while it is asked', () => {
    const cluster = leaderless('ABC', 'D');
    cluster.say('B', 'A', preVoteReply(1, null));
    expect(cluster.role('A')).toBe('follower');
    cluster.tick('A');
    cluster.say('B', 'A', preVoteReply(2, null));
    cluster.say('D', 'A', preVoteReply(1, null));
    expect(cluster.role('A')).toBe('pre-candidate');
    cluster.say('B', 'A', preVoteReply(1, null));
    expect(cluster.role('A')).toBe('candidate');
  });

  it('makes the pauses between pre-votes longer, up to half a time-out', () => {
    const cluster = new Cluster({ voters: 'ABC' });
    cluster.elect('A');
    cluster.cut('A', 'C');
    cluster.run(605);
    const pauses: number[] = [];
    for (let n = 0; n < 6; n++) {
      const from = cluster.now;
      cluster.run(wakeAt(cluster.state('C')) - cluster.now);
      pauses.push(cluster.now - from);
    }
    expect(pauses.slice(1)).toEqual([40, 80, 160, 250, 250]);
  });
});

describe('equivocation (R98)', () => {
  const evidence = (cluster: Cluster) => cluster.effectsOf('A', 'evidence');

  it('is kept as two sealed votes of one term', () => {
    const cluster = candidate();
    const [one, other] = [sealed(cluster, 'B'), sealed(cluster, 'B', { candidate: peer('C') })];
    cluster.say('B', 'A', voteReply(1, one));
    cluster.input('A', { type: 'votes', votes: [other] });
    expect(evidence(cluster)).toEqual([{ type: 'evidence', voter: 'B', votes: [one, other] }]);
  });

  it('is not the same vote twice, nor two votes of two terms, nor what cannot be opened', () => {
    const cluster = candidate();
    const one = sealed(cluster, 'B');
    const later = sealed(cluster, 'B', { term: term(2), candidate: peer('C') });
    cluster.input('A', { type: 'votes', votes: [one, one, later, RUBBISH] });
    expect(evidence(cluster)).toEqual([]);
    expect([...cluster.state('A').seenVotes.keys()]).toEqual(['B']);
  });

  it('of strangers is nobody’s business, and takes no memory', () => {
    const cluster = candidate();
    const two = [sealed(cluster, 'X'), sealed(cluster, 'X', { candidate: peer('C') })];
    cluster.input('A', { type: 'votes', votes: two });
    expect(evidence(cluster)).toEqual([]);
    expect(cluster.state('A').seenVotes.size).toBe(0);
  });
});

describe('a broken seal', () => {
  it('of another kind than a bad message is an error of the program', () => {
    const cluster = candidate();
    const bug = new TypeError('out of order');
    const openVote = () => {
      throw bug;
    };
    cluster.host('A').override = { seals: { ...sealsOf(cluster, 'A'), openVote } };
    expect(() => cluster.say('B', 'A', voteReply(1, RUBBISH))).toThrow(bug);
    expect(() => cluster.input('A', { type: 'votes', votes: [RUBBISH] })).toThrow(bug);
  });
});

describe('what electors accepted', () => {
  /** A entry for the next epoch, made in `made`, that a voter reports under `ballot`. */
  const accepted = (cluster: Cluster, name: string, ballot: number, extra: object = {}) => {
    const { epoch: at, hash: prev } = cluster.host('A').chain;
    const body = { v: 1 as const, epoch: epoch(at + 1), term: term(1), prev, time: 0 };
    return { ballot: term(ballot), body: { ...body, change: admit(name), ...extra } };
  };

  /** A becomes leader of term 9 by the votes of B and C, who report what they signed. */
  function leaderBy(...reports: readonly (ReturnType<typeof accepted> | null)[]): Cluster {
    const cluster = leaderless('ABCDE');
    cluster.host('A').disk = { ...cluster.host('A').disk, term: term(8) };
    cluster.start('A');
    cluster.pass(700);
    cluster.tick('A');
    for (const name of 'BC') cluster.say(name, 'A', preVoteReply(9, null, { epoch: epoch(8) }));
    cluster.mail.length = 0;
    const electors = [...'BC'];
    for (const [i, report] of reports.entries()) {
      const name = electors[i] ?? '';
      const sealedVote = sealed(cluster, name, { term: term(9) });
      cluster.say(name, 'A', voteReply(9, sealedVote, { accepted: report, epoch: epoch(8) }));
    }
    expect(cluster.role('A')).toBe('leader');
    return cluster;
  }
  const inherited = (cluster: Cluster) => {
    const state = cluster.state('A');
    return state.role === 'leader' ? state.inherited : undefined;
  };

  it.each([
    ['first', 5, 3],
    ['second', 3, 5],
  ])('is proposed with the highest ballot: the %s', (which, first, second) => {
    const source = leaderless('ABCDE');
    const [x, y] = [accepted(source, 'X', first), accepted(source, 'Y', second)];
    const cluster = leaderBy(x, y);
    expect(inherited(cluster)).toBe(which === 'first' ? x : y);
  });

  it('is proposed if only one of them reports any', () => {
    const source = leaderless('ABCDE');
    const x = accepted(source, 'X', 5);
    expect(inherited(leaderBy(x, null))).toBe(x);
    expect(inherited(leaderBy(null, x))).toBe(x);
    expect(inherited(leaderBy(null, null))).toBeNull();
  });

  it('is of no use for another epoch or after another entry', () => {
    const source = leaderless('ABCDE');
    const old = accepted(source, 'X', 5, { epoch: epoch(8) });
    const foreign = accepted(source, 'X', 5, { prev: RUBBISH });
    expect(inherited(leaderBy(old, foreign))).toBeNull();
  });

  it('is proposed before any wish, unchanged but for its ballot', () => {
    const cluster = new Cluster({ voters: 'ABC' });
    cluster.elect('A');
    cluster.propose('A', 'w', admit('D'));
    const body = cluster.host('A').disk.accepted?.body;
    if (body === undefined) throw new Error('A signed nothing');
    cluster.kill('A');
    cluster.mail.length = 0;
    cluster.say('A', 'B', proposal(1, body));
    cluster.close('A');
    cluster.run(0);
    cluster.propose('B', 'x', admit('E'));
    cluster.settle();
    expect(cluster.host('B').disk.accepted).toMatchObject({ ballot: 2 });
    const entries = cluster
      .effectsOf('B', 'append')
      .map(({ entry }) => cluster.toy.openEntry(entry));
    expect(entries[0]).toMatchObject({ body, ballot: 2 });
    expect(entries[0]?.hash).toEqual(cluster.toy.hash(body));
  });
});
