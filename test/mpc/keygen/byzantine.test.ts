/** Parties that run the real machine and lie in what they send. Party 3 is always the liar. */
import { describe, expect, it } from 'vitest';
import { encode } from '../../../src/base/codec.ts';
import {
  type ComplaintKind,
  keygenDomain,
  openMessage,
  type PacketKind,
  pack,
  type SignedKind,
  unpack,
} from '../../../src/mpc/keygen/messages.ts';
import { suiteOf } from '../../../src/mpc/suites/index.ts';
import type { Suite } from '../../../src/mpc/suites/types.ts';
import { toyDkg } from '../../support/toy-dkg.ts';
import { testRandom } from '../../support/world.ts';
import { bringCertificate, flip, lie, said, say, tellTwoTales } from './lying.ts';
import {
  CLUSTER,
  expectNoKey,
  keyInfoOf,
  Network,
  type Node,
  SIGNERS,
  TTL_MS,
  toySigner,
} from './network.ts';

const SEEDS = Array.from({ length: 8 }, (_, i) => i + 1);
const toy = toyDkg();

const network = (seed = 1, options: object = {}): Network =>
  new Network({ threshold: 2, parties: 4, suite: toy, seed, ...options });

/** A packet of a kind by a party, taken from the wire. */
function wire(net: Network, kind: SignedKind, author: number): Uint8Array {
  const { peerId, deps } = net.node(author);
  const found = net.frames.find((frame) => {
    const { kind: k, body } = unpack(frame);
    return k === kind && openMessage(CLUSTER, deps.open, kind, body).author === peerId;
  });
  if (found === undefined) throw new Error(`no ${kind} by ${author}`);
  return found;
}

const body = (packet: Uint8Array): Uint8Array => unpack(packet).body;

/** Everybody honest names party 3, and nobody else; the key does not exist. */
function expectCulprit(net: Network, honest: readonly number[] = [1, 2, 4]): void {
  for (const index of honest) {
    const { outcome, disk } = net.node(index);
    expect(outcome, `party ${index}`).toMatchObject({
      state: 'failed',
      culprits: [net.node(3).peerId],
    });
    expect(disk.certificate).toBeUndefined();
  }
}

/** Complete, and nobody was named by anybody. */
function expectHarmless(net: Network): void {
  const ids = new Set(net.nodes.map((node) => keyInfoOf(node).keyId));
  expect(ids.size).toBe(1);
  for (const { state, events } of net.nodes) {
    expect(state?.culprits.size).toBe(0);
    expect(events.filter(({ kind }) => kind === 'culprit')).toEqual([]);
  }
}

describe('a malicious participant (R49)', () => {
  it.each(SEEDS)(
    'gives one receiver a bad subshare: every party names the dealer (seed %i)',
    (s) => {
      const net = network(s);
      lie(net, net.node(3), 'round2', (payload, to) =>
        to === 1 ? { ...payload, subshare: flip(payload.subshare) } : payload,
      );
      net.start().run();
      expectCulprit(net);
      for (const node of net.nodes) expectNoKey(node);
    },
  );

  it('is named also by those who hear of it in a refusal only', () => {
    const net = network();
    lie(net, net.node(3), 'round2', (payload, to) =>
      to === 1 ? { ...payload, subshare: flip(payload.subshare) } : payload,
    );
    net.node(1).twist = (_to, packet) => (unpack(packet).kind === 'complaint' ? [] : [packet]);
    net.start().run();
    expectCulprit(net);
  });

  it('is named also when the complaint comes after the end', () => {
    const lying = network();
    lie(lying, lying.node(3), 'round2', (payload, to) =>
      to === 1 ? { ...payload, subshare: flip(payload.subshare) } : payload,
    );
    lying.start().run();
    const net = network().start();
    net.node(3).inbox.push({ type: 'cancel', by: net.node(3).peerId, reason: 'withdrawn' });
    net.run();
    const two = net.node(2);
    expect(two.outcome).toMatchObject({ state: 'failed', culprits: [] });
    net.send(net.node(1).peerId, two.peerId, wire(lying, 'complaint', 1));
    net.run();
    expect(two.outcome).toMatchObject({ state: 'failed', culprits: [net.node(3).peerId] });
    expect(two.ends).toHaveLength(2);
  });

  it.each([
    ['empty', new Uint8Array()],
    ['too long', new Uint8Array(33)],
    ['out of range', new Uint8Array(32).fill(255)],
  ])('gives a subshare that is %s', (_what, subshare) => {
    const net = network();
    lie(net, net.node(3), 'round2', (payload) => ({ ...payload, subshare }));
    net.start().run();
    expectCulprit(net);
  });

  it.each(SEEDS)('shows two parties different first rounds: equivocation (seed %i)', (seed) => {
    const net = network(seed);
    const other = toy.dkgRound1(3, 2, 4, testRandom('second face')).round1;
    lie(net, net.node(3), 'round1', (payload, to) =>
      to === 2 ? { ...payload, ...other } : payload,
    );
    net.start().run();
    expectCulprit(net);
  });

  it.each(SEEDS)('claims to have seen another first round: nobody is blamed (seed %i)', (seed) => {
    const net = network(seed);
    lie(net, net.node(3), 'echo', (payload, to) =>
      to === 1 ? { ...payload, hashes: payload.hashes.with(1, new Uint8Array(32)) } : payload,
    );
    net.start().run();
    for (const index of [1, 2, 4]) {
      expect(net.node(index).outcome).toMatchObject({ state: 'expired', culprits: [] });
    }
    const first = net.node(1).outcome;
    if (first?.state === 'expired' && first.error.message.includes('in time')) {
      expect(first.silent).toEqual([net.node(3).peerId]);
    }
  });

  it('signs two echoes', () => {
    const net = network();
    lie(net, net.node(3), 'echo', (payload, to) =>
      to === 1 ? { ...payload, hashes: payload.hashes.with(1, new Uint8Array(32)) } : payload,
    );
    const twist = net.node(3).twist!;
    net.node(3).twist = (to, packet, node) =>
      to === net.node(1).peerId ? [packet, ...twist(to, packet, node)] : [packet];
    net.start().run();
    expectCulprit(net);
  });

  it("replays another's commitments and proof", () => {
    const net = network().start();
    net.node(3).inbox.length = 0;
    net.settle();
    const stolen = said(net.node(1), 'round1', wire(net, 'round1', 1)).payload;
    lie(net, net.node(3), 'round1', () => stolen);
    net.node(3).inbox.push({ type: 'start' });
    net.run();
    expectCulprit(net);
  });

  it.each([
    ['raises', 3],
    ['lowers', 1],
    ['raises over all bounds', 17],
  ])('%s the threshold', (_what, degree) => {
    const net = network();
    const random = testRandom('another degree');
    lie(net, net.node(3), 'round1', (payload) => {
      const { commitments } = toy.dkgRound1(3, degree, 4, random).round1;
      return { ...payload, commitments };
    });
    net.start().run();
    expectCulprit(net);
  });

  it.each(SEEDS)(
    'attests another key: named, and nobody loses a certified key (seed %i)',
    (seed) => {
      const net = network(seed);
      lie(net, net.node(3), 'statement', (payload) => ({
        ...payload,
        groupKey: flip(payload.groupKey),
      }));
      // It holds all right statements, its own unsent one among them, and keeps the certificate.
      const twist = net.node(3).twist!;
      net.node(3).twist = (to, packet, node) =>
        unpack(packet).kind === 'certificate' ? [] : twist(to, packet, node);
      net.start().run(TTL_MS);
      expectCulprit(net);
      const certificate = net.node(3).disk.certificate;
      const honest = [1, 2, 4].map((index) => net.node(index));
      if (certificate === undefined) {
        for (const { pending } of honest) expect(pending).toBe(false);
        return;
      }
      // It could still show the certificate, so who attested keeps its share (K4).
      for (const { disk } of honest) expect(disk.share).toBeDefined();
      for (const { inbox } of honest) inbox.push({ type: 'certificate', certificate });
      net.settle();
      for (const { outcome } of honest) expect(outcome?.state).toBe('completed');
    },
  );

  it('attests another key to one party and the right one to the others', () => {
    const net = network();
    lie(net, net.node(3), 'statement', (payload, to) =>
      to === 1 ? { ...payload, transcript: new Uint8Array(32) } : payload,
    );
    net.start().run(TTL_MS);
    // All n right statements exist, so the key does: the certificate is evidence over everything.
    for (const index of [1, 2, 4]) expect(net.node(index).outcome?.state).toBe('completed');
    const named = [1, 2, 4].flatMap((i) => [...(net.node(i).state?.culprits ?? [])]);
    expect(new Set(named)).toEqual(new Set([3]));
  });

  it('refuses after it attested: the refusal frees nobody, the shares stay (K4)', () => {
    const net = network();
    const [one, liar] = [net.node(1), net.node(3)];
    liar.twist = (to, packet) => {
      const { kind } = unpack(packet);
      return kind === 'certificate' || (kind === 'statement' && to !== one.peerId) ? [] : [packet];
    };
    // Somebody else withholds too, or party 1 would hold all statements and complete.
    net.node(4).twist = (_to, packet) =>
      ['statement', 'certificate'].includes(unpack(packet).kind) ? [] : [packet];
    net.start().settle();
    expect(one.state?.statements.has(3)).toBe(true);
    const { sid } = net.sealed;
    const refusal = say(liar, 'refusal', { v: 1, sid, reason: 'restarted', complaint: null });
    net.send(liar.peerId, one.peerId, refusal);
    net.settle();
    expect(one.events.filter(({ kind }) => kind === 'contradiction')).toHaveLength(1);
    expect(one.disk.share).toBeDefined();
    expect(one.disk.refusal).toBeUndefined();
    expect(one.state?.culprits.size).toBe(0);
  });
});

describe('K4: a party that attests to some and refuses to others', () => {
  it.each([
    [3, 2],
    [5, 3],
  ])('costs nobody its share, of %i parties', (parties, threshold) => {
    const net = new Network({ threshold, parties, suite: toy, seed: 4 });
    const friend = net.node(1);
    const refused = tellTwoTales(net, net.node(3), friend);
    expect(friend.outcome?.state).toBe('completed');
    for (const node of refused) {
      expect(node.outcome).toMatchObject({ state: 'failed', culprits: [] });
      expect(node.disk.refusal).toBeDefined();
      expect(node.disk.share).toBeDefined();
      // It changes nothing that the process ends meanwhile.
      net.crash(node);
      net.restart(node);
    }
    bringCertificate(net, friend);
    for (const node of [friend, ...refused]) {
      expect(keyInfoOf(node).keyId).toBe(keyInfoOf(friend).keyId);
      expect(node.disk.share).toBeDefined();
      expect(node.state?.culprits.size).toBe(0);
    }
  });
});

describe('a false complaint', () => {
  /** The liar withholds its statement, so that nobody completes, and accuses. */
  const accuse = (
    net: Network,
    kind: ComplaintKind,
    accused: number,
    evidence: (net: Network) => readonly Uint8Array[],
  ): void => {
    const liar = net.node(3);
    liar.twist = (_to, packet) =>
      ['statement', 'certificate'].includes(unpack(packet).kind) ? [] : [packet];
    net.start().settle();
    const { sid } = net.sealed;
    const complaint = { v: 1 as const, sid, accused, kind, evidence: evidence(net) };
    for (const i of [1, 2, 4]) {
      net.send(liar.peerId, net.node(i).peerId, say(liar, 'complaint', complaint));
    }
    net.run(TTL_MS);
  };

  const cases: readonly (readonly [
    string,
    ComplaintKind,
    number,
    (net: Network) => Uint8Array[],
  ])[] = [
    ['a good first round', 'round1', 1, (net) => [body(wire(net, 'round1', 1))]],
    [
      'a good subshare',
      'subshare',
      1,
      (net) => [body(wire(net, 'round1', 1)), body(subshareFor(net, 1, 3))],
    ],
    [
      "another receiver's subshare",
      'subshare',
      1,
      (net) => [body(wire(net, 'round1', 1)), body(subshareFor(net, 1, 2))],
    ],
    [
      'one first round given as two',
      'two-round1',
      1,
      (net) => [body(wire(net, 'round1', 1)), body(wire(net, 'round1', 1))],
    ],
    ['a right statement', 'statement', 2, (net) => [body(wire(net, 'statement', 2))]],
    ["a third party's first round", 'round1', 1, (net) => [body(wire(net, 'round1', 2))]],
    ['its own first round', 'round1', 1, (net) => [body(wire(net, 'round1', 3))]],
    ['garbage', 'round1', 1, () => [new Uint8Array([1, 2, 3])]],
    ['a missing second envelope', 'two-echo', 1, (net) => [body(wire(net, 'echo', 1))]],
    ['a party that does not exist', 'round1', 16, (net) => [body(wire(net, 'round1', 1))]],
  ];

  it.each(cases)('about %s convicts the accuser', (_what, kind, accused, evidence) => {
    const net = network(3);
    accuse(net, kind, accused, evidence);
    for (const index of [1, 2, 4]) {
      const { outcome, state } = net.node(index);
      expect([...(state?.culprits ?? [])]).toEqual([3]);
      expect(outcome).toMatchObject({ culprits: [net.node(3).peerId] });
    }
  });

  it('that joins first rounds of two sessions convicts the accuser, not their honest author', () => {
    const before = network(1, { nonce: 7 }).start().settle();
    const net = network(3);
    accuse(net, 'two-round1', 1, () => [
      body(wire(net, 'round1', 1)),
      body(wire(before, 'round1', 1)),
    ]);
    for (const index of [1, 2, 4]) {
      expect([...(net.node(index).state?.culprits ?? [])]).toEqual([3]);
    }
  });

  it("about another session's evidence convicts the accuser", () => {
    const before = network(1, { nonce: 7 }).start().settle();
    const net = network(3);
    accuse(net, 'round1', 1, () => [body(wire(before, 'round1', 1))]);
    for (const index of [1, 2, 4]) {
      expect([...(net.node(index).state?.culprits ?? [])]).toEqual([3]);
    }
  });
});

function subshareFor(net: Network, dealer: number, receiver: number): Uint8Array {
  const { peerId, deps } = net.node(dealer);
  const found = net.frames.find((frame) => {
    const { kind, body: envelope } = unpack(frame);
    if (kind !== 'round2') return false;
    const { author, payload } = openMessage(CLUSTER, deps.open, 'round2', envelope);
    return author === peerId && payload.receiver === receiver;
  });
  if (found === undefined) throw new Error('no such subshare');
  return found;
}

describe('messages that do not belong', () => {
  it.each(SEEDS)('of another session change nothing and blame nobody (seed %i)', (seed) => {
    const before = network(seed, { nonce: 7 }).start().run(TTL_MS);
    const net = network(seed).start();
    for (const frame of before.frames) {
      for (const { peerId } of net.nodes) net.send(net.node(3).peerId, peerId, frame);
    }
    net.run(TTL_MS);
    expectHarmless(net);
  });

  it('of peers that are no party change nothing', () => {
    const net = network().start();
    const stranger = toySigner(SIGNERS[6]!);
    const { sid, envelope } = net.sealed;
    const head = { v: 1 as const, sid };
    const outsider = { deps: { signer: stranger } } as unknown as Node;
    const round1 = toy.dkgRound1(3, 2, 4, testRandom('stranger')).round1;
    const packets = [
      say(outsider, 'round1', { ...head, ...round1 }),
      say(outsider, 'echo', { ...head, hashes: [] }),
      say(outsider, 'round2', { ...head, receiver: 1, subshare: new Uint8Array(32) }),
      say(outsider, 'refusal', { ...head, reason: 'culprit', complaint: null }),
      say(outsider, 'inquiry', { ...head, proposal: envelope }),
      say(outsider, 'complaint', {
        ...head,
        accused: 1,
        kind: 'round1',
        evidence: [new Uint8Array()],
      }),
    ];
    for (const packet of packets) {
      for (const { peerId } of net.nodes) net.send(stranger.peerId, peerId, packet);
    }
    net.run(TTL_MS);
    expectHarmless(net);
    expect(net.flight.some(({ to }) => to === stranger.peerId)).toBe(false);
  });

  it('with foreign identifiers are refused, and no prototype is touched', () => {
    const net = network().start();
    const liar = net.node(3);
    const { sid } = net.sealed;
    const forge = (kind: SignedKind, payload: object): Uint8Array =>
      pack(kind, liar.deps.signer.seal(keygenDomain(CLUSTER, kind), encode(payload)));
    const subshare = new Uint8Array(32);
    const evil = JSON.parse('{"__proto__":{"polluted":true}}');
    const packets = [0, -1, 33, 2 ** 40, 1.5, '__proto__', 'constructor', null].flatMap((index) => [
      forge('round2', { v: 1, sid, receiver: index, subshare }),
      forge('complaint', { v: 1, sid, accused: index, kind: 'round1', evidence: [subshare] }),
    ]);
    packets.push(
      forge('round1', { v: 1, sid, commitments: [], proof: subshare, identifier: '__proto__' }),
      forge('round1', { v: 1, sid, ...evil }),
      forge('complaint', { v: 1, sid, accused: 1, kind: '__proto__', evidence: [subshare] }),
      encode({ kind: '__proto__', body: subshare }),
      encode({ kind: 'round1', body: subshare, ...evil }),
    );
    for (const packet of packets) {
      for (const i of [1, 2, 4]) net.send(liar.peerId, net.node(i).peerId, packet);
    }
    net.run(TTL_MS);
    expectHarmless(net);
    expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false);
    for (const i of [1, 2, 4]) {
      const bad = net.node(i).events.filter(({ kind }) => kind === 'bad-message');
      expect(bad, 'one report per sender, however many bad messages').toHaveLength(1);
    }
  });

  it('that are empty, garbage, truncated or huge are refused', () => {
    const net = network().start();
    net.settle();
    const good = wire(net, 'echo', 1);
    const kinds: PacketKind[] = ['round1', 'statement', 'certificate', 'complaint'];
    const packets = [
      new Uint8Array(),
      new Uint8Array(200_000),
      good.subarray(0, good.length - 1),
      ...kinds.map((kind) => pack(kind, new Uint8Array(60_000))),
    ];
    const again = network().start();
    for (const packet of packets) {
      again.send(again.node(3).peerId, again.node(1).peerId, packet);
    }
    again.run(TTL_MS);
    expectHarmless(again);
  });

  it("carrying another's first round under one's own seal convict nobody else", () => {
    const net = network().start();
    net.node(3).inbox.length = 0;
    net.settle();
    // Party 3 passes on party 1's own signed message: that is what a dispute does, and harmless.
    for (const i of [2, 4]) {
      net.send(net.node(3).peerId, net.node(i).peerId, wire(net, 'round1', 1));
    }
    net.node(3).inbox.push({ type: 'start' });
    net.run(TTL_MS);
    expectHarmless(net);
  });
});

describe('with real groups', () => {
  const run = (suite: Suite, change: (net: Network) => void): Network => {
    const net = new Network({ threshold: 2, parties: 4, suite, seed: 5, real: true });
    change(net);
    return net.start().run();
  };

  it.each(['ed25519', 'secp256k1-tr'] as const)('%s: a bad subshare names its dealer', (name) => {
    const net = run(suiteOf(name), (n) =>
      lie(n, n.node(3), 'round2', (payload, to) =>
        to === 2 ? { ...payload, subshare: flip(payload.subshare) } : payload,
      ),
    );
    expectCulprit(net);
  });

  it('a small-order commitment names its dealer', () => {
    const torsion = '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05';
    const net = run(suiteOf('ed25519'), (n) =>
      lie(n, n.node(3), 'round1', (payload) => ({
        ...payload,
        commitments: payload.commitments.with(1, new Uint8Array(Buffer.from(torsion, 'hex'))),
      })),
    );
    expectCulprit(net);
  });

  it("another's name on a message is no message: nobody can be framed", () => {
    const suite = suiteOf('ed25519');
    const net = new Network({ threshold: 2, parties: 3, suite, real: true }).start();
    const { signer } = net.node(3).deps;
    const forged = suite.dkgRound1(1, 2, 3, testRandom('forged')).round1;
    const genuine = signer.seal(
      keygenDomain(CLUSTER, 'round1'),
      encode({ v: 1, sid: net.sealed.sid, ...forged }),
    );
    // The signature of party 3 under the key of party 1.
    const own = net.node(1).deps.signer.seal('x', new Uint8Array());
    const keyOf = (bytes: Uint8Array): Uint8Array => bytes.subarray(0, 38);
    const spliced = new Uint8Array([...keyOf(own), ...genuine.subarray(38)]);
    for (const i of [1, 2]) {
      net.send(net.node(3).peerId, net.node(i).peerId, pack('round1', spliced));
    }
    net.run(TTL_MS);
    expectHarmless(net);
  });
});
