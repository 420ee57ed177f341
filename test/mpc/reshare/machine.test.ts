/** Refresh and reshare: what comes out, and parties that lie. */
import { describe, expect, it } from 'vitest';
import { equalBytes } from '../../../src/base/bytes.ts';
import { pack, sealMessage, unpack } from '../../../src/mpc/keygen/messages.ts';
import { extendCertificate, verifyCertificate } from '../../../src/mpc/keys/certificate.ts';
import { encodeCertificate } from '../../../src/mpc/keys/certificate-link.ts';
import type { ReshareProposal } from '../../../src/mpc/types.ts';
import { bringCertificate, flip, lie, said, tellTwoTales } from '../keygen/lying.ts';
import {
  CLUSTER,
  expectNoKey,
  keyInfoOf,
  type Network,
  type Node,
  TTL_MS,
} from '../keygen/network.ts';
import { certificateDeps, type Held, handOn, makeKey, next } from './support.ts';

const SEEDS = Array.from({ length: 6 }, (_, i) => i + 1);
const two3 = makeKey(2, 3);
const verify = (bytes: Uint8Array) => verifyCertificate(bytes, CLUSTER, certificateDeps);

/** Everybody with a seat has completed, alike; every new share is one of the same key. */
function expectHandedOn(held: Held, net: Network): void {
  const { groupKey, keyId, epoch } = held.certified.keyInfo;
  const seated = net.nodes.filter(({ deps }) => deps.dealing!.seats.includes(deps.self));
  for (const node of seated) {
    const info = keyInfoOf(node);
    expect([info.keyId, info.epoch]).toEqual([keyId, epoch + 1]);
    expect(equalBytes(info.groupKey, groupKey)).toBe(true);
    expect(node.state?.culprits.size).toBe(0);
  }
  const { parties } = keyInfoOf(seated[0]!);
  for (const { peerId, index } of parties) {
    const { disk } = net.nodes.find((node) => node.peerId === peerId)!;
    expect(disk.share?.share.index).toBe(index);
  }
}

/** Nobody has a certificate; the old epoch is what it was. */
function expectNothing(net: Network): void {
  for (const node of net.nodes) expectNoKey(node);
}

describe('a refresh', () => {
  it.each(SEEDS)('K2: gives all holders new shares of the same key (seed %i)', (seed) => {
    const net = handOn(two3, { threshold: 2, parties: [0, 1, 2], seed })
      .start()
      .run();
    expectHandedOn(two3, net);
    for (const [i, share] of next(two3, net).shares) {
      expect(equalBytes(share.signingShare, two3.shares.get(i)!.signingShare)).toBe(false);
    }
  });

  it('is repeated for years in a certificate that does not grow, and that still verifies', () => {
    let held = two3;
    const sizes: number[] = [];
    for (let year = 1; year <= 5; year++) {
      const net = handOn(held, { threshold: 2, parties: [0, 1, 2], nonce: year })
        .start()
        .run();
      held = next(held, net);
      sizes.push(held.certificate.length);
      expect(verify(held.certificate).keyInfo.epoch).toBe(year);
    }
    expect(Math.max(...sizes.slice(1)) - sizes[0]!).toBeLessThan(64);
  });
});

describe('a reshare', () => {
  it.each([
    ['2 of 3 to 3 of 5 others', 3, [3, 4, 5, 6, 7], []],
    ['2 of 3 to 2 of 2 of them', 2, [0, 2], []],
    ['2 of 3 to 3 of 4, one is away', 3, [0, 1, 4, 5], [2]],
    ['2 of 3 in another order', 2, [2, 0, 1], []],
  ] as const)('K2, K5: %s', (_, threshold, parties, away) => {
    const net = handOn(two3, { threshold, parties, away });
    for (const i of away) net.crash(net.nodes[i]!);
    net.start();
    for (const i of away) net.crash(net.nodes[i]!);
    net.run();
    expectHandedOn(two3, net);
    const held = next(two3, net);
    expect(held.certified.history).toHaveLength(1);
    const again = handOn(held, { threshold: 2, parties: [0, 1, 2], nonce: 8 })
      .start()
      .run();
    expectHandedOn(held, again);
    // Through two changes of hands the whole chain still proves itself.
    expect(next(held, again).certified.keyInfo.epoch).toBe(2);
  });
});

describe.each([
  ['refresh', { threshold: 2, parties: [0, 1, 2] }],
  ['reshare', { threshold: 3, parties: [1, 2, 3, 4] }],
] as const)('a malicious participant in a %s', (_name, wish) => {
  /** A session, and one of its dealers that will lie. */
  const session = (seed = 1) => {
    const net = handOn(two3, { ...wish, seed });
    const { dealing } = net.node(1).deps;
    const liar = net.nodes.findLast(({ peerId }) =>
      dealing!.dealers.includes(dealing!.seats.indexOf(peerId) + 1),
    )!;
    return { net, liar };
  };
  const expectCulprit = (net: Network, liar: Node): void => {
    for (const { outcome, peerId } of net.nodes) {
      if (peerId === liar.peerId) continue;
      expect(outcome).toMatchObject({ state: 'failed', culprits: [liar.peerId] });
    }
    expectNothing(net);
  };

  it.each(SEEDS)('S5: a bad subshare is opened, and names its dealer (seed %i)', (seed) => {
    const { net, liar } = session(seed);
    lie(net, liar, 'round2', (p, to) => (to === 2 ? { ...p, subshare: flip(p.subshare) } : p));
    net.start().run();
    expectCulprit(net, liar);
  });

  it('S5: another share than its own (a changed key) names its dealer', () => {
    const { net, liar } = session();
    lie(net, liar, 'round1', (p) => ({
      ...p,
      commitments: [flip(p.commitments[0]!), ...p.commitments.slice(1)],
    }));
    net.start().run();
    expectCulprit(net, liar);
  });

  it('S5: a raised threshold names its dealer', () => {
    const { net, liar } = session();
    lie(net, liar, 'round1', (p) => ({
      ...p,
      commitments: [...p.commitments, p.commitments[1]!],
    }));
    net.start().run();
    expectCulprit(net, liar);
  });

  it('S5: different commitments for different parties name their dealer', () => {
    const { net, liar } = session();
    lie(net, liar, 'round1', (p, to) =>
      to % 2 === 1 ? p : { ...p, commitments: p.commitments.with(1, flip(p.commitments[1]!)) },
    );
    net.start().run();
    expectCulprit(net, liar);
  });

  it("S5: a subshare that is nobody else's business is used by nobody", () => {
    const { net, liar } = session();
    lie(net, liar, 'round2', (p, to) => (to === 2 ? { ...p, receiver: 5 } : p));
    net.start().run();
    for (const { outcome } of net.nodes) expect(outcome).toMatchObject({ culprits: [] });
    expectNothing(net);
  });

  it('K2: a statement for some only splits nobody: all come to the new epoch', () => {
    const { net, liar } = session();
    const [one] = net.nodes.filter(({ peerId }) => peerId !== liar.peerId);
    liar.twist = (to, packet) => {
      const { kind } = unpack(packet);
      if (kind === 'certificate') return [];
      return kind === 'statement' && to !== one!.peerId ? [] : [packet];
    };
    net.start().run();
    expectHandedOn(two3, net);
  });

  it('K2, K4: a statement that nobody gets leaves the old epoch, unharmed and waiting', () => {
    const { net, liar } = session();
    const silent = new Set(['statement', 'certificate', 'refusal']);
    liar.twist = (_to, packet) => (silent.has(unpack(packet).kind) ? [] : [packet]);
    net.start().run(3 * TTL_MS);
    for (const { peerId, disk, outcome, pending } of net.nodes) {
      if (peerId === liar.peerId) continue;
      expect(disk.certificate).toBeUndefined();
      expect(outcome).toMatchObject({ state: 'expired', culprits: [] });
      expect(pending).toBe(true);
    }
    // It thinks better of it.
    liar.twist = undefined;
    net.run(40 * TTL_MS);
    expectHandedOn(two3, net);
  });

  it('K2, K4: a statement for one and a refusal for the others costs nobody its new share', () => {
    const { net, liar } = session();
    const friend = net.nodes.find(({ peerId }) => peerId !== liar.peerId)!;
    for (const { outcome } of tellTwoTales(net, liar, friend)) {
      expect(outcome).toMatchObject({ state: 'failed', culprits: [] });
    }
    expect(friend.outcome?.state).toBe('completed');
    bringCertificate(net, friend);
    expectHandedOn(two3, net);
  });

  it('messages of another session are refused', () => {
    const { net: before } = session();
    before.start().run();
    const net = handOn(two3, { ...wish, nonce: 99, seed: 2 });
    net.start();
    for (const packet of before.frames) {
      for (const { peerId } of net.nodes) net.send(before.node(2).peerId, peerId, packet);
    }
    net.run();
    expectHandedOn(two3, net);
    const refused = net.node(2).events.filter(({ kind }) => kind === 'bad-message');
    expect(refused.length).toBeGreaterThan(0);
  });
});

describe('the certificate of the next epoch', () => {
  const net = handOn(two3, { threshold: 3, parties: [1, 2, 3, 4] })
    .start()
    .run();
  const link = net.node(2).disk.certificate!;
  const statements = net.sealed.proposal.parties.length;
  const extend = (certificate: Uint8Array, bytes: Uint8Array) =>
    extendCertificate(certificate, bytes, CLUSTER, certificateDeps);

  it('S3: needs the word of everybody with a seat, the old holders among them', () => {
    const { dealing } = net.node(1).deps;
    expect(dealing!.seats).toHaveLength(statements + 1);
    const own = (seat: number) => {
      const node = net.nodes.find(({ peerId }) => peerId === dealing!.seats[seat - 1])!;
      return node.state!.statements.get(seat)!.envelope;
    };
    const all = dealing!.seats.map((_, i) => own(i + 1));
    expect(extend(two3.certificate, encodeCertificate(net.sealed.envelope, all))).toBeDefined();
    for (const [i] of all.entries()) {
      const less = encodeCertificate(net.sealed.envelope, all.toSpliced(i, 1));
      expect(() => extend(two3.certificate, less)).toThrow(/not one statement per party/);
      const twice = encodeCertificate(net.sealed.envelope, all.with(i, all[(i + 1) % all.length]!));
      expect(() => extend(two3.certificate, twice)).toThrow(/is not by party/);
    }
  });

  it('follows the one that it names, and no other', () => {
    const other = next(
      two3,
      handOn(two3, { threshold: 2, parties: [0, 1, 2] })
        .start()
        .run(),
    );
    expect(() => extend(other.certificate, link)).toThrow(/does not follow|follows another/);
    expect(() => extend(makeKey(2, 2).certificate, link)).toThrow();
    expect(() => verify(link)).toThrow(/hands on another/);
    const whole = extend(two3.certificate, link);
    expect(verify(whole).keyInfo.epoch).toBe(1);
    expect(() => extend(whole, link)).toThrow(/does not follow/);
  });

  it.each([
    ['a holder is left out', (p: ReshareProposal) => ({ ...p, witnesses: [] })],
    [
      'not as many dealers',
      (p: ReshareProposal) => ({
        ...p,
        dealers: two3.certified.keyInfo.parties.map(({ peerId }) => peerId).sort(),
      }),
    ],
    ['follows another', (p: ReshareProposal) => ({ ...p, previous: new Uint8Array(32) })],
  ])('is refused where %s', (why, change) => {
    const forged = handOn(two3, { threshold: 3, parties: [1, 2, 3, 4], change });
    const seats = forged.node(1).deps.dealing!.seats;
    const { payload } = said(
      net.node(2),
      'statement',
      pack('statement', [...net.node(2).state!.statements.values()][0]!.envelope),
    );
    const words = seats.map((peer) => {
      const { signer } = forged.nodes.find(({ peerId }) => peerId === peer)!.deps;
      return sealMessage(CLUSTER, signer, 'statement', { ...payload, sid: forged.sealed.sid });
    });
    const bytes = encodeCertificate(forged.sealed.envelope, words);
    expect(() => extend(two3.certificate, bytes)).toThrow(new RegExp(why));
  });
});
