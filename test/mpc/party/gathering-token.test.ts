/** R43, R29: tokens of keys that wait, and the table of who gets a seat. */
import { describe, expect, it } from 'vitest';
import type { ClusterId, PeerId } from '../../../src/base/brands.ts';
import {
  countGathered,
  type GatheringInput,
  newGathering,
  stepGathering,
} from '../../../src/mpc/party/gathering.ts';
import { openGatheringToken, sealGatheringToken } from '../../../src/mpc/party/gathering-token.ts';
import { testSigner } from '../../support/world.ts';
import { TestCluster } from './cluster.ts';

const here = 'c1'.repeat(32) as ClusterId;
const TERMS = {
  jti: new Uint8Array(16).fill(5),
  name: 'late',
  suite: 'ed25519',
  threshold: 2,
  parties: 3,
  ttlMs: 60_000,
  addresses: ['/ip4/10.0.0.1/tcp/4750'],
};
const signer = await testSigner('proposer');
const text = sealGatheringToken(here, TERMS, signer);

const codeOf = (work: () => unknown): unknown => {
  try {
    return work();
  } catch (error) {
    return (error as { code: string }).code;
  }
};

describe('R43: the token of a key that waits', () => {
  it('says who waits, where, and for what', () => {
    expect(openGatheringToken(text, here)).toEqual({ ...TERMS, proposer: signer.peerId });
  });

  it('of another cluster: UNAUTHORISED', () => {
    const there = 'd2'.repeat(32) as ClusterId;
    expect(codeOf(() => openGatheringToken(text, there))).toBe('UNAUTHORISED');
  });

  it('altered in any letter, cut off or too long: BAD_MESSAGE', () => {
    for (let at = 0; at < text.length; at++) {
      const other = text[at] === 'a' ? 'b' : 'a';
      const altered = text.slice(0, at) + other + text.slice(at + 1);
      expect(
        codeOf(() => openGatheringToken(altered, here)),
        `letter ${at}`,
      ).toBe('BAD_MESSAGE');
    }
    for (const bad of ['', 'bzzz-join1', text.slice(0, -1), `${text}aa`, text.repeat(20)]) {
      expect(codeOf(() => openGatheringToken(bad, here))).toBe('BAD_MESSAGE');
    }
  });

  it('signed by a stranger, or by this host itself: refused before anything is dialled', async () => {
    const cluster = await TestCluster.start(2);
    const sighted: unknown[] = [];
    cluster.sighted = (...seen) => void sighted.push(seen);
    const { party, signer: own } = cluster.node(0);
    const join = (token: string) =>
      party
        .joinGathering(token, new AbortController().signal)
        .catch((e: { code: string }) => e.code);
    expect(await join(text)).toBe('NOT_A_MEMBER');
    expect(await join(sealGatheringToken(here, TERMS, own))).toBe('CONFLICT');
    const unknown = sealGatheringToken(here, { ...TERMS, suite: 'rot13' }, cluster.node(1).signer);
    expect(await join(unknown)).toBe('UNSUPPORTED_SUITE');
    expect(sighted).toEqual([]);
    const closed = sealGatheringToken(here, TERMS, cluster.node(1).signer);
    expect(await join(closed)).toBe('SESSION_EXPIRED');
    expect(sighted).toHaveLength(1);
    await cluster.stop();
  });
});

describe('R43: the table of a gathering', () => {
  const [a, b, c, d] = ['a', 'b', 'c', 'd'] as PeerId[] as [PeerId, PeerId, PeerId, PeerId];
  const open = newGathering(
    new Map([
      ['persistent', 2],
      ['delegate', 1],
    ]),
    new Map([[c, 'persistent']]),
  );
  const said = (inputs: readonly GatheringInput[]): readonly string[] => {
    let state = open;
    return inputs.flatMap((input) => {
      const step = stepGathering(state, input);
      state = step.state;
      return step.effects.map((e) => (e.type === 'refuse' ? e.error.code : e.type));
    });
  };
  const near = (persistent: readonly PeerId[], delegate: readonly PeerId[]): GatheringInput => ({
    type: 'look',
    eligible: new Map([
      ['persistent', persistent],
      ['delegate', delegate],
    ]),
  });

  it('one seat a peer, spares too, and no role that was not asked for', () => {
    expect(
      said([
        { type: 'join', peer: a, role: 'persistent' },
        { type: 'join', peer: a, role: 'persistent' },
        { type: 'join', peer: b, role: 'persistent' },
        { type: 'join', peer: d, role: 'observer' },
        { type: 'join', peer: d, role: undefined },
        { type: 'join', peer: d, role: 'delegate' },
      ]),
    ).toEqual(['seated', 'seated', 'seated', 'INVALID_COMPOSITION', 'NOT_A_MEMBER', 'seated']);
  });

  it('is complete once, with whoever has a seat before others', () => {
    const joined = stepGathering(open, { type: 'join', peer: b, role: 'persistent' }).state;
    const few = stepGathering(joined, near([a, b, c], []));
    expect(few.effects).toEqual([]);
    const { effects, state } = stepGathering(joined, near([a, b, c], [d]));
    expect(effects).toEqual([{ type: 'complete', parties: new Set([b, c, d]) }]);
    expect(stepGathering(state, near([a, b, c], [d])).effects).toEqual([]);
    const late = (peer: PeerId) => stepGathering(state, { type: 'join', peer, role: 'persistent' });
    expect(late(d).effects).toEqual([{ type: 'seated' }]);
    expect(late(a).effects).toMatchObject([{ type: 'refuse', error: { code: 'SESSION_EXPIRED' } }]);
  });

  it('after its end nobody is seated, and it ends once', () => {
    const end: GatheringInput = { type: 'end', reason: 'deadline' };
    expect(
      said([end, end, near([a, b], [c]), { type: 'join', peer: a, role: 'persistent' }]),
    ).toEqual(['ended', 'SESSION_EXPIRED']);
  });

  it('counts nobody twice: too many of one role do not stand in for another', () => {
    const eligible = new Map([['persistent', [a, b, c]]] as const);
    expect(countGathered(open.byRole, eligible)).toEqual({ need: 3, have: 2 });
  });
});
