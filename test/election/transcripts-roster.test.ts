/**
 * How the roster grows and shrinks, as it reads from outside, and what becomes of a change when its
 * leader dies. How to read a line: story.ts.
 */
import { describe, expect, it } from 'vitest';
import { Cluster } from './harness.ts';
import { admit, demote, promote, remove } from './letters.ts';
import { story } from './story.ts';

describe('a roster change', () => {
  it('is certified by the signatures of a majority', () => {
    const cluster = new Cluster({ voters: 'ABC' });
    cluster.elect('A');
    cluster.propose('A', 'w', admit('D'));
    cluster.settle();
    expect(cluster.told()).toEqual(story`
      A: keeps 1 for A, +D @5 in 1
      A -> B: propose 1 +D @5
      B: keeps 1 for A, +D @5 in 1
      A -> C: propose 1 +D @5
      C: keeps 1 for A, +D @5 in 1
      B -> A: propose-reply 1 signed
      A: appends +D @5 in 1 by A,B
      A: done w @5
      C -> A: propose-reply 1 signed
      A -> B: entry 1 +D @5 in 1 by A,B
      B: appends +D @5 in 1 by A,B
      A -> C: entry 1 +D @5 in 1 by A,B
      C: appends +D @5 in 1 by A,B
    `);
  });

  it('waits until a majority stands on the one before (Schultz et al. 2021, §3)', () => {
    const cluster = new Cluster({ voters: 'ABC' });
    cluster.elect('A');
    cluster.propose('A', 'one', admit('D'));
    cluster.propose('A', 'two', admit('E'));
    cluster.deliver('A>B propose');
    cluster.deliver('B>A');
    expect(cluster.told()).toEqual(story`
      A: keeps 1 for A, +D @5 in 1
      A -> B: propose 1 +D @5
      B: keeps 1 for A, +D @5 in 1
      B -> A: propose-reply 1 signed
      A: appends +D @5 in 1 by A,B
      A: done one @5
    `);
    cluster.tellBeats = true;
    cluster.deliverAll('A>B entry');
    cluster.deliver('A>B beat');
    cluster.deliver('B>A beat-reply');
    expect(cluster.told()).toEqual(story`
      A -> B: entry 1 +D @5 in 1 by A,B
      B: appends +D @5 in 1 by A,B
      A -> B: beat 1 #3 @5
      B -> A: beat-reply 1 #3 @5
      A: keeps 1 for A, +E @6 in 1
    `);
  });

  it('signed by a minority is forgotten with its leader', () => {
    const cluster = new Cluster({ voters: 'ABC' });
    cluster.elect('A');
    cluster.propose('A', 'w', admit('D'));
    cluster.kill('A');
    cluster.drop('A>*');
    cluster.close('A');
    cluster.run(10);
    cluster.told();
    cluster.propose('B', 'x', admit('E'));
    cluster.settle();
    expect(cluster.told()).toEqual(story`
      B: keeps 2 for B, +E @5 in 2
      B -> C: propose 2 +E @5
      C: keeps 2 for B, +E @5 in 2
      C -> B: propose-reply 2 signed
      B: appends +E @5 in 2 by B,C
      B: done x @5
      B -> C: entry 2 +E @5 in 2 by B,C
      C: appends +E @5 in 2 by B,C
    `);
    cluster.start('A');
    cluster.connect('A', 'B');
    cluster.settle();
    expect(cluster.told()).toEqual(story`
      A <- B: roster @5
      A: keeps 2 for nobody, +D @5 in 1
      B -> A: beat 2 #2 @5
      A: leader B in 2 (start)
    `);
    expect(cluster.epochs()).toBe('A5 B5 C5');
  });

  it('signed by a majority is certified by the next leader', () => {
    const cluster = new Cluster({ voters: 'ABC' });
    cluster.elect('A');
    cluster.host('A').diesBefore = 'append';
    cluster.propose('A', 'w', admit('D'));
    cluster.settle();
    expect(cluster.told()).toEqual(story`
      A: keeps 1 for A, +D @5 in 1
      A -> B: propose 1 +D @5
      B: keeps 1 for A, +D @5 in 1
      A -> C: propose 1 +D @5
      C: keeps 1 for A, +D @5 in 1
      B -> A: propose-reply 1 signed
      A: dies
      C -x A: propose-reply 1 signed
    `);
    cluster.close('A');
    cluster.run(10);
    expect(cluster.told()).toEqual(story`
      B: leader none (closed)
      C: leader none (closed)
      B -> C: pre-vote 2 @4
      C -> B: pre-vote-reply 2 yes
      B: keeps 2 for B, +D @5 in 1
      B -> C: vote 2 @4
      C: keeps 2 for B, +D @5 in 1
      C -> B: vote-reply 2 yes, +D @5 in 1
      B: elected 2 @4 by B,C (closed)
      B: leader B in 2 (closed)
      B: keeps 2 for B, +D @5 in 2
      B -> C: beat 2 #1 @4
      C: leader B in 2 (closed)
      B -> C: propose 2 +D @5
      C: keeps 2 for B, +D @5 in 2
      C -> B: propose-reply 2 signed
      B: appends +D @5 in 2 by B,C
      B -> C: entry 2 +D @5 in 2 by B,C
      C: appends +D @5 in 2 by B,C
    `);
  });

  it('that only its dead leader has is made again, and is the same entry (E8)', () => {
    const cluster = new Cluster({ voters: 'ABC' });
    cluster.elect('A');
    cluster.host('A').diesBefore = 'offer';
    cluster.propose('A', 'w', admit('D'));
    cluster.settle();
    cluster.close('A');
    cluster.run(10);
    // Other signatures under another ballot, but the same body: one hash.
    expect(cluster.told().slice(-6)).toEqual(story`
      B -> C: propose 2 +D @5
      C: keeps 2 for B, +D @5 in 2
      C -> B: propose-reply 2 signed
      B: appends +D @5 in 2 by B,C
      B -> C: entry 2 +D @5 in 2 by B,C
      C: appends +D @5 in 2 by B,C
    `);
    expect(cluster.epochs()).toBe('A5 B5 C5');
    expect(cluster.host('B').chain.hash).toEqual(cluster.host('A').chain.hash);
    cluster.start('A');
    cluster.connect('A', 'B');
    cluster.settle();
    expect(cluster.told()).toEqual(story`
      B -> A: beat 2 #2 @5
      A: keeps 2 for nobody, +D @5 in 1
      A: leader B in 2 (start)
    `);
  });

  it('takes one voter to two, and to three', () => {
    const cluster = new Cluster({ voters: 'A', others: 'BC' });
    cluster.start();
    cluster.run(0);
    cluster.told();
    cluster.propose('A', 'two', promote('B'));
    expect(cluster.told()).toEqual(story`
      A: keeps 1 for A, ^B @3 in 1
      A: appends ^B @3 in 1 by A
      A: done two @3
    `);
    cluster.settle();
    cluster.told();
    cluster.propose('A', 'three', promote('C'));
    cluster.settle();
    expect(cluster.told()).toEqual(story`
      A: keeps 1 for A, ^C @4 in 1
      A -> B: propose 1 ^C @4
      B: keeps 1 for nobody, ^C @4 in 1
      B -> A: propose-reply 1 signed
      A: appends ^C @4 in 1 by A,B
      A: done three @4
      A -> B: entry 1 ^C @4 in 1 by A,B
      B: appends ^C @4 in 1 by A,B
      A -> C: entry 1 ^C @4 in 1 by A,B
      C: appends ^C @4 in 1 by A,B
    `);
    expect(cluster.epochs()).toBe('A4 B4 C4');
  });

  it('removes a dead leader under the next one', () => {
    const cluster = new Cluster({ voters: 'ABC' });
    cluster.elect('A');
    cluster.kill('A');
    cluster.close('A');
    cluster.run(10);
    cluster.told();
    cluster.propose('B', 'w', remove('A'));
    cluster.settle();
    expect(cluster.told()).toEqual(story`
      B: keeps 2 for B, -A @5 in 2
      B -> C: propose 2 -A @5
      C: keeps 2 for B, -A @5 in 2
      C -> B: propose-reply 2 signed
      B: appends -A @5 in 2 by B,C
      B: done w @5
      B -> C: entry 2 -A @5 in 2 by B,C
      C: appends -A @5 in 2 by B,C
    `);
    cluster.start('A');
    cluster.connect('A', 'B');
    cluster.run(5_000);
    expect(cluster.told()).toEqual(story`
      A <- B: roster @5
      A: keeps 2 for nobody
    `);
    expect(cluster.role('A')).toBe('follower');
  });

  it('demotes its own leader, which leads until it is certified', () => {
    const cluster = new Cluster({ voters: 'ABC' });
    cluster.elect('A');
    cluster.propose('A', 'w', demote('A'));
    cluster.settle();
    expect(cluster.told()).toEqual(story`
      A: keeps 1 for A, vA @5 in 1
      A -> B: propose 1 vA @5
      B: keeps 1 for A, vA @5 in 1
      A -> C: propose 1 vA @5
      C: keeps 1 for A, vA @5 in 1
      B -> A: propose-reply 1 signed
      A: appends vA @5 in 1 by A,B
      A: done w @5
      A: deposed 1 (quorum)
      A: leader none (quorum)
      C -> A: propose-reply 1 signed
      A -> B: entry 1 vA @5 in 1 by A,B
      B: appends vA @5 in 1 by A,B
      B: leader none (quorum)
      A -> C: entry 1 vA @5 in 1 by A,B
      C: appends vA @5 in 1 by A,B
      C: leader none (quorum)
    `);
    cluster.run(200);
    expect(cluster.told()).toEqual(story`
      B -> C: pre-vote 2 @5
      C -> B: pre-vote-reply 2 yes
      B: keeps 2 for B, vA @5 in 1
      B -> C: vote 2 @5
      C: keeps 2 for B, vA @5 in 1
      C -> B: vote-reply 2 yes, vA @5 in 1
      B: elected 2 @5 by B,C (quorum)
      B: leader B in 2 (quorum)
      B -> A: beat 2 #1 @5
      A: keeps 2 for nobody, vA @5 in 1
      A: leader B in 2 (quorum)
      B -> C: beat 2 #1 @5
      C: leader B in 2 (quorum)
    `);
  });

  it('is signed by a voter that lags only after it has caught up', () => {
    const cluster = new Cluster({ voters: 'ABC' });
    cluster.elect('A');
    cluster.cut('AB', 'C');
    cluster.propose('A', 'one', admit('D'));
    cluster.run(50);
    cluster.heal();
    cluster.cut('AC', 'B');
    cluster.told();
    cluster.propose('A', 'two', admit('E'));
    cluster.settle();
    expect(cluster.told()).toEqual(story`
      A: keeps 1 for A, +E @6 in 1
      A -> C: propose 1 +E @6
      C: ignores propose of A: epoch 6 after 4
      C -> A: propose-reply 1 no
    `);
    cluster.run(100);
    expect(cluster.told()).toEqual(story`
      A -> C: propose 1 +E @6
      C: ignores propose of A: epoch 6 after 4
      C -> A: propose-reply 1 no
      A -> C: entry 1 +D @5 in 1 by A,B
      C: appends +D @5 in 1 by A,B
      A -> C: propose 1 +E @6
      C: keeps 1 for A, +E @6 in 1
      C -> A: propose-reply 1 signed
      A: appends +E @6 in 1 by A,C
      A: done two @6
      A -> C: entry 1 +E @6 in 1 by A,C
      C: appends +E @6 in 1 by A,C
    `);
    expect(cluster.epochs()).toBe('A6 B5 C6');
  });
});
