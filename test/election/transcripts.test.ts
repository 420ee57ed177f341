/**
 * The protocol as it reads from outside. Hosts are A, B, C...; the first in the alphabet ranks
 * first. How to read a line: story.ts.
 */
import { describe, expect, it } from 'vitest';
import { Cluster } from './harness.ts';
import { admit, peer } from './letters.ts';
import { story } from './story.ts';

describe('an election', () => {
  it('of a founder alone is over at once', () => {
    const cluster = new Cluster({ voters: 'A' });
    cluster.start();
    cluster.tick('A');
    expect(cluster.told()).toEqual(story`
      A: keeps 1 for A
      A: elected 1 @0 by A (start)
      A: leader A in 1 (start)
    `);
  });

  it('of three that start together is won by the first in rank, in one round', () => {
    const cluster = new Cluster({ voters: 'ABC' });
    cluster.start();
    cluster.run(600);
    expect(cluster.told()).toEqual(story`
      A -> B: pre-vote 1 @4
      A -> C: pre-vote 1 @4
      B -> A: pre-vote-reply 1 yes
      A: keeps 1 for A
      C -> A: pre-vote-reply 1 yes
      A -> B: vote 1 @4
      B: keeps 1 for A
      A -> C: vote 1 @4
      C: keeps 1 for A
      B -> A: vote-reply 1 yes
      A: elected 1 @4 by A,B (start)
      A: leader A in 1 (start)
      C -> A: vote-reply 1 yes
      A -> B: beat 1 #1 @4
      B: leader A in 1 (start)
      A -> C: beat 1 #1 @4
      C: leader A in 1 (start)
    `);
    expect(cluster.leaders()).toBe('A:A1 B:A1 C:A1');
  });

  it("begins at once when the leader's connection closes, the next in rank first", () => {
    const cluster = new Cluster({ voters: 'ABC' });
    cluster.elect('A');
    cluster.kill('A');
    cluster.close('A');
    cluster.run(10);
    expect(cluster.told()).toEqual(story`
      B: leader none (closed)
      C: leader none (closed)
      B -> C: pre-vote 2 @4
      C -> B: pre-vote-reply 2 yes
      B: keeps 2 for B
      B -> C: vote 2 @4
      C: keeps 2 for B
      C -> B: vote-reply 2 yes
      B: elected 2 @4 by B,C (closed)
      B: leader B in 2 (closed)
      B -> C: beat 2 #1 @4
      C: leader B in 2 (closed)
    `);
  });

  it('waits for the second in rank when the first is gone as well', () => {
    const cluster = new Cluster({ voters: 'ABCDE' });
    cluster.elect('A');
    for (const name of 'AB') cluster.kill(name);
    cluster.close('A');
    cluster.run(99);
    cluster.told();
    cluster.run(2);
    expect(cluster.told()).toEqual(story`
      C -> D: pre-vote 2 @8
      C -> E: pre-vote 2 @8
      D -> C: pre-vote-reply 2 yes
      E -> C: pre-vote-reply 2 yes
      C: keeps 2 for C
      C -> D: vote 2 @8
      D: keeps 2 for C
      C -> E: vote 2 @8
      E: keeps 2 for C
      D -> C: vote-reply 2 yes
      E -> C: vote-reply 2 yes
      C: elected 2 @8 by C,D,E (closed)
      C: leader C in 2 (closed)
      C -> D: beat 2 #1 @8
      D: leader C in 2 (closed)
      C -> E: beat 2 #1 @8
      E: leader C in 2 (closed)
    `);
    expect(cluster.role('C')).toBe('leader');
  });

  it('begins after one time-out when the leader falls silent', () => {
    const cluster = new Cluster({ voters: 'ABC' });
    cluster.elect('A');
    cluster.cut('A', 'BC');
    cluster.run(499);
    expect(cluster.told()).toEqual(story`
    `);
    cluster.run(60);
    expect(cluster.told()).toEqual(story`
      B: leader none (timeout)
      B -> C: pre-vote 2 @4
      C -> B: pre-vote-reply 2 yes
      B: keeps 2 for B
      B -> C: vote 2 @4
      C: keeps 2 for B
      C -> B: vote-reply 2 yes
      B: elected 2 @4 by B,C (timeout)
      B: leader B in 2 (timeout)
      B -> C: beat 2 #1 @4
      C: leader B in 2 (start)
      A: deposed 1 (quorum)
      A: leader none (quorum)
    `);
  });

  it('that splits is repeated in the next term', () => {
    const cluster = new Cluster({ voters: 'ABC' });
    cluster.start();
    cluster.pass(700);
    // A and B both have the word of C before they hear of each other.
    cluster.tick('A');
    cluster.tick('B');
    cluster.deliver('A>C pre-vote');
    cluster.deliver('B>C pre-vote');
    cluster.deliver('C>A');
    cluster.deliver('C>B');
    cluster.kill('C');
    cluster.settle();
    expect(cluster.told()).toEqual(story`
      A -> C: pre-vote 1 @4
      B -> C: pre-vote 1 @4
      C -> A: pre-vote-reply 1 yes
      A: keeps 1 for A
      C -> B: pre-vote-reply 1 yes
      B: keeps 1 for B
      A -x C: vote 1 @4
      B -x C: vote 1 @4
      A -> B: pre-vote 1 @4
      B -> A: pre-vote 1 @4
      A -> B: vote 1 @4
      B -> A: vote 1 @4
      B -> A: pre-vote-reply 1 term
      A -> B: pre-vote-reply 1 term
      B -> A: vote-reply 1 term
      A -> B: vote-reply 1 term
    `);
    cluster.run(300);
    expect(cluster.told()).toEqual(story`
      A -> B: pre-vote 2 @4
      B -> A: pre-vote-reply 1 led
      A -> B: pre-vote 2 @4
      B -> A: pre-vote-reply 1 led
      B -> A: pre-vote 2 @4
      A -> B: pre-vote-reply 2 yes
      B: keeps 2 for B
      B -> A: vote 2 @4
      A: keeps 2 for B
      A -> B: vote-reply 2 yes
      B: elected 2 @4 by B,A (start)
      B: leader B in 2 (start)
      B -> A: beat 2 #1 @4
      A: leader B in 2 (start)
    `);
  });
});

describe('pre-vote (Ongaro 2014, §9.6)', () => {
  it('is refused by a voter that has its leader, and changes no term', () => {
    const cluster = new Cluster({ voters: 'ABC' });
    cluster.elect('A');
    cluster.cut('A', 'C');
    cluster.run(610);
    expect(cluster.told().slice(0, 3)).toEqual(story`
      C: leader none (timeout)
      C -> B: pre-vote 2 @4
      B -> C: pre-vote-reply 1 led
    `);
    expect(cluster.host('C').disk.term).toBe(1);
    expect(cluster.role('A')).toBe('leader');
  });

  it('keeps a voter that was cut off from deposing anybody when it is back', () => {
    const cluster = new Cluster({ voters: 'ABC' });
    cluster.elect('A');
    cluster.cut('AB', 'C');
    cluster.run(10_000);
    cluster.told();
    cluster.heal();
    cluster.run(1_000);
    expect(cluster.told().slice(-1)).toEqual(story`
      C: leader A in 1 (timeout)
    `);
    expect(cluster.leaders()).toBe('A:A1 B:A1 C:A1');
    expect(cluster.host('C').disk.term).toBe(1);
  });
});

describe('a leader goes', () => {
  it('by transfer: the next one is asked to stand, and need not wait for a time-out', () => {
    const cluster = new Cluster({ voters: 'ABC' });
    cluster.elect('A');
    cluster.input('A', { type: 'transfer', id: 't', to: peer('C'), force: true });
    cluster.settle();
    expect(cluster.told()).toEqual(story`
      A -> C: stand 1
      C: leader none (transfer)
      C: keeps 2 for C
      C -> A: vote 2 @4, handed over
      A: done t @4
      A: deposed 1 (transfer)
      A: leader none (transfer)
      A: keeps 2 for C
      C -> B: vote 2 @4, handed over
      B: keeps 2 for C
      A -> C: vote-reply 2 yes
      C: elected 2 @4 by C,A (transfer)
      C: leader C in 2 (transfer)
      B -> C: vote-reply 2 yes
      C -> A: beat 2 #1 @4
      A: leader C in 2 (transfer)
      C -> B: beat 2 #1 @4
      B: leader C in 2 (start)
    `);
  });

  it('by stepping down: the others miss its beats, and it stands last', () => {
    const cluster = new Cluster({ voters: 'ABC' });
    cluster.elect('A');
    cluster.input('A', { type: 'step-down', id: 's' });
    expect(cluster.told()).toEqual(story`
      A: deposed 1 (manual)
      A: leader none (manual)
      A: done s @4
    `);
    cluster.run(700);
    expect(cluster.told()).toEqual(story`
      B: leader none (timeout)
      B -> A: pre-vote 2 @4
      B -> C: pre-vote 2 @4
      A -> B: pre-vote-reply 2 yes
      B: keeps 2 for B
      C -> B: pre-vote-reply 2 yes
      B -> A: vote 2 @4
      A: keeps 2 for B
      B -> C: vote 2 @4
      C: keeps 2 for B
      A -> B: vote-reply 2 yes
      B: elected 2 @4 by B,A (timeout)
      B: leader B in 2 (timeout)
      C -> B: vote-reply 2 yes
      B -> A: beat 2 #1 @4
      A: leader B in 2 (manual)
      B -> C: beat 2 #1 @4
      C: leader B in 2 (start)
    `);
  });

  it('for one time-out without a majority (E4)', () => {
    const cluster = new Cluster({ voters: 'ABC' });
    cluster.elect('A');
    cluster.cut('A', 'BC');
    cluster.kill('B');
    cluster.run(560);
    expect(cluster.told()).toEqual(story`
      A: deposed 1 (quorum)
      A: leader none (quorum)
    `);
  });

  it('when it wakes: whatever it asks for, the others refuse (E5)', () => {
    const cluster = new Cluster({ voters: 'ABC' });
    cluster.elect('A');
    cluster.pause('A');
    cluster.run(600);
    expect(cluster.leaders()).toBe('A:A1 B:B2 C:B2');
    cluster.told();
    cluster.drop('B>A');
    cluster.wake('A');
    // It does not know yet that time has passed.
    cluster.propose('A', 'w', admit('D'));
    cluster.settle();
    expect(cluster.told()).toEqual(story`
      B -x A: pre-vote 2 @4
      B -x A: vote 2 @4
      A: keeps 1 for A, +D @5 in 1
      A -> B: propose 1 +D @5
      B: ignores propose of A: term 1 after 2
      A -> C: propose 1 +D @5
      C: ignores propose of A: term 1 after 2
      B -> A: propose-reply 2 no
      A: refused w LEADERSHIP_LOST
      A: deposed 1 (split-brain)
      A: leader none (split-brain)
      A: keeps 2 for nobody, +D @5 in 1
      C -> A: propose-reply 2 no
    `);
  });
});
