/** Lost shares, rebuilt by the other holders. */
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../../src/base/bytes.ts';
import { SUITE_TABLE } from '../../../src/mpc/suites/index.ts';
import type { Suite } from '../../../src/mpc/suites/types.ts';
import { type MadeKey, makeKey, systemRandom } from './keys.ts';

const folder = resolve(import.meta.dirname, '../../../../shared/vectors/zf-frost');
const missing = !existsSync(folder);
if (missing) console.warn('skipped: no test vectors in ../shared/vectors beside the checkout');

type Parts = ReadonlyMap<number, ReadonlyMap<number, Uint8Array>>;

/** What every helper makes for every helper. */
const deltasOf = (suite: Suite, { shares }: MadeKey, helpers: readonly number[], lost: number) =>
  new Map(helpers.map((i) => [i, suite.repairDeltas(shares[i - 1]!, helpers, lost, systemRandom)]));

/** The sums of what each helper received. */
const sigmasOf = (suite: Suite, deltas: Parts): Map<number, Uint8Array> =>
  new Map(
    [...deltas.keys()].map((to) => {
      const received = [...deltas].map(([from, parts]) => [from, parts.get(to)!] as const);
      return [to, suite.repairSigma(new Map(received))];
    }),
  );

describe.each([...SUITE_TABLE.values()].map((suite) => [suite.name, suite] as const))(
  '%s',
  (name, suite) => {
    const made = makeKey(suite, 3, 5);

    it.each([
      [2, [1, 3, 5]],
      [5, [1, 2, 3]],
    ])('party %i gets exactly its share back from %j', (lost, helpers) => {
      const sigmas = sigmasOf(suite, deltasOf(suite, made, helpers, lost));
      const share = suite.repairFinish(made.key, lost, sigmas);
      expect(share).toEqual(made.shares[lost - 1]);
    });

    it('parts differ from run to run, and none is a share', () => {
      const helpers = [1, 3, 5];
      const seen = [1, 2].flatMap(() => {
        const deltas = deltasOf(suite, made, helpers, 2);
        return [...deltas.values()].flatMap((parts) => [...parts.values()].map(toHex));
      });
      expect(new Set(seen).size).toBe(seen.length);
      for (const { signingShare } of made.shares) expect(seen).not.toContain(toHex(signingShare));
    });

    it('a wrong part, a missing one, and too few helpers are refused', () => {
      const helpers = [1, 3, 5];
      const sigmas = sigmasOf(suite, deltasOf(suite, made, helpers, 2));
      const refused = expect.objectContaining({ code: 'BAD_MESSAGE' });
      const finish = (parts: Map<number, Uint8Array>) => () =>
        suite.repairFinish(made.key, 2, parts);
      expect(finish(new Map(sigmas).set(3, sigmas.get(5)!))).toThrow(refused);
      expect(finish(new Map([...sigmas].slice(1)))).toThrow(refused);
      expect(finish(new Map(sigmas).set(3, new Uint8Array(32).fill(255)))).toThrow(refused);
      expect(finish(sigmasOf(suite, deltasOf(suite, made, [1, 3], 2)))).toThrow(refused);
    });

    it.skipIf(missing)('adds up as the vectors of the Zcash Foundation do', () => {
      const file = resolve(folder, `frost-${name}/repair-share.json`);
      const { scalar_generation: deltas, sigma_generation: sigmas } = JSON.parse(
        readFileSync(file, 'utf8'),
      );
      for (const [rows, prefix, total] of [
        [deltas, 'random_scalar_', 'random_scalar_sum'],
        [sigmas, 'sigma_', 'sigma_sum'],
      ] as const) {
        const parts = Object.keys(rows)
          .filter((row) => row !== total && row.startsWith(prefix))
          .map((row, i): [number, Uint8Array] => [i + 1, fromHex(rows[row])!]);
        expect(parts.length).toBeGreaterThan(2);
        expect(toHex(suite.repairSigma(new Map(parts)))).toBe(rows[total]);
      }
    });
  },
);
