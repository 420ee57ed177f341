/** The forms of bytes that others must be able to read. */
import { describe, expect, it } from 'vitest';
import { toHex, varintBytes } from '../../src/base/bytes.ts';

describe('an unsigned varint', () => {
  it.each([
    [0, '00'],
    [1, '01'],
    [127, '7f'],
    [128, '8001'],
    [255, 'ff01'],
    [300, 'ac02'],
    [16_384, '808001'],
    [2 ** 31, '8080808008'],
  ])('of %i is as the specification has it', (n, hex) => {
    expect(toHex(varintBytes(n))).toBe(hex);
  });
});
