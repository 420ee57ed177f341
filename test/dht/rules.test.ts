/** Keys and values: what may exist. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toBase32, utf8Bytes } from '../../src/base/bytes.ts';
import { BzzzError } from '../../src/base/errors.ts';
import { kadInit } from '../../src/dht/options.ts';
import { PROBE } from '../../src/dht/probe.ts';
import { createRules, datastoreKey, nameOf, refusalOf } from '../../src/dht/rules.ts';
import { CONTENT, content, NAMESPACES, RULES, sequence } from './support.ts';

const refusal = (work: () => unknown): string | undefined => {
  try {
    work();
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(BzzzError);
    return refusalOf(thrown);
  }
  return undefined;
};

describe('record keys', () => {
  it('take a registered namespace and a suffix, and nothing else', () => {
    const rule = RULES.of(utf8Bytes('/ucxl/c/abc'));
    expect([rule.namespace, rule.suffix, nameOf(rule)]).toEqual([CONTENT, 'abc', 'c/abc']);
    expect(RULES.key('c', 'abc')).toEqual(utf8Bytes('/ucxl/c/abc'));
  });

  it.each([
    ['no slash at all', 'ucxl', 'key'],
    ['one slash', '/ucxl', 'key'],
    ['two slashes and no suffix', '/ucxl/', 'key'],
    ['a namespace without suffix', '/ucxl/c/', 'key'],
    ['an empty key', '', 'key'],
    ['a foreign root', '/nope/x', 'namespace'],
    ['a public key', '/pk/x', 'namespace'],
    ['an unknown namespace', '/ucxl/zz/abc', 'namespace'],
    ['a deeper path', '/ucxl/c/abc/def', 'key'],
    ['a prototype name', '/ucxl/__proto__/x', 'key'],
    ['a probe under ucxl', '/ucxl/probe/x', 'key'],
    ['a control character', '/ucxl/c/a\u0000', 'key'],
    ['a line feed behind it', '/ucxl/c/a\n', 'key'],
    ['200 characters', `/ucxl/c/${'a'.repeat(200)}`, 'key'],
  ])('refuse %s', (_what, key, expected) => {
    expect(refusal(() => RULES.of(utf8Bytes(key)))).toBe(expected);
  });

  it('never throw anything but a refusal, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (key) => {
        const found = refusal(() => RULES.of(key));
        expect(['key', 'namespace', undefined]).toContain(found);
      }),
    );
  });

  it('refuse a namespace name twice, or one that no key can have', () => {
    expect(() => createRules([CONTENT, CONTENT])).toThrow('once');
    expect(() => createRules([{ ...CONTENT, name: 'A/b' }])).toThrow('namespace name');
  });

  it('have the datastore key that kad-dht forms', () => {
    const key = utf8Bytes('/ucxl/c/abc');
    expect(datastoreKey('/dht', key)).toBe(`/dht/record/${toBase32(key)}`);
  });
});

describe('record values', () => {
  it('pass size and the check of their namespace', () => {
    const { suffix, value } = content('x');
    const key = RULES.key('c', suffix);
    expect(refusal(() => RULES.check(key, value))).toBeUndefined();
    expect(refusal(() => RULES.check(key, new Uint8Array(32_769)))).toBe('size');
    expect(refusal(() => RULES.check(key, content('y').value))).toBe('invalid');
  });

  it('are invalid, not a crash, when a check of hostile bytes throws something else', () => {
    const odd = { ...CONTENT, name: 'odd', validate: () => void JSON.parse('{') };
    const rules = createRules([odd]);
    expect(refusal(() => rules.check(rules.key('odd', 'x'), new Uint8Array(1)))).toBe('invalid');
  });

  it('are refused as a union that grew too large; joining keeps the first then', () => {
    const rule = RULES.of(RULES.key('u', 'x'));
    const low = Uint8Array.of(1, 2, 3, 4, 5);
    const high = Uint8Array.of(6, 7, 8, 9);
    expect(refusal(() => RULES.merge(rule, low, high))).toBe('size');
    expect(RULES.join(rule, low, high)).toEqual(low);
    expect(RULES.covers(rule, high, low)).toBe(false);
    expect(RULES.covers(rule, Uint8Array.of(1, 2, 9), Uint8Array.of(1, 9))).toBe(true);
  });
});

describe('the probe', () => {
  it('takes 24 bytes under a peer id, whose life is limited', () => {
    const owner = `12D3KooW${'A'.repeat(44)}`;
    expect(RULES.of(RULES.key('probe', owner)).lifeMs).toBe(60_000);
    expect(refusal(() => RULES.check(RULES.key('probe', owner), new Uint8Array(24)))).toBe(
      undefined,
    );
    expect(refusal(() => RULES.check(RULES.key('probe', 'me'), new Uint8Array(24)))).toBe(
      'invalid',
    );
    const long = new Uint8Array(25);
    expect(refusal(() => RULES.check(RULES.key('probe', owner), long))).toBe('size');
    expect(RULES.of(RULES.key('c', 'abc')).lifeMs).toBeUndefined();
  });

  it('merges alike in both orders', () => {
    const value = fc.uint8Array({ minLength: 24, maxLength: 24 });
    fc.assert(
      fc.property(value, value, (a, b) => {
        expect(PROBE.merge('x', a, b)).toEqual(PROBE.merge('x', b, a));
      }),
    );
  });
});

describe('the settings of kad-dht', () => {
  const init = kadInit('tag', NAMESPACES);

  it('are those of a LAN, in a protocol of the cluster alone', () => {
    expect(init.protocol).toBe('/bzzz/tag/kad/1.0.0');
    expect(init.clientMode).toBe(false);
    const { multiaddrs } = init.peerInfoMapper!({ id: null as never, multiaddrs: ['x' as never] });
    expect(multiaddrs).toEqual(['x']);
  });

  it('check every namespace, and shut the one that kad-dht brings along', () => {
    const { ucxl, probe, pk } = init.validators!;
    const { suffix, value } = content('x');
    expect(refusal(() => ucxl!(RULES.key('c', suffix), value))).toBeUndefined();
    expect(refusal(() => ucxl!(RULES.key('c', suffix), content('y').value))).toBe('invalid');
    expect(refusal(() => ucxl!(utf8Bytes('/ucxl/zz/abc'), value))).toBe('namespace');
    expect(refusal(() => probe!(RULES.key('probe', 'x'), value))).toBeDefined();
    expect(refusal(() => pk!(utf8Bytes('/pk/abc'), value))).toBe('namespace');
  });

  it('select the record that contains the others', () => {
    const key = RULES.key('n', 'x');
    const records = [3, 9, 5].map((seq) => sequence('x', seq));
    expect(init.selectors!.ucxl!(key, records)).toBe(1);
    const sets = [Uint8Array.of(1), Uint8Array.of(2), Uint8Array.of(1, 2)];
    expect(init.selectors!.ucxl!(RULES.key('u', 'x'), sets)).toBe(2);
  });
});
