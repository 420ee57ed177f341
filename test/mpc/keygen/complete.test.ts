import { describe, expect, it } from 'vitest';
import { equalBytes } from '../../../src/base/bytes.ts';
import { unpack } from '../../../src/mpc/keygen/messages.ts';
import { certificateAddress, verifyCertificate } from '../../../src/mpc/keys/certificate.ts';
import { suiteOf } from '../../../src/mpc/suites/index.ts';
import { toyDkg } from '../../support/toy-dkg.ts';
import { sign } from '../suites/keys.ts';
import { CLUSTER, expectNoKey, keyInfoOf, Network, TTL_MS } from './network.ts';

const kindsOf = (net: Network): Map<string, number> => {
  const counts = new Map<string, number>();
  for (const frame of net.frames) {
    const { kind } = unpack(frame);
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  return counts;
};

describe('key generation with real groups and signatures (R49, R57)', () => {
  it.each([
    ['ed25519', 2, 3, [1, 3]],
    ['ed25519', 3, 5, [5, 1, 3]],
    ['ed25519', 4, 7, [2, 4, 6, 7]],
    ['secp256k1-tr', 2, 3, [2, 3]],
    ['secp256k1-tr', 3, 5, [1, 3, 5]],
  ] as const)('%s %i of %i: all agree on one key, and it signs', (name, t, n, signers) => {
    const suite = suiteOf(name);
    const net = new Network({ threshold: t, parties: n, suite, real: true, seed: n }).start();
    net.run(TTL_MS);
    const infos = net.nodes.map(keyInfoOf);
    for (const info of infos) expect(info).toEqual(infos[0]);
    expect(net.nodes.every(({ pending }) => !pending)).toBe(true);
    const shares = net.nodes.map(({ disk }) => disk.share!.share);
    const message = new Uint8Array([1, 2, 3]);
    const signed = sign(suite, { key: infos[0]!, shares }, signers, message);
    const result = suite.aggregate(infos[0]!, signed.list, message, signed.parts);
    expect(result.ok && suite.verify(infos[0]!.groupKey, message, result.signature)).toBe(true);
    for (const node of net.nodes) {
      // A certificate needs nobody's word: the bytes and the cluster id give the key.
      expect(verifyCertificate(node.disk.certificate!, CLUSTER).keyInfo).toEqual(infos[0]);
    }
  });

  it('sends no share, and a subshare to its receiver alone (K3)', () => {
    const suite = suiteOf('ed25519');
    const net = new Network({ threshold: 2, parties: 3, suite, real: true, seed: 9 });
    const sent: string[] = [];
    for (const node of net.nodes) {
      node.twist = (to, packet) => {
        if (unpack(packet).kind === 'round2') sent.push(`${node.peerId} -> ${to}`);
        return [packet];
      };
    }
    net.start().run(TTL_MS);
    expect(new Set(sent).size).toBe(6);
    expect(sent).toHaveLength(6);
    const frames = Buffer.concat(net.frames);
    const events = JSON.stringify(net.nodes.map(({ events: e, ends }) => [e, ends]));
    for (const { disk } of net.nodes) {
      const secret = Buffer.from(disk.share!.share.signingShare);
      expect(frames.includes(secret)).toBe(false);
      expect(events.includes(secret.toString('hex'))).toBe(false);
    }
  });
});

describe('key generation in any order of deliveries', () => {
  const suite = toyDkg();

  it('completes whatever is reordered and delivered twice', () => {
    for (let seed = 1; seed <= 24; seed++) {
      const net = new Network({ threshold: 2, parties: 3, suite, seed, echoes: 0.5 }).start();
      net.run(TTL_MS);
      const ids = new Set(net.nodes.map((node) => keyInfoOf(node).keyId));
      expect(ids.size, `seed ${seed}`).toBe(1);
      for (const node of net.nodes) expect(node.ends).toHaveLength(1);
    }
  });

  it('says nothing before it is on the disk: acceptance, share (K1), refusal', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const net = new Network({ threshold: 2, parties: 3, suite, seed });
      net.onEffect = (node, effect, when) => {
        if (effect.type !== 'send' || when !== 'before') return false;
        const { kind } = unpack(effect.envelope);
        if (kind === 'round1') expect(node.disk.sealed).toBeDefined();
        if (kind === 'statement') expect(node.disk.share).toBeDefined();
        if (kind === 'refusal') expect(node.disk.refusal).toBeDefined();
        if (kind === 'certificate') expect(node.disk.certificate).toBeDefined();
        return false;
      };
      if (seed % 2 === 0) net.node(2).broken.add('share');
      net.start().run();
      expect(net.nodes.map(({ outcome }) => outcome?.state)).toEqual(
        Array(3).fill(seed % 2 === 0 ? 'failed' : 'completed'),
      );
    }
  });

  it('leaves no timer behind and forgets its secrets', () => {
    const net = new Network({ threshold: 2, parties: 3, suite }).start().run(TTL_MS);
    for (const { timers, state } of net.nodes) {
      expect(timers.size).toBe(0);
      expect(state?.secret).toBeUndefined();
      expect(state?.share).toBeUndefined();
      expect(state?.round2.size).toBe(0);
    }
  });

  it('wipes the share it handed over once that is stored', () => {
    const net = new Network({ threshold: 2, parties: 3, suite });
    const handed: Uint8Array[] = [];
    net.onEffect = (_node, effect) => {
      if (effect.type === 'store' && effect.name === 'share') {
        handed.push(effect.share.signingShare);
      }
      return false;
    };
    net.start().run(TTL_MS);
    expect(handed.length).toBeGreaterThan(2);
    for (const bytes of handed) expect(equalBytes(bytes, new Uint8Array(32))).toBe(true);
  });

  it('tells a proposer that is no party', () => {
    const net = new Network({ threshold: 2, parties: 3, suite, proposer: 3 }).start();
    net.run(TTL_MS);
    expect(net.nodes).toHaveLength(4);
    expect(keyInfoOf(net.node(4)).keyId).toBe(keyInfoOf(net.node(1)).keyId);
    expect(net.node(4).disk.share).toBeUndefined();
  });

  it('costs n (n - 1) messages a round', () => {
    const net = new Network({ threshold: 2, parties: 4, suite }).start().run(TTL_MS);
    const counts = kindsOf(net);
    for (const kind of ['round1', 'echo', 'round2', 'statement', 'certificate']) {
      expect(counts.get(kind), kind).toBe(12);
    }
    expect(counts.size).toBe(5);
  });

  it('binds the key to its session: another nonce is another key at another address', () => {
    const ids = [1, 2].map((nonce) => {
      const net = new Network({ threshold: 2, parties: 3, suite, nonce }).start().run(TTL_MS);
      return keyInfoOf(net.node(1)).keyId;
    });
    expect(ids[0]).not.toBe(ids[1]);
    expect(certificateAddress(ids[0]!, 'lab')).toMatch(
      /^ucxl:\/\/g-[a-z2-7]{32}:group@lab:key\/public$/,
    );
  });
});

describe('key generation that cannot complete', () => {
  const suite = toyDkg();

  it.each([
    ['round1', 'round1'],
    ['echo', 'echo'],
    ['round2', 'round2'],
  ])('expires naming phase %s and who was silent, and blames nobody (S1, S5)', (kind, phase) => {
    const net = new Network({ threshold: 2, parties: 3, suite });
    const mute = net.node(3);
    mute.twist = (_to, packet) => {
      const said = unpack(packet).kind;
      return said === kind || said === 'refusal' ? [] : [packet];
    };
    net.start().run();
    for (const index of [1, 2]) {
      const { outcome, pending, disk, timers } = net.node(index);
      expect(outcome).toMatchObject({ state: 'expired', culprits: [] });
      expect(pending).toBe(false);
      expect(disk.refusal).toBeDefined();
      expect(disk.share).toBeUndefined();
      expect(timers.size).toBe(0);
      if (outcome?.state === 'expired' && outcome.error.message.includes('in time')) {
        expect(outcome.silent).toEqual([mute.peerId]);
        expect(outcome.error.details).toMatchObject({ phase });
      }
    }
    const namers = [1, 2].filter((i) => net.node(i).outcome!.state === 'expired');
    expect(namers).toHaveLength(2);
    expect(net.now).toBeLessThanOrEqual(TTL_MS);
  });

  it('keeps an attested share past the deadline, unused, and completes when the rest arrives (K4)', () => {
    const net = new Network({ threshold: 2, parties: 3, suite });
    let silent = true;
    net.node(3).twist = (_to, packet) =>
      silent && ['statement', 'certificate'].includes(unpack(packet).kind) ? [] : [packet];
    net.start().run(TTL_MS);
    for (const index of [1, 2]) {
      const { outcome, pending, disk } = net.node(index);
      expect(outcome).toMatchObject({ state: 'expired', silent: [net.node(3).peerId] });
      expect(pending).toBe(true);
      expect(disk.share).toBeDefined();
      expect(disk.refusal).toBeUndefined();
    }
    silent = false;
    net.run(4 * TTL_MS);
    for (const node of net.nodes) {
      expect(node.outcome?.state).toBe('completed');
      expect(node.pending).toBe(false);
      expect(node.disk.share).toBeDefined();
    }
  });

  it('K4: a refusal ends the session, and no attested share is wiped for it', () => {
    const net = new Network({ threshold: 2, parties: 3, suite });
    net.node(3).broken.add('share');
    net.start().run();
    for (const node of net.nodes) {
      const { outcome, pending, disk } = node;
      expect(outcome?.state).toBe('failed');
      expect(pending).toBe(false);
      expect(disk.refusal).toBeDefined();
      expectNoKey(node);
    }
    expect(net.nodes.filter(({ disk }) => disk.share !== undefined).length).toBeGreaterThan(0);
  });

  it('is cancelled by the proposer, withdrawn from by a party, and by nobody else', () => {
    const cancelled = new Network({ threshold: 2, parties: 3, suite }).start();
    const stranger = cancelled.node(3).peerId;
    for (let i = 0; i < 12; i++) cancelled.act();
    const two = cancelled.node(2);
    two.inbox.push({ type: 'cancel', by: stranger, reason: 'mischief' });
    cancelled.act();
    cancelled.node(1).inbox.push({ type: 'cancel', by: cancelled.node(1).peerId, reason: 'no' });
    cancelled.run();
    expect(cancelled.nodes.map(({ outcome }) => outcome?.state)).toEqual(
      Array(3).fill('cancelled'),
    );
    const ignored = new Network({ threshold: 2, parties: 3, suite }).start();
    ignored.node(2).inbox.push({ type: 'cancel', by: ignored.node(3).peerId, reason: 'mischief' });
    ignored.run();
    expect(ignored.nodes.map(({ outcome }) => outcome?.state)).toEqual(Array(3).fill('completed'));
    const withdrawn = new Network({ threshold: 2, parties: 3, suite }).start();
    withdrawn.node(2).inbox.push({ type: 'cancel', by: withdrawn.node(2).peerId, reason: 'bye' });
    withdrawn.run();
    expect(withdrawn.node(2).outcome?.state).toBe('cancelled');
    expect(withdrawn.node(1).outcome?.state).toBe('failed');
  });

  it('ends in silence when not even the acceptance can be stored', () => {
    const net = new Network({ threshold: 2, parties: 3, suite });
    net.node(2).broken.add('accepted');
    net.start().run();
    expect(net.node(2).outcome).toMatchObject({ state: 'failed', error: { code: 'DISK_FAILED' } });
    expect(net.node(1).outcome).toMatchObject({ state: 'expired', culprits: [] });
  });

  it('never says a refusal that it could not store', () => {
    const net = new Network({ threshold: 2, parties: 3, suite });
    net.node(2).broken.add('share').add('refusal');
    net.start().run();
    const refusers = net.frames.filter((frame) => unpack(frame).kind === 'refusal');
    expect(refusers).toEqual([]);
    expect(net.node(2).outcome?.state).toBe('failed');
    for (const index of [1, 3]) {
      expect(net.node(index).pending).toBe(true);
      expect(net.node(index).disk.share).toBeDefined();
    }
  });

  it('K4: refuses when it is asked, once the disk takes a refusal again', () => {
    const net = new Network({ threshold: 2, parties: 3, suite });
    net.node(2).broken.add('share').add('refusal');
    net.start().run(TTL_MS);
    for (const index of [1, 3]) expect(net.node(index).pending).toBe(true);
    net.node(2).broken.clear();
    net.run();
    expect(net.node(2).disk.refusal).toBeDefined();
    for (const index of [1, 3]) {
      expect(net.node(index).pending).toBe(false);
      expectNoKey(net.node(index));
    }
  });

  it('tries again to store a certificate', () => {
    const net = new Network({ threshold: 2, parties: 3, suite });
    net.node(2).broken.add('certificate');
    net.start().run(TTL_MS);
    expect(net.node(2).pending).toBe(true);
    net.node(2).broken.clear();
    net.run();
    expect(net.node(2).outcome?.state).toBe('completed');
    expect(net.node(2).disk.certificate).toBeDefined();
  });
});
