/** R43: real daemons that all moved to other ports, with nothing left that tells where to. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { GatheringDocument, JoinedDocument, KeyDocument } from '../../src/node/services.ts';
import { healthOf, QUICK } from '../support/backends.ts';
import { Cluster, type TestNode, until } from '../support/cluster.ts';
import { freePort } from '../support/free-port.ts';

let cluster: Cluster;
beforeAll(async () => {
  cluster = await Cluster.start(3, QUICK);
  for (const node of cluster.nodes) await node.kill('SIGTERM');
  for (const node of cluster.nodes) {
    node.setEnv({ BZZZ_LISTEN: `/ip4/127.0.0.1/tcp/${await freePort()}` });
    await node.start();
  }
});
afterAll(() => cluster?.stop());

const connected = async (node: TestNode): Promise<number> => {
  const peers = await node.get<{ connected: boolean }[]>('/v1/peers');
  return peers.filter((peer) => peer.connected).length;
};

describe('R43: discovery down', () => {
  it('a key waits, is made with the hosts that join by token, and signs', async () => {
    const [founder, second, third] = [cluster.node(0), cluster.node(1), cluster.node(2)];
    await until('discovery has failed', async () => {
      const { reason = '' } = await healthOf(founder, 'discovery');
      return reason.includes('say nothing of 2 missing members');
    });
    expect(await Promise.all(cluster.nodes.map(connected))).toEqual([0, 0, 0]);

    const create = ['key', 'create', 'late', '--threshold', '2', '--parties', '3'];
    const created = founder.cli([...create, '--timeout', '2m']);
    const waiting = await until('the key waits', async () => {
      const [first] = await founder.get<GatheringDocument[]>('/v1/sessions/gatherings');
      return first;
    });
    expect(waiting).toMatchObject({ name: 'late', need: 3, have: 1, joined: [] });
    for (const node of [second, third]) {
      const joined = await node.json<JoinedDocument>(['session', 'join', waiting.token]);
      expect(joined).toMatchObject({ name: 'late', proposer: founder.peerId, need: 3 });
    }

    const { code, stderr } = await created;
    expect(code, stderr).toBe(0);
    expect(await founder.get('/v1/sessions/gatherings')).toEqual([]);
    // Those who joined found each other by what the host in the middle knows of them.
    await cluster.meshed();
    await until('the key there', async () => {
      const key = await third.get<KeyDocument>('/v1/keys/late');
      return key.status === 'active';
    });
    const signed = await third.json<{ signature: string }>(['sign', 'late', '--message', 'moved']);
    const check = ['verify', 'late', '--message', 'moved', '--signature', signed.signature];
    expect((await second.cli(check)).code).toBe(0);
  });
});
