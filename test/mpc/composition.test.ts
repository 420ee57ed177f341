import { describe, expect, it } from 'vitest';
import { type CompositionRequest, checkComposition } from '../../src/mpc/composition.ts';

const peers = (n: number): string[] => Array.from({ length: n }, (_, i) => `peer${i}`);

describe('composition', () => {
  it('R36: is persistent only when none is given', () => {
    const { byRole, parties } = checkComposition({ threshold: 3, parties: 5 });
    expect([...byRole]).toEqual([['persistent', 5]]);
    expect(parties).toBe(5);
  });

  it.each<[CompositionRequest, number]>([
    [{ threshold: 2, parties: 2 }, 2],
    [{ threshold: 4, parties: 7 }, 7],
    [{ threshold: 2, composition: { persistent: 3 } }, 3],
    [{ threshold: 2, participants: peers(3) }, 3],
    [{ threshold: 16, parties: 16, composition: { persistent: 16 }, participants: peers(16) }, 16],
  ])('accepts %j', (request, parties) => {
    expect(checkComposition(request).parties).toBe(parties);
  });

  it.each<[string, CompositionRequest, string]>([
    ['empty', { threshold: 2, parties: 3, composition: {} }, 'INVALID_COMPOSITION'],
    [
      'all zero',
      { threshold: 2, parties: 3, composition: { persistent: 0 } },
      'INVALID_COMPOSITION',
    ],
    [
      'negative',
      { threshold: 2, parties: 3, composition: { persistent: -3 } },
      'INVALID_COMPOSITION',
    ],
    ['fractional', { threshold: 2, composition: { persistent: 2.5 } }, 'INVALID_COMPOSITION'],
    ['NaN', { threshold: 2, composition: { persistent: Number.NaN } }, 'INVALID_COMPOSITION'],
    [
      'sum too small',
      { threshold: 2, parties: 4, composition: { persistent: 3 } },
      'INVALID_COMPOSITION',
    ],
    [
      'unknown role',
      { threshold: 2, parties: 3, composition: { admin: 3 } },
      'INVALID_COMPOSITION',
    ],
    [
      'observer',
      { threshold: 2, parties: 3, composition: { persistent: 2, observer: 1 } },
      'INVALID_COMPOSITION',
    ],
    [
      'zero delegate',
      { threshold: 2, parties: 3, composition: { persistent: 3, delegate: 0 } },
      'INVALID_COMPOSITION',
    ],
    ['no number of parties', { threshold: 2 }, 'INVALID_COMPOSITION'],
    ['one party', { threshold: 2, parties: 1 }, 'INVALID_COMPOSITION'],
    ['17 parties', { threshold: 2, parties: 17 }, 'INVALID_COMPOSITION'],
    ['fractional parties', { threshold: 2, parties: 2.5 }, 'INVALID_COMPOSITION'],
    [
      'participants unlike parties',
      { threshold: 2, parties: 3, participants: peers(2) },
      'INVALID_COMPOSITION',
    ],
    ['t > n', { threshold: 4, parties: 3 }, 'INVALID_THRESHOLD'],
    ['t < 2', { threshold: 1, parties: 3 }, 'INVALID_THRESHOLD'],
    ['t = 0', { threshold: 0, parties: 3 }, 'INVALID_THRESHOLD'],
    ['fractional t', { threshold: 2.5, parties: 3 }, 'INVALID_THRESHOLD'],
    [
      'fewer persistent parties than the threshold',
      { threshold: 2, composition: { persistent: 1, delegate: 2 } },
      'INVALID_COMPOSITION',
    ],
    ['temporaries only', { threshold: 2, composition: { temporary: 3 } }, 'INVALID_COMPOSITION'],
  ])('R38: refuses %s', (_, request, code) => {
    expect(() => checkComposition(request)).toThrow(expect.objectContaining({ code }));
  });

  it('takes role names as data: __proto__ is an unknown role', () => {
    const composition = JSON.parse('{"__proto__": 3}') as Record<string, number>;
    expect(() => checkComposition({ threshold: 2, parties: 3, composition })).toThrow(
      /unknown role "__proto__"/,
    );
  });
});

describe('other roles', () => {
  it('R37: are taken as they are asked for; with too few persistent ones only if --ephemeral', () => {
    const durable = checkComposition({ threshold: 2, composition: { persistent: 2, delegate: 1 } });
    expect(durable).toMatchObject({ parties: 3, ephemeral: false });
    expect([...durable.byRole]).toEqual([
      ['persistent', 2],
      ['delegate', 1],
    ]);
    const request = { threshold: 2, composition: { temporary: 2 }, ephemeral: true };
    expect(checkComposition(request).ephemeral).toBe(true);
    // The word alone changes nothing.
    expect(checkComposition({ threshold: 2, parties: 3, ephemeral: true }).ephemeral).toBe(false);
  });
});
