/** The log: JSON lines, levels, and nothing secret in them. */
import { describe, expect, it } from 'vitest';
import { BzzzError } from '../../../src/base/errors.ts';
import { createLogger, type LogOptions } from '../../../src/node/log.ts';
import { formatPretty } from '../../../src/node/log-pretty.ts';
import { redact } from '../../../src/node/log-redact.ts';

function logger(options: Partial<LogOptions> = {}) {
  const lines: string[] = [];
  const log = createLogger({
    level: 'debug',
    format: 'json',
    colour: false,
    sink: { write: (line) => void lines.push(line) },
    ...options,
  });
  return { log, lines, documents: () => lines.map((line) => JSON.parse(line)) };
}

describe('lines', () => {
  it('are one JSON object each, with time, level, component and fields', () => {
    const { log, documents } = logger();
    log.child({ component: 'roster' }).info({ epoch: 3 }, 'admitted');
    expect(documents()).toEqual([
      {
        level: 'info',
        time: expect.stringMatching(/^\d{4}-.*Z$/),
        component: 'roster',
        epoch: 3,
        msg: 'admitted',
      },
    ]);
  });

  it.each([
    ['error', 1],
    ['warn', 2],
    ['info', 3],
    ['debug', 4],
    ['silent', 0],
  ] as const)('at level %s only that and above', (level, count) => {
    const { log, lines } = logger({ level });
    log.error({}, 'e');
    log.warn({}, 'w');
    log.info({}, 'i');
    log.debug({}, 'd');
    expect(lines).toHaveLength(count);
  });

  it('a line break in a message or a name forges no second line', () => {
    const json = logger();
    json.log.info({ name: 'a\n{"level":"error"}' }, 'x\ny');
    expect(json.lines.join('').trimEnd().split('\n')).toHaveLength(1);
    const pretty = logger({ format: 'pretty' });
    pretty.log.info({ name: 'a\n12:00 error', esc: '\u001b[2J' }, 'x\ny');
    const text = pretty.lines.join('');
    expect(text.trimEnd().split('\n')).toHaveLength(1);
    expect(text).not.toContain('\u001b');
  });

  it('for people name time, level, component, message and fields', () => {
    const line = JSON.stringify({
      level: 'warn',
      time: '2026-01-01T12:34:56.789Z',
      component: 'net',
      msg: 'slow',
      ms: 7,
      peers: ['a'],
    });
    expect(formatPretty(line, false)).toBe('12:34:56.789 warn  net: slow ms=7 peers=["a"]\n');
    expect(formatPretty(line, true)).toContain('\u001b[33mwarn ');
    expect(formatPretty('not json\n', false)).toBe('not json\n');
  });
});

describe('secrets (K3, N3)', () => {
  const CANARY = 'c0ffee'.repeat(8);
  const raw = new Uint8Array(Buffer.from(CANARY, 'hex'));
  const b64 = Buffer.from(raw).toString('base64');

  it.each([
    ['share', { share: CANARY }],
    ['signing share', { signingShare: CANARY }],
    [
      'any case and style',
      { signing_share: CANARY, SIGNING_SHARE: CANARY, 'signing-share': CANARY },
    ],
    ['nonce', { nonce: CANARY, hidingNonce: CANARY }],
    ['secret', { inviteSecret: CANARY }],
    ['seed', { seed: CANARY }],
    ['passphrase', { passphrase: CANARY, Password: CANARY }],
    ['token', { token: CANARY }],
    ['message', { message: CANARY }],
    ['private key', { privateKey: CANARY }],
    ['deep inside', { a: { b: [{ c: { seed: CANARY } }] } }],
    ['in a map', { m: new Map([['secret', CANARY]]) }],
    ['bytes under any name', { innocent: raw }],
    ['a buffer', { innocent: Buffer.from(raw) }],
    ['an array buffer', { innocent: raw.buffer }],
    ['a view in a list', { list: [raw, new DataView(raw.buffer)] }],
    [
      'details of an error',
      { err: new BzzzError('INTERNAL', 'x', { details: { share: CANARY, raw } }) },
    ],
    ['the cause of an error', { err: new Error('x', { cause: { secret: CANARY, raw } }) }],
    ['an invitation in a text', { text: `bzzz join bzzz1${CANARY}` }],
    ['an invitation in an error', { err: new Error(`bad bzzz1${CANARY}`) }],
  ])('%s', (_name, fields) => {
    for (const format of ['json', 'pretty'] as const) {
      const { log, lines } = logger({ format });
      log.error(fields, 'failed');
      log.child(fields).warn({}, `with bzzz1${CANARY}`);
      const text = lines.join('');
      expect(lines).toHaveLength(2);
      expect(text).not.toContain(CANARY);
      expect(text).not.toContain(b64);
      expect(text).not.toContain([...raw.slice(0, 6)].join(','));
    }
  });

  it('shows of bytes only how many they are', () => {
    const fields = {
      raw,
      buffer: Buffer.from(raw),
      list: [raw.buffer],
      view: new DataView(raw.buffer),
    };
    const shown = `[${raw.length} bytes]`;
    expect(redact(fields)).toEqual({ raw: shown, buffer: shown, list: [shown], view: shown });
  });

  it('leaves what helps: hashes, ids, codes, messages of errors', () => {
    const fields = {
      messageHash: 'ab',
      peerId: '12D3KooW',
      keyId: 'cd',
      err: new BzzzError('NOT_FOUND', 'no key x', { why: 'w', details: { need: 3 } }),
    };
    expect(redact(fields)).toEqual({
      messageHash: 'ab',
      peerId: '12D3KooW',
      keyId: 'cd',
      err: {
        name: 'BzzzError',
        message: 'no key x',
        code: 'NOT_FOUND',
        why: 'w',
        details: { need: 3 },
      },
    });
  });

  it('is bounded: loops, depth, length, numbers of items', () => {
    const loop: Record<string, unknown> = {};
    loop.self = loop;
    const long = { text: 'x'.repeat(1_000_000), list: Array.from({ length: 1_000_000 }, () => 1) };
    expect(JSON.stringify(redact(loop)).length).toBeLessThan(200);
    expect(JSON.stringify(redact(long)).length).toBeLessThan(3_000);
    expect(redact({ n: 1n, f: () => 1, d: new Date(Number.NaN), u: undefined, z: null })).toEqual({
      n: '1',
      f: '[function]',
      d: 'invalid date',
      u: undefined,
      z: null,
    });
  });
});
