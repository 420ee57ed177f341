/** Byzantine drivers and holders of signing, in two exchanges and in one: real suites, identities. */
import { expect } from 'vitest';
import type { PeerId } from '../../../src/base/brands.ts';
import { toHex, utf8Bytes } from '../../../src/base/bytes.ts';
import { encode } from '../../../src/base/codec.ts';
import { keygenDomain } from '../../../src/mpc/keygen/messages.ts';
import { sealResult } from '../../../src/mpc/result.ts';
import {
  type Draftable,
  type MessageOf,
  type PackageMessage,
  packResult,
  type SigningMessage,
  signingDomain,
} from '../../../src/mpc/signing/messages.ts';
import { packageId } from '../../../src/mpc/signing/package.ts';
import type { SealedProposal, SignProposal } from '../../../src/mpc/types.ts';
import { CLUSTER, type Heard, type Net, peer, type Wire } from '../signing/net.ts';
import { Pools } from '../signing/pools.ts';
import { realNet, signerOf } from '../signing/real-net.ts';
import { BAD_POINTS, BAD_SCALARS } from './dealt.ts';
import { attack, type Protocol, type Size } from './rows.ts';

const SIGNING = ['signing', 'pooled'] as const satisfies readonly Protocol[];
const message = utf8Bytes('what the honest ones want to sign');
const DRIVER = peer(1);

interface Scene {
  readonly net: Net;
  readonly pools: Pools;
  readonly all: readonly PeerId[];
  readonly sealed: SealedProposal<SignProposal>;
}

/** A session of `size` holders that peer 1 drives; nothing has been said yet. */
function scene(protocol: Protocol, size: Size): Scene {
  const pools = new Pools();
  const nonces = protocol === 'pooled' ? { nonces: pools.portOf } : {};
  const net = realNet('ed25519', (size + 1) / 2, size, nonces);
  if (protocol === 'pooled') pools.issue(net, DRIVER, 3);
  const all = Array.from({ length: size }, (_, i) => peer(i + 1));
  return { net, pools, all, sealed: net.proposal(DRIVER, message) };
}

function run({ net, sealed }: Scene): void {
  net.beginAll(sealed, message, 0);
  net.run();
}

/** Every honest one has the signature; the liar, if one is given, is named by some; nobody else. */
function expectSound({ net, all, sealed }: Scene, liar?: PeerId): void {
  for (const one of all) if (one !== liar) net.completion(one, sealed.sid);
  const named = all
    .filter((one) => one !== liar)
    .flatMap((one) => [...net.machine(one, sealed.sid).state.culprits.keys()]);
  expect([...new Set(named)]).toEqual(liar === undefined ? [] : [liar]);
}

const isPackage = (m: Heard): m is PackageMessage => m.kind === 'package' || m.kind === 'pooled';

/** A message without what its session adds. */
const bare = <M extends SigningMessage>({ v: _v, sid: _sid, ...body }: M) => body;

/** The same package with another list of commitments. */
function repack(m: PackageMessage, change: <T>(list: readonly T[]) => readonly T[]): Draftable {
  return m.kind === 'pooled'
    ? { ...bare(m), pairs: change(m.pairs) }
    : { ...bare(m), commitments: change(m.commitments) };
}

/** Changes what one party says; `undefined` leaves a message as it is. */
const lies =
  (
    net: Net,
    liar: PeerId,
    change: (m: Heard, to: PeerId) => readonly Draftable[] | undefined,
  ): Wire =>
  ({ from, to, sid, envelope, message: m }) => {
    const bodies = from === liar ? change(m, to) : undefined;
    return bodies === undefined
      ? [{ envelope, delayMs: 1 }]
      : bodies.map((body, i) => ({ envelope: net.seal(from, sid, body), delayMs: 1 + i }));
  };

const tryPackage = (one: Scene, change: (m: PackageMessage) => readonly Draftable[]): void => {
  one.net.wire = lies(one.net, DRIVER, (m) => (isPackage(m) ? change(m) : undefined));
  run(one);
  expectSound(one, DRIVER);
};

attack('threshold', SIGNING, (protocol, size) => {
  tryPackage(scene(protocol, size), (m) => [repack(m, (list) => list.slice(1))]);
  tryPackage(scene(protocol, size), (m) => [repack(m, (list) => [...list, ...list.slice(0, 1)])]);
});

attack('identifiers', SIGNING, (protocol, size) => {
  tryPackage(scene(protocol, size), (m) => [
    repack(m, (list) => [...list.slice(0, -1), ...list.slice(0, 1)]),
  ]);
  tryPackage(scene(protocol, size), (m) => [repack(m, (list) => [...list].reverse())]);
  const one = scene(protocol, size);
  const { net, sealed, all } = one;
  net.beginAll(sealed, message, 0);
  net.at(0, () => {
    const base = { v: 1, sid: sealed.sid, boot: 1 };
    for (const evil of ['__proto__', 'constructor', 0, -1, 2 ** 60, null]) {
      const share = { ...base, kind: 'share', attempt: evil, share: new Uint8Array(32) };
      const pair = { holder: evil, boot: 1, seq: 1, hiding: evil, binding: evil };
      for (const body of [share, { ...base, kind: 'pooled', counter: evil, pairs: [pair] }]) {
        const envelope = signerOf(peer(2)).seal(signingDomain(CLUSTER), encode(body));
        for (const to of all) if (to !== peer(2)) net.inject(peer(2), to, sealed.sid, envelope);
      }
    }
  });
  net.run();
  expectSound(one);
  expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false);
});

attack('twoTales', SIGNING, (protocol, size) => {
  const one = scene(protocol, size);
  const { net } = one;
  // Two packages for one attempt, and no result that would end it all before they are compared.
  net.wire = lies(net, DRIVER, (m) => {
    if (m.kind === 'result') return [];
    return isPackage(m)
      ? [repack(m, (list) => list), repack(m, (list) => list.slice(1))]
      : undefined;
  });
  run(one);
  expectSound(one, DRIVER);
});

attack('malformed', SIGNING, (protocol, size) => {
  for (const hiding of BAD_POINTS) {
    const one = scene(protocol, size);
    if (protocol === 'pooled') {
      tryPackage(one, (m) => [
        repack(m, (list) => list.map((pair, i) => (i === 0 ? { ...pair, hiding } : pair))),
      ]);
      continue;
    }
    one.net.wire = lies(one.net, peer(2), (m) =>
      m.kind === 'commitment' ? [{ ...bare(m), hiding }] : undefined,
    );
    run(one);
    expectSound(one, peer(2));
  }
  for (const share of BAD_SCALARS) tryShare(scene(protocol, size), () => share);
});

/** The first signer that is not the driver sends another share than its own. */
function tryShare(one: Scene, change: (share: Uint8Array) => Uint8Array): void {
  const { net } = one;
  let liar: PeerId | undefined;
  net.wire = ({ from, sid, envelope, message: m }) => {
    if (m.kind !== 'share' || from === DRIVER) return [{ envelope, delayMs: 1 }];
    liar ??= from;
    if (from !== liar) return [{ envelope, delayMs: 1 }];
    return [{ envelope: net.seal(from, sid, { ...bare(m), share: change(m.share) }), delayMs: 1 }];
  };
  run(one);
  if (liar === undefined) throw new Error('nobody signed');
  expectSound(one, liar);
  for (const peerId of one.all) {
    if (peerId === liar) continue;
    expect(net.completion(peerId, one.sealed.sid).result.signers).not.toContain(liar);
  }
}

attack('wrongShare', SIGNING, (protocol, size) => {
  tryShare(scene(protocol, size), (share) => share.with(0, share[0]! ^ 1));
});

/** Every point that each holder's shares were asked with, as the packages on the wire have it. */
function sharesByPoint(net: Net, packages: ReadonlyMap<string, PackageMessage>) {
  const found = new Map<string, Set<string>>();
  for (const { from, sid, envelope } of net.sent) {
    const m = net.heard(sid, envelope);
    const shown = m.kind === 'share' ? packages.get(toHex(m.attempt)) : undefined;
    if (m.kind !== 'share' || shown === undefined) continue;
    const own =
      shown.kind === 'pooled'
        ? shown.pairs.find(({ holder }) => holder === from)
        : shown.commitments
            .map((inner) => net.open(sid, inner))
            .find(({ author }) => author === from)?.message;
    if (own === undefined || !('hiding' in own)) throw new Error('a share without commitment');
    const at = toHex(own.hiding);
    found.set(at, (found.get(at) ?? new Set()).add(toHex(m.share)));
  }
  return found;
}

attack('ros', SIGNING, (protocol, size) => {
  // Many sessions at once, and in all of them the commitments of the first.
  const one = scene(protocol, size);
  const { net, all } = one;
  const sessions = Array.from({ length: 6 }, (_, i) =>
    net.proposal(DRIVER, message, { salt: i + 1, fresh: true }),
  );
  let first: PackageMessage | undefined;
  const lying = lies(net, DRIVER, (m) => {
    if (!isPackage(m)) return undefined;
    first ??= m;
    if (m.sid === first.sid) return undefined;
    if (m.kind === 'pooled' && first.kind === 'pooled') return [{ ...bare(m), pairs: first.pairs }];
    if (m.kind === 'package' && first.kind === 'package') {
      return [{ ...bare(m), commitments: first.commitments }];
    }
    return undefined;
  });
  const packages = new Map<string, PackageMessage>();
  net.wire = (sent) => {
    const copies = lying(sent);
    for (const { envelope } of copies) {
      const m = net.heard(sent.sid, envelope);
      if (!isPackage(m)) continue;
      packages.set(packageId({ ...net.open(sent.sid, envelope), message: m }), m);
    }
    return copies;
  };
  for (const sealed of sessions) net.beginAll(sealed, message, 0);
  net.run();
  const uses = sharesByPoint(net, packages);
  expect(uses.size).toBeGreaterThan(0);
  for (const shares of uses.values()) expect(shares.size).toBe(1);
  for (const { sid } of sessions) {
    for (const peerId of all) {
      if (peerId === DRIVER) continue;
      net.completion(peerId, sid);
      for (const named of net.machine(peerId, sid).state.culprits.keys()) {
        expect(named).toBe(DRIVER);
      }
    }
  }
});

attack('swapped', SIGNING, (protocol, size) => {
  const stranger = peer(9);
  const one = scene(protocol, size);
  const { net, sealed, all } = one;
  const foreign = (m: PackageMessage): Draftable => {
    if (m.kind === 'pooled') {
      const pairs = m.pairs.map((pair, i) => (i > 0 ? { ...pair, holder: stranger } : pair));
      return { ...bare(m), pairs };
    }
    const list = m.commitments.map((envelope, i) => {
      const inner = net.open(sealed.sid, envelope).message as MessageOf<'commitment'>;
      return i > 0 ? net.seal(stranger, sealed.sid, bare(inner)) : envelope;
    });
    return { ...bare(m), commitments: list };
  };
  tryPackage(one, (m) => [foreign(m)]);
  for (const peerId of all.slice(1)) {
    expect(net.completion(peerId, sealed.sid).result.signers).not.toContain(stranger);
  }
  const other = scene(protocol, size);
  other.net.begin(peer(2), other.sealed, utf8Bytes('another message'));
  expect(() => other.net.run()).toThrow(expect.objectContaining({ code: 'BAD_MESSAGE' }));
});

attack('purpose', SIGNING, (protocol, size) => {
  const { net } = scene(protocol, size);
  net.begin(peer(2), net.proposal(DRIVER, message, { purpose: 'payments' }), message);
  expect(() => net.run()).toThrow(expect.objectContaining({ code: 'BAD_MESSAGE' }));
});

attack('replay', SIGNING, (protocol, size) => {
  const one = scene(protocol, size);
  const { net, all } = one;
  run(one);
  expectSound(one);
  const before = net.sent.slice();
  const again: Scene = { ...one, sealed: net.proposal(DRIVER, message, { salt: 1, fresh: true }) };
  const replay = (): void => {
    for (const { from, envelope } of before) {
      for (const to of all) if (to !== from) net.inject(from, to, again.sealed.sid, envelope);
    }
  };
  net.beginAll(again.sealed, message, 0);
  net.at(0, replay);
  net.run();
  expectSound(again);
  for (const peerId of all) {
    const { ignored } = net.machine(peerId, again.sealed.sid);
    expect(ignored.some(({ reason }) => reason.includes('of session'))).toBe(true);
  }
  // Late ones for a session that has ended.
  const ends = all.map((peerId) => net.outcomes(peerId, one.sealed.sid).length);
  for (const { from, to, sid, envelope } of before) net.inject(from, to, sid, envelope);
  net.run();
  expect(all.map((peerId) => net.outcomes(peerId, one.sealed.sid).length)).toEqual(ends);
  expectSound(one);
});

attack('hashing', SIGNING, (protocol, size) => {
  const one = scene(protocol, size);
  const { net, sealed, all } = one;
  const elsewhere = [
    keygenDomain(CLUSTER, 'refusal'),
    signingDomain('ab'.repeat(32) as typeof CLUSTER),
    signingDomain(CLUSTER).slice(0, -1),
  ];
  const refuse = encode({ v: 1, sid: sealed.sid, kind: 'refuse', code: 'REFUSED_BY_POLICY' });
  net.beginAll(sealed, message, 0);
  net.at(0, () => {
    for (const domain of elsewhere) {
      // As if every other holder had refused.
      for (const from of all.slice(1)) {
        const envelope = signerOf(from).seal(domain, refuse);
        for (const to of all) if (to !== from) net.inject(from, to, sealed.sid, envelope);
      }
    }
  });
  net.run();
  expectSound(one);
  expect(net.machine(DRIVER, sealed.sid).ignored.length).toBeGreaterThan(0);
});

attack('output', SIGNING, (protocol, size) => {
  const one = scene(protocol, size);
  const { net, sealed, all } = one;
  const { key } = net.dealt;
  const { messageHash, requestId } = sealed.proposal;
  const body = { v: 1 as const, requestId, clusterId: CLUSTER, keyId: key.keyId, messageHash };
  const rest = { suite: key.suite, purpose: key.purpose, groupKey: key.groupKey };
  const signers = all.slice(0, key.threshold);
  const signature = new Uint8Array(64).fill(7);
  const record = sealResult(
    { ...body, ...rest, sid: sealed.sid, signature, signers },
    signerOf(peer(2)),
  );
  net.beginAll(sealed, message, 0);
  net.at(0, () => {
    const envelope = packResult(record);
    for (const to of all) {
      if (to === peer(2)) continue;
      net.inject(peer(2), to, sealed.sid, envelope);
      expect(net.outcomes(to, sealed.sid)).toEqual([]);
      expect(net.machine(to, sealed.sid).ignored.at(-1)?.reason).toContain('not valid');
    }
  });
  net.run();
  expectSound(one);
});
