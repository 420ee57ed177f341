/** Who gets in: invitations of every kind, strangers, removal, members that were away. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseInvitation } from '../../src/roster/invitation.ts';
import { Cluster, type TestNode, until } from '../support/cluster.ts';
import { steadyClock } from '../support/steady-clock.ts';

let cluster: Cluster;
beforeAll(async () => {
  cluster = await Cluster.start(3);
});
afterAll(() => cluster?.stop());

interface Status {
  role: string | null;
  ready: boolean;
  peerId: string;
}

const invite = async (node: TestNode, ...args: string[]): Promise<string> =>
  (await node.json<{ invitation: string }>(['invite', ...args])).invitation;

/** A second name for the environment of a host that is not in the cluster's list. */
async function host(name: string): Promise<TestNode> {
  const { TestNode } = await import('../support/cluster.ts');
  const { freePort } = await import('../support/free-port.ts');
  const home = join(cluster.home, name);
  mkdirSync(home, { mode: 0o700 });
  const node = new TestNode(name, home, await freePort(), {});
  cluster.nodes.push(node);
  return node;
}

/** Starts a host that must not be admitted, and waits until it says why. */
async function refused(node: TestNode, reason: RegExp): Promise<void> {
  node.spawn();
  await until(`${node.name} refused`, async () => reason.test(await node.log()), 180_000);
  const status = await node.get<Status>('/v1/status').catch(() => undefined);
  if (status !== undefined) expect(status).toMatchObject({ role: null, ready: false });
  const roster = await cluster.founder.json<{ members: { peerId: string }[] }>(['roster']);
  const { peerId } = status ?? { peerId: '' };
  expect(roster.members.map((member) => member.peerId)).not.toContain(peerId);
  await node.kill();
}

describe('invitations', () => {
  it('a used one is refused, with the reason on both sides', async () => {
    const string = await invite(cluster.founder);
    const first = await host('first');
    await first.json(['join', string]);
    await first.start();
    const second = await host('second');
    await second.json(['join', string]);
    await refused(second, /INVITATION_USED/);
    expect(await cluster.founder.log()).toMatch(/INVITATION_USED/);
  });

  it('names addresses from the first moment that the control socket answers', async () => {
    for (let round = 0; round < 3; round++) {
      await cluster.founder.kill();
      cluster.founder.spawn();
      const ask = () => cluster.founder.post<{ invitation: string }>('/v1/invitations', {});
      const { invitation } = await until('an invitation', ask, 60_000, 5);
      expect(parseInvitation(invitation).addresses).not.toEqual([]);
    }
    await cluster.founder.ready();
  });

  it('one string at two members at once admits exactly one host', async () => {
    const string = await invite(cluster.founder);
    const pair = await Promise.all([host('pair1'), host('pair2')]);
    await Promise.all(pair.map((node) => node.json(['join', string])));
    for (const node of pair) node.spawn();
    const admitted = async () => {
      const all = await Promise.all(
        pair.map((node) => node.get<Status>('/v1/status').catch(() => undefined)),
      );
      return all.filter((status) => status?.role === 'persistent').length;
    };
    await until('one is in', async () => (await admitted()) === 1);
    await until('the other was told', async () =>
      (await Promise.all(pair.map((node) => node.log()))).some((log) =>
        /INVITATION_USED/.test(log),
      ),
    );
    expect(await admitted()).toBe(1);
    await Promise.all(pair.map((node) => node.kill()));
  });

  it('an expired one is refused', async () => {
    const string = await invite(cluster.founder, '--ttl', '1s');
    const late = await host('late');
    await late.json(['join', string]);
    await new Promise((done) => setTimeout(done, 1_500));
    await refused(late, /INVITATION_EXPIRED/);
  });

  it('a revoked one is refused', async () => {
    const string = await invite(cluster.founder);
    const open = (
      await cluster.founder.json<{ id: string; state: string }[]>(['invite', 'ls'])
    ).filter((entry) => entry.state === 'open');
    for (const entry of open) await cluster.founder.json(['invite', 'revoke', entry.id]);
    const revoked = await host('revoked');
    await revoked.json(['join', string]);
    await refused(revoked, /INVITATION_REVOKED/);
  });

  it('one for another cluster is refused, and garbage is not an invitation', async () => {
    const other = await host('other');
    await other.json(['init', '--cluster', 'elsewhere']);
    await other.start();
    const foreign = await invite(other);
    const member = await cluster.node(1).cli(['join', foreign, '--json']);
    expect(member.code).toBe(8);
    const fresh = await host('fresh');
    for (const bad of ['', 'bzzz1', 'hello', foreign.slice(0, -3), `${foreign}x`]) {
      const ran = await fresh.cli(['join', bad, '--json']);
      expect(ran.code, bad).toBe(2);
    }
    await other.kill();
  });

  it('a host without any invitation does not start as a member', async () => {
    const none = await host('none');
    const ran = await none.cli(['daemon']);
    expect(ran.code).toBe(3);
    expect(ran.stderr).toMatch(/NOT_INITIALISED|init --cluster/);
  });

  it('only a voter invites', async () => {
    const onlooker = await cluster.add('observer');
    const ran = await onlooker.cli(['invite', '--json']);
    expect(ran.code).toBe(7);
    expect(ran.stdout + ran.stderr).toMatch(/NOT_A_VOTER/);
  });
});

describe('membership', () => {
  it('a node that was off while another joined is a member at once when it returns', async () => {
    const away = cluster.node(2);
    await away.kill();
    const joined = await cluster.add();
    const started = steadyClock.now();
    await away.start();
    await until('they see each other', async () =>
      (await joined.json<{ peerId: string; connected: boolean }[]>(['peers'])).some(
        (peer) => peer.peerId === away.peerId && peer.connected,
      ),
    );
    expect(steadyClock.now() - started).toBeLessThan(20_000);
  });

  it('a removed member is cut off within 2 s and told why', async () => {
    const gone = await cluster.add();
    await cluster.meshed();
    const before = steadyClock.now();
    await cluster.founder.json(['roster', 'remove', gone.peerId]);
    await until('cut off everywhere', async () => {
      const lists = await Promise.all(
        cluster.nodes
          .filter((node) => node.running && node !== gone && node.name.startsWith('n'))
          .map((node) => node.get<{ peerId: string }[]>('/v1/peers')),
      );
      return lists.every((list) => list.every((peer) => peer.peerId !== gone.peerId));
    });
    expect(steadyClock.now() - before).toBeLessThan(8_000);
    await until('it knows', async () => /REMOVED_FROM_ROSTER|removed/.test(await gone.log()));
    const status = await gone.json<Status>(['status']).catch(() => undefined);
    if (status !== undefined) expect(status.ready).toBe(false);
  });

  it('leave takes the own name off the roster', async () => {
    const leaver = await cluster.add();
    await leaver.json(['leave', '--timeout', '1m']);
    const roster = await cluster.founder.json<{ members: { peerId: string }[] }>(['roster']);
    expect(roster.members.map((member) => member.peerId)).not.toContain(leaver.peerId);
  });

  it('the only voter cannot leave', async () => {
    const alone = await Cluster.start(1);
    try {
      const ran = await alone.founder.cli(['leave', '--json']);
      expect(ran.code).toBe(7);
      expect(ran.stdout + ran.stderr).toMatch(/only voter/);
    } finally {
      await alone.stop();
    }
  });
});
