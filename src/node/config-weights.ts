/**
 * The weights of the score that orders candidacies: `uptime=0.3,capabilities=0.2,...`. Pure.
 * @module
 */
import type { Weights } from '../election/score.ts';
import { nearest } from './config-nearest.ts';
import type { Kind, RawValue } from './config-values.ts';

/** The parts of the score, in the order in which they are shown. */
const PARTS = ['uptime', 'capabilities', 'resources', 'network', 'experience'] as const;
type Part = keyof Weights;

/** As in election/score.ts, which a command line that only reads its settings need not load. */
export const DEFAULT_WEIGHTS: Weights = {
  uptime: 0.3,
  capabilities: 0.2,
  resources: 0.2,
  network: 0.15,
  experience: 0.15,
};

/** Decimal fractions do not add up exactly in binary. */
const TOLERANCE = 1e-6;

/** As it is written in the environment. */
export const formatWeights = (weights: Weights): string =>
  PARTS.map((part) => `${part}=${weights[part]}`).join(',');

/** All five parts, as text, a list, or a mapping in YAML. The complaint names the entry. */
export const weights: Kind<Weights> = {
  expects: `five weights of at least 0 that add up to 1, such as ${formatWeights(DEFAULT_WEIGHTS)}`,
  mapping: true,
  parse(raw) {
    const read = readWeights(raw);
    return typeof read === 'string' ? undefined : read;
  },
  complaint(raw) {
    const read = readWeights(raw);
    return typeof read === 'string' ? read : undefined;
  },
};

/** @returns the weights, or what is wrong. */
function readWeights(raw: RawValue): Weights | string {
  const entries: readonly unknown[] =
    typeof raw === 'string' ? raw.split(',') : Array.isArray(raw) ? raw : [raw];
  const found = new Map<Part, number>();
  for (const entry of entries) {
    const [, name = '', value = ''] =
      /^\s*([a-z_]{1,32})\s*=\s*(\S{1,32})\s*$/.exec(String(entry)) ?? [];
    if (name === '') return `${String(entry).slice(0, 32)} is no NAME=WEIGHT`;
    const part = PARTS.find((p) => p === name);
    if (part === undefined) {
      const near = nearest(name, PARTS);
      return `${name} is no part of the score${near === undefined ? '' : `; did you mean ${near}`}`;
    }
    if (found.has(part)) return `${part} is given twice`;
    if (!/^(?:\d{1,6}(?:\.\d{1,12})?|\.\d{1,12})$/.test(value)) {
      return `${part}=${value} is no number of at least 0`;
    }
    found.set(part, Number(value));
  }
  const missing = PARTS.filter((part) => !found.has(part));
  if (missing.length > 0) return `${missing.join(', ')} missing`;
  const sum = [...found.values()].reduce((a, b) => a + b, 0);
  if (Math.abs(sum - 1) > TOLERANCE) return `they add up to ${Number(sum.toFixed(9))}`;
  return Object.fromEntries(found) as Record<Part, number>;
}
