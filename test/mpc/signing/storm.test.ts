/** A network that drops, delays, repeats and reorders, by seeds. A failing seed is in the message. */
import { describe, expect, it } from 'vitest';
import { utf8Bytes } from '../../../src/base/bytes.ts';
import { chance, Net, peer } from './net.ts';

const SEEDS = 15;
const message = utf8Bytes('through the storm');

function storm(seed: number, drop: number): Net {
  const dice = chance(`storm ${seed}`);
  const net = new Net({ threshold: 3, n: 5 });
  net.wire = ({ envelope }) => {
    if (dice() < drop) return [];
    const copies = dice() < 0.3 ? 2 : 1;
    return Array.from({ length: copies }, () => ({
      envelope,
      delayMs: dice() < 0.1 ? dice() * 3_000 : dice() * 40,
    }));
  };
  return net;
}

describe('a bad network', () => {
  it.each([0, 0.1, 0.3])(
    'with %d of the messages lost: all complete, nobody is blamed (S5)',
    (drop) => {
      for (let seed = 0; seed < SEEDS; seed++) {
        const net = storm(seed, drop);
        const proposer = peer(seed % 2 === 0 ? 1 + (seed % 5) : 9);
        const sealed = net.proposal(proposer, message, { salt: seed });
        net.beginAll(sealed, message);
        net.run();
        const parties = [...new Set([proposer, ...[1, 2, 3, 4, 5].map(peer)])];
        for (const one of parties) {
          const outcome = net.outcomes(one, sealed.sid).at(-1);
          expect(outcome?.state, `seed ${seed}`).toBe('completed');
          expect(net.machine(one, sealed.sid).state.timers.size, `seed ${seed}`).toBe(0);
        }
        expect(net.toy.violations, `seed ${seed}`).toEqual([]);
        expect(net.toy.liveNonces(), `seed ${seed}`).toBe(0);
        expect(net.named(), `seed ${seed}`).toEqual([]);
      }
    },
  );

  it('with kills and restarts at random: completes while a threshold lives, no nonce twice (N1)', () => {
    for (let seed = 0; seed < SEEDS; seed++) {
      const dice = chance(`kills ${seed}`);
      const net = storm(seed, 0.1);
      const sealed = net.proposal(peer(1), message, { salt: seed });
      net.beginAll(sealed, message);
      const victims = [1, 2, 3, 4, 5].map(peer).filter(() => dice() < 0.5);
      for (const victim of victims) {
        net.at(dice() * 600, () => net.kill(victim));
        if (dice() < 0.6 || victims.length > 2) {
          net.at(1_000 + dice() * 1_000, () => {
            net.restart(victim);
            net.begin(victim, sealed, message);
          });
        }
      }
      net.run();
      for (const [id, node] of net.nodes) {
        if (!node.alive) continue;
        expect(net.outcomes(id, sealed.sid).at(-1)?.state, `seed ${seed}`).toBe('completed');
      }
      expect(net.toy.violations, `seed ${seed}`).toEqual([]);
      expect(net.named(), `seed ${seed}`).toEqual([]);
    }
  });
});
