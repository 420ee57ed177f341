/** SIGKILL at every step of a refresh and of a reshare: all on the old epoch, or all on the new. */
import { describe, expect, it } from 'vitest';
import { equalBytes } from '../../../src/base/bytes.ts';
import { checkPending } from '../../../src/mpc/keygen/index.ts';
import { expectNoKey, keyInfoOf, type Network, type Node, TTL_MS } from '../keygen/network.ts';
import { handOn, makeKey, suite, type Wish } from './support.ts';

const held = makeKey(2, 3);
const LONG = 40 * TTL_MS;

/** What must hold when everybody is back and the network is at rest. */
function expectOneEpoch(net: Network, what: string): 'old' | 'new' {
  const seated = net.nodes.filter(({ deps }) => deps.dealing!.seats.includes(deps.self));
  for (const { state, outcome, pending } of seated) {
    if (state === undefined) continue;
    expect(outcome, what).toBeDefined();
    expect(pending, what).toBe(false);
    expect(state.culprits.size, what).toBe(0);
  }
  const certified = seated.filter(({ disk }) => disk.certificate !== undefined);
  if (certified.length === 0) {
    for (const node of seated) expectNoKey(node, what);
    return 'old';
  }
  expect(certified, what).toHaveLength(seated.length);
  const info = keyInfoOf(certified[0]!);
  for (const [i, node] of seated.entries()) {
    expect(equalBytes(keyInfoOf(node).groupKey, info.groupKey), what).toBe(true);
    expect(node.disk.refusal, what).toBeUndefined();
    if (i >= info.parties.length) continue;
    const peer = info.parties[i]!.peerId;
    const { share } = net.nodes.find(({ peerId }) => peerId === peer)!.disk;
    checkPending(suite, share!.share, share!.attestation);
  }
  return 'new';
}

const bring = (net: Network, node: Node): void => {
  net.down.delete(node);
  net.restart(node);
};

describe.each([
  ['refresh', { threshold: 2, parties: [0, 1, 2] }],
  ['reshare to others', { threshold: 2, parties: [2, 3, 4] }],
] as const satisfies readonly (readonly [string, Wish])[])('a crash during a %s', (_name, wish) => {
  const steps: number[] = [];
  const clean = handOn(held, wish);
  clean.onEffect = (_node, { type }, when) => {
    if (when === 'before' && type !== 'event') steps.push(clean.executed);
    return false;
  };
  clean.start().run(TTL_MS);

  it.each([
    ['before', 0],
    ['before', 3 * TTL_MS],
    ['after', 0],
    ['after', 3 * TTL_MS],
  ] as const)(
    'K2, K4: %s any effect of anybody, back after %i ms: one epoch for all',
    (when, later) => {
      const ends = new Map<string, number>();
      for (const step of steps) {
        const net = handOn(held, wish);
        let victim: Node | undefined;
        net.onEffect = (node, _effect, now) => {
          if (victim !== undefined || net.executed !== step || now !== when) return false;
          victim = node;
          net.down.add(node);
          net.crash(node);
          return when === 'before';
        };
        net.start().settle();
        if (later > 0) net.run(later);
        expect(victim, `effect ${step}`).toBeDefined();
        bring(net, victim!);
        net.run(LONG);
        const end = expectOneEpoch(net, `effect ${step} ${when}, back after ${later}`);
        ends.set(end, (ends.get(end) ?? 0) + 1);
      }
      // Both ends occur, so the loop tried both sides of the point of no return.
      expect(ends.get('new')).toBeGreaterThan(0);
      expect(ends.get('old')).toBeGreaterThan(0);
    },
  );
});
