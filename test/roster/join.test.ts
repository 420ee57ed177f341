import { decode as decodeCbor, encode as encodeCbor } from '@ipld/dag-cbor';
import { describe, expect, test } from 'vitest';
import type { PeerId } from '../../src/base/brands.ts';
import { toHex } from '../../src/base/bytes.ts';
import { BzzzError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { parseInvitation } from '../../src/roster/invitation.ts';
import { InvitationBook } from '../../src/roster/invitation-book.ts';
import { acceptAnswer, isFinalRefusal } from '../../src/roster/join.ts';
import { decodeAnswer, encodeLeave } from '../../src/roster/join-wire.ts';
import { sealToken, signerOfSecret } from '../../src/roster/token.ts';
import { testClock, testRandom } from '../support/world.ts';
import { addresses, ask, HOUR, type Host, invite, Net, verdict } from './join-support.ts';
import {
  ada,
  admit,
  ben,
  bytesOf,
  chainWith,
  codeOf,
  cyd,
  dov,
  epoch,
  eve,
  genesisOf,
  openNode,
  refusalOf,
} from './support.ts';

/** Founder ada, member ben; ben's chain is up to date. */
async function pair(): Promise<{ net: Net; founder: Host; member: Host }> {
  const net = new Net();
  const founder = await net.add(ada);
  await founder.roster.admit(ben.peerId, { role: 'persistent' });
  const member = await net.add(ben, undefined, bytesOf(founder.roster.chain));
  return { net, founder, member };
}

describe('joining', () => {
  test('with one string: admitted with role, name and invitation id, proven to the joining host', async () => {
    const founder = await new Net().add(ada);
    const invitation = await invite(founder, { role: 'observer', noVoter: true });
    const { genesis, checkpoint } = invitation;
    const joining = await openNode(cyd, { genesis, checkpoint });
    const answer = await founder.desk.serveJoin(
      ask(invitation, cyd, { name: 'host-c' }),
      cyd.peerId,
    );
    expect(await acceptAnswer(joining.roster, answer)).toBe(true);
    const { members, epoch: at } = joining.roster.view;
    expect(at).toBe(1);
    expect(members.get(cyd.peerId)).toEqual({
      peerId: cyd.peerId,
      role: 'observer',
      voter: false,
      noVoter: true,
      name: 'host-c',
      since: 1,
    });
    const { body } = joining.roster.chain.links[0]!.entry;
    expect(body.invitationId).toEqual(invitation.token.id);
  });

  test('through a member that is no voter, which learns of it at once', async () => {
    const { founder, member } = await pair();
    const invitation = await invite(founder);
    const answer = await member.desk.serveJoin(ask(invitation, cyd), cyd.peerId);
    expect(verdict(answer)).toBe('ok');
    for (const { roster } of [founder, member]) {
      expect(roster.view.standing(cyd.peerId)).toBe('member');
    }
  });

  test('through a member while no voter is reachable is refused, and can be tried again', async () => {
    const { net, founder, member } = await pair();
    const invitation = await invite(founder);
    net.cut.add(ada.peerId);
    const answer = decodeAnswer(await member.desk.serveJoin(ask(invitation, cyd), cyd.peerId));
    expect(answer).toMatchObject({ ok: false, error: { code: 'PEER_UNREACHABLE' } });
    expect(isFinalRefusal('PEER_UNREACHABLE')).toBe(false);
    net.cut.clear();
    expect(verdict(await member.desk.serveJoin(ask(invitation, cyd), cyd.peerId))).toBe('ok');
  });

  test('the same host with the same invitation again succeeds, without another entry', async () => {
    const { founder, member } = await pair();
    const invitation = await invite(founder);
    const petition = ask(invitation, cyd);
    const answers = await Promise.all([
      founder.desk.serveJoin(petition, cyd.peerId),
      member.desk.serveJoin(petition, cyd.peerId),
      founder.desk.serveJoin(ask(invitation, cyd), cyd.peerId),
    ]);
    expect(answers.map(verdict)).toEqual(['ok', 'ok', 'ok']);
    expect(founder.roster.view.epoch).toBe(2);
    // Long after its expiry too: the answer may have been lost.
    founder.clock.advance(48 * HOUR);
    expect(verdict(await founder.desk.serveJoin(petition, cyd.peerId))).toBe('ok');
  });

  test('one invitation at two members at once for two hosts admits exactly one', async () => {
    for (let round = 0; round < 5; round++) {
      const { founder, member } = await pair();
      const invitation = await invite(founder);
      const answers = await Promise.all([
        member.desk.serveJoin(ask(invitation, cyd), cyd.peerId),
        founder.desk.serveJoin(ask(invitation, dov), dov.peerId),
      ]);
      expect(answers.map(verdict).sort()).toEqual(['INVITATION_USED', 'ok']);
      const { members } = founder.roster.view;
      expect([cyd, dov].filter((s) => members.has(s.peerId))).toHaveLength(1);
    }
  });

  test('works with hosts whose clocks are 10 minutes apart, either way', async () => {
    for (const skew of [-600_000, 600_000]) {
      const founder = await new Net().add(ada, testClock(Date.UTC(2026, 0, 1)));
      const invitation = await invite(founder);
      const { genesis, checkpoint } = invitation;
      const clock = testClock(Date.UTC(2026, 0, 1) + skew);
      const joining = await openNode(cyd, { genesis, checkpoint, clock });
      const answer = await founder.desk.serveJoin(ask(invitation, cyd), cyd.peerId);
      expect(await acceptAnswer(joining.roster, answer)).toBe(true);
    }
  });
});

describe('refused, with the reason at the joining host and in the log of the member', () => {
  const refused = async (host: Host, petition: Uint8Array, remote: PeerId, code: string) => {
    const before = host.roster.view.epoch;
    const answer = await host.desk.serveJoin(petition, remote);
    expect(verdict(answer)).toBe(code);
    expect(host.roster.view.epoch).toBe(before);
    const line = host.lines.at(-1)!;
    expect(line).toContain('petition refused');
    expect(line).toContain(code);
    const { roster } = await openNode(cyd);
    const error = await refusalOf(acceptAnswer(roster, answer));
    expect([error.code, error.message === '']).toEqual([code, false]);
    return error;
  };

  test('expired, by the clock of the voter', async () => {
    const founder = await new Net().add(ada);
    const invitation = await invite(founder);
    founder.clock.advance(HOUR + 1);
    const error = await refused(founder, ask(invitation, cyd), cyd.peerId, 'INVITATION_EXPIRED');
    expect(error.why).toContain('2026-01-01T01:00:00');
    expect(isFinalRefusal(error.code)).toBe(true);
  });

  test('used, also by a host that was removed since', async () => {
    const founder = await new Net().add(ada);
    const invitation = await invite(founder);
    await founder.desk.serveJoin(ask(invitation, cyd), cyd.peerId);
    await refused(founder, ask(invitation, dov), dov.peerId, 'INVITATION_USED');
    await founder.roster.remove(cyd.peerId);
    const error = await refused(founder, ask(invitation, cyd), cyd.peerId, 'INVITATION_USED');
    expect(error.why).toContain('removed');
  });

  test('revoked', async () => {
    const founder = await new Net().add(ada);
    const invitation = await invite(founder);
    await founder.book.revoke(toHex(invitation.token.id).slice(0, 6));
    await refused(founder, ask(invitation, cyd), cyd.peerId, 'INVITATION_REVOKED');
  });

  test('for another cluster', async () => {
    const founder = await new Net().add(ada);
    const other = await openNode(ada, { genesis: genesisOf('other') });
    const book = new InvitationBook({
      roster: other.roster,
      signer: ada,
      clock: other.clock,
      store: other.store.sub('invitations'),
      random: testRandom('other'),
    });
    const options = { role: 'persistent', noVoter: false, ttlMs: HOUR, addresses } as const;
    const foreign = parseInvitation((await book.issue(options)).text);
    await refused(founder, ask(foreign, cyd), cyd.peerId, 'INVITATION_FOREIGN');
    // Dressed up as one of ours, its seals do not hold.
    const outer = decodeCbor(ask(foreign, cyd)) as object;
    const dressed = encodeCbor({ ...outer, clusterId: founder.roster.view.clusterId });
    await refused(founder, dressed, cyd.peerId, 'BAD_MESSAGE');
  });

  test('none, garbage and oversize', async () => {
    const founder = await new Net().add(ada);
    await refused(founder, new Uint8Array(0), cyd.peerId, 'BAD_MESSAGE');
    await refused(founder, new Uint8Array(100).fill(0xff), cyd.peerId, 'BAD_MESSAGE');
    await refused(founder, new Uint8Array(LIMITS.rosterFrameBytes + 1), cyd.peerId, 'BAD_MESSAGE');
  });

  test('presented by another host than the one that made it', async () => {
    const { founder, member } = await pair();
    const petition = ask(await invite(founder), cyd);
    await refused(founder, petition, dov.peerId, 'INVALID_INVITATION');
    await refused(member, petition, dov.peerId, 'INVALID_INVITATION');
  });

  test('sealed by a member that is no voter', async () => {
    const { founder } = await pair();
    const invitation = await invite(founder);
    const sealedToken = sealToken(ben, invitation.token);
    const error = await refused(
      founder,
      ask({ ...invitation, sealedToken }, cyd),
      cyd.peerId,
      'INVALID_INVITATION',
    );
    expect(error.why).toContain(ben.peerId);
  });

  test('sealed by a stranger', async () => {
    const founder = await new Net().add(ada);
    const invitation = await invite(founder);
    const sealedToken = sealToken(eve, invitation.token);
    const petition = ask({ ...invitation, sealedToken }, cyd);
    await refused(founder, petition, cyd.peerId, 'INVALID_INVITATION');
  });

  test('with a greater role than the token grants: the seal no longer holds', async () => {
    const founder = await new Net().add(ada);
    const invitation = await invite(founder, { role: 'observer' });
    const sealedToken = new Uint8Array(invitation.sealedToken);
    const at = Buffer.from(sealedToken).indexOf('observer');
    sealedToken.set(Buffer.from('delegate'), at);
    const petition = ask({ ...invitation, sealedToken }, cyd);
    await refused(founder, petition, cyd.peerId, 'INVALID_INVITATION');
  });

  test('without the secret', async () => {
    const founder = await new Net().add(ada);
    const invitation = await invite(founder);
    const other = await invite(founder);
    const petition = ask({ ...invitation, secret: other.secret }, cyd);
    await refused(founder, petition, cyd.peerId, 'INVALID_INVITATION');
  });

  test('with the proof that another host made (seen by a relay)', async () => {
    const founder = await new Net().add(ada);
    const invitation = await invite(founder);
    const { clusterId } = founder.roster.view;
    // The relay has the token and the proof of cyd's petition, and wraps them for dov.
    const proof = signerOfSecret(invitation.secret).seal(
      `bzzz/${clusterId}/join/1`,
      encodeCbor({ v: 1, id: invitation.token.id, peer: cyd.peerId }),
    );
    const sealed = dov.seal(
      `bzzz/${clusterId}/petition/1`,
      encodeCbor({ kind: 'join', token: invitation.sealedToken, proof, have: 0 }),
    );
    const petition = encodeCbor({ v: 1, clusterId, sealed });
    await refused(founder, petition, dov.peerId, 'INVALID_INVITATION');
  });

  test('with a proof for another invitation of the same key', async () => {
    const founder = await new Net().add(ada);
    const invitation = await invite(founder);
    const token = { ...invitation.token, id: new Uint8Array(16).fill(5) };
    const { clusterId } = founder.roster.view;
    // Two tokens that name one key: only an issuer can make them, by mistake or on purpose.
    const proof = signerOfSecret(invitation.secret).seal(
      `bzzz/${clusterId}/join/1`,
      encodeCbor({ v: 1, id: invitation.token.id, peer: cyd.peerId }),
    );
    const sealed = cyd.seal(
      `bzzz/${clusterId}/petition/1`,
      encodeCbor({ kind: 'join', token: sealToken(ada, token), proof, have: 0 }),
    );
    const petition = encodeCbor({ v: 1, clusterId, sealed });
    const error = await refused(founder, petition, cyd.peerId, 'INVALID_INVITATION');
    expect(error.why).toContain('another invitation');
  });

  test('with a token that names another cluster inside the seal for this one', async () => {
    const founder = await new Net().add(ada);
    const invitation = await invite(founder);
    const { clusterId } = founder.roster.view;
    const token = { ...invitation.token, clusterId: genesisOf('other').clusterId };
    const sealedToken = ada.seal(`bzzz/${clusterId}/invitation/1`, encodeCbor(token));
    const petition = ask({ ...invitation, sealedToken }, cyd);
    const error = await refused(founder, petition, cyd.peerId, 'INVALID_INVITATION');
    expect(error.why).toContain('names another cluster');
  });

  test('issued by this voter but unknown to it: an old backup may have been restored', async () => {
    const founder = await new Net().add(ada);
    const invitation = await invite(founder);
    for (const key of founder.disk.keys()) {
      if (key.startsWith('invitations!')) founder.disk.delete(key);
    }
    await refused(founder, ask(invitation, cyd), cyd.peerId, 'INVALID_INVITATION');
  });

  test('a host that is a member already, and its invitation stays open', async () => {
    const { founder } = await pair();
    const invitation = await invite(founder);
    await refused(founder, ask(invitation, ben), ben.peerId, 'CONFLICT');
    expect(verdict(await founder.desk.serveJoin(ask(invitation, cyd), cyd.peerId))).toBe('ok');
  });

  test('at a host that is itself no member', async () => {
    const net = new Net();
    const founder = await net.add(ada);
    const other = await net.add(dov);
    const invitation = await invite(founder);
    await refused(other, ask(invitation, cyd), cyd.peerId, 'NOT_A_MEMBER');
    expect(isFinalRefusal('NOT_A_MEMBER')).toBe(false);
  });

  test('passed on by a stranger', async () => {
    const founder = await new Net().add(ada);
    const petition = ask(await invite(founder), cyd);
    const answer = await founder.desk.serveForwarded(petition, eve.peerId);
    expect(verdict(answer)).toBe('NOT_A_MEMBER');
    expect(founder.roster.view.epoch).toBe(0);
  });

  test('a petition altered anywhere, with nobody admitted', async () => {
    const founder = await new Net().add(ada);
    const petition = ask(await invite(founder), cyd);
    for (let at = 0; at < petition.length; at += 3) {
      const altered = new Uint8Array(petition);
      altered[at]! ^= 0x10;
      expect(verdict(await founder.desk.serveJoin(altered, cyd.peerId)), `byte ${at}`).not.toBe(
        'ok',
      );
    }
    expect(founder.roster.view.epoch).toBe(0);
    expect(verdict(await founder.desk.serveJoin(petition, cyd.peerId))).toBe('ok');
  });

  test('a voter that cannot write: the reason stays in its log', async () => {
    const founder = await new Net().add(ada);
    const petition = ask(await invite(founder), cyd);
    await founder.roster.close();
    founder.roster.propose = () => Promise.reject(new BzzzError('DISK_FAILED', 'EIO /secret/path'));
    const answer = decodeAnswer(await founder.desk.serveJoin(petition, cyd.peerId));
    expect(answer).toMatchObject({ ok: false, error: { code: 'DISK_FAILED' } });
    expect(JSON.stringify(answer)).not.toContain('/secret/path');
    expect(founder.lines.at(-1)).toContain('/secret/path');
  });
});

describe('the secret', () => {
  test('is in no petition, no log line and no store', async () => {
    const { founder, member } = await pair();
    const invitation = await invite(founder);
    const petition = ask(invitation, cyd);
    await member.desk.serveJoin(petition, cyd.peerId);
    await member.desk.serveJoin(ask(invitation, dov), dov.peerId);
    const secret = Buffer.from(invitation.secret);
    const places = [petition, ...founder.disk.values(), ...member.disk.values()];
    for (const bytes of places) expect(Buffer.from(bytes).includes(secret)).toBe(false);
    const text = [...founder.lines, ...member.lines].join('\n');
    expect(text).not.toContain(secret.toString('hex'));
    expect(text).not.toContain(secret.toString('base64'));
  });
});

describe('a joining host', () => {
  test('refuses a chain without the checkpoint of its invitation', async () => {
    const founder = await new Net().add(ada);
    await founder.roster.admit(ben.peerId, { role: 'persistent' });
    const { genesis, checkpoint } = await invite(founder);
    expect(checkpoint.epoch).toBe(1);
    // The founder's key certified another history too, which somebody offers.
    const rival = chainWith([admit(dov), admit(cyd)]);
    const joining = await openNode(cyd, { genesis, checkpoint });
    const answer = encodeCbor({ v: 1, ok: true, epoch: 2, entries: [...bytesOf(rival)] });
    expect((await refusalOf(acceptAnswer(joining.roster, answer))).code).toBe('ROSTER_FORK');
    expect(joining.roster.view.epoch).toBe(0);
  });

  test('is not a member by the word of an answer without its entry', async () => {
    const { roster } = await openNode(cyd);
    const empty = encodeCbor({ v: 1, ok: true, epoch: 9, entries: [] });
    expect(await acceptAnswer(roster, empty)).toBe(false);
  });

  test('that is far behind gets the first frame of entries, the exchange brings the rest', async () => {
    const founder = await new Net().add(ada);
    for (let i = 0; i < 40; i++) {
      await founder.roster.admit(ben.peerId, { role: 'persistent' });
      await founder.roster.remove(ben.peerId);
    }
    const invitation = await invite(founder);
    const answer = await founder.desk.serveJoin(ask(invitation, cyd), cyd.peerId);
    const { roster } = await openNode(cyd);
    expect(await acceptAnswer(roster, answer)).toBe(false);
    expect(roster.view.epoch).toBe(LIMITS.rosterEntriesPerFrame);
  });

  test('does not let the text of a refusal reach the terminal raw', async () => {
    const { roster } = await openNode(cyd);
    const error = { code: 'CONFLICT', message: 'x\u001b]0;owned\u0007' };
    const answer = encodeCbor({ v: 1, ok: false, error });
    expect((await refusalOf(acceptAnswer(roster, answer))).code).toBe('BAD_MESSAGE');
  });

  test('with a name that is no host name is told so before anything is sent', async () => {
    const invitation = await invite(await new Net().add(ada));
    expect(codeOf(() => ask(invitation, cyd, { name: 'two words' }))).toBe('BAD_USAGE');
  });
});

describe('leaving', () => {
  test('a member leaves by the voice of a voter, and both know', async () => {
    const { founder, member } = await pair();
    expect(await member.desk.leave()).toBe(2);
    for (const { roster } of [founder, member]) {
      expect(roster.view.standing(ben.peerId)).toBe('removed');
    }
    const { change } = founder.roster.chain.links[1]!.entry.body;
    expect(change).toEqual({ kind: 'remove', peer: ben.peerId, reason: 'left' });
    expect((await refusalOf(member.desk.leave())).code).toBe('NOT_A_MEMBER');
  });

  test('the only voter cannot leave', async () => {
    const { founder } = await pair();
    const error = await refusalOf(founder.desk.leave());
    expect([error.code, error.why]).toEqual(['REFUSED_BY_POLICY', expect.stringContaining('only')]);
  });

  test('without a reachable voter fails and changes nothing', async () => {
    const { net, member } = await pair();
    net.cut.add(ada.peerId);
    expect((await refusalOf(member.desk.leave())).code).toBe('PEER_UNREACHABLE');
    expect(member.roster.standing).toBe('member');
  });

  test('nobody can be made to leave by another, nor by an old request', async () => {
    const { founder } = await pair();
    const { clusterId } = founder.roster.view;
    const old = encodeLeave(clusterId, ben, { since: epoch(1), have: epoch(1) });
    expect(verdict(await founder.desk.serveJoin(old, cyd.peerId))).toBe('INVALID_INVITATION');
    expect(verdict(await founder.desk.serveForwarded(old, ben.peerId))).toBe('ok');
    await founder.roster.admit(ben.peerId, { role: 'persistent' });
    expect(verdict(await founder.desk.serveForwarded(old, ben.peerId))).toBe('CONFLICT');
    const forged = encodeLeave(clusterId, eve, { since: epoch(3), have: epoch(3) });
    expect(verdict(await founder.desk.serveForwarded(forged, ben.peerId))).toBe('NOT_A_MEMBER');
    expect(founder.roster.view.standing(ben.peerId)).toBe('member');
  });
});
