/** The election between nodes of one process: leaders come and go, changes of the roster get done. */
import { afterEach, describe, expect, it } from 'vitest';
import { millis, type PeerId, type Term } from '../../src/base/brands.ts';
import type { KeyValue } from '../../src/base/ports.ts';
import { verifyLeaderCertificate } from '../../src/election/certificate.ts';
import { LEADER_TOPICS, leaderWire } from '../../src/election/leader-wire.ts';
import type { Change } from '../../src/roster/entry.ts';
import { fay, gus, hal } from '../roster/support.ts';
import { steadyClock } from '../support/steady-clock.ts';
import {
  admit,
  ElectionLab,
  type LabNode,
  type LabSettings,
  SIGNERS,
  sleep,
  until,
} from './service-lab.ts';

let lab: ElectionLab;
const term = (n: number): Term => n as Term;
/** Time-outs that a busy machine does not confuse with what must be faster. */
const SLOW = { timeoutMs: millis(2_000) };

afterEach(() => lab.stop());

async function started(voters: number, settings: LabSettings = {}, members = voters) {
  lab = new ElectionLab(voters, members);
  return lab.start(members, settings);
}

/** How often each peer was admitted, by the chain of a node. */
const admissions = (node: LabNode): Map<PeerId, number> => {
  const counts = new Map<PeerId, number>();
  for (const { entry } of node.roster.chain.links) {
    const { change } = entry.body;
    if (change.kind === 'admit') counts.set(change.peer, (counts.get(change.peer) ?? 0) + 1);
  }
  return counts;
};

const kinds = (node: LabNode): readonly string[] => node.events.map(({ kind }) => kind);

describe('an election', () => {
  it('gives three voters one leader, its proof to everyone, and its duty to one', async () => {
    const nodes = await started(3);
    const leader = await lab.leader();
    await until('all have the proof', () =>
      nodes.every((node) => node.election.leader()?.certificate !== undefined),
    );
    for (const node of nodes) {
      const known = node.election.leader();
      expect(known?.votes.length).toBe(2);
      const proof = verifyLeaderCertificate(
        known?.certificate ?? new Uint8Array(),
        node.roster.chain,
      );
      expect(proof).toMatchObject({ leader: leader.peerId, term: known?.term });
      expect(node.election.health()).toEqual({ status: 'healthy' });
      expect(node.election.term).toBe(known?.term);
      expect(node.election.history()[0]).toMatchObject({ leader: leader.peerId, until: null });
      expect(node.duties).toEqual(node === leader ? [`start ${known?.term}`] : []);
      expect(kinds(node)).toContain('leader.changed');
    }
    expect(kinds(leader)).toContain('leader.elected');
    expect(nodes.filter((node) => node.election.isLeader)).toHaveLength(1);
  });

  it('lets a founder lead alone at once, and grow to three voters', async () => {
    const [ada, ben] = await started(1, {}, 3);
    await until('it leads', () => ada?.election.isLeader === true, 200);
    for (const node of lab.nodes.slice(1)) await ada?.roster.promote(node.peerId);
    await lab.agreed();
    expect(ben?.roster.view.voters).toHaveLength(3);
    await lab.kill(ada as LabNode);
    const next = await lab.leader();
    await next.roster.admit(fay.peerId, { role: 'persistent' });
    await lab.agreed();
  });

  it('is over within a moment when the leader is killed, and changes go on (R99)', async () => {
    await started(3, { timing: SLOW });
    const first = await lab.leader();
    const before = first.election.term;
    await lab.kill(first);
    const at = steadyClock.now();
    const next = await lab.leader(lab.living, before);
    // Far below the time-out: a closed stream says that the leader is gone.
    expect(steadyClock.now() - at).toBeLessThan(1_200);
    expect(next.election.term).toBeGreaterThan(before);
    expect(next.election.history()[0]?.trigger).toBe('closed');
    expect(kinds(next)).toContain('leader.lost');
    await next.election.propose(admit(fay));
    await lab.agreed();
  });

  it('finds a leader again after a cut cable, and the old one follows when it is back', async () => {
    const nodes = await started(3);
    const old = await lab.leader();
    const others = nodes.filter((node) => node !== old);
    for (const other of others) lab.net.cut(old.peerId, other.peerId);
    const next = await lab.leader(others, old.election.term);
    await until('the old one stepped down (E4)', () => !old.election.isLeader);
    expect(old.duties.at(-1)).toMatch(/^stop/);
    expect(old.election.health().reason).toMatch(/no leader for \d+ s/);
    for (const other of others) lab.net.cut(old.peerId, other.peerId, false);
    expect(await lab.leader()).toBe(next);
  });

  it('does not happen while everything is well (E7)', async () => {
    const nodes = await started(3, { timing: { timeoutMs: millis(300) } });
    const leader = await lab.leader();
    const { term: before } = leader.election;
    await sleep(2_000);
    expect(nodes.map((node) => node.election.term)).toEqual(nodes.map(() => before));
    expect(await lab.leader()).toBe(leader);
  });

  it('keeps its term over a restart, and never votes twice in one', async () => {
    await started(3);
    const first = await lab.leader();
    const follower = await lab.follower();
    const { term: before } = follower.election;
    await lab.kill(follower);
    const again = await lab.make(follower.signer);
    expect(again.election.term).toBe(before);
    expect(again.election.history()[0]).toMatchObject({ leader: first.peerId, term: before });
    await again.election.start();
    expect(await lab.leader()).toBe(first);
    expect(first.election.term).toBe(before);
  });

  it('goes on without a node whose disk fails, which takes no part any more', async () => {
    let failing: PeerId | undefined;
    lab = new ElectionLab(3);
    const failed = (): Promise<void> => Promise.reject(new Error('EIO'));
    for (const signer of SIGNERS.slice(0, 3)) {
      const store = (inner: KeyValue): KeyValue => ({
        ...inner,
        put: (...write) => (signer.peerId === failing ? failed() : inner.put(...write)),
      });
      await lab.make(signer, { store });
    }
    await Promise.all(lab.nodes.map((node) => node.election.start()));
    const old = await lab.leader();
    failing = old.peerId;
    const lost = old.election.propose(admit(fay));
    await expect(lost).rejects.toMatchObject({ why: 'EIO' });
    expect(old.election.health()).toEqual({ status: 'failed', reason: 'stopped: EIO' });
    expect(old.duties.at(-1)).toMatch(/^stop/);
    const next = await lab.leader(
      lab.living.filter((node) => node !== old),
      old.election.term,
    );
    await next.election.propose(admit(fay));
  });
});

describe('a change of the roster', () => {
  it('is made from any voter, and is there when its caller hears of it', async () => {
    const nodes = await started(3);
    await lab.leader();
    const wanted = [fay, gus, hal];
    for (const [i, node] of nodes.entries()) {
      const signer = wanted[i] ?? fay;
      const epoch = await node.election.propose(admit(signer));
      expect(node.roster.view.epoch).toBeGreaterThanOrEqual(epoch);
      expect(node.roster.chain.links[epoch - 1]?.entry.body.change).toEqual(admit(signer));
    }
    await lab.agreed();
  });

  it('is refused by the rules, elsewhere as here', async () => {
    await started(3);
    const leader = await lab.leader();
    const follower = await lab.follower();
    for (const node of [leader, follower]) {
      const promote = { kind: 'promote', peer: follower.peerId } as const;
      await expect(node.election.propose(promote)).rejects.toMatchObject({ code: 'CONFLICT' });
      const demote = { kind: 'demote', peer: fay.peerId } as const;
      await expect(node.election.propose(demote)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    }
  });

  it('is for voters; a member may remove itself and nobody else', async () => {
    const nodes = await started(3, {}, 5);
    await lab.leader();
    const [, , , dov, eve] = nodes;
    if (dov === undefined || eve === undefined) throw new Error('five nodes');
    const remove = (node: LabNode): Change => ({
      ...{ kind: 'remove', peer: node.peerId, reason: 'left' },
    });
    await expect(dov.election.propose(admit(fay))).rejects.toMatchObject({ code: 'NOT_A_VOTER' });
    await expect(dov.election.propose(remove(eve))).rejects.toMatchObject({ code: 'NOT_A_VOTER' });
    const leader = await lab.leader();
    const forged = leaderWire.propose.encode({
      ...{ change: remove(eve), invitationId: null, have: dov.roster.view.epoch, waitMs: 100 },
    });
    const { direct } = lab.net.join(dov.peerId);
    await expect(
      direct.request(leader.peerId, LEADER_TOPICS.propose, forged),
    ).rejects.toMatchObject({ code: 'NOT_A_VOTER' });
    await eve.election.propose(remove(eve));
    await until('it is gone', () => leader.roster.view.standing(eve.peerId) === 'removed');
  });

  it('survives the leader: what was asked of it is done once, by the next one', async () => {
    const nodes = await started(5);
    const first = await lab.leader();
    const others = nodes.filter((node) => node !== first);
    const work = others.flatMap((node, i) =>
      [fay, gus, hal]
        .slice(0, i === 0 ? 3 : 0)
        .map((signer) => node.election.propose(admit(signer))),
    );
    await sleep(1);
    await lab.kill(first);
    const epochs = await Promise.all(work);
    expect(new Set(epochs).size).toBe(3);
    await lab.agreed();
    for (const node of lab.living) {
      const counts = admissions(node);
      for (const signer of [fay, gus, hal]) expect(counts.get(signer.peerId)).toBe(1);
    }
  });

  it('of two that ask for the same: one makes it, the other hears that it is so', async () => {
    const nodes = await started(3);
    await lab.leader();
    const outcomes = await Promise.allSettled(nodes.map((n) => n.election.propose(admit(fay))));
    const failed = outcomes.filter((outcome) => outcome.status === 'rejected');
    expect(failed).toHaveLength(2);
    for (const { reason } of failed) expect(reason).toMatchObject({ code: 'CONFLICT' });
    expect(admissions(nodes[0] as LabNode).get(fay.peerId)).toBe(1);
  });

  it('asked of an isolated leader is made by the majority once it is back', async () => {
    const nodes = await started(3);
    const old = await lab.leader();
    const others = nodes.filter((node) => node !== old);
    for (const other of others) lab.net.cut(old.peerId, other.peerId);
    const asked = old.election.propose(admit(fay));
    const next = await lab.leader(others, old.election.term);
    await next.election.propose(admit(gus));
    for (const other of others) lab.net.cut(old.peerId, other.peerId, false);
    await asked;
    await lab.agreed();
    const counts = admissions(old);
    expect([counts.get(fay.peerId), counts.get(gus.peerId)]).toEqual([1, 1]);
  });

  it('ends with NO_LEADER and the voters that are missing', async () => {
    await started(3, { pursuitMs: 1_200 });
    const leader = await lab.leader();
    const [one, other] = lab.living.filter((node) => node !== leader);
    if (one === undefined || other === undefined) throw new Error('three nodes');
    await lab.kill(leader);
    await lab.kill(one);
    await expect(other.election.propose(admit(fay))).rejects.toMatchObject({
      code: 'NO_LEADER',
      details: { missing: [leader.peerId, one.peerId].sort() },
    });
    expect(other.election.health().reason).toMatch(/1 of the 2 voters needed/);
  });
});

describe('leadership', () => {
  it('is transferred to whom an operator names, from the leader or another voter', async () => {
    const nodes = await started(3);
    for (const by of nodes) {
      const old = await lab.leader();
      const target = nodes.find((node) => node !== old && node !== by) as LabNode;
      await until('fit', () => old.election.standingOf(target.peerId) !== undefined);
      const before = old.election.term;
      const now = await by.election.transfer(target.peerId);
      expect(now).toEqual({ peerId: target.peerId, term: before + 1 });
      expect(await lab.leader()).toBe(target);
      expect(old.duties.at(-1)).toBe(`stop ${before}`);
      await expect(by.election.transfer(target.peerId)).rejects.toMatchObject({ code: 'CONFLICT' });
    }
  });

  it('is handed over before a node stops: no time-out passes (P1)', async () => {
    await started(3, { timing: SLOW });
    const old = await lab.leader();
    const at = steadyClock.now();
    await old.election.handOver(1_900);
    const next = await lab.leader(lab.living, old.election.term - 1);
    expect(next).not.toBe(old);
    expect(steadyClock.now() - at).toBeLessThan(1_200);
    await next.election.handOver(10);
    await old.election.handOver(10);
  });

  it('is given up to nobody in particular', async () => {
    await started(3);
    const old = await lab.leader();
    const by = await lab.follower();
    const { term: before } = old.election;
    expect(await by.election.stepDown()).toEqual({ term: before });
    const next = await lab.leader(lab.living, before);
    expect(next).not.toBe(old);
  });

  it('of the only voter cannot be transferred, and its hand-over is no error', async () => {
    const [ada] = await started(1, {}, 2);
    await until('it leads', () => ada?.election.isLeader === true);
    await expect(ada?.election.transfer()).rejects.toMatchObject({ code: 'REFUSED_BY_POLICY' });
    await ada?.election.handOver(1_000);
    expect(ada?.election.isLeader).toBe(true);
  });

  it('is campaigned for in vain while the others have their leader', async () => {
    await started(3);
    const leader = await lab.leader();
    const { term: before } = leader.election;
    (await lab.follower()).election.campaign('manual');
    await sleep(200);
    expect(await lab.leader()).toBe(leader);
    expect(leader.election.term).toBe(before);
  });

  it('is fenced by term: an act of a leader of the past is refused (E5)', async () => {
    await started(3);
    const old = await lab.leader();
    const follower = await lab.follower();
    const before = old.election.term;
    await follower.election.fence(before);
    await follower.election.fence(term(before + 3));
    await expect(follower.election.fence(before)).rejects.toMatchObject({ code: 'STALE_TERM' });
    await lab.kill(follower);
    const again = await lab.make(follower.signer);
    expect(again.election.term).toBe(before + 3);
    await expect(again.election.fence(before)).rejects.toMatchObject({ code: 'STALE_TERM' });
  });

  it('and what a stopped node waits for ends: DRAINING', async () => {
    await started(3);
    const leader = await lab.leader();
    const others = lab.living.filter((node) => node !== leader);
    for (const other of others) lab.net.cut(leader.peerId, other.peerId);
    const asked = leader.election.propose(admit(fay));
    const outcome = expect(asked).rejects.toMatchObject({ code: 'DRAINING' });
    await leader.election.stop();
    await outcome;
    expect(leader.duties.at(-1)).toMatch(/^stop/);
  });
});
