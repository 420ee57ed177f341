/** What may change: a majority of the home is asked, the newest wins, the stale are repaired. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nearest } from '../../src/dht/homes.ts';
import type { NetworkEvent } from '../../src/dht/kad.ts';
import { steadyClock } from '../support/steady-clock.ts';
import {
  answer,
  cluster,
  content,
  type Node,
  onDisk,
  plant,
  RULES,
  seqOf,
  sequence,
  stopAll,
  until,
} from './support.ts';

const QUICK = { timeoutMs: 1_500, requestMs: 400, graceMs: 100, republishSoonMs: 600_000 };
let nodes: readonly Node[];
beforeAll(async () => {
  nodes = await cluster(7, { replication: 3, ...QUICK });
});
afterAll(stopAll);

/** The three that should hold it, nearest first, and the others. */
function around(suffix: string): { home: Node[]; far: Node[]; key: Uint8Array } {
  const key = RULES.key('n', suffix);
  const order = nearest(
    key,
    nodes.map(({ id }) => id),
  );
  const all = order.map((id) => nodes.find((node) => node.id === id)!);
  return { home: all.slice(0, 3), far: all.slice(3), key };
}

/** Puts the handlers of a node out of action for the length of `work`. */
async function silent<T>(who: readonly Node[], work: () => Promise<T>): Promise<T> {
  const restore = who.flatMap((node) =>
    (['GET_VALUE', 'PUT_VALUE'] as const).map((type) =>
      answer(node, type, () => new Promise(() => {})),
    ),
  );
  try {
    return await work();
  } finally {
    for (const undo of restore) undo();
  }
}

describe('a head', () => {
  it('written far from its home stands there, and nowhere else', async () => {
    const { home, far, key } = around('placed');
    const outcome = await far[3]!.store.put('n', 'placed', sequence('placed', 1));
    expect(outcome).toMatchObject({ ack: 'quorum', pending: 0 });
    expect([...outcome.holders].sort()).toEqual(home.map(({ id }) => id).sort());
    for (const node of far) expect(await onDisk(node, key)).toBeUndefined();
  });

  it('is the newest that any majority of its home took', async () => {
    // Each pair of home members is a majority of three; each other pair meets it.
    for (const [i, pair] of [
      [0, 1],
      [0, 2],
      [1, 2],
    ].entries()) {
      const suffix = `newest-${i}`;
      const { home, far, key } = around(suffix);
      for (const node of home) await plant(node, key, sequence(suffix, 1));
      for (const n of pair) await plant(home[n]!, key, sequence(suffix, 9));
      for (const away of home) {
        const found = await silent([away], () => far[0]!.store.get('n', suffix, { merge: true }));
        expect(found?.majority).toBe(true);
        expect(found && seqOf(found.value)).toBe(9);
      }
    }
  });

  it('does not pass for the newest when no majority of its home answered', async () => {
    const { home, far, key } = around('split');
    await plant(home[0]!, key, sequence('split', 1));
    for (const node of home.slice(1)) await plant(node, key, sequence('split', 2));
    const [, ...away] = home;
    const found = await silent(away, () => far[0]!.store.get('n', 'split', { merge: true }));
    // Others than the home answered, more than a majority is: they prove nothing.
    expect(found).toMatchObject({ majority: false });
    expect(found && seqOf(found.value)).toBe(1);
  });

  it('is repaired at stale holders behind the answer', async () => {
    const { home, far, key } = around('stale');
    for (const node of home.slice(0, 2)) await plant(node, key, sequence('stale', 1));
    await plant(home[2]!, key, sequence('stale', 7));
    const reader = far[1]!;
    await reader.store.start();
    const found = await reader.store.get('n', 'stale', { merge: true, timeoutMs: 30_000 });
    expect(found && seqOf(found.value)).toBe(7);
    await until(async () => {
      const held = await Promise.all(home.map((node) => onDisk(node, key)));
      return held.every((value) => value !== undefined && seqOf(value) === 7);
    });
    await reader.store.stop();
  });

  it('is the first valid copy when that is asked for, however many are silent', async () => {
    const { home, far, key } = around('fast');
    await plant(home[2]!, key, sequence('fast', 3));
    const started = steadyClock.now();
    const found = await silent(home.slice(0, 2), () => far[2]!.store.get('n', 'fast'));
    expect(found).toEqual({ value: sequence('fast', 3), source: 'dht', holders: [home[2]!.id] });
    expect(steadyClock.now() - started).toBeLessThan(QUICK.requestMs);
  });
});

describe('the network', () => {
  const listen = (node: Node): { events: NetworkEvent[]; end: () => void } => {
    const events: NetworkEvent[] = [];
    return { events, end: node.store.onNetwork((event) => events.push(event)) };
  };

  it('is reported good after puts, reads, plain misses and probes that it answered', async () => {
    const { events, end } = listen(nodes[0]!);
    const { suffix, value } = content('reported');
    await nodes[0]!.store.put('c', suffix, value);
    await nodes[0]!.store.get('c', content('missed').suffix);
    await nodes[0]!.store.get('u', 'missed', { merge: true });
    await nodes[0]!.store.probe();
    expect(events.map(({ ok }) => ok)).toEqual([true, true, true, true]);
    // Answered from the own disk, or put off: the network was not needed.
    await nodes[0]!.store.put('u', 'later', Uint8Array.of(1), { background: true });
    await nodes[0]!.store.get('u', 'later');
    await nodes[0]!.store.get('u', 'later', { localOnly: true });
    expect(events).toHaveLength(4);
    end();
    await nodes[0]!.store.probe();
    expect(events).toHaveLength(4);
  });

  it('is reported bad, with the reason, after calls that it did not answer', async () => {
    const [self, ...others] = nodes;
    const { events, end } = listen(self!);
    await silent(others, async () => {
      await self!.store.put('n', 'nobody', sequence('nobody', 1));
      await self!.store.get('n', 'nobody', { merge: true });
      await self!.store.get('c', content('nobody').suffix);
      await self!.store.probe();
    });
    end();
    expect(events.map(({ ok }) => ok)).toEqual([false, false, false, false]);
    expect(events.map(({ reason }) => reason)).toEqual([
      'nobody answered a write',
      'nobody answered a read',
      'nobody answered a read',
      'nobody answered a write',
    ]);
    expect(events.every(({ ms }) => ms > 100)).toBe(true);
  });

  it('is reported good as long as anybody answers', async () => {
    const [self, one, ...others] = nodes;
    expect(one).toBeDefined();
    const { events, end } = listen(self!);
    await silent(others, async () => {
      await self!.store.put('n', 'somebody', sequence('somebody', 1));
      await self!.store.get('n', 'somebody', { merge: true });
      await self!.store.probe();
    });
    end();
    expect(events.map(({ ok }) => ok)).toContain(true);
  });

  it('of a cluster of one is not there to be reported', async () => {
    const [alone] = await cluster(1);
    const { events } = listen(alone!);
    await alone!.store.put('u', 'alone', Uint8Array.of(1));
    await alone!.store.get('c', content('missed').suffix);
    await alone!.store.probe();
    expect(events).toEqual([]);
    await alone!.stop();
  });
});
