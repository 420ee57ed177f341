import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { utf8Bytes } from '../../src/base/bytes.ts';
import { contentCid } from '../../src/base/codec.ts';
import { BzzzError } from '../../src/base/errors.ts';
import { format, series, type UcxlAddress } from '../../src/ucxl/address.ts';
import { parse, parseSeries } from '../../src/ucxl/parse.ts';
import type { Query } from '../../src/ucxl/query.ts';
import type { Temporal } from '../../src/ucxl/temporal.ts';

const name = fc.stringMatching(/^[a-z0-9][a-z0-9_-]{0,20}$/).filter((text) => text !== 'any');
const segment = fc
  .stringMatching(/^[A-Za-z0-9_.-]{1,30}$/)
  .filter((text) => text !== '.' && text !== '..');
const path = fc.array(segment, { maxLength: 5 }).map((segments) => segments.join('/'));
const cid = fc.string().map((text) => contentCid(utf8Bytes(text)).toString());
const version = fc.record({
  form: fc.constant('version' as const),
  n: fc.integer({ min: 1, max: 999_999_999 }),
});
const pin = fc.record({ form: fc.constant('pin' as const), cid });
const uint = fc.integer({ min: 0, max: 999_999_999 });
const temporal: fc.Arbitrary<Temporal> = fc.oneof(
  fc.constant<Temporal>({ form: 'latest' }),
  fc.constant<Temporal>({ form: 'history' }),
  version,
  pin,
  fc.record({ form: fc.constant('back' as const), n: uint }),
  fc.record({ form: fc.constant('forward' as const), n: uint }),
  fc.record({
    form: fc.constant('asOf' as const),
    atMs: fc
      .date({
        min: new Date('0000-01-01T00:00:00Z'),
        max: new Date('9999-12-31T23:59:59.999Z'),
        noInvalidDate: true,
      })
      .map((date) => date.getTime()),
  }),
);
const query: fc.Arbitrary<Query> = fc.record(
  {
    base: fc.oneof(version, pin),
    siblings: fc.constant(true as const),
    stale: fc.constant(true as const),
  },
  { requiredKeys: [] },
);
const names = { role: name, project: name, task: name };
const concrete = fc.record({
  form: fc.constant('concrete' as const),
  agent: name,
  ...names,
  temporal,
  path,
  query,
  fragment: fc.stringMatching(/^[A-Za-z0-9_./-]{0,20}$/),
});
const pattern = fc.record({
  form: fc.constant('pattern' as const),
  agent: fc.constant('any'),
  ...names,
  temporal,
  path: fc
    .array(fc.oneof(segment, fc.constantFrom('*', '**')), { maxLength: 5 })
    .map((segments) => segments.join('/')),
});
const address: fc.Arbitrary<UcxlAddress> = fc.oneof(concrete, pattern);

/** The parsed form, or undefined for INVALID_ADDRESS; every other throw fails the test. */
function tryParse(text: string): UcxlAddress | undefined {
  try {
    return parse(text);
  } catch (thrown) {
    if (thrown instanceof BzzzError && thrown.code === 'INVALID_ADDRESS') return undefined;
    throw thrown;
  }
}

describe('the grammar under random input (R78)', () => {
  test('parse(format(x)) is x', () => {
    fc.assert(fc.property(address, (x) => void expect(parse(format(x))).toEqual(x)));
  });

  test('a mutated address is refused as INVALID_ADDRESS or has one canonical form', () => {
    const edit = fc.tuple(
      fc.nat(),
      fc.nat(3),
      fc.oneof(
        fc.constantFrom('*', '**', '~', '~~', '^', '%5E', '*^', '/', '//', '?', '#', ':', '@', '.'),
        fc.constantFrom('any', '*~1', '=', '&', 'base=', '\n', '\u212a', '\u{1f41d}', 'A', '0'),
        fc.string({ maxLength: 4 }),
      ),
    );
    let accepted = 0;
    let refused = 0;
    fc.assert(
      fc.property(address, fc.array(edit, { maxLength: 3 }), (x, edits) => {
        const text = edits.reduce((before, [at, cut, insert]) => {
          const i = at % (before.length + 1);
          return before.slice(0, i) + insert + before.slice(i + cut);
        }, format(x));
        const parsed = tryParse(text);
        if (parsed === undefined) {
          refused++;
          return;
        }
        accepted++;
        const canonical = format(parsed);
        expect(parse(canonical)).toEqual(parsed);
        expect(format(parse(canonical))).toBe(canonical);
        expect(canonical.length).toBeLessThanOrEqual(text.length);
      }),
      { numRuns: 2_000 },
    );
    expect(Math.min(accepted, refused)).toBeGreaterThan(100);
  });

  test('any text and any bytes give an address or INVALID_ADDRESS, nothing else', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 200 }),
      fc.string({ unit: 'binary', maxLength: 60 }).map((rest) => `ucxl://${rest}`),
      fc.string({ unit: 'binary', maxLength: 60 }).map((rest) => `ucxl://a:b@c:d/${rest}`),
    );
    fc.assert(
      fc.property(text, (input) => void tryParse(input)),
      { numRuns: 600 },
    );
  });

  test('the series of a concrete address is canonical, and the same for every version', () => {
    fc.assert(
      fc.property(concrete, temporal, (x, other) => {
        const text = series(x);
        expect(series(parseSeries(text))).toBe(text);
        expect(series(parse(format({ ...x, temporal: other })))).toBe(text);
      }),
    );
  });

  test('a hostile address costs no more than its bytes', () => {
    for (const text of [
      `ucxl://${'a'.repeat(1_000_000)}`,
      `ucxl://a:b@c:d${'/x'.repeat(500)}`,
      `ucxl://a:b@c:d?${'stale&'.repeat(160)}`,
      `ucxl://a:b@c:d/${'%5E'.repeat(330)}`,
    ]) {
      const start = performance.now();
      tryParse(text);
      expect(performance.now() - start).toBeLessThan(1_000);
    }
  });
});
