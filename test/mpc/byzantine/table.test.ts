/**
 * A byzantine party for every row of the table of malicious participants, in each protocol where it
 * can occur, among three and among five.
 */
import { describe, expect, it } from 'vitest';
import './dealt.ts';
import './signing.ts';
import { EXCUSED, PROTOCOLS, ROWS, type Row, SIZES, triedAt } from './rows.ts';

const rows = Object.keys(ROWS) as Row[];

describe.each(rows)('%s', (row) => {
  for (const protocol of PROTOCOLS) {
    const run = triedAt(row, protocol);
    if (run === undefined) continue;
    it.each(SIZES)(`S5: ${ROWS[row]}: ${protocol}, %i parties`, (size) => run(size));
  }
});

describe('the table', () => {
  it('has a test or a reason in every cell', () => {
    const lines: string[] = [];
    const holes: string[] = [];
    for (const row of rows) {
      const cells = PROTOCOLS.map((protocol) => {
        const excuse = EXCUSED[row]?.[protocol];
        const tried = triedAt(row, protocol) !== undefined;
        if (tried === (excuse !== undefined)) holes.push(`${row}/${protocol}`);
        return (tried ? SIZES.join('+') : '-').padEnd(8);
      });
      lines.push(`${cells.join(' ')} ${ROWS[row]}`);
    }
    const head = PROTOCOLS.map((protocol) => protocol.padEnd(8)).join(' ');
    console.log([head, ...lines].join('\n'));
    for (const row of rows) {
      for (const [protocol, why] of Object.entries(EXCUSED[row] ?? {})) {
        console.log(`- ${ROWS[row]}, ${protocol}: ${why}`);
      }
    }
    expect(holes).toEqual([]);
  });
});
