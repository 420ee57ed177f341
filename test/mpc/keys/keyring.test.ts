import { describe, expect, it } from 'vitest';
import type { KeyId, PeerId, SessionId } from '../../../src/base/brands.ts';
import { sha256, toHex } from '../../../src/base/bytes.ts';
import { BzzzError } from '../../../src/base/errors.ts';
import type { KeyValue } from '../../../src/base/ports.ts';
import type { Certified } from '../../../src/mpc/keys/certificate.ts';
import { exportKey } from '../../../src/mpc/keys/key-export.ts';
import { Keyring } from '../../../src/mpc/keys/keyring.ts';
import { suiteOf } from '../../../src/mpc/suites/index.ts';
import type { KeyInfo } from '../../../src/mpc/types.ts';
import { memoryKeyValue, quietLogger } from '../../support/world.ts';

/** A stand-in certificate: its text is `name/number`; certificate.test.ts has the real ones. */
const certificate = (name: string, n = 0): Uint8Array => Buffer.from(`${name}/${n}`);
const verify = (bytes: Uint8Array): Certified => ({
  keyInfo: infoOf(bytes),
  proposal: {} as Certified['proposal'],
  hash: sha256(bytes),
  history: [],
  newest: new Uint8Array(bytes),
  creator: 'p1' as PeerId,
});
const infoOf = (bytes: Uint8Array): KeyInfo => {
  const [name = '', n] = Buffer.from(bytes).toString().split('/');
  if (n === undefined) throw new BzzzError('BAD_MESSAGE', 'no certificate');
  return {
    keyId: toHex(sha256(bytes)) as KeyId,
    name,
    suite: 'ed25519',
    threshold: 2,
    parties: [1, 2].map((index) => ({
      peerId: `p${index}` as PeerId,
      index,
      role: 'persistent' as const,
    })),
    groupKey: sha256(bytes),
    commitments: [],
    verifyingShares: [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)],
    purpose: '',
    requesters: [],
    policy: 'auto',
    epoch: 0,
    sid: toHex(sha256(Buffer.from(`sid ${name}/${n}`))) as SessionId,
  };
};
const never = () => {
  throw new Error('no key is handed on here');
};
const open = (kv: KeyValue) =>
  Keyring.open({
    kv,
    wallMs: () => 1_000,
    verify,
    extend: never,
    retire: never,
    logger: quietLogger,
  });

describe('keyring', () => {
  it('finds a key by id, name and session, also after a restart', async () => {
    const map = new Map<string, Uint8Array>();
    const ring = await open(memoryKeyValue(map));
    const { entry, added } = await ring.add(certificate('release'), 1_000);
    expect(added).toBe(true);
    expect((await ring.add(certificate('release'))).added).toBe(false);
    const again = await open(memoryKeyValue(map));
    for (const one of [ring, again]) {
      expect(one.get('release')).toEqual(entry);
      expect(one.get(entry.key.keyId)).toEqual(entry);
      expect(one.bySession(entry.key.sid)).toEqual(entry);
      expect(one.get('release').createdAtMs).toBe(1_000);
    }
    expect(() => ring.get('other')).toThrow(expect.objectContaining({ code: 'NOT_FOUND' }));
  });

  it('remembers when it took part in a key that it had learned from another first', async () => {
    const map = new Map<string, Uint8Array>();
    const ring = await open(memoryKeyValue(map));
    await ring.add(certificate('release'));
    expect(ring.get('release').createdAtMs).toBeNull();
    await ring.add(certificate('release'), 5_000);
    await ring.add(certificate('release'), 6_000);
    expect(ring.get('release').createdAtMs).toBe(5_000);
    expect((await open(memoryKeyValue(map))).get('release').createdAtMs).toBe(5_000);
  });

  it('never guesses between two keys of one name', async () => {
    const ring = await open(memoryKeyValue());
    const one = (await ring.add(certificate('twin', 1))).entry.key.keyId;
    const two = (await ring.add(certificate('twin', 2))).entry.key.keyId;
    expect(() => ring.get('twin')).toThrow(
      expect.objectContaining({ code: 'CONFLICT', details: { keyIds: [one, two].sort() } }),
    );
    expect(ring.get(two).key.keyId).toBe(two);
  });

  it('adds only what verifies, tells its listeners once, and adds nothing it could not store', async () => {
    const inner = memoryKeyValue();
    let full = false;
    const ring = await open({
      ...inner,
      put: async (...args) => {
        if (full) throw new BzzzError('DISK_FAILED', 'full');
        await inner.put(...args);
      },
    });
    const heard: string[] = [];
    const stop = ring.onChange(({ key }) => heard.push(key.name));
    await expect(ring.add(Buffer.from('forged'))).rejects.toMatchObject({ code: 'BAD_MESSAGE' });
    await Promise.all([ring.add(certificate('a')), ring.add(certificate('a'))]);
    full = true;
    await expect(ring.add(certificate('b'))).rejects.toMatchObject({ code: 'DISK_FAILED' });
    expect(ring.byName('b')).toEqual([]);
    stop();
    full = false;
    await ring.add(certificate('c'));
    expect(heard).toEqual(['a']);
    expect(ring.list().map(({ key }) => key.name)).toEqual(['a', 'c']);
  });

  it('leaves out a damaged certificate and starts all the same', async () => {
    const map = new Map<string, Uint8Array>();
    const ring = await open(memoryKeyValue(map));
    const { entry } = await ring.add(certificate('a'));
    await ring.add(certificate('b'));
    map.set(`c/${entry.key.keyId}`, Uint8Array.of(1, 2, 3));
    expect((await open(memoryKeyValue(map))).list().map(({ key }) => key.name)).toEqual(['b']);
  });
});

describe('key export', () => {
  it('writes the public key package of the Zcash Foundation library', () => {
    const key = infoOf(certificate('release'));
    const document = JSON.parse(exportKey(key, 'zf-json', suiteOf('ed25519')));
    expect(document).toEqual({
      header: { version: 0, ciphersuite: 'FROST-ED25519-SHA512-v1' },
      verifying_shares: {
        [`01${'00'.repeat(31)}`]: '01'.repeat(32),
        [`02${'00'.repeat(31)}`]: '02'.repeat(32),
      },
      verifying_key: toHex(key.groupKey),
      min_signers: 2,
    });
    const taproot = exportKey({ ...key, suite: 'secp256k1-tr' }, 'zf-json', suiteOf('ed25519'));
    expect(Object.keys(JSON.parse(taproot).verifying_shares)).toEqual([
      `${'00'.repeat(31)}01`,
      `${'00'.repeat(31)}02`,
    ]);
  });
});
