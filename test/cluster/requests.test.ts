/** Requests at the edge: the same one twice, too few parties, nonsense. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cluster } from '../support/cluster.ts';
import { each } from '../support/records.ts';

interface Signed {
  signature: string;
  sessionId: string;
  address: string;
  cached: boolean;
}
interface Failed {
  error: { code: string; message: string; details?: Record<string, unknown> };
}

let cluster: Cluster;
beforeAll(async () => {
  cluster = await Cluster.start(3);
  await cluster.add('observer');
  await cluster.meshed();
  await cluster
    .node(0)
    .json(['key', 'create', 'main', '--suite', 'ed25519', '--threshold', '2', '--parties', '3']);
});
afterAll(() => cluster?.stop());

/** Sessions that a node began itself; those of others may come to be known at any time. */
async function ownSessions(i: number): Promise<number> {
  const { peerId } = cluster.node(i);
  const known = await cluster.node(i).json<{ initiator: string }[]>(['session', 'ls']);
  return known.filter(({ initiator }) => initiator === peerId).length;
}

const fails = async (args: readonly string[], node = 0): Promise<Failed & { exit: number }> => {
  const ran = await cluster.node(node).cli([...args, '--json']);
  const shown = ran.stdout.trim() === '' ? ran.stderr : ran.stdout;
  return { ...(JSON.parse(shown) as Failed), exit: ran.code ?? -1 };
};

describe('S6: the same request once', () => {
  it('two nodes ask at once: one result; a third asks later: answered without a session', async () => {
    for (let round = 0; round < 10; round++) {
      const ask = (i: number) =>
        cluster.node(i).json<Signed>(['sign', 'main', '--message', `same ${round}`]);
      const [a, b] = await Promise.all([ask(0), ask(1)]);
      expect(b.signature).toBe(a.signature);
      const third = await ask(2);
      expect(third).toMatchObject({ cached: true, signature: a.signature, address: a.address });
      expect(await ownSessions(2)).toBe(0);
    }
  });

  /** Results come to their places behind the answers, few at a time while a node signs. */
  it('an answer resolves on every host from the moment it is given', async () => {
    await each(Array.from({ length: 40 }), 4, async (_none, i) => {
      const message = Buffer.from(`at once ${i}`).toString('hex');
      const asked = cluster.node(i % 3);
      const { address } = await asked.post<Signed>('/v1/sign', { key: 'main', message });
      const query = new URLSearchParams({ address });
      for (const node of cluster.nodes) {
        const { pin } = await node.get<{ pin: string }>(`/v1/records/get?${query}`);
        expect(pin).toMatch(/^b/);
      }
    });
  });

  it('--fresh signs again', async () => {
    const first = await cluster.node(0).json<Signed>(['sign', 'main', '--message', 'f']);
    const fresh = await cluster.node(1).json<Signed>(['sign', 'main', '--message', 'f', '--fresh']);
    expect(fresh.cached).toBe(false);
    expect(fresh.sessionId).not.toBe(first.sessionId);
  });
});

describe('R36-R40: too few, or nonsense, fails fast and sends nothing', () => {
  it('names need and have by role, with exit code 5, and leaves no session', async () => {
    const before = await ownSessions(0);
    const failed = await fails([
      ...['key', 'create', 'big', '--suite', 'ed25519', '--threshold', '3', '--parties', '5'],
    ]);
    expect(failed.exit).toBe(5);
    expect(failed.error.code).toBe('INSUFFICIENT_PERSISTENT_PARTIES');
    expect(failed.error.details).toMatchObject({ need: 5, have: 3 });
    expect(await ownSessions(0)).toBe(before);
    for (const i of [1, 2]) {
      const keys = await cluster.node(i).json<{ name: string }[]>(['session', 'ls']);
      expect(JSON.stringify(keys)).not.toContain('big');
    }
  });

  const create = ['key', 'create', 'odd', '--suite', 'ed25519'];
  it.each([
    ['t > n', ['--threshold', '4', '--parties', '3'], 2],
    ['t < 2', ['--threshold', '1', '--parties', '3'], 2],
    ['zero', ['--threshold', '0', '--parties', '3'], 2],
    ['negative', ['--threshold=-2', '--parties', '3'], 2],
    ['zero count', ['--threshold', '2', '--parties', '3', '--role', 'persistent=0'], 2],
    ['negative count', ['--threshold', '2', '--parties', '3', '--role', 'persistent=-3'], 2],
    ['wrong sum', ['--threshold', '2', '--parties', '3', '--role', 'persistent=2'], 2],
    ['unknown role', ['--threshold', '2', '--parties', '3', '--role', 'boss=3'], 2],
    ['not yet', ['--threshold', '2', '--parties', '3', '--role', 'delegate=3'], 2],
    ['fraction', ['--threshold', '2.5', '--parties', '3'], 2],
    ['unknown suite', ['--suite', 'rsa', '--threshold', '2', '--parties', '3'], 2],
  ])('%s is refused', async (_what, args, code) => {
    const before = await ownSessions(0);
    const failed = await fails([...create, ...args]);
    expect(failed.exit).toBe(code);
    expect(failed.error.message.length).toBeGreaterThan(10);
    expect(await ownSessions(0)).toBe(before);
  });

  it('a message over 1 MiB is refused with the advice to sign a digest', async () => {
    const ran = await cluster
      .node(0)
      .cli(['sign', 'main', '-', '--json'], new Uint8Array(1_048_577));
    expect(ran.code).toBe(2);
    expect(ran.stdout + ran.stderr).toMatch(/TOO_LARGE[\s\S]*digest/);
  });

  it('two of three can sign; one alone ends with a reason and exit code 5 or 6', async () => {
    await cluster.node(2).kill();
    await cluster.node(0).json(['sign', 'main', '--message', 'two are enough']);
    await cluster.node(1).kill();
    const alone = await fails(['sign', 'main', '--message', 'alone', '--timeout', '3s']);
    expect([5, 6]).toContain(alone.exit);
    await Promise.all([cluster.node(1).start(), cluster.node(2).start()]);
    await cluster.meshed();
    const again = await cluster.node(2).json<Signed>(['sign', 'main', '--message', 'alone']);
    expect(again.signature).toHaveLength(128);
  });
});
