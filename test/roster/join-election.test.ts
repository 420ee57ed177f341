import { encode as encodeCbor } from '@ipld/dag-cbor';
import { describe, expect, test } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { BzzzError } from '../../src/base/errors.ts';
import type { Signer } from '../../src/base/ports.ts';
import type { Invitation } from '../../src/roster/invitation.ts';
import { decodeReply, encodeQuery } from '../../src/roster/invitation-wire.ts';
import { isFinalRefusal } from '../../src/roster/join.ts';
import { decodeAnswer } from '../../src/roster/join-wire.ts';
import { type TestClock, testClock } from '../support/world.ts';
import { PaperElection } from './certifier.ts';
import { ask, type Host, invite, Net, verdict } from './join-support.ts';
import {
  ada,
  admit,
  ben,
  bytesOf,
  chainWith,
  cyd,
  dov,
  eve,
  fay,
  promote,
  refusalOf,
} from './support.ts';

/** Voters ada, ben and cyd, member dov; nobody leads yet. */
async function voters(): Promise<Record<'a' | 'b' | 'c' | 'd', Host> & { net: Net }> {
  const voting = [admit(ben), admit(cyd), admit(dov), promote(ben), promote(cyd)];
  const entries = bytesOf(chainWith(voting));
  const net = new Net(new PaperElection());
  const clock = testClock(Date.UTC(2026, 0, 1));
  const add = (signer: Signer) => net.add(signer, clock, entries);
  return { net, a: await add(ada), b: await add(ben), c: await add(cyd), d: await add(dov) };
}

/** Turns the clock until `work` is done. */
async function patiently<T>(clock: TestClock, work: Promise<T>): Promise<T> {
  let done = false;
  const watched = work.finally(() => {
    done = true;
  });
  watched.catch(() => {});
  for (let turn = 0; turn < 200 && !done; turn++) {
    for (let i = 0; i < 5; i++) await new Promise<void>((resolve) => setImmediate(resolve));
    if (!done) clock.advance(100);
  }
  return watched;
}

describe('with an election', () => {
  test('the leader is asked first, by any member, and all learn of it', async () => {
    const { net, a, b, c, d } = await voters();
    net.election!.leader = cyd.peerId;
    const invitation = await invite(c);
    expect(verdict(await d.desk.serveJoin(ask(invitation, eve), eve.peerId))).toBe('ok');
    expect(net.asked).toEqual([cyd.peerId]);
    for (const { roster } of [a, b, c, d]) {
      expect(roster.view.standing(eve.peerId)).toBe('member');
    }
    // The leader itself asks nobody.
    expect(verdict(await c.desk.serveJoin(ask(await invite(c), fay), fay.peerId))).toBe('ok');
    expect(net.asked).toHaveLength(1);
  });

  test('a voter that does not lead says so, a member that is no voter too', async () => {
    const { net, a, b, d } = await voters();
    net.election!.leader = ada.peerId;
    const petition = ask(await invite(a), eve);
    expect(verdict(await b.desk.serveForwarded(petition, dov.peerId))).toBe('NOT_LEADER');
    expect(verdict(await d.desk.serveForwarded(petition, ada.peerId))).toBe('NOT_A_VOTER');
    expect(a.roster.view.epoch).toBe(5);
  });

  test('while nobody leads it waits, and asks whoever comes to lead', async () => {
    const { net, a, b, d } = await voters();
    const petition = ask(await invite(a), eve);
    d.clock.after(1_000, () => {
      net.election!.leader = ben.peerId;
    });
    net.cut.add(cyd.peerId);
    expect(verdict(await patiently(d.clock, d.desk.serveJoin(petition, eve.peerId)))).toBe('ok');
    expect(b.roster.view.standing(eve.peerId)).toBe('member');
    expect(d.clock.now()).toBeLessThan(2_000);
  });

  test('a member that comes to lead while it waits decides itself', async () => {
    const { net, a } = await voters();
    const petition = ask(await invite(a), eve);
    a.clock.after(500, () => {
      net.election!.leader = ada.peerId;
    });
    expect(verdict(await patiently(a.clock, a.desk.serveJoin(petition, eve.peerId)))).toBe('ok');
  });

  test('not for longer than a few seconds: then it says that nobody leads', async () => {
    const { net, a, d } = await voters();
    const petition = ask(await invite(a), eve);
    const answer = await patiently(d.clock, d.desk.serveJoin(petition, eve.peerId));
    expect(verdict(answer)).toBe('NO_LEADER');
    expect(isFinalRefusal('NO_LEADER')).toBe(false);
    expect(d.clock.now()).toBeGreaterThanOrEqual(3_000);
    expect(d.clock.now()).toBeLessThan(4_000);
    expect(net.asked.length).toBeGreaterThan(20);
  });

  test('no voter in reach is said at once', async () => {
    const { net, a, d } = await voters();
    const petition = ask(await invite(a), eve);
    for (const who of [ada, ben, cyd]) net.cut.add(who.peerId);
    expect(verdict(await d.desk.serveJoin(petition, eve.peerId))).toBe('PEER_UNREACHABLE');
  });

  test('a leader killed after its entry was certified: the next one finds it done', async () => {
    const { net, a, d } = await voters();
    const election = net.election!;
    election.leader = ada.peerId;
    election.after = async () => {
      election.after = async () => {};
      election.leader = ben.peerId;
      throw new BzzzError('LEADERSHIP_LOST', 'deposed');
    };
    const petition = ask(await invite(a), eve);
    expect(verdict(await patiently(d.clock, d.desk.serveJoin(petition, eve.peerId)))).toBe('ok');
    expect(a.roster.view.epoch).toBe(6);
    expect(net.asked).toContain(ben.peerId);
  });

  test('a leader that falls silent: the petition goes to the next one', async () => {
    const { net, b, d } = await voters();
    net.election!.leader = ada.peerId;
    const petition = ask(await invite(b), eve);
    net.cut.add(ada.peerId);
    d.clock.after(700, () => {
      net.election!.leader = ben.peerId;
    });
    expect(verdict(await patiently(d.clock, d.desk.serveJoin(petition, eve.peerId)))).toBe('ok');
  });

  test('one petition decided by two leaders at once is one admission', async () => {
    const { net, a, b, d } = await voters();
    net.election!.leader = ada.peerId;
    const petition = ask(await invite(a), eve);
    // Both judge before either proposes.
    let judged = 0;
    net.election!.before = async () => {
      judged++;
      while (judged < 2) await new Promise((resolve) => setImmediate(resolve));
    };
    const first = a.desk.serveJoin(petition, eve.peerId);
    const second = d.desk.serveJoin(petition, eve.peerId);
    expect((await Promise.all([first, second])).map(verdict)).toEqual(['ok', 'ok']);
    expect(b.roster.view.epoch).toBe(6);
  });
});

describe('an invitation that another voter issued', () => {
  test('is asked after, and refused when its issuer revoked it or knows nothing of it', async () => {
    const { net, a, b } = await voters();
    net.election!.leader = ben.peerId;
    const [revoked, lost, good] = [await invite(a), await invite(a), await invite(a)];
    await a.book.revoke(toHex(revoked.token.id));
    a.disk.delete(`invitations!${toHex(lost.token.id)}`);
    const join = async (invitation: Invitation) =>
      verdict(await b.desk.serveJoin(ask(invitation, eve), eve.peerId));
    expect(await join(revoked)).toBe('INVITATION_REVOKED');
    expect(await join(lost)).toBe('INVALID_INVITATION');
    expect(await join(good)).toBe('ok');
  });

  test('waits for its issuer: refused for now, with what to do', async () => {
    const { net, a, b } = await voters();
    net.election!.leader = ben.peerId;
    const petition = ask(await invite(a), eve);
    net.cut.add(ada.peerId);
    const answer = decodeAnswer(await b.desk.serveJoin(petition, eve.peerId));
    expect(answer).toMatchObject({ ok: false, error: { code: 'PEER_UNREACHABLE' } });
    expect(isFinalRefusal('PEER_UNREACHABLE')).toBe(false);
    expect(JSON.stringify(answer)).toContain(ada.peerId);
    expect(JSON.stringify(answer)).toContain('another voter');
    net.cut.clear();
    expect(verdict(await b.desk.serveJoin(petition, eve.peerId))).toBe('ok');
    // Once used, the answer needs no issuer, and waits for none.
    net.cut.add(ada.peerId);
    expect(net.issuers).toHaveLength(2);
    expect(verdict(await b.desk.serveJoin(petition, eve.peerId))).toBe('ok');
    expect(net.issuers).toHaveLength(2);
    expect(verdict(await b.desk.serveJoin(ask(await invite(b), eve), eve.peerId))).toBe('CONFLICT');
  });

  test('is told of to members only, and in its form only', async () => {
    const { a } = await voters();
    const { token } = await invite(a);
    const query = encodeQuery(token.id);
    expect(decodeReply(await a.desk.serveQuery(query, dov.peerId))).toBe('issued');
    expect((await refusalOf(a.desk.serveQuery(query, eve.peerId))).code).toBe('NOT_A_MEMBER');
    const short = encodeCbor({ v: 1, id: token.id.subarray(1) });
    expect((await refusalOf(a.desk.serveQuery(short, dov.peerId))).code).toBe('BAD_MESSAGE');
  });
});

describe('revoking while the election decides', () => {
  test('waits for the admission under way, and says that it came too late', async () => {
    const { net, a } = await voters();
    net.election!.leader = ada.peerId;
    const invitation = await invite(a);
    let go = () => {};
    net.election!.before = () =>
      new Promise<void>((resolve) => {
        go = resolve;
      });
    const joining = a.desk.serveJoin(ask(invitation, eve), eve.peerId);
    for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
    let returned = false;
    const revoking = refusalOf(a.book.revoke(toHex(invitation.token.id))).finally(() => {
      returned = true;
    });
    for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
    expect(returned).toBe(false);
    // Nobody else gets in meanwhile.
    net.election!.before = async () => {};
    const other = await a.desk.serveJoin(ask(invitation, fay), fay.peerId);
    expect(verdict(other)).toBe('INVITATION_REVOKED');
    go();
    expect(verdict(await joining)).toBe('ok');
    expect((await revoking).code).toBe('CONFLICT');
  });

  test('says so when nobody knows how an admission ended', async () => {
    const { net, a } = await voters();
    const election = net.election!;
    election.leader = ada.peerId;
    const [lost, plain] = [await invite(a), await invite(a)];
    election.before = async () => {
      throw new BzzzError('TIMEOUT', 'no majority answered');
    };
    expect(verdict(await a.desk.serveJoin(ask(lost, eve), eve.peerId))).toBe('TIMEOUT');
    const error = await refusalOf(a.book.revoke(toHex(lost.token.id)));
    expect([error.code, error.hint]).toEqual([
      'LEADERSHIP_LOST',
      expect.stringContaining('bzzz roster'),
    ]);
    election.before = async () => {};
    expect(verdict(await a.desk.serveJoin(ask(lost, eve), eve.peerId))).toBe('INVITATION_REVOKED');
    expect(await a.book.revoke(toHex(plain.token.id))).toBe(toHex(plain.token.id));
  });
});

describe('leaving with an election', () => {
  test('a leader hands over first, and the next leader removes it', async () => {
    const { net, a, b } = await voters();
    net.election!.leader = ada.peerId;
    let handed = 0;
    net.handOver = () => {
      handed++;
      net.election!.leader = cyd.peerId;
    };
    expect(await patiently(a.clock, a.desk.leave())).toBe(6);
    expect([handed, b.roster.view.voters]).toEqual([1, [ben, cyd].map((s) => s.peerId).sort()]);
    expect(b.roster.chain.links.at(-1)?.entry.body.change).toMatchObject({ reason: 'left' });
  });

  test('a leader that nobody relieves stays, and says that nobody leads but itself', async () => {
    const { net, a } = await voters();
    net.election!.leader = ada.peerId;
    const error = await patiently(a.clock, refusalOf(a.desk.leave()));
    expect(error.code).toBe('NO_LEADER');
    expect(a.roster.view.epoch).toBe(5);
  });

  test('voters and members leave by the leader, without a hand-over', async () => {
    const { net, a, b, d } = await voters();
    net.election!.leader = ada.peerId;
    net.handOver = () => expect.unreachable();
    expect(await d.desk.leave()).toBe(6);
    expect(await b.desk.leave()).toBe(7);
    expect(a.roster.view.voters).toEqual([ada, cyd].map((s) => s.peerId).sort());
  });

  test('the only voter cannot, and hands nothing over', async () => {
    const net = new Net(new PaperElection());
    const founder = await net.add(ada);
    net.election!.leader = ada.peerId;
    net.handOver = () => expect.unreachable();
    expect((await refusalOf(founder.desk.leave())).code).toBe('REFUSED_BY_POLICY');
  });
});
