/** A host that stands in vain: its roster may name voters that are none any more; standing.ts. */
import { expect, it } from 'vitest';
import { Cluster } from './harness.ts';

it('compares rosters with one member after the other, but not before it has tried often', () => {
  const cluster = new Cluster({ voters: 'AB', others: 'CD' });
  cluster.start();
  const asked: (readonly string[])[] = [];
  for (let round = 0; round < 8; round++) {
    cluster.pass(700);
    cluster.mail.length = 0;
    cluster.tick('A');
    asked.push(cluster.mail.flatMap(({ to, message }) => (message === null ? [to] : [])));
  }
  expect(asked.slice(0, 3).flat()).toEqual([]);
  expect(asked.slice(3).every((lines) => lines.length === 1)).toBe(true);
  // Also members that do not vote: after a change of voters one of them may be all that is left.
  expect([...new Set(asked.flat())].sort()).toEqual(['B', 'C', 'D']);
});
