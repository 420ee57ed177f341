/** A new leader learns the jobs: whose state it takes, and from whom the pieces come (R102, R103). */
import { beforeAll, describe, expect, it } from 'vitest';
import type { ClusterId, PeerId, Term } from '../../../src/base/brands.ts';
import { encode } from '../../../src/base/codec.ts';
import { BzzzError } from '../../../src/base/errors.ts';
import type { Signer } from '../../../src/base/ports.ts';
import { type Snapshot, sealSnapshot } from '../../../src/election/jobs/snapshot.ts';
import { TableDraft } from '../../../src/election/jobs/table.ts';
import { takeOver } from '../../../src/election/jobs/takeover.ts';
import { EMPTY_TABLE, type JobTable } from '../../../src/election/jobs/types.ts';
import { TOPICS, wire } from '../../../src/election/jobs/wire.ts';
import { quietLogger, testSigner } from '../../support/world.ts';

const clusterId = 'ab'.repeat(32) as ClusterId;
const [A, B, C, D] = ['A', 'B', 'C', 'D'] as PeerId[] as [PeerId, PeerId, PeerId, PeerId];
let leader: Signer;
beforeAll(async () => {
  leader = await testSigner('leader');
});

function tableOf(count: number): JobTable {
  const draft = new TableDraft(EMPTY_TABLE, { term: 1 as Term, time: 5 });
  for (let i = 0; i < count; i++) {
    const subject = 'x'.repeat(900);
    draft.apply({ type: 'submit', id: `job-${i}`, kind: 'repair', subject, leaseMs: 1_000 });
  }
  return draft.table;
}

const seal = (count: number, term: number): Snapshot =>
  sealSnapshot(tableOf(count), term as Term, leader, clusterId);

/** What a voter answers. */
interface Fake {
  readonly snapshot?: Snapshot | undefined;
  /** In place of the manifest. */
  readonly manifest?: Uint8Array;
  readonly fails?: 'PEER_UNREACHABLE' | 'STALE_TERM';
  readonly chunks?: 'bent' | 'none' | 'down' | 'stale';
}

interface Outcome {
  readonly found: Awaited<ReturnType<typeof takeOver>>;
  /** Who was asked for chunks, in order. */
  readonly asked: readonly PeerId[];
}

async function run(
  voters: readonly PeerId[],
  fakes: ReadonlyMap<PeerId, Fake>,
  reachable: readonly PeerId[] = voters,
): Promise<Outcome> {
  const asked: PeerId[] = [];
  const call = async (to: PeerId, topic: string, body: Uint8Array): Promise<Uint8Array> => {
    const fake = fakes.get(to) ?? {};
    if (fake.fails !== undefined) throw new BzzzError(fake.fails, `${to} fails`);
    if (topic === TOPICS.state) {
      const manifest = fake.manifest ?? fake.snapshot?.signed.bytes ?? null;
      return wire.manifest.encode({ v: 1, manifest });
    }
    asked.push(to);
    if (fake.chunks === 'down') throw new BzzzError('PEER_UNREACHABLE', `${to} fails`);
    if (fake.chunks === 'stale') throw new BzzzError('STALE_TERM', `${to} knows better`);
    const { hashes } = wire.chunk.decode(body);
    const all = fake.snapshot?.chunks ?? new Map<string, Uint8Array>();
    const chunks = hashes
      .flatMap((hash) => all.get(Buffer.from(hash).toString('hex')) ?? [])
      .map((bytes, i) => {
        const copy = new Uint8Array(bytes);
        if (fake.chunks === 'bent' && i === 0) copy[10]! ^= 1;
        return copy;
      });
    return wire.chunks.encode({ v: 1, chunks: fake.chunks === 'none' ? [] : chunks });
  };
  const deps = { clusterId, call, voters, reachable, logger: quietLogger };
  return { found: await takeOver(deps, 9 as Term), asked };
}

const fakes = (...pairs: readonly (readonly [PeerId, Fake])[]) => new Map(pairs);

describe('a takeover', () => {
  it('begins with nothing where nobody knows anything', async () => {
    const { found } = await run([A, B, C], fakes());
    expect(found).toEqual({ table: EMPTY_TABLE, from: undefined, damaged: new Map() });
  });

  it('takes the state of the highest term, and in it the highest version', async () => {
    const { found } = await run(
      [A, B, C],
      fakes(
        [A, { snapshot: seal(9, 3) }],
        [B, { snapshot: seal(4, 5) }],
        [C, { snapshot: seal(6, 5) }],
      ),
    );
    expect(found.from).toBe(C);
    expect(found.table).toEqual(tableOf(6));
  });

  it('needs a majority of the voters, whoever else answers', async () => {
    const known = fakes([A, { snapshot: seal(5, 3) }], [D, { snapshot: seal(5, 3) }]);
    const alone = run([A, B, C], known, [A, D]);
    await expect(alone).rejects.toMatchObject({ code: 'NO_QUORUM', details: { have: 1, need: 2 } });
    const silent = new Map(known).set(B, { fails: 'PEER_UNREACHABLE' });
    await expect(run([A, B, C], silent, [A, B, D])).rejects.toMatchObject({ code: 'NO_QUORUM' });
    const { found } = await run([A, B, C], known, [A, B, D]);
    expect(found.table.jobs.size).toBe(5);
  });

  it('takes the newer state of a former voter', async () => {
    const known = fakes([A, { snapshot: seal(5, 3) }], [D, { snapshot: seal(7, 4) }]);
    expect((await run([A, B, C], known, [A, B, C, D])).found.from).toBe(D);
  });

  it('ends when somebody knows a newer leader', async () => {
    const late = run([A, B, C], fakes([B, { fails: 'STALE_TERM' }]));
    await expect(late).rejects.toMatchObject({ code: 'STALE_TERM' });
    const later = run([A, B, C], fakes([A, { snapshot: seal(5, 3), chunks: 'stale' }]));
    await expect(later).rejects.toMatchObject({ code: 'STALE_TERM' });
  });

  it.each(['bent', 'none', 'down'] as const)(
    'fetches a chunk again from another holder when the first one is %s',
    async (chunks) => {
      const snapshot = seal(60, 3);
      expect(snapshot.chunks.size).toBeGreaterThan(1);
      const known = fakes([A, { snapshot, chunks }], [B, { snapshot }], [C, { snapshot }]);
      const { found, asked } = await run([A, B, C], known);
      expect(found.table).toEqual(tableOf(60));
      expect(asked).toEqual([A, B]);
      expect(found.damaged).toEqual(new Map([[A, 1]]));
    },
  );

  it('takes chunks also from holders of an older state', async () => {
    const draft = new TableDraft(tableOf(200), { term: 1 as Term, time: 5 });
    draft.apply({ type: 'assign', id: 'job-5', owner: leader.peerId });
    const newer = sealSnapshot(draft.table, 3 as Term, leader, clusterId);
    const known = fakes([A, { snapshot: newer, chunks: 'bent' }], [B, { snapshot: seal(200, 3) }]);
    // The damaged chunk is the first that is asked for; only if B has it, the state is complete.
    const outcome = await run([A, B, C], known);
    expect(outcome.asked).toContain(B);
    expect(outcome.found.table.version).toBeGreaterThanOrEqual(200);
  });

  it('does not count a voter whose state cannot be completed', async () => {
    const broken: Fake = { snapshot: seal(60, 5), chunks: 'bent' };
    const known = fakes([A, broken], [B, { snapshot: seal(4, 4) }]);
    const { found } = await run([A, B, C], known);
    expect(found.from).toBe(B);
    await expect(run([A, B, C], known, [A, B])).rejects.toMatchObject({ code: 'NO_QUORUM' });
  });

  it('does not count a voter with a newer schema, or with a manifest that is not signed', async () => {
    const newer = leader.seal(`bzzz/${clusterId}/snapshot/1`, encode({ schemaVersion: 2 }));
    for (const manifest of [newer, new Uint8Array(40)]) {
      const known = fakes([A, { manifest }], [B, { snapshot: seal(4, 4) }]);
      expect((await run([A, B, C], known)).found.from).toBe(B);
      await expect(run([A, B, C], known, [A, B])).rejects.toMatchObject({ code: 'NO_QUORUM' });
    }
  });
});
