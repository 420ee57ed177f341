/** SIGKILL at every step: one certificate or none, and no share of a certified key is lost. */
import { describe, expect, it } from 'vitest';
import { equalBytes } from '../../../src/base/bytes.ts';
import { checkPending, resumeKeygen, stepKeygen } from '../../../src/mpc/keygen/index.ts';
import { openMessage, unpack } from '../../../src/mpc/keygen/messages.ts';
import { toyDkg } from '../../support/toy-dkg.ts';
import { CLUSTER, dice, expectNoKey, keyInfoOf, Network, type Node, TTL_MS } from './network.ts';

const suite = toyDkg();
const LONG = 40 * TTL_MS;

/** What must hold when everybody is back and the network is at rest. */
function expectOneEnd(net: Network, what: string): 'completed' | 'none' {
  const known = net.nodes.filter(({ state }) => state !== undefined);
  for (const { outcome, pending, state } of known) {
    expect(outcome, what).toBeDefined();
    expect(pending, what).toBe(false);
    expect(state?.phase, what).toBe('over');
    // Crashes and lost messages alone blame nobody.
    expect(state?.culprits.size, what).toBe(0);
  }
  const certified = net.nodes.filter(({ disk }) => disk.certificate !== undefined);
  if (certified.length === 0) {
    for (const node of net.nodes) expectNoKey(node, what);
    return 'none';
  }
  const info = keyInfoOf(certified[0]!);
  for (const { disk, outcome } of net.nodes) {
    expect(outcome?.state, what).toBe('completed');
    expect(disk.refusal, what).toBeUndefined();
    expect(disk.share?.attestation.keyId, what).toBe(info.keyId);
    checkPending(suite, disk.share!.share, disk.share!.attestation);
    expect(equalBytes(disk.share!.attestation.public.groupKey, info.groupKey)).toBe(true);
  }
  return 'completed';
}

/** Crashes whoever executes the effect of this number. */
function crashAt(net: Network, at: number, when: 'before' | 'after'): { victim?: Node } {
  const found: { victim?: Node } = {};
  net.onEffect = (node, _effect, now) => {
    if (found.victim !== undefined || net.executed !== at || now !== when) return false;
    found.victim = node;
    net.down.add(node);
    net.crash(node);
    return when === 'before';
  };
  return found;
}

const bring = (net: Network, node: Node): void => {
  net.down.delete(node);
  net.restart(node);
};

describe('a crash during key generation (K2, K4)', () => {
  const clean = new Network({ threshold: 2, parties: 3, suite });
  const all: number[] = [];
  // An event changes nothing. After a write its answer is lost; after any other effect is before
  // the next one.
  const writes: number[] = [];
  clean.onEffect = (_node, { type }, when) => {
    if (when === 'before' && type !== 'event') all.push(clean.executed);
    if (when === 'before' && type === 'store') writes.push(clean.executed);
    return false;
  };
  clean.start().run(TTL_MS);
  const steps = clean.executed;

  it.each([
    ['before', 'effect', 0, all],
    ['before', 'effect', 3 * TTL_MS, all],
    ['after', 'write', 0, writes],
    ['after', 'write', 3 * TTL_MS, writes],
  ] as const)('%s every %s, back after %i ms: one certificate or none', (when, _, later, at) => {
    const ends = new Map<string, number>();
    for (const step of at) {
      const net = new Network({ threshold: 2, parties: 3, suite }).start();
      const crashed = crashAt(net, step, when);
      net.settle();
      if (later > 0) net.run(later);
      expect(crashed.victim, `effect ${step}`).toBeDefined();
      bring(net, crashed.victim!);
      net.run(LONG);
      const end = expectOneEnd(net, `effect ${step} ${when}, back after ${later}`);
      ends.set(end, (ends.get(end) ?? 0) + 1);
    }
    // Both ends occur, so the loop tried both sides of the point of no return.
    expect(ends.get('completed')).toBeGreaterThan(0);
    expect(ends.get('none')).toBeGreaterThan(0);
  });

  it('of several parties, twice, with lost and repeated messages: one certificate or none', () => {
    const ends = new Map<string, number>();
    for (let seed = 1; seed <= 40; seed++) {
      const roll = dice(seed * 7919);
      const lossy = { loss: seed % 3 === 0 ? 0.1 : 0, echoes: 0.1 };
      const net = new Network({ threshold: 2, parties: 3, suite, seed, ...lossy }).start();
      const late = seed % 2 === 0 ? 0.6 : 0;
      for (let round = 0; round < 2; round++) {
        const at = net.executed + 1 + Math.floor((late + roll() * (1 - late)) * steps * 0.6);
        const crashed = crashAt(net, at, roll() < 0.5 ? 'before' : 'after');
        net.settle();
        if (crashed.victim === undefined) continue;
        const second = net.nodes[Math.floor(roll() * 3)]!;
        net.down.add(second);
        net.crash(second);
        if (roll() < 0.3) net.run(net.now + 2 * TTL_MS);
        bring(net, crashed.victim);
        bring(net, second);
      }
      net.onEffect = undefined;
      net.run(net.now + LONG);
      const end = expectOneEnd(net, `seed ${seed}`);
      ends.set(end, (ends.get(end) ?? 0) + 1);
    }
    expect(ends.get('completed')).toBeGreaterThan(0);
    expect(ends.get('none')).toBeGreaterThan(0);
  });

  it('of all parties at once after they attested: the cold start completes', () => {
    const net = new Network({ threshold: 2, parties: 3, suite });
    for (const node of net.nodes) {
      node.twist = (_to, packet) => (unpack(packet).kind === 'statement' ? [] : [packet]);
    }
    net.start().settle();
    for (const node of net.nodes) {
      expect(node.disk.share).toBeDefined();
      node.twist = undefined;
      net.crash(node);
    }
    for (const node of net.nodes) net.restart(node);
    net.run(TTL_MS);
    expect(expectOneEnd(net, 'cold start')).toBe('completed');
  });

  it('and forgetting: a party that has no record of the session refuses when it is asked', () => {
    const net = new Network({ threshold: 2, parties: 3, suite });
    const amnesiac = net.node(3);
    net.onEffect = (node, effect) => {
      if (node !== amnesiac || effect.type !== 'store' || effect.name !== 'share') return false;
      net.crash(node);
      delete node.disk.sealed;
      return true;
    };
    net.start();
    net.run(LONG);
    expect(amnesiac.disk.refusal).toBeDefined();
    expect(expectOneEnd(net, 'amnesia')).toBe('none');
  });
});

describe('what a party says after a restart', () => {
  const kindsAfter = (net: Network, node: Node): readonly string[] => {
    net.frames.length = 0;
    net.crash(node);
    net.restart(node);
    while (node.effects.length + node.inbox.length > 0) net.act();
    return [...new Set(net.frames.map((frame) => unpack(frame).kind))].sort();
  };

  /** Party 2 has attested, and hears no word of the others. */
  const waiting = (): { readonly net: Network; readonly node: Node } => {
    const net = new Network({ threshold: 2, parties: 3, suite });
    for (const other of [1, 3]) {
      net.node(other).twist = (_to, packet) =>
        ['statement', 'certificate'].includes(unpack(packet).kind) ? [] : [packet];
    }
    net.start().settle();
    return { net, node: net.node(2) };
  };

  it('accepted only: it stores a refusal, then says it, and never takes part again', () => {
    const net = new Network({ threshold: 2, parties: 3, suite }).start();
    const node = net.node(2);
    while (node.state?.phase === 'accepting') net.act();
    expect(node.disk.share).toBeUndefined();
    net.flight = [];
    for (const other of [1, 3]) net.crash(net.node(other));
    expect(kindsAfter(net, node)).toEqual(['refusal']);
    expect(node.outcome).toMatchObject({ state: 'failed', culprits: [] });
    expect(kindsAfter(net, node), 'again after the next restart').toEqual(['refusal']);
  });

  it('attested: it attests the same again and asks, and never refuses', () => {
    const { net, node } = waiting();
    const before = node.state!.statements.get(2)!.bytes;
    for (const other of [1, 3]) net.crash(net.node(other));
    net.flight = [];
    expect(kindsAfter(net, node)).toEqual(['inquiry', 'statement']);
    expect(node.state!.statements.get(2)!.bytes).toEqual(before);
    node.inbox.push({ type: 'cancel', by: node.peerId, reason: 'withdrawn' });
    for (let i = 0; i < 50; i++) net.act();
    expect(node.disk.refusal).toBeUndefined();
    expect(node.disk.share).toBeDefined();
    expect(node.pending).toBe(true);
  });

  it('attested: it asks a party that it meets again at once, and that one alone', () => {
    const { net, node } = waiting();
    const { peerId } = net.node(3);
    const { effects } = stepKeygen(node.state!, { type: 'met', peer: peerId }, node.deps);
    const asked = effects.map((effect) =>
      effect.type === 'send' ? [unpack(effect.envelope).kind, effect.to] : effect,
    );
    expect(asked).toEqual([
      ['statement', [peerId]],
      ['inquiry', [peerId]],
    ]);
  });

  it('K4: refused by another party: it passes that refusal on, and keeps what it attested', () => {
    const net = new Network({ threshold: 2, parties: 3, suite });
    net.node(3).broken.add('share');
    net.start().run(TTL_MS);
    const node = net.node(1);
    expect(kindsAfter(net, node)).toEqual(['refusal']);
    // Its own refusal would contradict the statement that it may have sent.
    for (const frame of net.frames) {
      const { author } = openMessage(CLUSTER, node.deps.open, 'refusal', unpack(frame).body);
      expect(author).toBe(net.node(3).peerId);
    }
    expect(node.disk.share).toBeDefined();
    expect(node.outcome?.state).toBe('failed');
    expect(node.pending).toBe(false);
  });

  it('certified: it is completed, and answers who asks with the certificate', () => {
    const net = new Network({ threshold: 2, parties: 3, suite }).start().run(TTL_MS);
    const node = net.node(1);
    expect(kindsAfter(net, node)).toEqual([]);
    expect(keyInfoOf(node).keyId).toBe(keyInfoOf(net.node(2)).keyId);
    net.crash(net.node(2));
    delete net.node(2).disk.certificate;
    net.restart(net.node(2));
    net.run();
    expect(net.node(2).disk.certificate).toBeDefined();
  });

  it('a certificate on the disk that does not verify is not believed', () => {
    const net = new Network({ threshold: 2, parties: 3, suite }).start().run(TTL_MS);
    const { disk, deps } = net.node(1);
    const certificate = disk.certificate!.with(200, disk.certificate![200]! ^ 1);
    expect(() => resumeKeygen({ sealed: net.sealed, certificate }, deps)).toThrow();
  });

  it('a share on the disk that is not the attested one is corrupt (K1)', () => {
    const net = new Network({ threshold: 2, parties: 3, suite }).start().run(TTL_MS);
    const { share, attestation } = net.node(1).disk.share!;
    const signingShare = share.signingShare.with(31, share.signingShare[31]! ^ 1);
    expect(() => checkPending(suite, { ...share, signingShare }, attestation)).toThrow(
      expect.objectContaining({ code: 'SHARE_CORRUPT' }),
    );
    expect(() => checkPending(suite, { ...share, index: 2 }, attestation)).toThrow();
  });
});
