/** Delegates and temporary parties: their shares are in memory, and nowhere else. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fromHex, toHex, utf8Bytes } from '../../../src/base/bytes.ts';
import { keyFromJson } from '../../../src/mpc/keys/interchange.ts';
import { forever, TestCluster, until } from './cluster.ts';

let cluster: TestCluster;
const DELEGATE_MS = 1_500;
beforeAll(async () => {
  cluster = await TestCluster.start(5, {
    roles: ['persistent', 'persistent', 'delegate', 'temporary', 'observer'],
    options: { delegateMs: DELEGATE_MS },
  });
});
afterAll(() => cluster.stop());

const make = (name: string, composition: Record<string, number>, ephemeral = false) =>
  cluster
    .node(0)
    .party.createKey({ name, suite: 'ed25519', threshold: 2, composition, ephemeral }, forever());
const status = (i: number, name: string) => cluster.node(i).party.key(name).status;
const known = (name: string, nodes: readonly number[]) =>
  until(`${name} known`, () =>
    nodes.every((i) => cluster.node(i).deps.keyring.byName(name).length > 0),
  );
const sign = (i: number, key: string, text: string, share?: string) =>
  cluster.node(i).party.sign(
    {
      key,
      message: utf8Bytes(text),
      fresh: false,
      timeoutMs: 3_000,
      ...(share === undefined ? {} : { share }),
    },
    forever(),
  );
const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'accepted',
    (error: { code?: string }) => error.code,
  );

describe('delegates', () => {
  it('R33: hold a share in memory, hand it out once, and sign with it when it is brought', async () => {
    const key = await make('shared', { persistent: 2, delegate: 1 });
    expect(key.parties.map(({ role }) => role).sort()).toEqual([
      'delegate',
      'persistent',
      'persistent',
    ]);
    await known('shared', [0, 1, 2]);
    await until('held', () => status(2, 'shared') === 'active');
    const delegate = cluster.node(2);
    const text = delegate.party.takeShare('shared');
    expect(() => delegate.party.takeShare('shared')).toThrow(
      expect.objectContaining({ code: 'NOT_FOUND' }),
    );
    expect(status(2, 'shared')).toBe('public');
    await cluster.kill(cluster.node(1));
    expect(await codeOf(sign(0, 'shared', 'one holder'))).not.toBe('accepted');
    const signed = await sign(2, 'shared', 'brought', text);
    expect(signed.signers).toContain(delegate.peerId);
    const signature = fromHex(signed.signature)!;
    expect(delegate.party.verify('shared', utf8Bytes('brought'), signature)).toBe(true);
    // For that signature only.
    expect(await codeOf(sign(2, 'shared', 'not brought'))).not.toBe('accepted');
    await cluster.boot(cluster.node(1));
    // K3: no trace of it on the disk, in the log or in an event of the delegate.
    const secret = keyFromJson(text).signingShare;
    const disk = Buffer.concat([...delegate.disk.values()]);
    expect(disk.includes(Buffer.from(secret))).toBe(false);
    expect([...delegate.log, JSON.stringify(delegate.events)].join()).not.toContain(toHex(secret));
    expect([...delegate.disk.keys()].filter((k) => /^shares!(a|p)\//.test(k))).toEqual([]);
  });

  it('R33: wipe the share when its time is over', async () => {
    await make('timed', { persistent: 2, delegate: 1 });
    await until('held', () =>
      cluster
        .node(2)
        .party.keys()
        .some((k) => k.name === 'timed'),
    );
    await until('gone', () => status(2, 'timed') === 'public', DELEGATE_MS + 3_000);
    expect(() => cluster.node(2).party.takeShare('timed')).toThrow(
      expect.objectContaining({ code: 'NOT_FOUND' }),
    );
    expect(cluster.node(2).events.map(({ kind }) => kind)).toContain('key.share-expired');
  });

  it('a share of another node, key or in another form is refused', async () => {
    await make('other', { persistent: 2, delegate: 1 });
    await until('held', () =>
      cluster
        .node(2)
        .party.keys()
        .some((k) => k.name === 'other'),
    );
    await until('active', () => status(2, 'other') === 'active');
    const text = cluster.node(2).party.takeShare('other');
    expect(await codeOf(sign(0, 'other', 'x', text))).toBe('BAD_REQUEST');
    expect(await codeOf(sign(2, 'timed', 'x', text))).toBe('BAD_REQUEST');
    expect(await codeOf(sign(2, 'other', 'x', '{}'))).toBe('BAD_MESSAGE');
    expect(() => cluster.node(0).party.takeShare('other')).toThrow(
      expect.objectContaining({ code: 'REFUSED_BY_POLICY' }),
    );
  });

  it('K4: one that was restarted lost its share and nothing else', async () => {
    await make('restarted', { persistent: 2, delegate: 1 });
    await known('restarted', [0, 1, 2]);
    await cluster.kill(cluster.node(2));
    await cluster.boot(cluster.node(2));
    expect(status(2, 'restarted')).toBe('public');
    expect(cluster.node(2).party.unready()).toEqual([]);
    expect((await sign(0, 'restarted', 'still here')).signers).toHaveLength(2);
  });
});

describe('temporary parties', () => {
  it('R34: sign while the process lives; a key of too few persistent ones must be called ephemeral', async () => {
    expect(await codeOf(make('brief', { persistent: 1, temporary: 1 }))).toBe(
      'INVALID_COMPOSITION',
    );
    await make('brief', { persistent: 1, temporary: 1 }, true);
    const holder = cluster
      .node(0)
      .party.key('brief')
      .parties.find((p) => p.role === 'persistent');
    const at = cluster.nodes.findIndex(({ peerId }) => peerId === holder?.peerId);
    await known('brief', [at, 3]);
    await until('held', () => status(3, 'brief') === 'active');
    expect((await sign(at, 'brief', 'now')).signers).toHaveLength(2);
    expect(() => cluster.node(3).party.takeShare('brief')).toThrow(
      expect.objectContaining({ code: 'REFUSED_BY_POLICY' }),
    );
    await cluster.kill(cluster.node(3));
    await cluster.boot(cluster.node(3));
    expect(await codeOf(sign(at, 'brief', 'later'))).not.toBe('accepted');
  });

  it('R36: nobody stands in for a role that is missing, and nothing is sent', async () => {
    const before = cluster.node(1).party.sessions().length;
    expect(await codeOf(make('few', { persistent: 2, delegate: 2 }))).toBe('INSUFFICIENT_PARTIES');
    expect(await codeOf(make('few', { persistent: 3 }))).toBe('INSUFFICIENT_PERSISTENT_PARTIES');
    expect(cluster.node(1).party.sessions().length).toBe(before);
  });
});
