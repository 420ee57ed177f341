/** Byzantine parties of key generation, refresh and reshare: real suites, real identities. */
import { expect } from 'vitest';
import { encode } from '../../../src/base/codec.ts';
import {
  keygenDomain,
  type Payloads,
  pack,
  type SignedKind,
  unpack,
} from '../../../src/mpc/keygen/messages.ts';
import { extendCertificate, verifyCertificate } from '../../../src/mpc/keys/certificate.ts';
import { encodeCertificate } from '../../../src/mpc/keys/certificate-link.ts';
import { checkReshare } from '../../../src/mpc/reshare/rules.ts';
import { suiteOf } from '../../../src/mpc/suites/index.ts';
import type { ReshareProposal } from '../../../src/mpc/types.ts';
import { bringCertificate, flip, lie, said, tellTwoTales } from '../keygen/lying.ts';
import { CLUSTER, expectNoKey, keyInfoOf, Network, type Node, TTL_MS } from '../keygen/network.ts';
import { type Held, handOn, makeKey } from '../reshare/support.ts';
import { attack, type Protocol, type Size } from './rows.ts';

const DEALT = ['keygen', 'refresh', 'reshare'] as const satisfies readonly Protocol[];
const HANDED_ON = ['refresh', 'reshare'] as const satisfies readonly Protocol[];

const real = { suite: suiteOf('ed25519'), real: true } as const;
const thresholdOf = (size: Size): number => (size + 1) / 2;
const keys = new Map<Size, Held>();
function keyOf(size: Size): Held {
  const held = keys.get(size) ?? makeKey(thresholdOf(size), size, real);
  keys.set(size, held);
  return held;
}

interface Scene {
  readonly net: Network;
  readonly liar: Node;
  readonly honest: readonly Node[];
  readonly held: Held | undefined;
}

/** A session with `size` parties; one holder leaves and one comes in a reshare. */
function scene(
  protocol: Protocol,
  size: Size,
  more: { nonce?: number; change?: (p: ReshareProposal) => ReshareProposal } = {},
): Scene {
  const threshold = thresholdOf(size);
  if (protocol === 'keygen') {
    const net = new Network({ threshold, parties: size, ...real, ...more });
    const liar = net.node(size);
    return { net, liar, honest: net.nodes.filter((node) => node !== liar), held: undefined };
  }
  const held = keyOf(size);
  const from = protocol === 'refresh' ? 0 : 1;
  const parties = Array.from({ length: size }, (_, i) => i + from);
  const net = handOn(held, { threshold, parties, ...more }, real);
  const { dealers, seats } = net.node(1).deps.dealing!;
  const liar = net.nodes.findLast(({ peerId }) => dealers.includes(seats.indexOf(peerId) + 1))!;
  return { net, liar, honest: net.nodes.filter((node) => node !== liar), held };
}

/** All honest ones end with the reason and name the liar; there is no key, and no new epoch. */
function expectCulprit({ net, liar, honest }: Scene): void {
  for (const node of honest) {
    expect(node.outcome).toMatchObject({ state: 'failed', culprits: [liar.peerId] });
  }
  for (const node of net.nodes) expectNoKey(node);
}

/** All complete alike, on the key there was; nobody is named. */
function expectHarmless({ honest, held }: Scene): void {
  const infos = honest.map(keyInfoOf);
  expect(new Set(infos.map(({ keyId }) => keyId)).size).toBe(1);
  for (const [i, { state, outcome }] of honest.entries()) {
    expect(outcome?.state).toBe('completed');
    expect(state?.culprits.size).toBe(0);
    if (held !== undefined) expect(infos[i]!.groupKey).toEqual(held.certified.keyInfo.groupKey);
    const { name, purpose } = held?.certified.keyInfo ?? infos[0]!;
    expect([infos[i]!.name, infos[i]!.purpose]).toEqual([name, purpose]);
  }
}

/** The liar changes one kind of its messages; then everything runs. */
function tell<K extends SignedKind>(
  one: Scene,
  kind: K,
  change: (payload: Payloads[K], to: number) => Payloads[K] | undefined,
): Scene {
  lie(one.net, one.liar, kind, change);
  one.net.start().run(TTL_MS);
  return one;
}

const bytes = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, 'hex'));
/** Of Edwards25519: identity, order 8, no curve point, y over the modulus. */
export const BAD_POINTS = [
  bytes(`01${'00'.repeat(31)}`),
  bytes('26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05'),
  bytes(`02${'00'.repeat(31)}`),
  bytes(`eeffff${'ff'.repeat(28)}7f`),
  new Uint8Array(31),
];
/** No scalars: the order, one more, all ones, too short. */
export const BAD_SCALARS = [
  bytes('edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010'),
  bytes('eed3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010'),
  new Uint8Array(32).fill(255),
  new Uint8Array(31),
];

attack('rogue', DEALT, (protocol, size) => {
  const one = scene(protocol, size);
  const { net, liar } = one;
  net.start();
  // It waits for the first round of another dealer, and says the same.
  liar.inbox.length = 0;
  net.settle();
  const stolen = net.frames.flatMap((frame) => {
    if (unpack(frame).kind !== 'round1') return [];
    return [said(liar, 'round1', frame).payload];
  })[0]!;
  lie(net, liar, 'round1', () => stolen);
  liar.inbox.push({ type: 'start' });
  net.run(TTL_MS);
  expectCulprit(one);
});

attack('threshold', DEALT, (protocol, size) => {
  for (const change of [
    (list: readonly Uint8Array[]) => [...list, list[1]!],
    (list: readonly Uint8Array[]) => list.slice(0, -1),
  ]) {
    expectCulprit(
      tell(scene(protocol, size), 'round1', (p) => ({
        ...p,
        commitments: change(p.commitments),
      })),
    );
  }
});

attack('identifiers', DEALT, (protocol, size) => {
  const one = scene(protocol, size);
  const { net, liar, honest } = one;
  net.start();
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
    forge('round1', { v: 1, sid, commitments: [], proof: subshare, identifier: 1 }),
    forge('round1', { v: 1, sid, ...evil }),
  );
  for (const packet of packets) {
    for (const { peerId } of honest) net.send(liar.peerId, peerId, packet);
  }
  net.run(TTL_MS);
  expectHarmless(one);
  expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false);
});

attack('badShare', DEALT, (protocol, size) => {
  expectCulprit(
    tell(scene(protocol, size), 'round2', (p, to) =>
      to === 2 ? { ...p, subshare: p.subshare.with(0, p.subshare[0]! ^ 1) } : p,
    ),
  );
});

attack('twoTales', DEALT, (protocol, size) => {
  const one = scene(protocol, size);
  // A second polynomial that is as good as the first, for every other party.
  const { dealing } = one.net.node(1).deps;
  const { random, suite } = one.liar.deps;
  const share = one.held?.shares.get(one.net.nodes.indexOf(one.liar));
  const second =
    share === undefined
      ? suite.dkgRound1(size, thresholdOf(size), size, random).round1
      : {
          commitments: suite.deal(
            { ...share, signingShare: share.signingShare.slice() },
            dealing!.dealers.map((seat) => heldIndex(one, seat)).sort((a, b) => a - b),
            thresholdOf(size),
            size,
            random,
          ).commitments,
          proof: new Uint8Array(),
        };
  expectCulprit(tell(one, 'round1', (p, to) => (to % 2 === 0 ? { ...p, ...second } : p)));
});

/** The old index of whoever sits there. */
const heldIndex = ({ net, held }: Scene, seat: number): number => {
  const peer = net.node(1).deps.dealing!.seats[seat - 1];
  return held!.certified.keyInfo.parties.find(({ peerId }) => peerId === peer)!.index;
};

attack('split', HANDED_ON, (protocol, size) => {
  const one = scene(protocol, size);
  const friend = one.honest[0]!;
  for (const { outcome } of tellTwoTales(one.net, one.liar, friend)) {
    expect(outcome).toMatchObject({ state: 'failed', culprits: [] });
  }
  bringCertificate(one.net, friend);
  expectHarmless(one);
  for (const { disk, deps } of one.honest) {
    const seat = deps.dealing!.seats.indexOf(deps.self) + 1;
    if (seat <= size) expect(disk.share).toBeDefined();
  }
});

attack('partOfRoster', DEALT, (protocol, size) => {
  const one = scene(protocol, size);
  one.net.start().run(TTL_MS);
  expectHarmless(one);
  const { sealed } = one.net;
  const seats = one.honest[0]!.state!.dealing.seats;
  const words = seats.map((_, i) => one.honest[0]!.state!.statements.get(i + 1)!.envelope);
  const read = (statements: readonly Uint8Array[]) => {
    const certificate = encodeCertificate(sealed.envelope, statements);
    return one.held === undefined
      ? verifyCertificate(certificate, CLUSTER, {})
      : extendCertificate(one.held.certificate, certificate, CLUSTER, {});
  };
  expect(read(words)).toBeDefined();
  for (const i of words.keys()) {
    expect(() => read(words.toSpliced(i, 1))).toThrow(/not one statement per party/);
    expect(() => read(words.with(i, words[(i + 1) % words.length]!))).toThrow(/is not by party/);
  }
  if (one.held === undefined || protocol !== 'reshare') return;
  // A proposal that leaves an old holder out without a word about it.
  const { keyInfo: key, hash } = one.held.certified;
  const proposal = sealed.proposal as ReshareProposal;
  const members = new Map(seats.map((peerId) => [peerId, { peerId, role: 'persistent' }]));
  const quiet = { ...proposal, witnesses: [] };
  expect(() => checkReshare(quiet, { key, hash }, { members } as never)).toThrow();
});

attack('changedKey', HANDED_ON, (protocol, size) => {
  const other = makeKey(2, 3, { ...real, nonce: 99 }).certified.keyInfo;
  expectCulprit(
    tell(scene(protocol, size), 'round1', (p) => ({
      ...p,
      commitments: p.commitments.with(0, other.groupKey),
    })),
  );
});

attack('malformed', DEALT, (protocol, size) => {
  for (const point of BAD_POINTS) {
    expectCulprit(
      tell(scene(protocol, size), 'round1', (p) => ({
        ...p,
        commitments: p.commitments.with(1, point),
      })),
    );
  }
  for (const subshare of BAD_SCALARS) {
    expectCulprit(tell(scene(protocol, size), 'round2', (p) => ({ ...p, subshare })));
  }
});

attack('replay', DEALT, (protocol, size) => {
  const before = scene(protocol, size, { nonce: 41 });
  before.net.start().run(TTL_MS);
  expectHarmless(before);
  const one = scene(protocol, size, { nonce: 42 });
  one.net.start();
  const replay = (frames: readonly Uint8Array[]): void => {
    for (const frame of frames) {
      for (const { peerId } of one.honest) one.net.send(one.liar.peerId, peerId, frame);
    }
  };
  replay(before.net.frames);
  one.net.run(TTL_MS);
  expectHarmless(one);
  // Late ones, of this session and of the one before.
  const own = one.net.frames.slice();
  replay([...before.net.frames, ...own]);
  one.net.run(2 * TTL_MS);
  expectHarmless(one);
  for (const { ends } of one.honest) expect(ends).toHaveLength(1);
});

attack('hashing', DEALT, (protocol, size) => {
  const one = scene(protocol, size);
  const { net, liar, honest } = one;
  net.start().settle();
  const again = scene(protocol, size);
  again.net.start();
  // What was signed as one kind of message, or in another cluster, is shown as another.
  for (const frame of net.frames) {
    const { kind, body } = unpack(frame);
    for (const other of ['round1', 'echo', 'round2', 'statement', 'refusal'] as const) {
      if (other === kind) continue;
      for (const { peerId } of honest) again.net.send(liar.peerId, peerId, pack(other, body));
    }
  }
  const elsewhere = keygenDomain('ab'.repeat(32) as typeof CLUSTER, 'refusal');
  const { sid } = again.net.sealed;
  const refusal = encode({ v: 1, sid, reason: 'culprit', complaint: null });
  for (const { peerId } of honest) {
    again.net.send(liar.peerId, peerId, pack('refusal', liar.deps.signer.seal(elsewhere, refusal)));
  }
  again.net.run(TTL_MS);
  expectHarmless(again);
});

attack('twoSessions', HANDED_ON, (protocol, size) => {
  const [one, two] = [scene(protocol, size, { nonce: 51 }), scene(protocol, size, { nonce: 52 })];
  for (const { net } of [one, two]) net.start().run(TTL_MS);
  const { certificate } = one.held!;
  const link = ({ honest }: Scene): Uint8Array => honest[0]!.disk.certificate!;
  const next = extendCertificate(certificate, link(one), CLUSTER, {});
  // Who has followed the one follows no other of the same epoch.
  expect(() => extendCertificate(next, link(two), CLUSTER, {})).toThrow();
});

attack('output', DEALT, (protocol, size) => {
  const one = scene(protocol, size);
  lie(one.net, one.liar, 'statement', (p) => ({ ...p, groupKey: flip(p.groupKey) }));
  const twist = one.liar.twist!;
  one.liar.twist = (to, packet, node) =>
    unpack(packet).kind === 'certificate' ? [] : twist(to, packet, node);
  one.net.start().run(TTL_MS);
  for (const { outcome, disk } of one.honest) {
    expect(outcome).toMatchObject({ state: 'failed', culprits: [one.liar.peerId] });
    expect(disk.certificate).toBeUndefined();
  }
});
