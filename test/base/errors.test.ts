import { describe, expect, it } from 'vitest';
import { BzzzError, ERRORS, toBzzzError } from '../../src/base/errors.ts';

describe('error catalogue (R18)', () => {
  it('gives every code an exit code of the contract and an HTTP status', () => {
    for (const [code, kind] of Object.entries(ERRORS)) {
      expect([1, 2, 3, 4, 5, 6, 7, 8, 130], code).toContain(kind.exit);
      expect(kind.http, code).toBeGreaterThanOrEqual(400);
      if (kind.exit !== 130) expect(kind.hint.length, code).toBeGreaterThan(10);
    }
  });

  it('survives the wire: code, message, why, hint and details', () => {
    const error = new BzzzError('CONFLICT', 'name in use', { why: 'w', details: { a: 1 } });
    const back = BzzzError.fromShape(JSON.parse(JSON.stringify(error.toShape())));
    expect(back.toShape()).toEqual(error.toShape());
    expect(back.exit).toBe(8);
  });

  it('turns an unknown code into INTERNAL and keeps a cause', () => {
    expect(BzzzError.fromShape({ code: 'toString', message: 'x' }).code).toBe('INTERNAL');
    const cause = new TypeError('boom');
    expect(toBzzzError(cause).cause).toBe(cause);
    expect(toBzzzError('text').message).toBe('text');
  });
});
