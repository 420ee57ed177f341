import { describe, expect, it } from 'vitest';
import { utf8Bytes } from '../../../src/base/bytes.ts';
import { rememberValid } from '../../../src/mpc/suites/verified.ts';

const [key, message, good, bad] = ['key', 'message', 'good', 'bad'].map(utf8Bytes) as [
  Uint8Array,
  Uint8Array,
  Uint8Array,
  Uint8Array,
];

describe('signatures that were found valid', () => {
  it('are not computed again; one that was not is judged each time', () => {
    let computed = 0;
    const verify = rememberValid((_key, _message, signature) => {
      computed++;
      return signature === good;
    });
    expect([1, 2, 3].map(() => verify(key, message, good))).toEqual([true, true, true]);
    expect(computed).toBe(1);
    expect([1, 2].map(() => verify(key, message, bad))).toEqual([false, false]);
    expect(computed).toBe(3);
  });

  it('are valid for their key and their message only', () => {
    const verify = rememberValid((k, m, s) => k === key && m === message && s === good);
    expect(verify(key, message, good)).toBe(true);
    expect(verify(message, key, good)).toBe(false);
    expect(verify(key, utf8Bytes('messag'), utf8Bytes('egood'))).toBe(false);
  });
});
