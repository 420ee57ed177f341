/** SIGKILL at every step: as long as threshold-many holders live, the request completes (S3, R48). */
import { describe, expect, it } from 'vitest';
import type { PeerId } from '../../../src/base/brands.ts';
import { utf8Bytes } from '../../../src/base/bytes.ts';
import { Net, peer } from './net.ts';

const message = utf8Bytes('survives');
const T = 3;
const N = 5;
const HOLDERS = [1, 2, 3, 4, 5].map(peer);

/** Runs a session and kills `victims[i]` before the network's step `steps[i]`. */
function runWithKills(proposer: PeerId, victims: readonly PeerId[], steps: readonly number[]) {
  const net = new Net({ threshold: T, n: N });
  const sealed = net.proposal(proposer, message);
  net.beforeStep = () => {
    victims.forEach((victim, i) => {
      if (net.steps === steps[i]) net.kill(victim);
    });
  };
  net.beginAll(sealed, message);
  const living = HOLDERS.filter((one) => !victims.includes(one));
  const done = () => living.every((one) => net.outcomes(one, sealed.sid).length > 0);
  net.runUntil(done);
  return { net, sealed, living, tookMs: net.now };
}

function expectCompleted({ net, sealed, living, tookMs }: ReturnType<typeof runWithKills>) {
  for (const one of living) net.completion(one, sealed.sid);
  expect(net.toy.violations).toEqual([]);
  expect(net.named()).toEqual([]);
  return tookMs;
}

/** Steps of a session without faults. */
const STEPS = (() => {
  const { net } = runWithKills(peer(1), [], []);
  return net.steps;
})();

describe('a party killed at any step', () => {
  it('has steps to kill at', () => {
    expect(STEPS).toBeGreaterThan(20);
  });

  it('may be the proposer, a holder: another driver completes (S3)', () => {
    let slowest = 0;
    for (let step = 1; step <= STEPS; step++) {
      slowest = Math.max(slowest, expectCompleted(runWithKills(peer(1), [peer(1)], [step])));
    }
    // One rank without progress, and one exchange.
    expect(slowest).toBeLessThan(1_500);
  });

  it('may be the proposer without a share (S3)', () => {
    for (let step = 1; step <= STEPS; step++) {
      expectCompleted(runWithKills(peer(9), [peer(9)], [step]));
    }
  });

  it('may be any other holder: another set finishes within 1.5 s (S3)', () => {
    for (const [i, victim] of HOLDERS.slice(1).entries()) {
      for (let step = 1 + (i % 2); step <= STEPS; step += 2) {
        const took = expectCompleted(runWithKills(peer(1), [victim], [step]));
        expect(took).toBeLessThan(1_500);
      }
    }
  });

  it('may be the proposer and another holder at once, n - t of them (S3)', () => {
    for (const other of HOLDERS.slice(1)) {
      for (let step = 1; step <= STEPS; step += 3) {
        const took = expectCompleted(runWithKills(peer(1), [peer(1), other], [step, step + 3]));
        expect(took).toBeLessThan(5_000);
      }
    }
  });
});

describe('a signer whose package came late', () => {
  it('finishes alone with the shares that came before it', () => {
    const net = new Net({ threshold: T, n: N });
    const sealed = net.proposal(peer(1), message);
    net.wire = ({ to, envelope, message: { kind } }) => [
      { envelope, delayMs: kind === 'package' && to === peer(3) ? 200 : 1 },
    ];
    net.beginAll(sealed, message);
    // By then the signers have told each other.
    for (const i of [1, 2]) net.at(150, () => net.kill(peer(i)));
    net.run();
    for (const i of [3, 4, 5]) {
      expect(net.completion(peer(i), sealed.sid).result.signers).toEqual([1, 2, 3].map(peer));
    }
  });
});

describe('two signers whose driver falls silent, while the other holders know nothing', () => {
  const pairs = [2, 3, 4].flatMap((i) => [3, 4, 5].flatMap((j) => (i < j ? [[i, j]] : [])));

  it.each(pairs)('%i and %i take over in turn, whatever their ranks', (...pair) => {
    const net = new Net({ threshold: T, n: N });
    const sealed = net.proposal(peer(1), message);
    const told: readonly string[] = ['commitRequest', 'package'];
    net.wire = ({ from, envelope, message: { kind } }) =>
      from === peer(1) && !told.includes(kind) ? [] : [{ envelope, delayMs: 1 }];
    for (const i of [1, ...pair]) net.begin(peer(i), sealed, message);
    const drives = (one: PeerId): boolean =>
      net.machine(one, sealed.sid).events.some(({ kind }) => kind === 'driving');
    net.run(10);
    net.runUntil(() => pair.map(peer).some(drives));
    // The package comes after a round of commitments; then one wait.
    expect(net.now).toBeLessThan(800);
  });
});

describe('fewer than threshold-many left', () => {
  it('ends at the deadline, tells who was silent and blames nobody (S1, S4, S5)', () => {
    const net = new Net({ threshold: T, n: N });
    for (const i of [3, 4, 5]) net.kill(peer(i));
    const sealed = net.proposal(peer(1), message);
    net.beginAll(sealed, message);
    net.run();
    for (const i of [1, 2]) {
      const outcomes = net.outcomes(peer(i), sealed.sid);
      expect(outcomes).toHaveLength(1);
      expect(outcomes[0]).toMatchObject({
        state: 'expired',
        culprits: [],
        silent: [3, 4, 5].map(peer).sort(),
        error: { code: 'SESSION_EXPIRED' },
      });
      expect(net.machine(peer(i), sealed.sid).state.timers.size).toBe(0);
    }
    // Asking again backs off: a minute of waiting is no flood.
    expect(net.sent.length).toBeLessThan(400);
  });
});

describe('a restarted party', () => {
  it('lost its nonces, commits anew and signs: nothing is used twice (N1)', () => {
    const all = HOLDERS.slice(0, 3);
    for (const victim of all) {
      // A session of three has fewer steps than one of five; the last ones come after its end.
      for (let step = 1; step <= 20; step++) {
        const net = new Net({ threshold: 3, n: 3 });
        const sealed = net.proposal(peer(1), message);
        net.beforeStep = () => {
          if (net.steps !== step || net.node(victim).boot > 1 || !net.node(victim).alive) return;
          net.kill(victim);
          net.at(50, () => {
            net.restart(victim);
            net.begin(victim, sealed, message);
          });
        };
        net.beginAll(sealed, message);
        net.runUntil(() => all.every((one) => net.outcomes(one, sealed.sid).length > 0));
        for (const one of all) net.completion(one, sealed.sid);
        expect(net.toy.violations).toEqual([]);
        expect(net.named()).toEqual([]);
      }
    }
  });
});
