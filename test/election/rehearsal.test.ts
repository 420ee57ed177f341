/** Rehearsed failovers: played to their end, in small pieces, and ended with the node. */
import { expect, it } from 'vitest';
import { rehearse } from '../../src/election/rehearsal.ts';
import { systemRandom } from '../../src/node/system.ts';

/** The least that one take needs: two rounds of votes and two entries among two that are there. */
const INPUTS = 15;

it('plays as many failovers as it is told, a turn of the event loop between two inputs', async () => {
  const turnsFor = async (takes: number): Promise<number> => {
    let turns = 0;
    const nextTurn = async () => void turns++;
    await rehearse(takes, { random: systemRandom, nextTurn, isOver: () => false });
    return turns;
  };
  expect(await turnsFor(0)).toBe(0);
  const one = await turnsFor(1);
  expect(one).toBeGreaterThan(INPUTS);
  expect(await turnsFor(5)).toBeGreaterThan(one + 4 * INPUTS);
});

it('ends in the middle when the node stops', async () => {
  let turns = 0;
  const nextTurn = async () => void turns++;
  await rehearse(100, { random: systemRandom, nextTurn, isOver: () => turns >= 7 });
  expect(turns).toBe(7);
});
