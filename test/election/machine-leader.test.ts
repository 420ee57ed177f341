/** What a leader sends, what it hears back, and how it goes: leading.ts. */
import { describe, expect, it } from 'vitest';
import { wakeAt } from '../../src/election/machine.ts';
import type { Message } from '../../src/election/types.ts';
import { Cluster } from './harness.ts';
import { admit, beat, beatReply, demote, epoch, peer, promote, term, vote } from './letters.ts';
import { story } from './story.ts';

const three = (others = ''): Cluster => {
  const cluster = new Cluster({ voters: 'ABC', others });
  cluster.elect('A');
  return cluster;
};

const refusals = (cluster: Cluster, name = 'A'): readonly string[] =>
  cluster.effectsOf(name, 'refused').map(({ id, error }) => `${id} ${error.code}`);

const transfer = (cluster: Cluster, to: string | undefined, id = 't', force = true): void =>
  cluster.input('A', {
    ...{ type: 'transfer', id, force },
    ...(to === undefined ? {} : { to: peer(to) }),
  });

describe('beats', () => {
  it('go to voters every time and to other members every fifth time', () => {
    const cluster = new Cluster({ voters: 'AB', others: 'D' });
    cluster.elect('A');
    const heard = { B: 0, D: 0 };
    cluster.pass(50);
    for (let n = 0; n < 10; n++) {
      cluster.tick('A');
      for (const { to, message } of cluster.mail.splice(0)) {
        if (message?.type === 'beat') heard[to as 'B' | 'D']++;
        if (to === 'B' && message?.type === 'beat') {
          cluster.say('B', 'A', beatReply(1, message.round));
        }
      }
      cluster.pass(50);
    }
    expect(heard).toEqual({ B: 10, D: 2 });
  });

  it('that somebody answers late count from when they were sent', () => {
    const cluster = three();
    cluster.cut('A', 'C');
    cluster.pass(50);
    cluster.tick('A');
    const late = cluster.answer('A');
    if (late.type !== 'beat') throw new Error('no beat');
    cluster.mail.length = 0;
    const sentAt = cluster.now;
    cluster.pass(480);
    cluster.say('B', 'A', beatReply(1, late.round));
    cluster.pass(sentAt + 500 - cluster.now);
    cluster.tick('A');
    expect(cluster.role('A')).toBe('leader');
    cluster.pass(1);
    cluster.tick('A');
    expect(cluster.role('A')).toBe('follower');
    expect(cluster.effectsOf('A', 'deposed')).toMatchObject([{ term: 1, trigger: 'quorum' }]);
  });

  it('of a round that is forgotten, unknown or answered before say nothing', () => {
    const cluster = three();
    const leader = cluster.state('A');
    cluster.say('B', 'A', beatReply(1, 99_999));
    cluster.say('B', 'A', beatReply(1, 1));
    expect(cluster.state('A')).toBe(leader);
    cluster.run(64 * 50);
    const { round } = cluster.state('A') as { readonly round: number };
    const before = cluster.state('A');
    cluster.say('C', 'A', beatReply(1, round - 64));
    expect(cluster.state('A')).toBe(before);
  });

  it('are answered to leaders only, and in their term', () => {
    const cluster = three();
    const [follower, leader] = [cluster.state('B'), cluster.state('A')];
    cluster.say('C', 'B', beatReply(1, 1));
    cluster.say('C', 'A', beatReply(0, 2));
    expect(cluster.state('B')).toBe(follower);
    expect(cluster.state('A')).toBe(leader);
  });

  it('that come back with a higher term depose', () => {
    const cluster = three();
    cluster.say('B', 'A', beatReply(4, 0));
    expect(cluster.told()).toEqual(story`
      B -> A: beat-reply 4 #0 @4
      A: deposed 1 (split-brain)
      A: leader none (split-brain)
      A: keeps 4 for nobody
    `);
  });

  it('make a voter that has fewer entries ask for them from whoever leads', () => {
    const cluster = three();
    const { chain } = cluster.host('B');
    cluster.host('B').chain = cluster.toy.grow(chain, admit('D'));
    cluster.say('A', 'B', beat(1, { round: 9 }));
    expect(cluster.mail.map(({ to, message }) => [to, message?.type])).toEqual([
      ['A', 'entry'],
      ['A', 'beat-reply'],
    ]);
  });

  it('bring a leader that is behind to the newer roster', () => {
    const cluster = three();
    cluster.host('B').chain = cluster.toy.grow(cluster.host('B').chain, admit('D'));
    cluster.mail.length = 0;
    cluster.pass(50);
    cluster.tick('A');
    cluster.drop('A>C');
    cluster.deliver('A>B beat');
    cluster.drop('B>A entry');
    cluster.settle();
    expect(cluster.host('A').chain.epoch).toBe(5);
  });

  it('offer entries to whoever lacks them, not with every beat', () => {
    const cluster = three();
    cluster.cut('A', 'C');
    cluster.propose('A', 'w', admit('D'));
    cluster.run(50);
    const offers = () => cluster.effectsOf('A', 'offer').filter(({ to }) => to === 'C').length;
    const before = offers();
    for (let n = 0; n < 5; n++) {
      cluster.run(50);
      const { round } = cluster.state('A') as { readonly round: number };
      cluster.say('C', 'A', beatReply(1, round));
      cluster.mail.length = 0;
    }
    expect(offers() - before).toBe(1);
  });
});

describe('a majority', () => {
  it('is of the roster’s voters, not of those in view', () => {
    const cluster = new Cluster({ voters: 'ABCDE' });
    cluster.elect('A');
    for (const name of 'CDE') cluster.kill(name);
    cluster.run(600);
    expect(cluster.role('A')).toBe('follower');
    cluster.run(5_000);
    expect(cluster.effectsOf('B', 'elected')).toEqual([]);
    expect(cluster.host('A').disk.term).toBe(1);
  });

  it('is counted anew when a voter is added: it has one time-out to answer', () => {
    const cluster = new Cluster({ voters: 'A', others: 'B' });
    cluster.start('A');
    cluster.run(0);
    cluster.propose('A', 'w', promote('B'));
    cluster.run(500);
    expect(cluster.role('A')).toBe('leader');
    cluster.run(60);
    expect(cluster.role('A')).toBe('follower');
  });
});

describe('a transfer', () => {
  it('goes to the best of the others that is connected and up to date', () => {
    const cluster = three();
    cluster.cut('AC', 'B');
    cluster.run(550);
    cluster.told();
    transfer(cluster, undefined);
    cluster.settle();
    expect(cluster.role('C')).toBe('leader');
    expect(cluster.effectsOf('A', 'done')).toEqual([{ type: 'done', id: 't', epoch: 4 }]);
  });

  it.each([
    ['to itself', 'A', 'CONFLICT'],
    ['to a member that does not vote', 'D', 'NOT_A_VOTER'],
    ['to a stranger', 'X', 'NOT_A_VOTER'],
  ])('is refused %s', (_, to, code) => {
    const cluster = three('D');
    transfer(cluster, to);
    expect(refusals(cluster)).toEqual([`t ${code}`]);
    expect(cluster.role('A')).toBe('leader');
  });

  it('is refused to a voter that is absent, or behind', () => {
    const cluster = three();
    cluster.cut('A', 'C');
    cluster.run(550);
    transfer(cluster, 'C');
    cluster.heal();
    cluster.cut('A', 'C');
    cluster.propose('A', 'w', admit('D'));
    cluster.settle();
    const { round } = cluster.state('A') as { readonly round: number };
    cluster.say('C', 'A', beatReply(1, round, { epoch: epoch(4) }));
    transfer(cluster, 'C', 'u');
    expect(refusals(cluster)).toEqual(['t PEER_UNREACHABLE', 'u PEER_UNREACHABLE']);
  });

  it('is refused while nobody can take the lead over', () => {
    const cluster = three();
    cluster.cut('A', 'BC');
    cluster.run(499);
    cluster.pass(30);
    transfer(cluster, undefined);
    expect(refusals(cluster)).toEqual(['t PEER_UNREACHABLE']);
  });

  it('of free will waits for the shortest term; one by force does not', () => {
    const cluster = three();
    transfer(cluster, 'B', 'early', false);
    expect(refusals(cluster)).toEqual(['early CONFLICT']);
    cluster.run(1_000);
    transfer(cluster, 'B', 'ripe', false);
    cluster.settle();
    expect(cluster.leaders()).toBe('A:B2 B:B2 C:B2');
  });

  it('that nobody takes up ends after one time-out, and the leader leads on', () => {
    const cluster = three();
    transfer(cluster, 'B');
    cluster.drop('A>B stand');
    transfer(cluster, 'C', 'second');
    cluster.input('A', { type: 'step-down', id: 'down' });
    expect(refusals(cluster)).toEqual(['second CONFLICT', 'down CONFLICT']);
    cluster.run(500);
    expect(refusals(cluster).slice(2)).toEqual(['t TIMEOUT']);
    expect(cluster.leaders()).toBe('A:A1 B:A1 C:A1');
  });

  it('opens no other epoch, which the next leader would lack', () => {
    const cluster = three();
    transfer(cluster, 'B');
    cluster.propose('A', 'w', admit('D'));
    expect(cluster.host('A').disk.accepted).toBeNull();
    cluster.settle();
    expect(refusals(cluster)).toEqual(['w NOT_LEADER']);
    expect(cluster.leaders()).toBe('A:B2 B:B2 C:B2');
  });

  it('that somebody else overtakes is refused', () => {
    const cluster = three();
    transfer(cluster, 'B');
    cluster.say('C', 'A', vote(2, { transfer: true }));
    expect(refusals(cluster)).toEqual(['t LEADERSHIP_LOST']);
    expect(cluster.role('A')).toBe('follower');
  });

  it('is refused by whoever does not lead, and by a lone voter', () => {
    const cluster = three();
    cluster.input('B', { type: 'transfer', id: 't', force: true });
    expect(refusals(cluster, 'B')).toEqual(['t NOT_LEADER']);
    const alone = new Cluster({ voters: 'A' });
    alone.start();
    alone.tick('A');
    transfer(alone, undefined);
    expect(refusals(alone)).toEqual(['t REFUSED_BY_POLICY']);
  });
});

describe('stepping down', () => {
  it('is refused by whoever does not lead, and by a lone voter', () => {
    const cluster = three();
    cluster.input('B', { type: 'step-down', id: 's' });
    expect(refusals(cluster, 'B')).toEqual(['s NOT_LEADER']);
    const alone = new Cluster({ voters: 'A' });
    alone.start();
    alone.tick('A');
    alone.input('A', { type: 'step-down', id: 's' });
    expect(refusals(alone)).toEqual(['s REFUSED_BY_POLICY']);
    expect(alone.role('A')).toBe('leader');
  });

  it('keeps this node from standing for two time-outs', () => {
    const cluster = three();
    cluster.input('A', { type: 'step-down', id: 's' });
    expect(wakeAt(cluster.state('A'))).toBe(cluster.now + 1_000);
  });
});

describe('a leader that loses its place', () => {
  it('answers everyone that waits: what is gathered, wished and handed over', () => {
    const cluster = three();
    cluster.propose('A', 'gathered', admit('D'));
    cluster.propose('A', 'wished', admit('E'));
    transfer(cluster, 'C');
    cluster.say('B', 'A', beatReply(9, 0));
    expect(refusals(cluster)).toEqual([
      'gathered LEADERSHIP_LOST',
      'wished NOT_LEADER',
      't LEADERSHIP_LOST',
    ]);
  });

  it('by a demotion of its own hands its wishes back', () => {
    const cluster = three();
    cluster.propose('A', 'one', demote('A'));
    cluster.propose('A', 'two', admit('E'));
    cluster.settle();
    expect(cluster.effectsOf('A', 'done')).toMatchObject([{ id: 'one', epoch: 5 }]);
    expect(refusals(cluster)).toEqual(['two NOT_LEADER']);
  });

  it('was in a term that no message of it leaves any more (E5)', () => {
    const cluster = three();
    cluster.say('B', 'A', beatReply(9, 0));
    cluster.mail.length = 0;
    cluster.link('A', 'B', true);
    cluster.pass(60);
    cluster.tick('A');
    const terms = cluster.mail.map(({ message }: { message: Message | null }) => message?.term);
    expect(terms).toEqual([]);
    expect(cluster.host('A').disk.term).toBe(term(9));
  });
});
