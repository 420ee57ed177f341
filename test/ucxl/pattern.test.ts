import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { PatternAddress } from '../../src/ucxl/address.ts';
import { parse, parseConcrete } from '../../src/ucxl/parse.ts';
import { matchesPattern } from '../../src/ucxl/pattern.ts';

function pattern(text: string): PatternAddress {
  const parsed = parse(text);
  if (parsed.form !== 'pattern') throw new Error(`${text} is no pattern`);
  return parsed;
}

const matches = (glob: string, text: string): boolean =>
  matchesPattern(pattern(glob), parseConcrete(text));

describe('patterns', () => {
  test.each([
    ['any stands for every name', 'ucxl://any:any@any:any/x', 'ucxl://a:b@c:d/x', true],
    ['a name stands for itself', 'ucxl://any:b@c:d/x', 'ucxl://a:bb@c:d/x', false],
    ['no path: series without a path', 'ucxl://any:b@c:d', 'ucxl://a:b@c:d', true],
    ['no path: not those with one', 'ucxl://any:b@c:d', 'ucxl://a:b@c:d/x', false],
    ['* is one segment', 'ucxl://a:b@c:d/*/y', 'ucxl://a:b@c:d/x/y', true],
    ['* is not two', 'ucxl://a:b@c:d/*', 'ucxl://a:b@c:d/x/y', false],
    ['* is not none', 'ucxl://a:b@c:d/*', 'ucxl://a:b@c:d', false],
    ['** is none', 'ucxl://a:b@c:d/**', 'ucxl://a:b@c:d', true],
    ['** is many', 'ucxl://a:b@c:d/**', 'ucxl://a:b@c:d/x/y/z', true],
    ['** in the middle', 'ucxl://a:b@c:d/x/**/z', 'ucxl://a:b@c:d/x/z', true],
    ['** goes back', 'ucxl://a:b@c:d/**/x/y', 'ucxl://a:b@c:d/x/x/x/y', true],
    ['** needs its end', 'ucxl://a:b@c:d/**/x/y', 'ucxl://a:b@c:d/x/y/x', false],
    ['a path keeps its case', 'ucxl://any:b@c:d/X', 'ucxl://a:b@c:d/x', false],
    ['the temporal plays no part', 'ucxl://a:b@c:d/*~3/*', 'ucxl://a:b@c:d/x', true],
  ])('%s', (_what, glob, text, expected) => {
    expect(matches(glob, text)).toBe(expected);
  });

  test('agrees with the definition, written down recursively', () => {
    const define = (glob: readonly string[], path: readonly string[]): boolean => {
      const [first, ...rest] = glob;
      if (first === undefined) return path.length === 0;
      if (first === '**') {
        return define(rest, path) || (path.length > 0 && define(glob, path.slice(1)));
      }
      return path.length > 0 && (first === '*' || first === path[0]) && define(rest, path.slice(1));
    };
    const glob = fc.array(fc.constantFrom('a', 'b', '*', '**'), { maxLength: 6 });
    const path = fc.array(fc.constantFrom('a', 'b'), { maxLength: 7 });
    fc.assert(
      fc.property(glob, path, (g, p) => {
        const found = matches(
          ['ucxl://any:b@c:d', ...g].join('/'),
          ['ucxl://a:b@c:d', ...p].join('/'),
        );
        expect(found).toBe(define(g, p));
      }),
      { numRuns: 2_000 },
    );
  });

  test('many ** against a long path end soon', () => {
    const start = performance.now();
    const glob = `ucxl://a:b@c:d/${'**/a/'.repeat(150)}b`;
    expect(matches(glob, `ucxl://a:b@c:d/${'a/'.repeat(500)}`)).toBe(false);
    expect(performance.now() - start).toBeLessThan(1_000);
  });
});
