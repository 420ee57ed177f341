/** What the election tells the rest of the node: proofs, duties, events, evidence, health. */
import { beforeEach, describe, expect, it } from 'vitest';
import type { PeerId, Term } from '../../src/base/brands.ts';
import type { Signer } from '../../src/base/ports.ts';
import { encodeLeaderCertificate } from '../../src/election/certificate.ts';
import { EvidenceBook } from '../../src/election/evidence.ts';
import { TermHistory } from '../../src/election/history.ts';
import { LeaderWatch } from '../../src/election/leader-watch.ts';
import { leaderWire } from '../../src/election/leader-wire.ts';
import { ElectionNews } from '../../src/election/news.ts';
import { createSeals } from '../../src/election/seals.ts';
import { electionHealth, voterWarnings } from '../../src/election/status.ts';
import type { Chain } from '../../src/roster/chain.ts';
import { ada, admit, ben, chainWith, cyd, dov, promote } from '../roster/support.ts';
import { memoryKeyValue, quietLogger, type TestClock, testClock } from '../support/world.ts';

const chain: Chain = chainWith([admit(ben), admit(cyd), promote(ben), promote(cyd)]);
const { clusterId } = chain.view;
const term = (n: number): Term => n as Term;

let clock: TestClock;
let watch: LeaderWatch;
let disk: Map<string, Uint8Array>;
let news: ElectionNews;
let events: { kind: string; data: Readonly<Record<string, unknown>> }[];
let witnessed: (readonly Uint8Array[])[];
let asked: PeerId[];
/** What the leader answers when it is asked for its certificate. */
let certificate: Uint8Array | null;

const votesOf = (voters: readonly Signer[], n: number, candidate: Signer): Uint8Array[] =>
  voters.map((voter) =>
    createSeals(clusterId, voter).sealVote({
      ...{ term: term(n), epoch: chain.view.epoch, candidate: candidate.peerId },
    }),
  );

const certificateOf = (leader: Signer, n: number, voters: readonly Signer[]): Uint8Array =>
  encodeLeaderCertificate(
    clusterId,
    {
      ...{ term: term(n), epoch: chain.view.epoch, leader: leader.peerId },
      votes: votesOf(voters, n, leader),
    },
    3,
  );

const settle = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await Promise.resolve();
};

beforeEach(async () => {
  clock = testClock();
  disk = new Map();
  events = [];
  witnessed = [];
  asked = [];
  certificate = null;
  watch = new LeaderWatch(clock, (error) => {
    throw error;
  });
  const store = memoryKeyValue(disk);
  news = new ElectionNews({
    ...{ self: ben.peerId, chain: () => chain, clock, logger: quietLogger, watch },
    direct: {
      request: async (to) => {
        asked.push(to);
        return leaderWire.certificate.encode({ certificate });
      },
    },
    history: await TermHistory.open({ store: store.sub('history'), clock, logger: quietLogger }),
    evidence: await EvidenceBook.open(store.sub('evidence'), quietLogger),
    emit: (kind, data) => void events.push({ kind, data }),
    witnessed: (votes) => void witnessed.push(votes),
  });
});

const follows = (leader: Signer, n: number): void =>
  news.leader({
    ...{ type: 'leader', trigger: 'timeout' },
    leadership: { leader: leader.peerId, term: term(n) },
  });

describe('a follower', () => {
  it('gets the proof from its leader, and shows its votes to the machine', async () => {
    certificate = certificateOf(ada, 4, [ada, cyd]);
    follows(ada, 4);
    await settle();
    expect(asked).toEqual([ada.peerId]);
    expect(news.proofOf(term(4))?.voters).toEqual([ada.peerId, cyd.peerId].sort());
    expect(witnessed).toHaveLength(1);
    expect(news.proofOf(term(3))).toBeUndefined();
  });

  it.each<readonly [string, () => Uint8Array | null]>([
    ['none', () => null],
    ['one of another term', () => certificateOf(ada, 3, [ada, cyd])],
    ['one of another leader', () => certificateOf(cyd, 4, [ada, cyd])],
    ['one of too few votes', () => certificateOf(ada, 4, [ada])],
    ['one with the vote of no voter', () => certificateOf(ada, 4, [ada, dov])],
  ])('takes no proof for one (%s), and asks again', async (_what, make) => {
    certificate = make();
    follows(ada, 4);
    await settle();
    expect(news.proofOf(term(4))).toBeUndefined();
    expect(witnessed).toEqual([]);
    certificate = certificateOf(ada, 4, [ada, cyd]);
    clock.advance(500);
    await settle();
    expect(asked).toHaveLength(2);
    expect(news.proofOf(term(4))).toBeDefined();
  });

  it('gives up in the end, and at once when another leads', async () => {
    follows(ada, 4);
    for (let i = 0; i < 20; i++) {
      await settle();
      clock.advance(500);
    }
    expect(asked).toHaveLength(10);
    follows(cyd, 5);
    await settle();
    follows(ada, 6);
    await settle();
    expect(asked.slice(10)).toEqual([cyd.peerId, ada.peerId]);
    news.stop();
    clock.advance(5_000);
    await settle();
    expect(asked).toHaveLength(12);
  });
});

describe('a leader', () => {
  const elected = (n: number): void => {
    news.elected({
      ...{ type: 'elected', term: term(n), epoch: chain.view.epoch, trigger: 'closed' },
      votes: votesOf([ben, cyd], n, ben),
    });
    follows(ben, n);
  };

  it('starts its duties once it is known to lead, and stops them with its term', () => {
    const seen: string[] = [];
    const duty = (name: string) => ({
      start: (n: Term) => void seen.push(`${name} ${n} ${watch.current?.leader === ben.peerId}`),
      stop: (n: Term) => void seen.push(`${name} -${n}`),
    });
    news.addDuty({
      start: () => {
        throw new Error('a duty that fails');
      },
      stop: () => undefined,
    });
    news.addDuty(duty('a'));
    elected(4);
    news.addDuty(duty('b'));
    expect(seen).toEqual(['a 4 true', 'b 4 true']);
    expect(news.election?.votes).toHaveLength(2);
    news.deposed({ type: 'deposed', term: term(4), trigger: 'quorum' });
    expect(seen.slice(2)).toEqual(['a -4', 'b -4']);
    expect(news.election).toBeUndefined();
    elected(5);
    news.stop();
    news.stop();
    expect(seen.slice(4)).toEqual(['a 5 true', 'b 5 true', 'a -5', 'b -5']);
  });

  it('proves its election itself, and asks nobody', () => {
    elected(4);
    expect(news.proofOf(term(4))?.voters).toEqual([ben.peerId, cyd.peerId].sort());
    expect(asked).toEqual([]);
    expect(events.map(({ kind }) => kind)).toEqual(['leader.elected', 'leader.changed']);
    expect(events[0]?.data).toMatchObject({ leader: ben.peerId, term: 4, trigger: 'closed' });
  });
});

describe('what was refused', () => {
  it('is counted each time, and told once in a while', () => {
    const refuse = (from: Signer): void =>
      news.refused({ type: 'ignored', from: from.peerId, what: 'beat', reason: 'term 1 after 2' });
    for (let i = 0; i < 100; i++) refuse(ada);
    refuse(cyd);
    expect(news.ignored).toBe(101);
    expect(events.map(({ data }) => data.from)).toEqual([ada.peerId, cyd.peerId]);
    clock.advance(10_000);
    refuse(ada);
    expect(events).toHaveLength(3);
  });
});

describe('evidence', () => {
  const pair = (): readonly [Uint8Array, Uint8Array] => {
    const [one] = votesOf([cyd], 4, ada);
    const [two] = votesOf([cyd], 4, ben);
    return [one ?? new Uint8Array(), two ?? new Uint8Array()];
  };

  it('against a voter is told once, and kept over a restart', async () => {
    for (let i = 0; i < 3; i++) {
      news.evidence({ type: 'evidence', voter: cyd.peerId, votes: pair() });
    }
    expect(events.map(({ kind }) => kind)).toEqual(['election.equivocation']);
    await settle();
    const again = await EvidenceBook.open(memoryKeyValue(disk).sub('evidence'), quietLogger);
    expect(again.all).toEqual([{ voter: cyd.peerId, votes: pair() }]);
    expect(again.add({ voter: cyd.peerId, votes: pair() })).toBe(false);
  });

  it('that is damaged on the disk is left out', async () => {
    const store = memoryKeyValue(new Map([['x', Uint8Array.of(1)]]));
    expect((await EvidenceBook.open(store, quietLogger)).all).toEqual([]);
  });
});

describe('health', () => {
  const voters = [ada, ben, cyd].map(({ peerId }) => peerId);
  const facts = { leadership: undefined, lostMs: 3_700, voters, missing: [], crash: undefined };

  it('is good with a leader, and says what is missing without', () => {
    const leadership = { leader: ada.peerId, term: term(1) };
    expect(electionHealth({ ...facts, leadership })).toEqual({ status: 'healthy' });
    expect(electionHealth(facts)).toEqual({ status: 'degraded', reason: 'no leader for 3 s' });
    expect(electionHealth({ ...facts, missing: voters.slice(0, 2) }).reason).toBe(
      'no leader for 3 s; 1 of the 2 voters needed are connected',
    );
    expect(electionHealth({ ...facts, crash: 'EIO' })).toEqual({
      ...{ status: 'failed', reason: 'stopped: EIO' },
    });
  });

  it('warns of 1, 2 and 4 voters', () => {
    const warned = [1, 2, 3, 4, 5, 6, 7].filter((n) => voterWarnings(n).length > 0);
    expect(warned).toEqual([1, 2, 4]);
  });

  it('counts the time without a leader', () => {
    clock.advance(2_000);
    expect(news.lostMs).toBe(2_000);
    follows(ada, 1);
    expect(news.lostMs).toBe(0);
    clock.advance(500);
    news.leader({ type: 'leader', leadership: null, trigger: 'closed' });
    clock.advance(700);
    expect(news.lostMs).toBe(700);
    expect(events.at(-1)?.data).toMatchObject({ leader: ada.peerId, term: 1, trigger: 'closed' });
  });
});
