import { describe, expect, test } from 'vitest';
import { sha256, toHex, utf8Bytes } from '../../src/base/bytes.ts';
import { BzzzError } from '../../src/base/errors.ts';
import { encodeInvitation, parseInvitation } from '../../src/roster/invitation.ts';
import { publicKeyOf, sealToken } from '../../src/roster/token.ts';
import { testRandom } from '../support/world.ts';
import { ada, ben, chainWith, codeOf, epoch, genesisOf } from './support.ts';

const genesis = genesisOf();
const random = testRandom('invitation');
const secret = random.bytes(32);
const head = chainWith([]).view.head;
const token = {
  v: 1,
  clusterId: genesis.clusterId,
  id: random.bytes(16),
  role: 'persistent',
  noVoter: false,
  expiresAt: Date.UTC(2026, 0, 1),
  publicKey: publicKeyOf(secret),
} as const;
const addresses = Array.from(
  { length: 8 },
  (_, i) => `/ip4/192.168.1.${i + 1}/tcp/4750/p2p/${ada.peerId}`,
);
const parts = {
  genesis,
  sealedToken: sealToken(ada, token),
  secret,
  checkpoint: { epoch: epoch(0), head },
  addresses,
};
const text = encodeInvitation(parts);

const whyNot = (wrong: string): string => {
  try {
    parseInvitation(wrong);
  } catch (thrown) {
    if (thrown instanceof BzzzError && thrown.code === 'INVALID_INVITATION') return thrown.why!;
    throw thrown;
  }
  throw new Error('it was accepted');
};

describe('an invitation string', () => {
  test('holds all that a host needs, on one line without special characters', () => {
    expect(text).toMatch(/^bzzz1[a-z2-7]+$/);
    expect(parseInvitation(text)).toEqual({ ...parts, token, issuer: ada.peerId });
    expect(text.length).toBeLessThan(2_000);
  });

  test('survives line breaks, blanks and upper case from a terminal or a mail', () => {
    const mangled = ` ${text.slice(0, 80)}\n  ${text.slice(80, 300)}\r\n${text.slice(300)}\t`;
    expect(parseInvitation(mangled).token).toEqual(token);
    expect(parseInvitation(text.toUpperCase()).token).toEqual(token);
  });

  test('carries at most 8 addresses, each once', () => {
    const many = [...addresses, ...addresses, '/ip4/10.0.0.1/tcp/1'];
    expect(parseInvitation(encodeInvitation({ ...parts, addresses: many })).addresses).toEqual(
      addresses,
    );
  });

  test('with any character altered is refused, and the secret is in no message', () => {
    for (let at = 0; at < text.length; at++) {
      const other = text[at] === 'a' ? 'b' : 'a';
      const why = whyNot(text.slice(0, at) + other + text.slice(at + 1));
      expect(why).not.toContain(toHex(secret));
    }
  });

  test('cut off anywhere is refused', () => {
    for (let end = 0; end < text.length; end += 3) whyNot(text.slice(0, end));
  });

  test.each([
    ['', 'it is empty'],
    ['bzzz2abc', 'it does not begin with bzzz1'],
    ['hello', 'it does not begin with bzzz1'],
    ['bzzz1', 'the checksum'],
    ['bzzz1a!b', 'it contains "!"'],
    [`${text}aaaaaaaa`, 'the checksum'],
    [`bzzz1${'a'.repeat(100_000)}`, 'it is too long'],
  ])('%.20j is refused with what is wrong: %s', (wrong, why) => {
    expect(whyNot(wrong)).toContain(why);
  });

  test('with the secret of another token is refused', () => {
    const other = sha256(utf8Bytes('another secret'));
    expect(whyNot(encodeInvitation({ ...parts, secret: other }))).toContain('secret');
  });

  test('with the token of another cluster is refused', () => {
    const foreign = sealToken(ada, { ...token, clusterId: genesisOf('other').clusterId });
    expect(whyNot(encodeInvitation({ ...parts, sealedToken: foreign }))).toContain('signature');
  });

  test('names whoever sealed the token: the voters judge whether it may', () => {
    const byBen = encodeInvitation({ ...parts, sealedToken: sealToken(ben, token) });
    expect(parseInvitation(byBen).issuer).toBe(ben.peerId);
  });

  test('with an address that is none is refused when it is made', () => {
    for (const address of ['nonsense', `/dns4/${'x'.repeat(300)}/tcp/1`]) {
      expect(codeOf(() => encodeInvitation({ ...parts, addresses: [address] }))).toBe('BAD_USAGE');
    }
  });
});
