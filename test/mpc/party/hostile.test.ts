import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { KeyId, PeerId, RequestId } from '../../../src/base/brands.ts';
import { sha256, utf8Bytes } from '../../../src/base/bytes.ts';
import type { Direct, Signer } from '../../../src/base/ports.ts';
import { sealToken } from '../../../src/mpc/join-token.ts';
import { TOPICS, wire } from '../../../src/mpc/party/wire.ts';
import { requestIdOf } from '../../../src/mpc/result.ts';
import { sealProposal } from '../../../src/mpc/sessions/proposal.ts';
import type { KeyInfo, Proposal, SealedProposal, SignProposal } from '../../../src/mpc/types.ts';
import { testRandom } from '../../support/world.ts';
import { clusterId, forever, TestCluster, until } from './cluster.ts';

const random = testRandom('hostile');
const message = utf8Bytes('pay everything to me');
let cluster: TestCluster;
let evil: Signer;
let direct: Direct;
let key: KeyInfo;
let victim: PeerId;

/** Node 3 is a member whose program was replaced by this test. */
beforeAll(async () => {
  cluster = await TestCluster.start(4, {
    roles: ['persistent', 'persistent', 'persistent', 'observer'],
  });
  const made = await cluster
    .node(0)
    .party.createKey(
      { name: 'release', suite: 'ed25519', threshold: 2, parties: 3, purpose: 'releases' },
      forever(),
    );
  await until('everywhere', () => cluster.nodes.every((n) => n.party.keys().length === 1));
  const node = cluster.node(3);
  key = node.deps.keyring.get('release').key;
  expect(made.keyId).toBe(key.keyId);
  await cluster.kill(node);
  evil = node.signer;
  direct = cluster.net.join(node.peerId).direct;
  victim = cluster.node(1).peerId;
});
afterAll(() => cluster.stop());

const signing = (change: Partial<SignProposal> = {}): SignProposal => {
  const base = {
    v: 1 as const,
    kind: 'sign' as const,
    clusterId,
    proposer: evil.peerId,
    rosterEpoch: cluster.roster().epoch,
    ttlMs: 10_000,
    nonce: random.bytes(16),
    keyId: key.keyId,
    keyEpoch: 0,
    suite: key.suite,
    threshold: key.threshold,
    purpose: key.purpose,
    messageHash: sha256(message),
    requestId: '' as RequestId,
    fresh: false,
    ...change,
  };
  return { ...base, requestId: change.requestId ?? requestIdOf(base) };
};
const tokenFor = (sealed: SealedProposal, peerId: PeerId, signer = evil) => {
  const index = key.parties.find((party) => party.peerId === peerId)?.index ?? 1;
  return sealToken(clusterId, sealed.sid, [{ peerId, index }], 10_000, { signer, random });
};
const propose = async (
  proposal: Proposal,
  parts: Partial<Parameters<typeof wire.propose>[0]> = {},
  signer = evil,
) => {
  const sealed = sealProposal(proposal, signer);
  const body = wire.propose({
    proposal: sealed.envelope,
    token: tokenFor(sealed, victim),
    message,
    ...parts,
  });
  return wire.readAnswer(await direct.request(victim, TOPICS.propose, body));
};
const live = () => cluster.nodes.slice(0, 3).map((n) => n.party.liveSessions);

describe('a member that breaks the rules', () => {
  it('R40: every honest holder refuses it by its own policy, with the reason', async () => {
    const cases: [string, Partial<SignProposal>, string][] = [
      ['no requester of the key', {}, 'REFUSED_BY_POLICY'],
      ['unknown key', { keyId: 'ee'.repeat(32) as KeyId }, 'NOT_FOUND'],
    ];
    for (const [what, change, code] of cases) {
      expect(await propose(signing(change)), what).toMatchObject({ code });
    }
    expect(live()).toEqual([0, 0, 0]);
  });

  it('R40: a key that breaks the composition rules is refused by the party', async () => {
    const parties = [
      { peerId: victim, index: 1, role: 'persistent' as const },
      { peerId: evil.peerId, index: 2, role: 'persistent' as const },
    ];
    const answer = await propose(
      {
        v: 1,
        kind: 'keygen',
        clusterId,
        proposer: evil.peerId,
        rosterEpoch: cluster.roster().epoch,
        ttlMs: 10_000,
        nonce: random.bytes(16),
        suite: 'ed25519',
        name: 'mine',
        threshold: 2,
        parties,
        purpose: '',
        requesters: [evil.peerId],
        policy: 'auto',
      },
      { message: null },
    );
    expect(answer).toMatchObject({ code: 'REFUSED_BY_POLICY' });
    expect(answer?.message).toContain('observer');
  });

  it('cannot bring a proposal of others, nor a stolen or missing token', async () => {
    const proposer = cluster.node(0).signer;
    const real = sealProposal(signing({ proposer: proposer.peerId }), proposer);
    const frame = (token: Uint8Array) => wire.propose({ proposal: real.envelope, token, message });
    const good = tokenFor(real, victim, proposer);
    // evil is no party: what it brings is refused although everything in it is genuine.
    const brought = wire.readAnswer(await direct.request(victim, TOPICS.propose, frame(good)));
    expect(brought).toMatchObject({ code: 'UNAUTHORISED' });
    const inside = cluster.node(0).deps.direct;
    const next = () => sealProposal(signing({ proposer: proposer.peerId }), proposer);
    const ask = async (token: (sealed: SealedProposal) => Uint8Array) => {
      const sealed = next();
      const body = wire.propose({ proposal: sealed.envelope, token: token(sealed), message });
      return wire.readAnswer(await inside.request(victim, TOPICS.propose, body));
    };
    const nobody = (sealed: SealedProposal) =>
      sealToken(clusterId, sealed.sid, [], 10_000, { signer: proposer, random });
    expect(await ask(nobody)).toMatchObject({ code: 'UNAUTHORISED' });
    expect(await ask(() => new Uint8Array())).toMatchObject({ code: 'BAD_MESSAGE' });
    expect(await ask(() => good)).toMatchObject({ code: 'BAD_MESSAGE' });
    expect(await ask((sealed) => tokenFor(sealed, victim))).toMatchObject({ code: 'BAD_MESSAGE' });
    const other = cluster.node(2).peerId;
    expect(await ask((sealed) => tokenFor(sealed, other, proposer))).toMatchObject({
      code: 'UNAUTHORISED',
    });
    expect(live()).toEqual([0, 0, 0]);
  });

  it('S2: a message that is not the one that was hashed is refused', async () => {
    const proposer = cluster.node(0).signer;
    const sealed = sealProposal(signing({ proposer: proposer.peerId }), proposer);
    const token = tokenFor(sealed, victim, proposer);
    for (const swapped of [utf8Bytes('another'), null]) {
      const body = wire.propose({ proposal: sealed.envelope, token, message: swapped });
      const answer = await cluster.node(0).deps.direct.request(victim, TOPICS.propose, body);
      expect(['BAD_MESSAGE', 'CONFLICT']).toContain(wire.readAnswer(answer)?.code);
    }
    expect(live()).toEqual([0, 0, 0]);
  });

  it('R56: a refused session stays refused, and shows why on the refusing node', async () => {
    const proposal = signing();
    const sealed = sealProposal(proposal, evil);
    const body = wire.propose({
      proposal: sealed.envelope,
      token: tokenFor(sealed, victim),
      message,
    });
    const ask = async () =>
      wire.readAnswer(await direct.request(victim, TOPICS.propose, body))?.code;
    expect(await ask()).toBe('REFUSED_BY_POLICY');
    expect(await ask()).toBe('CONFLICT');
    const shown = cluster.node(1).party.session(sealed.sid);
    expect(shown.parties.find(({ peerId }) => peerId === victim)?.state).toBe('refused');
  });

  it('garbage on every topic is refused, and the others are served', async () => {
    for (const topic of Object.values(TOPICS)) {
      if (topic === TOPICS.session) continue;
      for (const bytes of [new Uint8Array(0), Uint8Array.of(0xff, 1, 2), new Uint8Array(4_000)]) {
        const answer = await direct.request(victim, topic, bytes).catch((error: unknown) => error);
        const code =
          answer instanceof Uint8Array
            ? wire.readAnswer(answer)?.code
            : (answer as { code: string }).code;
        expect(code, topic).toBe('BAD_MESSAGE');
      }
    }
    const { gossip } = cluster.net.join(evil.peerId);
    await gossip.publish(TOPICS.session, Uint8Array.of(1, 2, 3));
    await gossip.publish(
      TOPICS.session,
      wire.news({ proposals: [Uint8Array.of(1)], events: [Uint8Array.of(2)] }),
    );
    direct = cluster.net.join(evil.peerId).direct;
    const signed = await cluster
      .node(0)
      .party.sign({ key: 'release', message: utf8Bytes('served'), fresh: false }, forever());
    expect(signed.signature).toHaveLength(128);
  });

  it('P3: messages of sessions that do not exist are bounded and leave nothing behind', async () => {
    await Promise.all(
      Array.from({ length: 300 }, (_, i) =>
        direct.send(
          cluster.node(2).peerId,
          TOPICS.message,
          wire.message(i.toString(16).padStart(64, '0') as never, new Uint8Array(64)),
        ),
      ),
    );
    const node = cluster.node(2);
    expect(node.party.timers).toBeLessThanOrEqual(131);
    await until('forgotten', () => node.party.timers === 0);
  });

  it('cannot cancel, fetch or read a session of others', async () => {
    const node = cluster.node(0);
    cluster.net.tamper = ({ topic }) => (topic === TOPICS.message ? 'drop' : 'pass');
    const asked = node.party.sign(
      { key: 'release', message: utf8Bytes('private'), fresh: false },
      forever(),
    );
    await until('under way', () => cluster.node(1).party.liveSessions === 1);
    const sid = node.party.sessions()[0]!.sessionId as never;
    await expect(direct.request(victim, TOPICS.fetch, wire.fetch(sid))).rejects.toMatchObject({
      code: 'NOT_FOUND',
    });
    await direct.send(victim, TOPICS.cancel, wire.cancel(sid, 'stop'));
    expect(cluster.node(1).party.liveSessions).toBe(1);
    cluster.net.tamper = () => 'pass';
    expect((await asked).signature).toHaveLength(128);
  });
});
