/** The repair machine with parties that lie, are silent, or lose their disk. */
import { describe, expect, it } from 'vitest';
import type { ClusterId, Epoch, KeyId, SessionId } from '../../../src/base/brands.ts';
import { equalBytes, sha256, toHex, utf8Bytes } from '../../../src/base/bytes.ts';
import { openEnvelope } from '../../../src/base/envelope.ts';
import { BzzzError } from '../../../src/base/errors.ts';
import { createRepair, stepRepair } from '../../../src/mpc/repair/machine.ts';
import {
  openRepair,
  type Payloads,
  type RepairKind,
  sealRepair,
  unpackRepair,
} from '../../../src/mpc/repair/messages.ts';
import type { RepairDeps, RepairOutcome, RepairState } from '../../../src/mpc/repair/types.ts';
import { sealProposal } from '../../../src/mpc/sessions/proposal.ts';
import { suiteOf } from '../../../src/mpc/suites/index.ts';
import type { KeyInfo, KeyShare, SessionInput } from '../../../src/mpc/types.ts';
import { testRandom, testSigner } from '../../support/world.ts';

const clusterId = toHex(sha256(utf8Bytes('a cluster'))) as ClusterId;
const suite = suiteOf('ed25519');
const random = testRandom('repair');
const signers = await Promise.all([1, 2, 3, 4].map((i) => testSigner(`mender ${i}`)));

/** A key of 2 of 4. */
function dealKey(): { readonly key: KeyInfo; readonly shares: readonly KeyShare[] } {
  const dealt = signers.map((_, i) => suite.dkgRound1(i + 1, 2, 4, random));
  const rounds = new Map(dealt.map(({ round1 }, i) => [i + 1, round1]));
  const others = (index: number) => new Map([...rounds].filter(([i]) => i !== index));
  const parts = dealt.map(({ secret }, i) => suite.dkgRound2(secret, others(i + 1)));
  const shares = dealt.map(({ secret }, i) => {
    const mine = new Map(
      parts.flatMap((part, from) => (from === i ? [] : [[from + 1, part.get(i + 1)!] as const])),
    );
    return suite.dkgFinish(secret, others(i + 1), mine).share;
  });
  const outcome = suite.dkgPublic(2, [...rounds.values()]);
  const parties = signers.map(({ peerId }, i) => ({
    peerId,
    index: i + 1,
    role: 'persistent' as const,
  }));
  const names = { keyId: 'ab'.repeat(32) as KeyId, sid: 'cd'.repeat(32) as SessionId };
  const rules = { name: 'release', purpose: '', policy: 'auto' as const };
  const requesters = parties.map(({ peerId }) => peerId).sort();
  const suiteName = 'ed25519' as const;
  return {
    key: {
      ...names,
      ...rules,
      ...outcome,
      suite: suiteName,
      threshold: 2,
      parties,
      requesters,
      epoch: 3,
    },
    shares,
  };
}

interface Member {
  readonly deps: RepairDeps;
  state: RepairState;
  outcome: RepairOutcome | undefined;
  stored: KeyShare | undefined;
  broken: boolean;
  /** Changes what it sends; undefined drops it. */
  twist: ((kind: RepairKind, packet: Uint8Array) => Uint8Array | undefined) | undefined;
}

/** Helpers 1 and 3 rebuild the share of party 4; party 1 proposes. */
function session() {
  const { key, shares } = dealKey();
  const [proposer] = signers as [(typeof signers)[0]];
  const sealed = sealProposal(
    {
      ...{ v: 1, kind: 'repair', clusterId, proposer: proposer.peerId, rosterEpoch: 1 as Epoch },
      ...{ ttlMs: 10_000, nonce: new Uint8Array(16), keyId: key.keyId, keyEpoch: key.epoch },
      ...{ suite: 'ed25519', threshold: 2, lost: 4, helpers: [1, 3] },
    },
    proposer,
  );
  const members = new Map<number, Member>();
  for (const index of [1, 3, 4]) {
    const signer = signers[index - 1]!;
    const deps: RepairDeps = {
      ...{ self: signer.peerId, clusterId, random, signer, open: openEnvelope, suite },
    };
    const { signingShare } = shares[index - 1]!;
    const share = { index, signingShare: signingShare.slice() };
    const start = { sealed, key, ...(index === 4 ? {} : { share }) };
    const state = createRepair(start, deps);
    const rest = { outcome: undefined, stored: undefined, broken: false, twist: undefined };
    members.set(index, { deps, state, ...rest });
  }
  const frames: { readonly to: number; readonly packet: Uint8Array }[] = [];
  const feed = (index: number, input: SessionInput): void => {
    const member = members.get(index)!;
    const { state, effects } = stepRepair(member.state, input, member.deps);
    member.state = state;
    for (const effect of effects) {
      if (effect.type === 'done') member.outcome = effect.outcome;
      if (effect.type === 'store') {
        const error = new BzzzError('DISK_FAILED', 'no space').toShape();
        const { index: at, signingShare } = effect.share;
        if (!member.broken) member.stored = { index: at, signingShare: signingShare.slice() };
        feed(
          index,
          member.broken
            ? { type: 'storeFailed', name: 'share', error }
            : { type: 'stored', name: 'share' },
        );
      }
      if (effect.type !== 'send') continue;
      const { kind } = unpackRepair(effect.envelope);
      const packet =
        member.twist === undefined ? effect.envelope : member.twist(kind, effect.envelope);
      if (packet === undefined) continue;
      for (const peer of effect.to) {
        frames.push({ to: signers.findIndex(({ peerId }) => peerId === peer) + 1, packet });
      }
    }
  };
  const deliver = (): void => {
    for (let frame = frames.shift(); frame !== undefined; frame = frames.shift()) {
      if (!members.has(frame.to)) continue;
      feed(frame.to, { type: 'message', from: signers[0]!.peerId, envelope: frame.packet });
    }
  };
  const run = () => {
    for (const index of members.keys()) feed(index, { type: 'start' });
    deliver();
    return api;
  };
  const member = (index: number): Member => members.get(index)!;
  const api = { key, shares, sealed, run, feed, deliver, member, members };
  return api;
}

type Session = ReturnType<typeof session>;

/** Changes one kind of message of one member. */
function lie<K extends RepairKind>(
  { member, sealed }: Session,
  index: number,
  kind: K,
  change: (payload: Payloads[K]) => Payloads[K],
): void {
  const { deps } = member(index);
  member(index).twist = (said, packet) => {
    if (said !== kind) return packet;
    const { payload } = openRepair(deps, sealed.sid, kind, unpackRepair(packet).body);
    return sealRepair(deps, kind, change(payload));
  };
}

const NO_SCALAR = new Uint8Array(32).fill(0xff);

describe('a repair', () => {
  it('gives the loser its share, the same as before, and nobody another', () => {
    const net = session().run();
    for (const { outcome } of net.members.values()) expect(outcome?.state).toBe('completed');
    expect(equalBytes(net.member(4).stored!.signingShare, net.shares[3]!.signingShare)).toBe(true);
    expect(net.member(1).stored).toBeUndefined();
    expect(net.member(3).stored).toBeUndefined();
  });

  it.each(['delta', 'sigma'] as const)('S5: a %s that is no scalar convicts its author', (kind) => {
    const net = session();
    lie(net, 3, kind, (payload) => ({ ...payload, part: NO_SCALAR }));
    net.run();
    const culprit = signers[2]!.peerId;
    for (const index of [1, 4]) {
      expect(net.member(index).outcome).toMatchObject({ state: 'failed', culprits: [culprit] });
    }
    expect(net.member(4).stored).toBeUndefined();
  });

  it.each(['delta', 'sigma'] as const)(
    'S5: a wrong %s ends it with a reason, and blames nobody',
    (kind) => {
      const net = session();
      lie(net, 3, kind, (payload) => ({
        ...payload,
        part: new Uint8Array(32).fill(0).with(0, 7),
      }));
      net.run();
      for (const { outcome } of net.members.values()) {
        expect(outcome).toMatchObject({ state: 'failed', culprits: [] });
      }
      expect(net.member(4).stored).toBeUndefined();
    },
  );

  it('S5: an accusation with evidence that proves nothing convicts nobody', () => {
    const net = session();
    let honest: Uint8Array | undefined;
    net.member(1).twist = (kind, packet) => {
      if (kind === 'delta') honest = unpackRepair(packet).body;
      return packet;
    };
    net.member(3).twist = (kind, packet) => {
      if (kind !== 'sigma' || honest === undefined) return packet;
      const payload = { v: 1 as const, sid: net.sealed.sid, reason: 'bad-part' as const };
      return sealRepair(net.member(3).deps, 'refusal', { ...payload, evidence: honest });
    };
    net.run();
    expect(net.member(4).outcome).toMatchObject({ state: 'failed', culprits: [] });
  });

  it('S4: a silent helper ends it at the deadline, by its name and without blame', () => {
    const net = session();
    net.member(3).twist = () => undefined;
    net.run();
    net.feed(1, { type: 'timer', name: 'phase' });
    net.deliver();
    const silent = [signers[2]!.peerId];
    expect(net.member(1).outcome).toMatchObject({ state: 'expired', culprits: [], silent });
    expect(net.member(4).outcome).toMatchObject({ state: 'expired', culprits: [] });
  });

  it('a disk that fails ends it with the reason', () => {
    const net = session();
    net.member(4).broken = true;
    net.run();
    expect(net.member(4).outcome).toMatchObject({
      state: 'failed',
      error: { code: 'DISK_FAILED' },
    });
    expect(net.member(1).outcome).toMatchObject({ state: 'failed', culprits: [] });
  });

  it('replayed messages of another session change nothing', () => {
    const first = session();
    const taken: Uint8Array[] = [];
    first.member(3).twist = (_kind, packet) => {
      taken.push(packet);
      return packet;
    };
    first.run();
    const second = session();
    second.member(3).twist = () => undefined;
    second.run();
    const other = { ...second.sealed.proposal, nonce: new Uint8Array(16).fill(9) };
    expect(sealProposal(other, signers[0]!).sid).not.toBe(first.sealed.sid);
    const third = session();
    const sealed = sealProposal(other, signers[0]!);
    const loser = third.member(4);
    let state = createRepair({ sealed, key: third.key }, loser.deps);
    for (const envelope of taken) {
      const from = signers[2]!.peerId;
      state = stepRepair(state, { type: 'message', from, envelope }, loser.deps).state;
    }
    expect([state.phase, state.sigmas.size, state.ended]).toEqual(['sigmas', 0, undefined]);
  });
});
