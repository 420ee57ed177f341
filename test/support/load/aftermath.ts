/** What is left of acknowledged signatures when the deaths are over. */
import { setTimeout as sleep } from 'node:timers/promises';
import { createRng, type Rng } from '../../sim/random.ts';
import type { TestNode } from '../cluster.ts';
import { each } from '../records.ts';
import { type Acknowledged, isValid } from './clients.ts';

/** Stores have brought every result to where it is read, or a witness has, within this. */
const PATIENCE_MS = 120_000;

export interface Aftermath {
  /** Nothing stands at their addresses, or nothing that is a signature of the message. */
  readonly lost: readonly string[];
  /**
   * Requests that were signed twice, because a driver seemed dead and was not, or the client asked
   * another daemon: of two results all readers take the same one (S6).
   */
  readonly replaced: number;
  /** Two hosts read different signatures for one request. */
  readonly split: readonly string[];
  /** Until each was read at another host, and then until all hosts read the same, ms. */
  readonly readMs: number;
  readonly agreedMs: number;
}

/** Reads every signature at its address, on a host other than the one that answered. */
export async function aftermathOf(
  answered: readonly Acknowledged[],
  nodes: readonly TestNode[],
  publicKey: string,
  seed: number,
): Promise<Aftermath> {
  const rng = createRng(seed);
  const began = performance.now();
  const deadline = began + PATIENCE_MS;
  const found = new Map<Acknowledged, string>();
  let missing = answered;
  for (;;) {
    const seen = await readOnce(missing, nodes, rng);
    for (const [i, one] of missing.entries()) {
      const signature = seen[i];
      if (signature !== undefined) found.set(one, signature);
    }
    missing = answered.filter((one) => !found.has(one));
    if (missing.length === 0 || performance.now() > deadline) break;
    await sleep(1_000);
  }
  const others = [...found].filter(([{ signature }, read]) => read !== signature);
  const wrong = others.filter(([one, read]) => !isValid(publicKey, { ...one, signature: read }));
  const readMs = performance.now() - began;
  const split = await splitOf(others, nodes, performance.now() + PATIENCE_MS);
  return {
    lost: [...missing, ...wrong.map(([one]) => one)].map(({ address }) => address),
    replaced: others.length,
    split: split.map(({ address }) => address),
    ...{ readMs, agreedMs: performance.now() - began - readMs },
  };
}

/** Stores exchange what they have by and by, so readers come to the same with time. */
async function splitOf(
  others: readonly (readonly [Acknowledged, string])[],
  nodes: readonly TestNode[],
  deadline: number,
): Promise<readonly Acknowledged[]> {
  let split = others.map(([one]) => one);
  while (split.length > 0) {
    const seen = await each(split, 4, (one) => Promise.all(nodes.map((node) => read(node, one))));
    split = split.filter((_, i) => new Set(seen[i]).size > 1);
    if (performance.now() > deadline) return split;
    await sleep(500);
  }
  return split;
}

const readOnce = (all: readonly Acknowledged[], nodes: readonly TestNode[], rng: Rng) =>
  each(all, 8, (one) => read(rng.pick(nodes.filter((node) => node !== one.by)), one));

/** The signature that a host reads at an address; undefined when it finds nothing yet. */
async function read(node: TestNode, { address }: Acknowledged): Promise<string | undefined> {
  const query = new URLSearchParams({ address });
  try {
    const { bytes } = await node.get<{ bytes: string }>(`/v1/records/get?${query}`);
    return signatureIn(bytes);
  } catch {
    // Not there yet, or too busy to answer: it is asked once more, or counted as lost.
    return undefined;
  }
}

/** The field `signature` of a result: its name, and 64 bytes of CBOR, in hex. */
const FIELD = `${Buffer.from('isignature').toString('hex')}5840`;

function signatureIn(bytes: string): string | undefined {
  const at = bytes.indexOf(FIELD);
  return at < 0 ? undefined : bytes.slice(at + FIELD.length, at + FIELD.length + 128);
}

/**
 * S6: the same request once more, on another host: there is an answer, the one that is read.
 * @returns requests that were signed once more, or not answered.
 */
export async function changedOf(
  answered: readonly Acknowledged[],
  nodes: readonly TestNode[],
  key: string,
  rng: Rng,
): Promise<readonly string[]> {
  const changed: string[] = [];
  await each(answered, 4, async (one) => {
    const asked = rng.pick(nodes.filter((node) => node !== one.by));
    const { signature, cached } = await asked.post<{ signature: string; cached: boolean }>(
      '/v1/sign',
      { key, message: one.message },
    );
    const stands = await read(asked, one);
    const known = signature === one.signature || signature === stands;
    if (!known || !cached) {
      changed.push(`${one.message} ${cached ? 'cached' : 'signed'}, ${known ? 'same' : 'other'}`);
    }
  });
  return changed;
}
