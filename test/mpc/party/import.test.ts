/** Keys from elsewhere: brought by every holder's operator, then certified by all of them. */
import { schnorr } from '@noble/curves/secp256k1.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PeerId } from '../../../src/base/brands.ts';
import { fromHex, toHex, utf8Bytes } from '../../../src/base/bytes.ts';
import { sealToken } from '../../../src/mpc/join-token.ts';
import {
  keyFromJson,
  keyToBytes,
  keyToJson,
  publicFromJson,
  publicToBytes,
  publicToJson,
} from '../../../src/mpc/keys/interchange.ts';
import type { ImportKeyRequest } from '../../../src/mpc/party/ports.ts';
import { TOPICS, wire } from '../../../src/mpc/party/wire.ts';
import { sealProposal } from '../../../src/mpc/sessions/proposal.ts';
import { suiteOf } from '../../../src/mpc/suites/index.ts';
import type { KeygenProposal, SuiteName } from '../../../src/mpc/types.ts';
import { testRandom } from '../../support/world.ts';
import { makeKey } from '../suites/keys.ts';
import { clusterId, forever, TestCluster, until } from './cluster.ts';

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.start(4);
});
afterAll(() => cluster.stop());

/** Files of a key that was made by another program: a request for each party. */
function elsewhere(name: string, suiteName: SuiteName, extra: Partial<ImportKeyRequest> = {}) {
  const suite = suiteOf(suiteName);
  const { key, shares } = makeKey(suite, 2, 3);
  const open = publicToJson({
    ...{ suite: suiteName, verifyingKey: key.groupKey, minSigners: 2 },
    verifyingShares: new Map(key.verifyingShares.map((bytes, i) => [i + 1, bytes])),
  });
  const own = shares.map(({ index, signingShare }) =>
    keyToJson({
      ...{ suite: suiteName, index, signingShare, minSigners: 2, verifyingKey: key.groupKey },
      verifyingShare: key.verifyingShares[index - 1] ?? new Uint8Array(),
    }),
  );
  // In an order that is not that of the peer ids.
  const seats = [2, 0, 1];
  const participants = seats.map((i) => cluster.node(i).peerId);
  const request = (seat: number, change: Partial<ImportKeyRequest> = {}): ImportKeyRequest => ({
    ...{ name, keyPackage: own[seat] ?? '', publicKeyPackage: open, participants },
    ...extra,
    ...change,
  });
  const bring = (seat: number, change: Partial<ImportKeyRequest> = {}) =>
    cluster.node(seats[seat] ?? 0).party.importKey(request(seat, change), forever());
  return {
    key,
    own,
    open,
    request,
    bring,
    participants,
    nodeOf: (seat: number) => seats[seat] ?? 0,
  };
}
const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'accepted',
    (error: { code?: string }) => error.code,
  );

describe('a key from elsewhere', () => {
  it('exists once every holder has brought its share, and signs under the same public key', async () => {
    const { bring, participants, key } = elsewhere('brought', 'ed25519');
    expect(await bring(0)).toEqual({
      ...{ state: 'waiting', key: null },
      waitingFor: participants.slice(1),
    });
    expect(await bring(2)).toMatchObject({ state: 'waiting', waitingFor: [participants[1]] });
    const done = await bring(1);
    expect(done).toMatchObject({
      state: 'done',
      waitingFor: [],
      key: { name: 'brought', publicKey: toHex(key.groupKey), imported: true, threshold: 2 },
    });
    expect(done.key?.parties.map(({ peerId }) => peerId)).toEqual(participants);
    await until('everywhere', () => cluster.nodes.every((n) => n.party.keys().length === 1));
    for (const i of [0, 1, 2]) expect(cluster.node(i).party.key('brought').status).toBe('active');
    const message = utf8Bytes('as before');
    const { party } = cluster.node(0);
    const signed = await party.sign({ key: 'brought', message, fresh: false }, forever());
    const signature = fromHex(signed.signature) ?? new Uint8Array();
    expect(suiteOf('ed25519').verify(key.groupKey, message, signature)).toBe(true);
    // K1: the share is on the disk of each holder; a restart does not lose it.
    await cluster.kill(cluster.node(1));
    await cluster.boot(cluster.node(1));
    expect(cluster.node(1).party.key('brought').status).toBe('active');
  });

  it('a BIP 340 key, brought in the binary form, gives signatures that verify elsewhere', async () => {
    const { bring, own, open, key } = elsewhere('taproot', 'secp256k1-tr');
    const binary = (seat: number) => ({
      keyPackage: toHex(keyToBytes(keyFromJson(own[seat] ?? ''))),
      publicKeyPackage: toHex(publicToBytes(publicFromJson(open))),
    });
    await bring(0, binary(0));
    await bring(1, binary(1));
    expect(await bring(2, binary(2))).toMatchObject({ state: 'done' });
    const message = utf8Bytes('spend');
    const { party } = cluster.node(1);
    const signed = await party.sign({ key: 'taproot', message, fresh: false }, forever());
    const publicKey = key.groupKey.subarray(1);
    expect(schnorr.verify(fromHex(signed.signature)!, message, publicKey)).toBe(true);
    // Whoever made it may have hidden a script path: no claim is made.
    expect(party.key('taproot')).not.toHaveProperty('taproot');
  });

  it('leaves a cluster and comes back: each share is exported, and brought under another name', async () => {
    const { party } = cluster.node(0);
    const made = await party.createKey(
      { name: 'native', suite: 'secp256k1-tr', threshold: 2, parties: 3 },
      forever(),
    );
    expect(made.taproot?.scriptPubKey).toBe(`5120${made.publicKey}`);
    const holders = made.parties.map(({ peerId }) =>
      cluster.nodes.find((node) => node.peerId === peerId),
    );
    await until('active', () => holders.every((n) => n?.party.key('native').status === 'active'));
    const publicKeyPackage = party.exportKey('native', 'zf-json');
    let last: unknown;
    for (const node of holders) {
      if (node === undefined) throw new Error('no such node');
      const keyPackage = await node.party.exportShare('native');
      const participants = made.parties.map(({ peerId }) => peerId);
      const request = { name: 'again', keyPackage, publicKeyPackage, participants };
      last = await node.party.importKey(request, forever());
    }
    expect(last).toMatchObject({ state: 'done', key: { publicKey: made.publicKey } });
    await until('known here', () => cluster.node(0).deps.keyring.byName('again').length > 0);
    const message = utf8Bytes('same key');
    const signed = await party.sign({ key: 'again', message, fresh: false }, forever());
    expect(party.verify('native', message, fromHex(signed.signature)!)).toBe(true);
  });

  it('K3: neither the exported nor a brought share is in a log line, an event or a frame', async () => {
    const { bring, own } = elsewhere('canary', 'ed25519');
    for (const seat of [0, 1, 2]) await bring(seat);
    await until('known', () =>
      cluster
        .node(3)
        .party.keys()
        .some((k) => k.name === 'canary'),
    );
    const secrets = own.map((text) => keyFromJson(text).signingShare);
    for (const node of cluster.nodes) {
      const text = [...node.log, JSON.stringify(node.events)].join('\n');
      for (const secret of secrets) {
        expect(text).not.toContain(toHex(secret));
        const disk = Buffer.concat([...node.disk.values()]);
        expect(disk.includes(Buffer.from(secret))).toBe(false);
      }
    }
  });

  it('refuses what does not fit, before anything is kept or sent', async () => {
    const good = elsewhere('odd', 'ed25519');
    const other = elsewhere('odd', 'ed25519');
    const cases: [string, Partial<ImportKeyRequest>, string][] = [
      ['the public file of another key', { publicKeyPackage: other.open }, 'BAD_MESSAGE'],
      ['another party’s share', { keyPackage: good.own[1] ?? '' }, 'BAD_REQUEST'],
      ['a participant too few', { participants: good.participants.slice(1) }, 'BAD_REQUEST'],
      [
        'a participant twice',
        { participants: [1, 1, 1].map(() => good.participants[0]!) },
        'BAD_REQUEST',
      ],
      ['a stranger', { participants: [good.participants[0]!, 'x', 'y'] }, 'NOT_A_MEMBER'],
      ['a name in use', { name: 'brought' }, 'CONFLICT'],
      ['no package', { keyPackage: 'zz' }, 'BAD_MESSAGE'],
    ];
    for (const [what, change, code] of cases) {
      expect(await codeOf(good.bring(0, change)), what).toBe(code);
    }
    const tampered = JSON.parse(good.own[0] ?? '{}');
    const share = keyFromJson(other.own[0] ?? '').signingShare;
    const keyPackage = JSON.stringify({ ...tampered, signing_share: toHex(share) });
    expect(await codeOf(good.bring(0, { keyPackage }))).toBe('SHARE_CORRUPT');
  });

  it('other terms are another import: nobody is taken for somebody who agreed', async () => {
    const { bring, participants } = elsewhere('terms', 'ed25519');
    await bring(0);
    await bring(1, { policy: 'approve' });
    expect(await bring(2)).toMatchObject({ state: 'waiting', waitingFor: [participants[1]] });
    expect(await bring(1)).toMatchObject({ state: 'done' });
  });

  it('R40: a proposer that imports what a holder did not bring is refused by it', async () => {
    const { key, participants } = elsewhere('forced', 'ed25519');
    const evil = cluster.node(0);
    const random = testRandom('import');
    const proposal: KeygenProposal = {
      ...{ v: 1, kind: 'keygen', clusterId, proposer: evil.peerId },
      rosterEpoch: cluster.roster().epoch,
      ttlMs: 10_000,
      nonce: random.bytes(16),
      ...{ suite: 'ed25519', name: 'forced', threshold: 2, purpose: '', policy: 'auto' },
      parties: participants.map((peerId, i) => ({
        ...{ peerId: peerId as PeerId, index: i + 1, role: 'persistent' },
      })),
      requesters: [evil.peerId],
      imported: { groupKey: key.groupKey, verifyingShares: key.verifyingShares },
    };
    const sealed = sealProposal(proposal, evil.signer);
    const victim = proposal.parties[0]!;
    const deps = { signer: evil.signer, random };
    const token = sealToken(clusterId, sealed.sid, [victim], 10_000, deps);
    const body = wire.propose({ proposal: sealed.envelope, token, message: null });
    const answer = await evil.deps.direct.request(victim.peerId, TOPICS.propose, body);
    expect(wire.readAnswer(answer)).toMatchObject({
      code: 'REFUSED_BY_POLICY',
      details: { rule: 'import' },
    });
  });
});
