/** Parties that run the protocol and break it: the right one is named, an honest one never (S5). */
import { describe, expect, it } from 'vitest';
import type { PeerId, SessionId } from '../../../src/base/brands.ts';
import { utf8Bytes } from '../../../src/base/bytes.ts';
import { requestIdOf, sealResult } from '../../../src/mpc/result.ts';
import { type MessageOf, packResult } from '../../../src/mpc/signing/messages.ts';
import { scalarBytes } from '../../support/toy-suite.ts';
import { CLUSTER, Net, peer, toySigner, type Wire } from './net.ts';

const message = utf8Bytes('not everybody is honest');
const ALL = [1, 2, 3, 4, 5].map(peer);
const pass: Wire = ({ envelope }) => [{ envelope, delayMs: 1 }];

function session(proposer = peer(1), threshold = 3) {
  const net = new Net({ threshold, n: 5 });
  const sealed = net.proposal(proposer, message);
  net.beginAll(sealed, message);
  return { net, sid: sealed.sid };
}

/** Everyone honest completed, named exactly `culprits`, and no nonce served twice. */
function expectSound(net: Net, sid: SessionId, culprits: readonly PeerId[], signers = true): void {
  for (const one of ALL.filter((id) => !culprits.includes(id))) {
    const { result, culprits: named } = net.completion(one, sid);
    expect([...net.machine(one, sid).state.culprits.keys()].sort()).toEqual([...culprits].sort());
    expect(culprits).toEqual(expect.arrayContaining([...named]));
    if (signers) for (const bad of culprits) expect(result.signers).not.toContain(bad);
  }
  expect(net.toy.violations).toEqual([]);
}

const isShare = (m: { kind: string }): m is MessageOf<'share'> => m.kind === 'share';
const isPackage = (m: { kind: string }): m is MessageOf<'package'> => m.kind === 'package';
const isCommitment = (m: { kind: string }): m is MessageOf<'commitment'> => m.kind === 'commitment';

describe('a wrong signature share', () => {
  const spoil =
    (net: Net, culprit: PeerId, towards: (to: PeerId) => boolean = () => true): Wire =>
    ({ from, to, sid, envelope, message: m }) => {
      if (from !== culprit || !isShare(m) || !towards(to)) return [{ envelope, delayMs: 1 }];
      const wrong = net.seal(from, sid, {
        kind: 'share',
        attempt: m.attempt,
        share: scalarBytes(12_345n),
      });
      return [{ envelope: wrong, delayMs: 1 }];
    };

  it.each([2, 3])('of signer %d: it is named by everyone and left out', (n) => {
    const { net, sid } = session();
    net.wire = spoil(net, peer(n));
    net.run();
    expectSound(net, sid, [peer(n)]);
    expect(net.completion(peer(1), sid).attempts).toBe(2);
  });

  it('of the proposer: the signers find it when the proposer is silent about it', () => {
    const { net, sid } = session();
    net.wire = (sent) =>
      // Without the shares of the others it makes no result, and gives away its own one.
      sent.to === peer(1) && isShare(sent.message) ? [] : spoil(net, peer(1))(sent);
    net.run();
    expectSound(net, sid, [peer(1)]);
  });

  it('to other signers only: the driver completes, and whoever got it may name it alone', () => {
    const { net, sid } = session();
    net.wire = spoil(net, peer(2), (to) => to !== peer(1));
    net.run();
    for (const one of ALL) net.completion(one, sid);
    expect(net.named().every((one) => one === peer(2))).toBe(true);
  });

  it('of two of five: both are named, the other three sign', () => {
    const { net, sid } = session(peer(5));
    const [one, two] = [spoil(net, peer(1)), spoil(net, peer(2))];
    net.wire = (sent) => (sent.from === peer(1) ? one(sent) : two(sent));
    net.run();
    expectSound(net, sid, [peer(1), peer(2)]);
    expect(net.completion(peer(3), sid).result.signers).toEqual([3, 4, 5].map(peer));
  });

  it('with too few others left: all end at once and say why', () => {
    const { net, sid } = session(peer(1), 5);
    net.wire = spoil(net, peer(2));
    net.runUntil(() => net.outcomes(peer(1), sid).length > 0);
    expect(net.outcomes(peer(1), sid)[0]).toMatchObject({
      state: 'failed',
      culprits: [peer(2)],
      silent: [],
      error: { code: 'SESSION_FAILED' },
    });
    expect(net.now).toBeLessThan(1_000);
  });

  it('reaches its author too: a party that its peers prove faulty learns it (S4)', () => {
    const { net, sid } = session();
    net.wire = spoil(net, peer(2));
    net.run();
    const { events } = net.machine(peer(2), sid);
    expect(events).toContainEqual(
      expect.objectContaining({ kind: 'culprit', data: { peerId: peer(2), fault: 'badShare' } }),
    );
  });
});

describe('a faulty driver', () => {
  /** Replaces the packages of the proposer by others over the same commitments. */
  const repackage = (
    net: Net,
    change: (commitments: readonly Uint8Array[], to: PeerId) => readonly (readonly Uint8Array[])[],
  ): Wire => {
    return ({ from, to, sid, envelope, message: m }) => {
      if (from !== peer(1) || !isPackage(m)) return [{ envelope, delayMs: 1 }];
      const { boot, counter } = m;
      return change(m.commitments, to).map((commitments, i) => ({
        envelope: net.seal(from, sid, { kind: 'package', boot, counter, commitments }),
        delayMs: 1 + i,
      }));
    };
  };
  /** Collects the commitments that came to the proposer, also those it did not use. */
  const collect = (net: Net): Map<PeerId, Uint8Array> => {
    const found = new Map<PeerId, Uint8Array>();
    const before = net.beforeStep;
    net.beforeStep = (n, id, input) => {
      before(n, id, input);
      if (id !== peer(1) || input.type !== 'message') return;
      const [sid] = [...n.node(id).sessions.keys()];
      if (sid !== undefined && isCommitment(n.heard(sid, input.envelope))) {
        if (!found.has(input.from)) found.set(input.from, input.envelope);
      }
    };
    return found;
  };
  const sharesOf = (net: Net, from: PeerId) => {
    const sent = net.sent.filter((one) => one.from === from);
    const shares = sent.map(({ sid, envelope }) => net.heard(sid, envelope)).filter(isShare);
    return new Set(shares.map(({ share }) => Buffer.from(share).toString('hex')));
  };

  it('that sends a signer two packages for one commitment gets one share and is named (N1)', () => {
    const { net, sid } = session();
    const seen = collect(net);
    net.wire = (sent) => {
      const { from, to, message: m } = sent;
      if (from === peer(1) && to === peer(2) && isPackage(m)) {
        // When all commitments are in, the driver makes another set with the same one of peer 2.
        net.at(10, () => {
          const commitments = [1, 2, 5].map((i) => seen.get(peer(i)) ?? m.commitments[0]);
          const second = net.seal(from, sid, {
            kind: 'package',
            boot: m.boot,
            counter: m.counter,
            commitments: commitments.filter((one) => one !== undefined),
          });
          net.inject(from, to, sid, second);
        });
      }
      return from === peer(1) && m.kind === 'result' ? [] : pass(sent);
    };
    net.run(100);
    expect(sharesOf(net, peer(2)).size).toBe(1);
    net.run();
    expectSound(net, sid, [peer(1)], false);
    expect(net.machine(peer(3), sid).state.culprits.get(peer(1))).toBe('twoPackages');
  });

  it('that tells each signer of another package gets nothing usable; nobody honest is named', () => {
    const { net, sid } = session();
    const seen = collect(net);
    net.wire = repackage(net, (commitments, to) => {
      const own = seen.get(to);
      const rest = [...seen.entries()].filter(([id]) => id !== to).map(([, bytes]) => bytes);
      const first = commitments[0];
      if (own === undefined || first === undefined) return [commitments];
      const members = [own, first, ...rest.slice(0, 1)];
      const byIndex = (bytes: Uint8Array) => ALL.indexOf(net.open(sid, bytes).author);
      return [members.sort((x, y) => byIndex(x) - byIndex(y))];
    });
    net.run();
    for (const one of ALL.slice(1)) net.completion(one, sid);
    expect(net.named().filter((one) => one !== peer(1))).toEqual([]);
    expect(net.toy.violations).toEqual([]);
  });

  it.each([
    ['too few signers', (c: readonly Uint8Array[]) => c.slice(1)],
    ['too many signers', (c: readonly Uint8Array[]) => [...c, ...c.slice(0, 1)]],
    ['a signer twice', (c: readonly Uint8Array[]) => [...c.slice(0, 2), ...c.slice(1, 2)]],
    ['unsorted signers', (c: readonly Uint8Array[]) => [...c].reverse()],
    ['bytes for a commitment', (c: readonly Uint8Array[]) => [...c.slice(0, 2), utf8Bytes('x')]],
  ])('that packs %s is named; another one completes', (_, change) => {
    const { net, sid } = session();
    net.wire = repackage(net, (commitments) => [change(commitments)]);
    net.run();
    expectSound(net, sid, [peer(1)], false);
    expect(net.machine(peer(2), sid).state.culprits.get(peer(1))).toBe('badPackage');
  });

  it('that packs a commitment of a party without a share is named', () => {
    const { net, sid } = session();
    const foreign = net.seal(peer(9), sid, {
      kind: 'commitment',
      driver: peer(1),
      boot: 1,
      counter: 1,
      holderBoot: 1,
      hiding: scalarBytes(3n),
      binding: scalarBytes(4n),
    });
    net.wire = repackage(net, (c) => [[...c.slice(0, 2), foreign]]);
    net.run();
    expectSound(net, sid, [peer(1)], false);
  });

  it('that packs a commitment made for another attempt is named', () => {
    const { net, sid } = session();
    const seen = collect(net);
    let first: Uint8Array | undefined;
    net.wire = (sent) => {
      // The first attempt fails because the shares are lost.
      if (isShare(sent.message) && sent.now < 200) return [];
      return repackage(net, (c) => {
        first ??= seen.get(peer(2));
        const old = first;
        return [sent.now < 200 || old === undefined ? c : [c[0] ?? old, old, c[2] ?? old]];
      })(sent);
    };
    net.run();
    for (const one of ALL.slice(1)) net.completion(one, sid);
    expect(net.named()).toEqual([peer(1)]);
  });

  it('that replays its package gets no second share', () => {
    const { net, sid } = session();
    net.wire = (sent) => {
      const copies = pass(sent);
      return isPackage(sent.message) ? [...copies, ...copies, ...copies] : copies;
    };
    net.run();
    expectSound(net, sid, []);
    for (const one of ALL) expect(sharesOf(net, one).size).toBeLessThanOrEqual(1);
  });

  it('that packs a commitment of a run before a restart gets no share (N1)', () => {
    const { net, sid } = session();
    const sealed = net.proposal(peer(1), message);
    net.wire = () => [];
    net.run(1);
    const request = net.seal(peer(1), sid, { kind: 'commitRequest', boot: 1, counter: 1 });
    const commit = (i: number): Uint8Array => {
      net.inject(peer(1), peer(i), sid, request);
      const own = net.sent.findLast(({ from }) => from === peer(i));
      if (own === undefined) throw new Error(`no commitment of ${i}`);
      return own.envelope;
    };
    const commitments = [2, 3, 4].map(commit);
    net.restart(peer(2));
    net.begin(peer(2), sealed, message);
    net.run(1);
    const again = commit(2);
    const body = { kind: 'package', boot: 1, counter: 1 } as const;
    for (const list of [commitments, [again, ...commitments.slice(1)]]) {
      const packed = net.seal(peer(1), sid, { ...body, commitments: list });
      net.inject(peer(1), peer(2), sid, packed);
    }
    // The first package lacks the commitment of this run; by then its nonces are gone.
    expect(sharesOf(net, peer(2)).size).toBe(0);
    expect(net.machine(peer(2), sid).ignored).toHaveLength(2);
    expect(net.named()).toEqual([]);
  });

  it('that only pretends to work holds nobody for long (S4)', () => {
    const { net, sid } = session();
    net.wire = (sent) => (sent.from === peer(1) ? [] : pass(sent));
    const pretend = (counter: number) => {
      const request = net.seal(peer(1), sid, { kind: 'commitRequest', boot: 1, counter });
      for (const to of ALL.slice(1)) net.inject(peer(1), to, sid, request);
      if (counter < 600) net.at(100, () => pretend(counter + 1));
    };
    net.at(5, () => pretend(1));
    net.runUntil(() => ALL.slice(1).every((one) => net.outcomes(one, sid).length > 0));
    for (const one of ALL.slice(1)) net.completion(one, sid);
    expect(net.now).toBeLessThan(6_000);
    expect(net.named()).toEqual([]);
  });

  it('that asks without end fills no memory: one nonce pair per driver', () => {
    const { net, sid } = session();
    net.wire = () => [];
    net.run(1);
    for (let counter = 1; counter <= 500; counter++) {
      const request = net.seal(peer(1), sid, { kind: 'commitRequest', boot: 1, counter });
      net.inject(peer(1), peer(2), sid, request);
    }
    // The pair of the proposer's own attempt, and one of peer 2.
    expect(net.toy.liveNonces()).toBe(2);
    const before = net.sent.length;
    const old = net.seal(peer(1), sid, { kind: 'commitRequest', boot: 1, counter: 499 });
    net.inject(peer(1), peer(2), sid, old);
    expect(net.sent.length).toBe(before);
  });
});

describe('a faulty holder', () => {
  it('whose commitment has an invalid point is named and left out', () => {
    const { net, sid } = session();
    net.wire = (sent) => {
      const { message: m, from } = sent;
      if (from !== peer(2) || !isCommitment(m)) return pass(sent);
      const { driver, boot, counter, holderBoot, binding } = m;
      const bad = net.seal(from, sid, {
        kind: 'commitment',
        driver,
        boot,
        counter,
        holderBoot,
        hiding: new Uint8Array(32),
        binding,
      });
      return [{ envelope: bad, delayMs: 1 }];
    };
    net.run();
    expectSound(net, sid, [peer(2)]);
    expect(net.completion(peer(1), sid).attempts).toBe(1);
  });

  it.each([1, 2])(
    '%d who commit and never sign are silent, not faulty; the others sign',
    (count) => {
      const { net, sid } = session(peer(5));
      const lazy = ALL.slice(0, count);
      net.wire = (sent) =>
        lazy.includes(sent.from) && !isCommitment(sent.message) ? [] : pass(sent);
      net.run();
      expectSound(net, sid, []);
      expect(net.completion(peer(5), sid).attempts).toBe(2);
    },
  );

  it('that accuses an honest one with good shares proves nothing', () => {
    const { net, sid } = session();
    let packaged: Uint8Array | undefined;
    net.wire = (sent) => {
      const { message: m, envelope } = sent;
      if (isPackage(m)) packaged = envelope;
      if (isShare(m) && packaged !== undefined && sent.from === peer(3)) {
        const evidence = { fault: 'badShare', package: packaged, share: envelope } as const;
        const lies = [
          evidence,
          { fault: 'badPackage', package: packaged } as const,
          { fault: 'twoPackages', first: packaged, second: packaged } as const,
        ];
        for (const lie of lies) {
          const blame = net.seal(peer(2), sid, { kind: 'blame', evidence: lie });
          for (const to of ALL) net.at(0, () => net.inject(peer(2), to, sid, blame));
        }
      }
      return pass(sent);
    };
    net.run();
    expectSound(net, sid, []);
    const reasons = net.machine(peer(4), sid).ignored.map(({ reason }) => reason);
    expect(reasons.filter((reason) => reason.includes('proves no')).length).toBeGreaterThan(2);
  });

  it('that sends shares for packages unknown to the others fills no memory', () => {
    const { net, sid } = session();
    net.wire = () => [];
    net.run(1);
    for (let i = 0; i < 500; i++) {
      const attempt = new Uint8Array(32).fill(i % 256);
      const share = net.seal(peer(2), sid, { kind: 'share', attempt, share: scalarBytes(1n) });
      net.inject(peer(2), peer(3), sid, share);
    }
    const { early } = net.machine(peer(3), sid).state;
    expect([...early.values()].flat()).toHaveLength(4);
  });

  it('that brings a result with a wrong signature changes nothing', () => {
    const { net, sid } = session();
    const { key } = net.dealt;
    net.wire = () => [];
    net.run(1);
    const { messageHash, requestId } = net.proposal(peer(1), message).proposal;
    expect(requestId).toBe(requestIdOf({ clusterId: CLUSTER, messageHash, ...key }));
    const record = sealResult(
      {
        v: 1,
        requestId,
        clusterId: CLUSTER,
        keyId: key.keyId,
        sid,
        suite: key.suite,
        purpose: key.purpose,
        messageHash,
        groupKey: key.groupKey,
        signature: new Uint8Array(64).fill(7),
        signers: [1, 2, 3].map(peer),
      },
      toySigner(peer(2)),
    );
    net.inject(peer(2), peer(3), sid, packResult(record));
    expect(net.outcomes(peer(3), sid)).toEqual([]);
    expect(net.machine(peer(3), sid).ignored.at(-1)?.reason).toContain('not valid');
  });
});
