/** Where everything takes long, a session that takes as long as the others is no event. */
import { afterEach, expect, it } from 'vitest';
import { utf8Bytes } from '../../../src/base/bytes.ts';
import { forever, keyEverywhere, TestCluster, until } from './cluster.ts';

let cluster: TestCluster;
afterEach(() => cluster.stop());

/** One signature: look-ups in the network, and who told of its beginning while it ran. */
async function signOnce(text: string): Promise<{ readonly sought: number; readonly told: number }> {
  const asked = cluster.node(0).party;
  const before = cluster.records.sought.length;
  const request = { key: 'release', message: utf8Bytes(text), fresh: false };
  const { sessionId } = await asked.sign(request, forever());
  const { party } = cluster.node(1);
  const seen = () => party.sessions().find((one) => one.sessionId === sessionId)?.events ?? [];
  // The proposer tells of the end in any case, behind what was told before.
  await until('the end is told', () => seen().some(({ kind }) => kind === 'completed'));
  return {
    sought: cluster.records.sought.length - before,
    told: seen().filter(({ kind }) => kind === 'joined').length,
  };
}

it('tell and look for nothing once they know how long a signature takes', async () => {
  cluster = await TestCluster.start(3);
  const key = { name: 'release', suite: 'ed25519', threshold: 2, parties: 3 };
  await cluster.node(0).party.createKey(key, forever());
  await keyEverywhere(cluster);
  await signOnce('fast');
  cluster.net.delayMs = 180;
  const first = await signOnce('slow at once');
  expect(first.sought).toBe(1);
  expect(first.told).toBeGreaterThan(0);
  // Each host learns from the sessions in which it signs.
  for (let i = 0; i < 4; i++) await signOnce(`slow ${i}`);
  expect(await signOnce('slow still')).toEqual({ sought: 0, told: 0 });
});
