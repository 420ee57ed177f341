import { describe, expect, test } from 'vitest';
import { utf8Bytes } from '../../src/base/bytes.ts';
import { encode } from '../../src/base/codec.ts';
import { isClusterName } from '../../src/roster/fields.ts';
import { createGenesis, decodeGenesis } from '../../src/roster/genesis.ts';
import { ada, ben, codeOf, genesisOf } from './support.ts';

const salt = utf8Bytes('0123456789abcdef');

describe('genesis', () => {
  test('comes back from its bytes as it was, with the same cluster id', () => {
    const genesis = genesisOf();
    expect(decodeGenesis(genesis.bytes)).toEqual(genesis);
    expect(genesis.clusterId).toMatch(/^[0-9a-f]{64}$/);
    expect(genesis.tag).toMatch(/^[a-z2-7]{24}$/);
  });

  test('another salt, founder or name is another cluster', () => {
    const ids = [
      createGenesis({ name: 'lab', salt, founder: ada.peerId }),
      createGenesis({ name: 'lab', salt, founder: ben.peerId }),
      createGenesis({ name: 'lab2', salt, founder: ada.peerId }),
      createGenesis({ name: 'lab', salt: salt.toReversed(), founder: ada.peerId }),
    ].map((genesis) => genesis.clusterId);
    expect(new Set(ids).size).toBe(4);
  });

  test('an altered document is refused or makes another cluster', () => {
    const { bytes, clusterId } = genesisOf();
    for (let bit = 0; bit < bytes.length * 8; bit += 3) {
      const altered = new Uint8Array(bytes);
      altered[bit >> 3]! ^= 1 << (bit & 7);
      let id: string | undefined;
      try {
        id = decodeGenesis(altered).clusterId;
      } catch {
        continue;
      }
      expect(id).not.toBe(clusterId);
    }
  });

  test.each(['lab', 'a', '0', 'a-b_c', `${'x'.repeat(63)}`])('cluster name %j may be', (name) => {
    expect(createGenesis({ name, salt, founder: ada.peerId }).name).toBe(name);
  });

  test.each(['', 'any', 'Lab', '-a', '_a', 'a.b', 'a b', 'a/b', 'ä', 'lab\n', 'x'.repeat(64)])(
    'cluster name %j is refused, because it cannot stand in an address',
    (name) => {
      expect(isClusterName(name)).toBe(false);
      expect(codeOf(() => createGenesis({ name, salt, founder: ada.peerId }))).toBe('BAD_USAGE');
    },
  );

  test.each(['a b', 'x\u001b[31m', '-x', 'x'.repeat(64), ''])('host name %j is refused', (name) => {
    const make = () => createGenesis({ name: 'lab', salt, founder: ada.peerId, founderName: name });
    expect(codeOf(make)).toBe('BAD_USAGE');
  });

  test.each([
    ['an unknown field', { extra: 1 }],
    ['another version', { v: 2 }],
    ['a short salt', { salt: salt.subarray(1) }],
    ['a founder that no key encodes to', { founder: `12D3KooW${'z'.repeat(44)}` }],
    ['no room for a voter', { policy: { maxMembers: 256, maxVoters: 0 } }],
  ])('a document with %s is refused', (_, change) => {
    const good = {
      v: 1,
      name: 'lab',
      salt,
      founder: ada.peerId,
      policy: { maxMembers: 256, maxVoters: 5 },
    };
    expect(decodeGenesis(encode(good)).name).toBe('lab');
    expect(codeOf(() => decodeGenesis(encode({ ...good, ...change })))).toBe('BAD_MESSAGE');
  });
});
