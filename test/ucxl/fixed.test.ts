import { describe, expect, test } from 'vitest';
import type { Epoch, PeerId } from '../../src/base/brands.ts';
import { fromHex, sha256, toBase32, toHex, utf8Bytes } from '../../src/base/bytes.ts';
import type { BzzzError } from '../../src/base/errors.ts';
import { type Address, series } from '../../src/ucxl/address.ts';
import { expandSelf, keyAgent, requireWritable, selfAgent } from '../../src/ucxl/agents.ts';
import {
  certificateAddress,
  eventsAddress,
  leaderAddress,
  membershipAddress,
  proposalAddress,
  recogniseFixed,
  registryAddress,
  resultAddress,
} from '../../src/ucxl/fixed.ts';
import { parseConcrete } from '../../src/ucxl/parse.ts';
import { testKey } from '../support/world.ts';
import { errorOf, hashOf, signers } from './support.ts';

const peer = signers[0]!.peerId;
const id = hashOf('an id');
const name = toBase32(fromHex(id)!);

describe('fixed addresses', () => {
  const agent = `g-${toBase32(fromHex(id)!.subarray(0, 20))}`;
  const own = selfAgent(peer);
  test.each<[Address, string, object]>([
    [
      certificateAddress('Lab', id),
      `ucxl://${agent}:group@lab:key/public`,
      { record: 'certificate', cluster: 'lab', keyAgent: agent },
    ],
    [
      proposalAddress('lab', id),
      `ucxl://mpc:session@lab:${name}/proposal`,
      { record: 'proposal', cluster: 'lab', sessionId: id },
    ],
    [
      eventsAddress('lab', id, peer),
      `ucxl://mpc:session@lab:${name}/events/${peer}`,
      { record: 'events', cluster: 'lab', sessionId: id, author: peer },
    ],
    [
      resultAddress('lab', id),
      `ucxl://mpc:sign@lab:${name}/result`,
      { record: 'result', cluster: 'lab', requestId: id },
    ],
    [
      membershipAddress('lab', 12),
      'ucxl://roster:chain@lab:membership/12',
      { record: 'membership', cluster: 'lab', epoch: 12 as Epoch },
    ],
    [
      registryAddress('lab', peer),
      `ucxl://${own}:node@lab:registry/self`,
      { record: 'registry', cluster: 'lab', agent: own },
    ],
    [
      leaderAddress('Lab'),
      'ucxl://leader:slurp@lab:election/current',
      { record: 'leader', cluster: 'lab' },
    ],
  ])('%#: built, canonical and recognised again', (address, text, fixed) => {
    expect(series(address)).toBe(text);
    expect(recogniseFixed(parseConcrete(text))).toEqual(fixed);
  });

  test('ids of all bytes come back as they were', () => {
    for (const hex of ['00'.repeat(32), 'ff'.repeat(32), `${'00'.repeat(31)}01`]) {
      const address = parseConcrete(series(resultAddress('lab', hex)));
      expect(recogniseFixed(address)).toMatchObject({ requestId: hex });
    }
  });

  test.each([
    ['another path', `ucxl://mpc:sign@lab:${name}/result2`],
    ['a deeper path', `ucxl://mpc:sign@lab:${name}/result/x`],
    ['no path', `ucxl://mpc:sign@lab:${name}`],
    ['another role', `ucxl://mpc:signs@lab:${name}/result`],
    ['another agent', `ucxl://mpd:sign@lab:${name}/result`],
    ['an id that is too short', `ucxl://mpc:sign@lab:${name.slice(1)}/result`],
    ['bits behind the id', `ucxl://mpc:sign@lab:${name.slice(0, 51)}b/result`],
    ['characters outside base32', `ucxl://mpc:sign@lab:${'0'.repeat(52)}/result`],
    ['events of nobody', `ucxl://mpc:session@lab:${name}/events`],
    ['events of no peer id', `ucxl://mpc:session@lab:${name}/events/x`],
    [
      'events of a peer id in lower case',
      `ucxl://mpc:session@lab:${name}/events/${peer.toLowerCase()}`,
    ],
    ['something below events', `ucxl://mpc:session@lab:${name}/events/${peer}/x`],
    ['a key without its prefix', `ucxl://${agent.slice(2)}:group@lab:key/public`],
    ['a key of another length', `ucxl://${agent}a:group@lab:key/public`],
    ['a node in the role of a key', `ucxl://${own}:group@lab:key/public`],
    ['an epoch with a leading zero', 'ucxl://roster:chain@lab:membership/01'],
    ['a negative epoch', 'ucxl://roster:chain@lab:membership/-1'],
    ['another task of the leader', 'ucxl://leader:slurp@lab:elections/current'],
    ['something below the leader', 'ucxl://leader:slurp@lab:election/current/x'],
    ['another role of the leader', 'ucxl://leader:slurps@lab:election/current'],
    ['the agent mpc:session as one name', `ucxl://mpc-session:x@lab:${name}/proposal`],
  ])('%s is not recognised', (_what, text) => {
    expect(recogniseFixed(parseConcrete(text))).toBeUndefined();
  });

  test('a cluster name that is no name is refused', async () => {
    expect((await errorOf(() => resultAddress('a/b', id))).code).toBe('INVALID_ADDRESS');
    expect((await errorOf(() => resultAddress('any', id))).code).toBe('INVALID_ADDRESS');
    expect((await errorOf(() => resultAddress('lab', 'abc'))).code).toBe('INTERNAL');
  });
});

describe('agents made of hashes', () => {
  test('n- is the hash of the 32 bytes of the Ed25519 key', async () => {
    const key = await testKey('ada');
    const hash = sha256(key.publicKey.raw);
    expect(selfAgent(peer)).toBe(`n-${toBase32(hash.subarray(0, 20))}`);
    expect(selfAgent(peer)).not.toBe(selfAgent(signers[1]!.peerId));
  });

  test('g- is the first 20 bytes of the key id', () => {
    const keyId = toHex(sha256(utf8Bytes('key')));
    expect(keyAgent(keyId)).toBe(`g-${toBase32(fromHex(keyId)!.subarray(0, 20))}`);
  });

  test('what is no id of an Ed25519 key is refused', async () => {
    for (const wrong of ['', 'x', '__proto__', 'QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPBdG']) {
      expect((await errorOf(() => selfAgent(wrong as PeerId))).code).toBe('BAD_MESSAGE');
    }
    expect((await errorOf(() => keyAgent('abc'))).code).toBe('BAD_MESSAGE');
  });

  test('self is replaced by the own agent, in the agent alone', async () => {
    const own = selfAgent(peer);
    const text = 'ucxl://self:self@self:self/*~2/self?stale#self';
    expect(expandSelf(parseConcrete(text), own)).toEqual({ ...parseConcrete(text), agent: own });
    const other = parseConcrete('ucxl://a:b@c:d/x');
    expect(expandSelf(other, own)).toEqual(other);
    const path = `${'x'.repeat(128)}/`.repeat(8).slice(0, 1_000);
    const long = parseConcrete(`ucxl://self:b@c:d/${path}`);
    expect((await errorOf(() => expandSelf(long, own))).code).toBe('INVALID_ADDRESS');
  });

  test('a node writes as itself and as shared, and as nobody else', async () => {
    const own = selfAgent(peer);
    const other = selfAgent(signers[1]!.peerId);
    for (const agent of [own, 'shared']) {
      requireWritable(parseConcrete(`ucxl://${agent}:b@c:d`), own);
    }
    for (const agent of [other, 'mpc', 'roster', 'leader', 'alice', keyAgent(id)]) {
      const error: BzzzError = await errorOf(() =>
        requireWritable(parseConcrete(`ucxl://${agent}:b@c:d`), own),
      );
      expect(error.code).toBe('REFUSED_BY_POLICY');
      expect(error.message).toContain(agent);
    }
  });
});
