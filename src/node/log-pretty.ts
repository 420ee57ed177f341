/**
 * A log line for people: `12:00:01 info  roster: admitted peerId=12D3... epoch=3`. Pure.
 * @module
 */

const COLOURS: Readonly<Record<string, number>> = { error: 31, warn: 33, info: 32, debug: 90 };

/** Control characters would let a peer's name move the cursor of whoever reads the log. */
const visible = (text: string): string =>
  text.replaceAll(/[\p{Cc}\p{Cf}]/gu, (c) => JSON.stringify(c).slice(1, -1).padEnd(1, '?'));

/** Formats one JSON log line; a line that is no JSON object passes as it is. */
export function formatPretty(line: string, colour: boolean): string {
  let fields: Record<string, unknown>;
  try {
    fields = JSON.parse(line);
  } catch {
    // Not ours to lose: whatever it says, the operator should see it.
    return line;
  }
  const { level, time, msg, component, ...rest } = fields;
  const word = String(level).padEnd(5);
  const code = COLOURS[String(level)];
  const painted = colour && code !== undefined ? `\u001b[${code}m${word}\u001b[0m` : word;
  const where = component === undefined ? '' : `${visible(String(component))}: `;
  const tail = Object.entries(rest).map(([k, v]) => ` ${k}=${short(v)}`);
  const text = `${where}${visible(String(msg))}${tail.join('')}`;
  return `${String(time).slice(11, 23)} ${painted} ${text}\n`;
}

const short = (v: unknown): string => visible(typeof v === 'string' ? v : JSON.stringify(v));
