import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ClusterId, Epoch, KeyId, PeerId, RequestId } from '../../../src/base/brands.ts';
import type { KeyValue, Signer } from '../../../src/base/ports.ts';
import { sealEvent } from '../../../src/mpc/sessions/events.ts';
import { sealProposal } from '../../../src/mpc/sessions/proposal.ts';
import { SessionStore } from '../../../src/mpc/sessions/store.ts';
import type { SealedProposal } from '../../../src/mpc/types.ts';
import {
  memoryKeyValue,
  quietLogger,
  type TestClock,
  testClock,
  testSigner,
} from '../../support/world.ts';

const clusterId = 'ab'.repeat(32) as ClusterId;
let signers: Signer[];
let peers: PeerId[];
let map: Map<string, Uint8Array>;
let clock: TestClock;

beforeAll(async () => {
  signers = await Promise.all(['a', 'b', 'c', 'd'].map(testSigner));
  peers = signers.slice(0, 3).map((s) => s.peerId);
});
beforeEach(() => {
  map = new Map();
  clock = testClock();
});

const openStore = (kv: KeyValue = memoryKeyValue(map), signer = signers[1]!) =>
  SessionStore.open({ kv, clusterId, signer, clock, logger: quietLogger });

const proposal = (n: number): SealedProposal => {
  const nonce = new Uint8Array(16);
  new DataView(nonce.buffer).setUint32(0, n);
  return sealProposal(
    {
      v: 1,
      kind: 'sign',
      clusterId,
      proposer: peers[0]!,
      rosterEpoch: 0 as Epoch,
      ttlMs: 1_000,
      nonce,
      keyId: '01'.repeat(32) as KeyId,
      keyEpoch: 0,
      suite: 'ed25519',
      threshold: 2,
      purpose: '',
      messageHash: new Uint8Array(32),
      requestId: '02'.repeat(32) as RequestId,
      fresh: false,
    },
    signers[0]!,
  );
};
const taking = { taking: true, sync: true };

describe('session store', () => {
  it('R54: rebuilds every view from the disk', async () => {
    const store = await openStore();
    const sealed = proposal(1);
    await store.remember(sealed, peers, 2, taking);
    await store.say(sealed.sid, 'joined');
    await store.say(sealed.sid, 'started');
    clock.advance(5);
    const theirs = sealEvent(clusterId, signers[2]!, sealed.sid, undefined, {
      kind: 'joined',
      timeMs: 7,
      data: {},
    });
    expect(await store.hear(theirs)).toBe(true);
    expect(await store.hear(theirs)).toBe(false);
    await store.say(sealed.sid, 'failed', { code: 'SESSION_FAILED', culprits: [peers[2]!] });
    const before = store.get(sealed.sid);
    expect(before?.view).toMatchObject({ state: 'failed', culprits: [peers[2]] });
    const again = await openStore();
    expect(again.get(sealed.sid)).toEqual(before);
    await again.prove(sealed.sid);
    await again.say(sealed.sid, 'completed');
    expect(again.get(sealed.sid)?.view.state).toBe('completed');
    expect((await openStore()).get(sealed.sid)?.view).toMatchObject({ state: 'completed' });
  });

  it('continues its own chain after a restart instead of forking it', async () => {
    const store = await openStore();
    const sealed = proposal(1);
    await store.remember(sealed, peers, 2, taking);
    const one = await store.say(sealed.sid, 'joined');
    const two = await (await openStore()).say(sealed.sid, 'started');
    expect([one?.event.seq, two?.event.seq]).toEqual([1, 2]);
    expect(two?.event.prev).toEqual(one?.hash);
  });

  it('S4: forgets a session that the disk did not take, which nobody runs', async () => {
    const inner = memoryKeyValue(map);
    let full = true;
    const put: KeyValue['put'] = async (key, value, options) => {
      if (full) throw new Error('no space left');
      await inner.put(key, value, options);
    };
    const store = await openStore({ ...inner, put });
    const sealed = proposal(1);
    await expect(store.remember(sealed, peers, 2, taking)).rejects.toThrow('no space left');
    expect(store.get(sealed.sid)).toBeUndefined();
    full = false;
    await store.remember(sealed, peers, 2, { taking: false, sync: false });
    full = true;
    await expect(store.remember(sealed, peers, 2, taking)).rejects.toThrow('no space left');
    expect(store.get(sealed.sid)?.taking).toBe(false);
  });

  it('S1: goes on before a gap that a crash left in its own chain', async () => {
    const store = await openStore();
    const sealed = proposal(1);
    await store.remember(sealed, peers, 2, taking);
    await store.say(sealed.sid, 'joined');
    await store.say(sealed.sid, 'started');
    const first = [...map.keys()].find((key) => key.includes('/0001/'));
    map.delete(first ?? '');
    const again = await openStore();
    await again.say(sealed.sid, 'note', { what: 'restarted' });
    await again.say(sealed.sid, 'expired');
    expect(again.get(sealed.sid)?.view.state).toBe('expired');
    expect((await openStore()).get(sealed.sid)?.view.state).toBe('expired');
  });

  it('S1: is completed again when a crash lost all but its own word', async () => {
    const store = await openStore();
    const sealed = proposal(1);
    await store.remember(sealed, peers, 2, taking);
    await store.say(sealed.sid, 'joined');
    // The evidence is a write of its own, and did not reach the disk.
    await store.say(sealed.sid, 'completed');
    expect(store.get(sealed.sid)?.view.state).toBe('running');
    expect((await openStore()).get(sealed.sid)?.view.state).toBe('completed');
  });

  it('S1: is completed by its own word when others bring that back', async () => {
    const sealed = proposal(1);
    const [self, other] = [signers[1]!, signers[2]!];
    const said = { kind: 'completed' as const, timeMs: 5, data: {} };
    const store = await openStore();
    await store.remember(sealed, peers, 2, { taking: false, sync: false });
    await store.hear(sealEvent(clusterId, other, sealed.sid, undefined, said));
    expect(store.get(sealed.sid)?.view.state).toBe('running');
    const own = sealEvent(clusterId, self, sealed.sid, undefined, said);
    expect(await store.hear(own)).toBe(true);
    expect(store.get(sealed.sid)?.view.state).toBe('completed');
    // Nor does a second, other event at the same place take the end back.
    const note = { kind: 'note' as const, timeMs: 6, data: {} };
    await store.hear(sealEvent(clusterId, self, sealed.sid, undefined, note));
    expect(store.get(sealed.sid)?.view.state).toBe('completed');
    expect((await openStore()).get(sealed.sid)?.view.state).toBe('completed');
  });

  it('S1: is completed by its own word also where it proposed and has no part', async () => {
    const sealed = proposal(1);
    const store = await openStore(undefined, signers[0]!);
    await store.remember(sealed, peers.slice(1), 2, { taking: false, sync: false });
    const said = { kind: 'completed' as const, timeMs: 5, data: {} };
    await store.hear(sealEvent(clusterId, signers[0]!, sealed.sid, undefined, said));
    expect(store.get(sealed.sid)?.view.state).toBe('completed');
  });

  it('S1: ends also where a copy of the host has filled the next place of its chain', async () => {
    const store = await openStore();
    const sealed = proposal(1);
    await store.remember(sealed, peers, 2, taking);
    await store.say(sealed.sid, 'joined');
    const said = { kind: 'joined' as const, timeMs: 77, data: {} };
    await store.hear(sealEvent(clusterId, signers[1]!, sealed.sid, undefined, said));
    await store.say(sealed.sid, 'failed', { code: 'NO_QUORUM', message: 'nobody' });
    expect(store.get(sealed.sid)?.view).toMatchObject({
      state: 'failed',
      error: { code: 'NO_QUORUM' },
    });
  });

  it('S1: says nothing after its end but evidence', async () => {
    const store = await openStore();
    const sealed = proposal(1);
    await store.remember(sealed, peers, 2, taking);
    await store.say(sealed.sid, 'joined');
    await store.say(sealed.sid, 'expired');
    for (const kind of ['joined', 'started', 'failed', 'cancelled', 'expired'] as const) {
      expect(await store.say(sealed.sid, kind)).toBeUndefined();
    }
    expect(await store.say(sealed.sid, 'completed')).toBeDefined();
  });

  it('S1: an onlooker whose proposer ended the session adds no end of its own', async () => {
    const store = await openStore(undefined, signers[3]!);
    const sealed = proposal(1);
    await store.remember(sealed, peers, 2, { taking: false, sync: false });
    const end = sealEvent(clusterId, signers[0]!, sealed.sid, undefined, {
      kind: 'failed',
      timeMs: 7,
      data: { code: 'NO_QUORUM', message: 'nobody' },
    });
    await store.hear(end);
    expect(await store.say(sealed.sid, 'expired')).toBeUndefined();
    expect(store.get(sealed.sid)?.view).toMatchObject({
      state: 'failed',
      error: { code: 'NO_QUORUM', message: 'nobody' },
    });
  });

  it('takes events of the proposer, the parties and itself only, and of known sessions', async () => {
    const store = await openStore();
    const sealed = proposal(1);
    await store.remember(sealed, peers, 2, taking);
    const said = { kind: 'joined' as const, timeMs: 1, data: {} };
    const stranger = sealEvent(clusterId, signers[3]!, sealed.sid, undefined, said);
    expect(await store.hear(stranger)).toBe(false);
    const unknown = sealEvent(clusterId, signers[0]!, proposal(2).sid, undefined, said);
    expect(await store.hear(unknown)).toBe(false);
  });

  it('P3: bounds notes, chains and sessions; the end always has a place', async () => {
    const store = await openStore();
    const sealed = proposal(0);
    await store.remember(sealed, peers, 2, taking);
    await store.say(sealed.sid, 'joined');
    let notes = 0;
    for (let i = 0; i < 200; i++) {
      if ((await store.say(sealed.sid, 'note', { what: 'x' })) !== undefined) notes++;
    }
    expect(notes).toBe(55);
    expect(await store.say(sealed.sid, 'failed')).toBeDefined();
    const live = proposal(1);
    await store.remember(live, peers, 2, taking);
    for (let i = 2; i < 1_120; i++) {
      await store.remember(proposal(i), peers, 2, { taking: false, sync: false });
    }
    expect(store.get(sealed.sid)).toBeUndefined();
    expect(store.get(live.sid)).toBeDefined();
    expect(store.list().length).toBeGreaterThanOrEqual(1_024);
    expect(store.list().length).toBeLessThanOrEqual(1_024 + 32);
    expect([...map.keys()].filter((key) => key.startsWith('s/'))).toHaveLength(store.list().length);
    expect(store.get(proposal(1_119).sid)).toBeDefined();
    expect([...map.keys()].filter((key) => key.includes(sealed.sid))).toEqual([]);
  });

  it('leaves a damaged record out and starts all the same', async () => {
    const store = await openStore();
    const [one, two] = [proposal(1), proposal(2)];
    await store.remember(one, peers, 2, taking);
    await store.remember(two, peers, 2, taking);
    await store.say(two.sid, 'joined');
    map.set(`s/${one.sid}`, Uint8Array.of(1, 2, 3));
    const again = await openStore();
    expect(again.get(one.sid)).toBeUndefined();
    expect(again.get(two.sid)?.view.state).toBe('joining');
  });

  it('keeps a refusal durably, apart from the record', async () => {
    const inner = memoryKeyValue(map);
    const synced: string[] = [];
    const kv: KeyValue = {
      ...inner,
      put: async (key, value, options) => {
        if (options?.sync === true) synced.push(key.slice(0, 2));
        await inner.put(key, value, options);
      },
    };
    const store = await openStore(kv);
    const sealed = proposal(1);
    await store.remember(sealed, peers, 2, taking);
    await store.putRefusal(sealed.sid, Uint8Array.of(9));
    expect(synced).toEqual(['s/', 'r/']);
    const again = await openStore();
    expect(await again.refusal(sealed.sid)).toEqual(Uint8Array.of(9));
    expect(again.hasRefused(sealed.sid)).toBe(true);
    expect(again.hasRefused(proposal(2).sid)).toBe(false);
  });
});
