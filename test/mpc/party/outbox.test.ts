/** Results on their way survive the process (P2). */
import { afterEach, describe, expect, it } from 'vitest';
import { encode } from '../../../src/base/codec.ts';
import { Outbox } from '../../../src/mpc/party/outbox.ts';
import { seriesId } from '../../../src/ucxl/address.ts';
import { memoryKeyValue, quietLogger } from '../../support/world.ts';
import { forever, TestCluster, type TestNode, until } from './cluster.ts';

const row = (i: number) =>
  ({ address: `ucxl://${i}`, role: 'author', record: Uint8Array.of(i) }) as const;

describe('the outbox', () => {
  it('has after a restart what was held and not dropped', async () => {
    const disk = new Map<string, Uint8Array>();
    const deps = { kv: memoryKeyValue(disk), logger: quietLogger };
    const first = await Outbox.open(deps);
    for (const i of [1, 2, 3]) first.hold(row(i));
    first.drop(row(2).address);
    for (const i of [1, 2, 3]) await first.written(row(i).address);
    const next = await Outbox.open(deps);
    expect(next.takeLeft()).toEqual([row(1), row(3)]);
    expect(next.takeLeft()).toEqual([]);
  });

  it('finds a result by the place of its address until it is dropped', async () => {
    const deps = { kv: memoryKeyValue(new Map()), logger: quietLogger };
    const first = await Outbox.open(deps);
    for (const i of [1, 2]) first.hold(row(i));
    const place = (i: number): string => seriesId(row(i).address);
    expect(first.at(place(1))).toEqual(row(1));
    first.drop(row(1).address);
    expect(first.at(place(1))).toBeUndefined();
    for (const i of [1, 2]) await first.written(row(i).address);
    expect((await Outbox.open(deps)).at(place(2))).toEqual(row(2));
  });

  it('drops a damaged row and keeps the others', async () => {
    const disk = new Map<string, Uint8Array>();
    const deps = { kv: memoryKeyValue(disk), logger: quietLogger };
    const first = await Outbox.open(deps);
    first.hold(row(1));
    await first.written(row(1).address);
    await deps.kv.put('ucxl://0', encode({ v: 2 }));
    const next = await Outbox.open(deps);
    expect(next.takeLeft()).toEqual([row(1)]);
    expect((await Outbox.open(deps)).takeLeft()).toEqual([row(1)]);
  });
});

describe('a signature that a client was given', () => {
  let cluster: TestCluster;
  afterEach(() => cluster?.stop());

  const sign = (node: TestNode) =>
    node.party.sign({ key: 'k', message: Buffer.from('m'), fresh: false }, forever());

  it('P2, S6: outlives all processes, also before it is at its address', async () => {
    cluster = await TestCluster.start(3);
    const { nodes, records } = cluster;
    const wish = { name: 'k', suite: 'ed25519', threshold: 2, parties: 3 };
    await cluster.node(0).party.createKey(wish, forever());
    await until('the key is known', () => nodes.every((n) => n.party.keys().length === 1));
    const before = records.byAddress.size;
    records.far = () => new Promise(() => {});
    const given = await sign(cluster.node(0));
    for (const node of nodes) await cluster.kill(node);
    expect(records.byAddress.size).toBe(before);

    records.far = () => Promise.resolve();
    for (const node of nodes) await cluster.boot(node);
    const again = await sign(cluster.node(0));
    expect(again).toMatchObject({ cached: true, signature: given.signature });
    expect(again.sessionId).toBe(given.sessionId);
    await until('it comes to its address', () => records.byAddress.has(given.address));
    await until('nothing is on its way', () => ![...cluster.node(0).disk.keys()].some(isResult));
  });
});

const isResult = (key: string): boolean => key.startsWith('results');
