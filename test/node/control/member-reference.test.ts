/** Which member a word means: never another one by accident. */
import { describe, expect, it } from 'vitest';
import { memberCalled } from '../../../src/node/control/member-reference.ts';
import { PEER_A, PEER_B } from './fake-services.ts';

/** Begins like PEER_B for eleven letters and ends like it. */
const TWIN = `${PEER_B.slice(0, 11)}${'9'.repeat(PEER_B.length - 17)}${PEER_B.slice(-6)}`;

const MEMBERS = [
  { peerId: PEER_A, name: 'node-10' },
  { peerId: PEER_B, name: 'shelf' },
];

describe('memberCalled', () => {
  it.each([
    [PEER_A, PEER_A],
    ['node-10', PEER_A],
    [PEER_A.slice(0, 9), PEER_A],
    [`${PEER_A.slice(0, 8)}..${PEER_A.slice(-6)}`, PEER_A],
    ['shelf', PEER_B],
  ])('%s', (who, peer) => {
    expect(memberCalled(MEMBERS, who)).toBe(peer);
  });

  it('a whole id that no member has is left for others to judge', () => {
    expect(memberCalled(MEMBERS, TWIN)).toBe(TWIN);
  });

  it.each([
    ['a part of a name', 'node-1'],
    ['the start that all ids share', '12D3KooW'],
    ['nothing', ''],
    ['an end alone', PEER_A.slice(-6)],
    ['a cut id of nobody', '12D3KooW..111111'],
    ['a cut id that says too little', `12D3KooW..${PEER_A.slice(-3)}`],
    ['another case', 'Shelf'],
  ])('%s is nobody', (_name, who) => {
    expect(() => memberCalled(MEMBERS, who)).toThrow(
      expect.objectContaining({
        code: 'NOT_FOUND',
        hint: expect.stringContaining('roster --full'),
      }),
    );
  });

  it.each([
    ['a prefix of two ids', PEER_B.slice(0, 10)],
    ['the cut form of two ids', `${PEER_B.slice(0, 8)}..${PEER_B.slice(-6)}`],
    ['a name of two', 'shelf'],
  ])('%s is refused, and both are named', (_name, who) => {
    const members = [...MEMBERS, { peerId: TWIN, name: 'shelf' }];
    expect(() => memberCalled(members, who)).toThrow(
      expect.objectContaining({ code: 'CONFLICT', why: `${PEER_B} ${TWIN}` }),
    );
  });

  it('a name counts before a part of an id', () => {
    const name = PEER_A.slice(0, 12);
    expect(memberCalled([...MEMBERS, { peerId: TWIN, name }], name)).toBe(TWIN);
  });
});
