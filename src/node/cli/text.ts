/**
 * How things look on a terminal: tables of plain columns, cut ids, no control characters. Pure.
 * @module
 */

/** Widest line of a table. */
export const WIDTH = 100;

const CUT_TO = 16;

/** Below this a column says little. */
const LEAST = 10;

/** Names and reasons come from other hosts: what moves a cursor is shown, not obeyed. */
export const visible = (text: string): string =>
  text.replaceAll(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (c) => {
    return `\\u${(c.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`;
  });

/** `12D3KooW...2nQ7vQb`: both ends of a long id, because ids of one kind begin alike. */
export const cutMiddle = (id: string, length = CUT_TO): string =>
  id.length <= length ? id : `${id.slice(0, 8)}..${id.slice(-(length - 10))}`;

/** Ids in a list, each cut unless `full`. */
export const ids = (list: readonly string[], full: boolean): string =>
  list.map((id) => (full ? id : cutMiddle(id))).join(' ');

/**
 * Plain columns, two blanks between them; without a head when `head` is empty. No line is wider
 * than `width`: the widest column gives way first. The first one names the thing, so it gives way
 * only when the others are down to {@link LEAST}.
 */
export function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  width: number = WIDTH,
): string {
  const lines = [...(head.length === 0 ? [] : [head]), ...rows].map((r) => r.map(visible));
  const columns = Math.max(0, ...lines.map((line) => line.length));
  const widths = Array.from({ length: columns }, (_, i) =>
    Math.max(...lines.map((line) => (line[i] ?? '').length)),
  );
  const room = width - 2 * Math.max(0, columns - 1);
  for (let over = widths.reduce((a, b) => a + b, 0) - room; over > 0; over--) {
    const others = Math.max(...widths.slice(1));
    const most = others > LEAST ? others : Math.max(...widths);
    if (most <= 4) break;
    const widest = widths.lastIndexOf(most);
    widths[widest] = most - 1;
  }
  return lines
    .map((line) =>
      line
        .map((cell, i) => inWidth(cell, widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join('');
}

const inWidth = (cell: string, width: number): string =>
  cell.length > width ? `${cell.slice(0, Math.max(0, width - 2))}..` : cell.padEnd(width);

/** Two columns, names and values; values are whole, because somebody will copy them. */
export function fields(pairs: readonly (readonly [string, unknown])[]): string {
  const width = Math.max(...pairs.map(([name]) => name.length));
  return pairs
    .map(([name, value]) => `${name.padEnd(width)}  ${visible(String(value))}`.trimEnd())
    .map((line) => `${line}\n`)
    .join('');
}

/** `1d 2h`, `3m 4s`, `250ms`: the two largest units. */
export function age(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)}ms`;
  const units: readonly (readonly [string, number])[] = [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['m', 60_000],
    ['s', 1_000],
  ];
  const first = units.findIndex(([, size]) => ms >= size);
  let rest = ms;
  const parts = units.slice(first, first + 2).flatMap(([unit, size]) => {
    const n = Math.floor(rest / size);
    rest -= n * size;
    return n === 0 ? [] : [`${n}${unit}`];
  });
  return parts.join(' ');
}
