/** The table on its way: what a receiver takes, what it refuses, and what stays when it refuses. */
import { beforeAll, describe, expect, it } from 'vitest';
import type { ClusterId, PeerId, Term } from '../../../src/base/brands.ts';
import { fromHex, toHex } from '../../../src/base/bytes.ts';
import { encode } from '../../../src/base/codec.ts';
import { LIMITS } from '../../../src/base/limits.ts';
import type { Signer } from '../../../src/base/ports.ts';
import { leafHash, merkleRoot } from '../../../src/election/jobs/merkle.ts';
import { Replica } from '../../../src/election/jobs/replica.ts';
import {
  isNewer,
  type Manifest,
  missingChunks,
  openManifest,
  openTable,
  type Snapshot,
  sealSnapshot,
} from '../../../src/election/jobs/snapshot.ts';
import { TableDraft } from '../../../src/election/jobs/table.ts';
import { EMPTY_TABLE, type JobTable } from '../../../src/election/jobs/types.ts';
import { wire } from '../../../src/election/jobs/wire.ts';
import { memoryKeyValue, quietLogger, testSigner } from '../../support/world.ts';

const clusterId = 'ab'.repeat(32) as ClusterId;
const term = (n: number) => n as Term;
let leader: Signer;
let other: Signer;
beforeAll(async () => {
  leader = await testSigner('leader');
  other = await testSigner('other');
});

/** @param marks other subjects make another table of the same version. */
function tableOf(count: number, marks = ''): JobTable {
  const draft = new TableDraft(EMPTY_TABLE, { term: term(1), time: 5 });
  for (let i = 0; i < count; i++) {
    const subject = `${marks}${'x'.repeat(900)}`;
    draft.apply({ type: 'submit', id: `job-${i}`, kind: 'repair', subject, leaseMs: 1_000 });
  }
  return draft.table;
}

const seal = (table: JobTable, t = 1, signer = leader): Snapshot =>
  sealSnapshot(table, term(t), signer, clusterId);

const code = (expected: string) => expect.objectContaining({ code: expected });

describe('the Merkle root of RFC 6962', () => {
  // Test vectors of the certificate-transparency repository, merkletree/merkle_tree_test.
  const leaves = ['', '00', '10', '2021', '3031', '40414243'].map((hex) => fromHex(hex)!);
  const roots: readonly (readonly [number, string])[] = [
    [0, 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'],
    [1, '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d'],
    [2, 'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125'],
    [3, 'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77'],
    [4, 'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7'],
    [5, '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4'],
    [6, '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef'],
  ];
  it.each(roots)('over %i leaves', (count, root) => {
    expect(toHex(merkleRoot(leaves.slice(0, count).map(leafHash)))).toBe(root);
  });
});

describe('a snapshot', () => {
  it('brings the same table back, whatever its size', () => {
    for (const count of [0, 1, 200]) {
      const table = tableOf(count);
      const { signed, chunks } = seal(table, 4);
      const opened = openManifest(signed.bytes, clusterId);
      expect(opened.leader).toBe(leader.peerId);
      expect(opened.manifest).toEqual(signed.manifest);
      const back = openTable(opened.manifest, chunks);
      expect(back.version).toBe(table.version);
      expect([...back.jobs].sort()).toEqual([...table.jobs].sort());
      for (const bytes of chunks.values()) {
        expect(bytes.length).toBeLessThanOrEqual(LIMITS.snapshotChunkBytes);
      }
      if (count === 200) expect(chunks.size).toBeGreaterThan(5);
    }
  });

  it('of a full table of the largest jobs stays within its bounds', () => {
    const draft = new TableDraft(EMPTY_TABLE, { term: term(1), time: 5 });
    for (let i = 0; i < LIMITS.jobs; i++) {
      const id = `${i}`.padStart(128, 'x');
      const subject = '\u{1f41d}'.repeat(LIMITS.jobSubjectBytes / 4);
      draft.apply({ type: 'submit', id, kind: 'index', subject, leaseMs: 1 });
    }
    const { signed, chunks } = seal(draft.table);
    expect(signed.manifest.chunks.length).toBeLessThan(LIMITS.snapshotChunks);
    expect(openTable(openManifest(signed.bytes, clusterId).manifest, chunks).jobs.size).toBe(
      LIMITS.jobs,
    );
  });

  it('shares all chunks but one with the snapshot before a change', () => {
    const before = tableOf(200);
    const draft = new TableDraft(before, { term: term(1), time: 5 });
    draft.apply({ type: 'assign', id: 'job-17', owner: leader.peerId });
    const [a, b] = [seal(before), seal(draft.table)];
    expect(missingChunks(b.signed.manifest, a.chunks)).toHaveLength(1);
  });

  const forged: readonly (readonly [string, (m: Manifest) => object, string])[] = [
    ['of a newer schema', (m) => ({ ...m, schemaVersion: 2 }), 'SCHEMA_TOO_NEW'],
    [
      'of a newer schema with other fields',
      () => ({ schemaVersion: 9, tree: 1 }),
      'SCHEMA_TOO_NEW',
    ],
    ['of an older schema', (m) => ({ ...m, schemaVersion: 0 }), 'BAD_MESSAGE'],
    ['without a version', ({ stateVersion: _, ...m }) => m, 'BAD_MESSAGE'],
    ['with a field too many', (m) => ({ ...m, more: 1 }), 'BAD_MESSAGE'],
    ['with another root', (m) => ({ ...m, root: new Uint8Array(32) }), 'BAD_MESSAGE'],
    ['with a chunk less', (m) => ({ ...m, chunks: m.chunks.slice(1) }), 'BAD_MESSAGE'],
  ];
  it.each(forged)('%s is refused', (_name, forge, expected) => {
    const { manifest } = seal(tableOf(60)).signed;
    const bytes = leader.seal(`bzzz/${clusterId}/snapshot/1`, encode(forge(manifest)));
    expect(() => openManifest(bytes, clusterId)).toThrow(code(expected));
  });

  it('of another cluster, or with a changed byte, is refused', () => {
    const { bytes } = seal(tableOf(3)).signed;
    expect(() => openManifest(bytes, 'cd'.repeat(32) as ClusterId)).toThrow(code('BAD_MESSAGE'));
    const bent = new Uint8Array(bytes);
    bent[bent.length - 70]! ^= 1;
    expect(() => openManifest(bent, clusterId)).toThrow(code('BAD_MESSAGE'));
  });

  it('with a damaged, a missing or an exchanged chunk is no table', () => {
    const { signed, chunks } = seal(tableOf(60));
    const [name = '', bytes = new Uint8Array()] = [...chunks][0] ?? [];
    const bent = new Uint8Array(bytes);
    bent[100]! ^= 1;
    for (const wrong of [bent, bytes.subarray(1), [...chunks.values()][1]!]) {
      const damaged = new Map(chunks).set(name, wrong);
      expect(() => openTable(signed.manifest, damaged)).toThrow(code('BAD_MESSAGE'));
    }
    const less = new Map(chunks);
    less.delete(name);
    expect(() => openTable(signed.manifest, less)).toThrow(code('BAD_MESSAGE'));
  });

  it('is newer by term first, then by version', () => {
    const root = new Uint8Array(32);
    const at = (t: number, stateVersion: number, r = root): Manifest => ({
      ...{ schemaVersion: 1, term: term(t), stateVersion, root: r, chunks: [] },
    });
    const held = at(5, 10);
    expect(isNewer(at(0, 0), undefined)).toBe(true);
    const matrix: readonly (readonly [number, number, boolean | 'STALE_TERM'])[] = [
      [4, 9, 'STALE_TERM'],
      [4, 10, 'STALE_TERM'],
      [4, 11, 'STALE_TERM'],
      [5, 9, 'STALE_TERM'],
      [5, 10, false],
      [5, 11, true],
      [6, 9, true],
      [6, 10, true],
      [6, 11, true],
    ];
    for (const [t, v, expected] of matrix) {
      const judge = () => isNewer(at(t, v), held);
      if (typeof expected === 'string') expect(judge, `${t}/${v}`).toThrow(code(expected));
      else expect(judge(), `${t}/${v}`).toBe(expected);
    }
    expect(() => isNewer(at(5, 10, new Uint8Array(32).fill(1)), held)).toThrow(code('BAD_MESSAGE'));
  });
});

describe('a voter', () => {
  const disks = () => new Map<string, Uint8Array>();

  async function voter(disk: Map<string, Uint8Array>, fenced = { term: 0 }) {
    const replica = await Replica.open({
      ...{ clusterId, voters: () => [leader.peerId, other.peerId], leader: () => undefined },
      fence: async (t) => {
        if (t < fenced.term) {
          throw Object.assign(new Error('old'), { code: 'STALE_TERM' });
        }
        fenced.term = t;
      },
      ...{ store: memoryKeyValue(disk), logger: quietLogger },
    });
    const store = async (
      snapshot: Snapshot,
      chunks: readonly Uint8Array[] = [...snapshot.chunks.values()].slice(0, 16),
      from: PeerId = snapshot.signed.leader,
      t: Term = snapshot.signed.manifest.term,
    ) => {
      const body = { v: 1, term: t, manifest: snapshot.signed.bytes, chunks } as const;
      const answer = await replica.onStore(from, wire.store.encode(body));
      return wire.missing.decode(answer).missing;
    };
    return { replica, store };
  }

  it('takes a snapshot piece by piece, and as a whole', async () => {
    const disk = disks();
    const { replica, store } = await voter(disk);
    const first = seal(tableOf(3), 1);
    expect(await store(first)).toEqual([]);
    const next = seal(tableOf(100), 2);
    const bodies = [...next.chunks.values()];
    expect(await store(next, bodies.slice(0, 2))).toHaveLength(next.chunks.size - 2);
    expect(replica.table?.jobs.size).toBe(3);
    expect((await voter(disk)).replica.table?.jobs.size).toBe(3);
    expect(await store(next, bodies.slice(2))).toEqual([]);
    expect(replica.table?.jobs.size).toBe(100);
    expect((await voter(disk)).replica.table).toEqual(replica.table);
    const chunks = [...disk.keys()].filter((key) => key.includes('c/'));
    expect(chunks, 'chunks of the old state are gone').toHaveLength(next.chunks.size);
  });

  it('asks again for a chunk that came damaged', async () => {
    const { replica, store } = await voter(disks());
    const snapshot = seal(tableOf(60));
    const bodies = [...snapshot.chunks.values()].map((bytes) => new Uint8Array(bytes));
    bodies[1]![50]! ^= 1;
    const missing = await store(snapshot, bodies);
    expect(missing.map(toHex)).toEqual([[...snapshot.chunks.keys()][1]]);
    expect(replica.table).toBeUndefined();
    expect(await store(snapshot, [[...snapshot.chunks.values()][1]!])).toEqual([]);
    expect(replica.table?.jobs.size).toBe(60);
  });

  it('keeps what it has when what is offered is refused', async () => {
    const { replica, store } = await voter(disks());
    await store(seal(tableOf(5), 3));
    const held = replica.table;
    const refused: readonly (readonly [string, Promise<unknown>, string])[] = [
      ['an older version', store(seal(tableOf(4), 3)), 'STALE_TERM'],
      ['an older term', store(seal(tableOf(9), 2)), 'STALE_TERM'],
      ['another state of the same version', store(seal(tableOf(5, 'y'), 3)), 'BAD_MESSAGE'],
      ['one that another signed', store(seal(tableOf(6), 4), [], other.peerId), 'BAD_MESSAGE'],
      ['one of another term', store(seal(tableOf(6), 5), [], undefined, term(6)), 'BAD_MESSAGE'],
      ['one of no voter', store(seal(tableOf(6), 7), [], 'nobody' as PeerId), 'NOT_A_VOTER'],
    ];
    for (const [what, act, expected] of refused) {
      await expect(act, what).rejects.toMatchObject({ code: expected });
    }
    expect(replica.table).toBe(held);
    expect(await store(seal(tableOf(5), 6)), 'the same state of a later leader').toEqual([]);
  });

  it('refuses a leader that another is known to be', async () => {
    const replica = await Replica.open({
      ...{ clusterId, voters: () => [leader.peerId, other.peerId], fence: async () => {} },
      leader: () => ({ peerId: other.peerId, term: term(4) }),
      ...{ store: memoryKeyValue(), logger: quietLogger },
    });
    const asks = (t: number) =>
      replica.onState(leader.peerId, wire.state.encode({ v: 1, term: term(t) }));
    await expect(asks(4)).rejects.toMatchObject({ code: 'NOT_LEADER' });
    expect(wire.manifest.decode(await asks(5)).manifest).toBeNull();
  });

  it('takes nothing of an earlier leader after it has answered a later one', async () => {
    const { replica, store } = await voter(disks());
    await store(seal(tableOf(2), 3));
    await replica.onState(other.peerId, wire.state.encode({ v: 1, term: term(5) }));
    await expect(store(seal(tableOf(4), 4))).rejects.toMatchObject({ code: 'STALE_TERM' });
    await expect(store(seal(tableOf(4), 3))).rejects.toMatchObject({ code: 'STALE_TERM' });
    expect(replica.table?.jobs.size).toBe(2);
    const chunk = wire.chunk.encode({ v: 1, term: term(4), hashes: [] });
    await expect(replica.onChunk(leader.peerId, chunk)).rejects.toMatchObject({
      code: 'STALE_TERM',
    });
    expect(await store(seal(tableOf(4), 6))).toEqual([]);
  });

  it('does not pass for one that never knew anything when its manifest is damaged', async () => {
    const disk = disks();
    await (await voter(disk)).store(seal(tableOf(5), 3));
    const [key = ''] = [...disk.keys()].filter((k) => k.endsWith('manifest'));
    disk.get(key)![40]! ^= 1;
    const { replica, store } = await voter(disk);
    const body = wire.state.encode({ v: 1, term: term(4) });
    await expect(replica.onState(leader.peerId, body)).rejects.toMatchObject({
      code: 'DISK_FAILED',
    });
    await store(seal(tableOf(5), 4));
    const { manifest } = wire.manifest.decode(await replica.onState(leader.peerId, body));
    expect(manifest).not.toBeNull();
  });

  it('completes a copy of which a chunk is damaged from the same state', async () => {
    const disk = disks();
    const snapshot = seal(tableOf(60), 3);
    await (await voter(disk)).store(snapshot);
    const [key = ''] = [...disk.keys()].filter((k) => k.includes('c/'));
    disk.get(key)![40]! ^= 1;
    const { replica, store } = await voter(disk);
    expect(replica.table).toBeUndefined();
    expect(await store(snapshot, [])).toHaveLength(1);
    expect(await store(snapshot)).toEqual([]);
    expect(replica.table?.jobs.size).toBe(60);
    expect((await voter(disk)).replica.table?.jobs.size).toBe(60);
  });
});
