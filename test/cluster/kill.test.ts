/**
 * SIGKILL of the proposer, and of another party, before every step of key generation and of
 * signing, on real daemons. The steps are not listed here: a first run writes down what the node
 * does, and the loops go through all of it.
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cluster, projectRoot, type TestNode, until } from '../support/cluster.ts';

interface Key {
  keyId: string;
  name: string;
  status: string;
  sessionId: string;
}
interface Session {
  sessionId: string;
  kind: string;
  state: string;
}
interface Signed {
  signature: string;
}

const PRELOAD = `--import ${join(projectRoot, 'test/support/crash-at.mjs')}`;
const KEYGEN = ['--suite', 'ed25519', '--threshold', '2', '--parties', '3', '--timeout', '6s'];

let cluster: Cluster;
/** Which effects a node of each role performs, from a run without a kill. */
const steps = { keygen: { proposer: 0, party: 0 }, sign: { proposer: 0, party: 0 } };
let faults = 0;

beforeAll(async () => {
  cluster = await Cluster.start(3);
  const [asking, other] = [cluster.node(0), cluster.node(1)];
  for (const node of [asking, other]) await restart(node, { EFFECT_LOG: logOf(node) });
  await create(asking, 'main');
  await asking.json<Signed>(['sign', 'main', '--message', 'recorded']);
  await until('the other party has finished', () => count(other, 'sign') > 0);
  for (const kind of ['keygen', 'sign'] as const) {
    // Who of the others signs is decided anew each time: all the steps of the proposer are tried.
    steps[kind] = { proposer: count(asking, kind), party: count(asking, kind) };
  }
});
afterAll(async () => {
  console.log(JSON.stringify({ test: 'kill-at-every-step', faults, steps }));
  await cluster.stop();
});

const logOf = (node: TestNode): string => join(node.home, 'effects');

function count(node: TestNode, kind: string): number {
  if (!existsSync(logOf(node))) return 0;
  const lines = readFileSync(logOf(node), 'utf8').trim().split('\n');
  return lines.filter((line) => line.startsWith(`${kind} `)).length;
}

const create = (node: TestNode, name: string): Promise<Key> =>
  node.json<Key>(['key', 'create', name, ...KEYGEN]);

const armed = (node: TestNode): string => join(node.home, 'armed');

async function restart(node: TestNode, env: NodeJS.ProcessEnv): Promise<void> {
  await node.kill();
  rmSync(armed(node), { force: true });
  await node.start({ NODE_OPTIONS: PRELOAD, CRASH_ARMED: armed(node), ...env });
  await cluster.meshed();
  writeFileSync(armed(node), '');
}

/** Every node knows the key, or none does; those that know it hold their share. */
async function settled(name: string): Promise<'one' | 'none'> {
  return until(
    `${name} is settled`,
    async () => {
      const views = await Promise.all(
        cluster.nodes.map(async (node) => {
          const keys = await node.get<Key[]>('/v1/keys');
          const sessions = await node.get<Session[]>('/v1/sessions');
          const open = sessions.some((s) => s.kind === 'keygen' && !ENDED.has(s.state));
          return { key: keys.find((key) => key.name === name), open };
        }),
      );
      if (views.some(({ open, key }) => open || key?.status === 'pending')) return undefined;
      const statuses = views.map(({ key }) => key?.status ?? 'none');
      if (statuses.every((status) => status === 'none')) return 'none';
      if (statuses.every((status) => status === 'active')) return 'one';
      return undefined;
    },
    120_000,
  );
}
const ENDED = new Set(['completed', 'failed', 'expired', 'cancelled']);

describe.each(['proposer', 'party'] as const)('SIGKILL of the %s before every step', (role) => {
  const victim = (): TestNode => cluster.node(role === 'proposer' ? 0 : 1);

  it('S3: signing is finished by another driver', async () => {
    expect(steps.sign[role]).toBeGreaterThan(2);
    for (let step = 1; step <= steps.sign[role]; step++) {
      await restart(victim(), { CRASH_AT: `sign:${step}` });
      const message = ['--message', `${role} killed before step ${step}`];
      const asked = cluster.node(0).json<Signed>(['sign', 'main', ...message, '--timeout', '20s']);
      const outcome = await asked.catch((error: Error) => error);
      if (role === 'party') expect(outcome, `step ${step}`).not.toBeInstanceOf(Error);
      if (!victim().running) faults++;
      // Whoever is left has the same answer, and makes it if nobody was told before the kill.
      const second = await cluster.node(2).json<Signed>(['sign', 'main', ...message]);
      if (!(outcome instanceof Error)) expect(second.signature).toBe(outcome.signature);
      const valid = await cluster
        .node(2)
        .cli(['verify', 'main', ...message, '--signature', second.signature]);
      expect(valid.code, `step ${step}`).toBe(0);
    }
    await restart(victim(), {});
    await victim().json<Signed>(['sign', 'main', '--message', `${role} is back`]);
  });

  it('S1, K2, K4: key generation ends in one certificate or in none, no share is lost', async () => {
    expect(steps.keygen[role]).toBeGreaterThan(4);
    const outcomes = { one: 0, none: 0 };
    for (let step = 1; step <= steps.keygen[role]; step++) {
      const name = `${role}-${step}`;
      await restart(victim(), { CRASH_AT: `keygen:${step}` });
      const created = await create(cluster.node(0), name).catch(() => undefined);
      await until(`${name}: the kill`, () => !victim().running, 10_000).catch(() => undefined);
      if (!victim().running) faults++;
      await restart(victim(), {});
      const outcome = await settled(name);
      outcomes[outcome]++;
      if (created !== undefined) expect(outcome, name).toBe('one');
      if (outcome === 'one') {
        for (const i of [0, 1, 2]) {
          await cluster.node(i).json<Signed>(['sign', name, '--message', `${name} by ${i}`]);
        }
      }
    }
    console.log(JSON.stringify({ test: 'keygen-kills', role, ...outcomes }));
    expect(outcomes.none, 'an early kill ends it').toBeGreaterThan(0);
    expect(outcomes.one, 'a late kill does not').toBeGreaterThan(0);
  });
});
