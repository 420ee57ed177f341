import { describe, expect, it } from 'vitest';
import type { PeerId } from '../../../src/base/brands.ts';
import type { NoteHandler } from '../../../src/base/ports.ts';
import { Pulse } from '../../../src/node/net/pulse.ts';
import { quietLogger, testClock } from '../../support/world.ts';

const OPTIONS = { everyMs: 1_000, deadMs: 3_000, mutedMs: 10_000 };
const A = 'a' as PeerId;
const B = 'b' as PeerId;

/** Two pulses whose notes travel in `travelMs`, and a cable between them that can be cut. */
function pair(travelMs = 4) {
  const clock = testClock();
  const state = { cut: false, streams: true };
  const cuts: string[] = [];
  const handlers = new Map<PeerId, NoteHandler>();
  const side = (self: PeerId, other: PeerId): Pulse =>
    new Pulse(OPTIONS, {
      clock,
      log: quietLogger,
      linked: () => [other],
      cut: (peer, reason) => void cuts.push(`${self} cuts ${peer}: ${reason.message}`),
      direct: {
        connected: () => (state.streams ? [other] : []),
        onPeer: () => () => undefined,
        onNote: (_topic, handler) => void handlers.set(self, handler),
        note(to, _topic, body) {
          if (!state.cut) clock.after(travelMs, () => handlers.get(to)?.(self, body));
          return true;
        },
      },
    });
  const [a, b] = [side(A, B), side(B, A)];
  a.start();
  b.start();
  return { clock, state, cuts, a, b };
}

describe('pulse', () => {
  it('measures the round trip and leaves who answers alone', () => {
    const { clock, cuts, a, b } = pair();
    clock.advance(60_000);
    expect([a.rtt(B), b.rtt(A)]).toEqual([8, 8]);
    expect(cuts).toEqual([]);
  });

  it('cuts a peer whose cable was pulled, not before its time', () => {
    const { clock, state, cuts } = pair();
    clock.advance(10_000);
    state.cut = true;
    clock.advance(2_900);
    expect(cuts).toEqual([]);
    clock.advance(2_000);
    expect(cuts.slice(0, 2).sort()).toEqual(['a cuts b: b is silent', 'b cuts a: a is silent']);
  });

  it('cuts a connection on which no direct stream comes up', () => {
    const { clock, state, cuts } = pair();
    state.streams = false;
    clock.advance(9_000);
    expect(cuts).toEqual([]);
    clock.advance(4_000);
    expect(cuts).toContain('a cuts b: b opens no direct stream');
  });

  it('does not blame the others for a pause of its own process', () => {
    const { clock, cuts, a } = pair();
    clock.advance(5_000);
    const stop = clock.now.bind(clock);
    let ahead = 0;
    clock.now = () => (stop() + ahead) as ReturnType<typeof stop>;
    ahead = 60_000;
    a.tick();
    expect(cuts).toEqual([]);
  });
});
