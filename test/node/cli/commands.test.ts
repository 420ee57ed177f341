/** The command line against a control server: documents, exit codes, tables, streams. */
import { spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BzzzError, type ErrorCode } from '../../../src/base/errors.ts';
import { LIMITS } from '../../../src/base/limits.ts';
import type { NodeServices } from '../../../src/node/services.ts';
import {
  GATHERING,
  JOINED,
  KEY,
  PEER_A,
  PEER_B,
  SESSION,
  SIGNED,
} from '../control/fake-services.ts';
import { Harness } from '../control/harness.ts';
import { bzzz, inProcess, type Ran, start } from './harness.ts';

let h: Harness;
beforeAll(async () => {
  h = await Harness.start();
});
afterAll(() => h.stop());
beforeEach(() => {
  h.node.calls.length = 0;
});

const run = (args: readonly string[], input?: string | Uint8Array): Promise<Ran> =>
  inProcess(args, {
    home: h.dir,
    env: { BZZZ_CONTROL_SOCKET: h.path },
    ...(input === undefined ? {} : { input }),
  });

async function json(args: readonly string[], input?: string | Uint8Array): Promise<unknown> {
  const ran = await run([...args, '--json'], input);
  expect(ran.code, ran.stderr).toBe(0);
  expect(ran.stderr).toBe('');
  expect(ran.stdout.trimEnd().split('\n')).toHaveLength(1);
  return JSON.parse(ran.stdout);
}

/** Replaces one service for the time of `work`. */
async function withService<K extends keyof NodeServices>(
  name: K,
  fn: NodeServices[K],
  work: () => Promise<void>,
): Promise<void> {
  const original = h.node[name];
  h.node.set(name, fn);
  try {
    await work();
  } finally {
    h.node.set(name, original);
  }
}

it('the program itself prints documents and bytes, and reads stdin', async () => {
  const options = { home: h.dir, env: { BZZZ_CONTROL_SOCKET: h.path } };
  const status = await bzzz(['status', '--json'], options);
  expect(status).toMatchObject({ code: 0, stderr: '' });
  expect(JSON.parse(status.stdout)).toEqual(await h.node.status());
  const got = await bzzz(['get', 'ucxl://a:b@c:d/x'], options);
  expect(got.bytes).toEqual(Buffer.from([0, 255, 10]));
  const signed = await bzzz(['sign', 'release', '-'], { ...options, input: 'from stdin' });
  expect(signed.code).toBe(0);
  expect(h.node.calls.at(-1)?.[1]).toMatchObject({
    message: new TextEncoder().encode('from stdin'),
  });
});

it('status loads commander and no other library, so that it stays quick', async () => {
  const hook = `import { registerHooks } from 'node:module';
    registerHooks({ load(url, context, next) { process.stderr.write(url + '\\n'); return next(url, context); } });`;
  const main = resolve(import.meta.dirname, '../../../src/node/cli/main.ts');
  const { stderr, status } = await new Promise<{ stderr: string; status: number | null }>(
    (done) => {
      const child = spawn(
        process.execPath,
        ['--import', `data:text/javascript,${encodeURIComponent(hook)}`, main, 'status', '--json'],
        { env: { HOME: h.dir, BZZZ_CONTROL_SOCKET: h.path }, stdio: ['ignore', 'pipe', 'pipe'] },
      );
      let text = '';
      child.stdout.resume();
      child.stderr.on('data', (chunk) => (text += chunk));
      child.once('close', (code) => done({ stderr: text, status: code }));
    },
  );
  expect(status, stderr).toBe(0);
  const loaded = stderr.split('\n').filter((url) => url.startsWith('file:'));
  expect(loaded.length).toBeGreaterThan(10);
  const libraries = loaded.filter((url) => url.includes('/node_modules/'));
  expect(libraries.filter((url) => !url.includes('/node_modules/commander/'))).toEqual([]);
});

describe('--json prints the documents of the control API', () => {
  it('status, peers, roster, health', async () => {
    expect(await json(['status'])).toEqual(await h.node.status());
    expect(await json(['peers'])).toEqual(h.node.peers());
    expect(await json(['roster'])).toEqual(h.node.roster());
    expect(await json(['health'])).toEqual(await h.node.health());
  });

  it('key ls, show, create, export', async () => {
    expect(await json(['key', 'ls'])).toEqual([KEY]);
    expect(await json(['key', 'show', 'release'])).toEqual(KEY);
    const args = ['key', 'create', 'release', '--suite', 'ed25519', '--threshold', '2'];
    const more = [
      '--parties',
      '3',
      '--role',
      'persistent=3',
      '--participants',
      `${PEER_A},${PEER_B}`,
    ];
    const rest = [
      '--purpose',
      'tests',
      '--requester',
      PEER_A,
      '--policy',
      'auto',
      '--timeout',
      '9s',
    ];
    expect(await json([...args, ...more, ...rest])).toEqual(KEY);
    expect(h.node.calls).toEqual([
      [
        'createKey',
        {
          name: 'release',
          suite: 'ed25519',
          threshold: 2,
          parties: 3,
          composition: { persistent: 3 },
          participants: [PEER_A, PEER_B],
          purpose: 'tests',
          requesters: [PEER_A],
          policy: 'auto',
          timeoutMs: 9_000,
        },
      ],
    ]);
    expect((await run(['key', 'export', 'release', '--format', 'pem'])).stdout).toBe(
      '-----BEGIN\n',
    );
  });

  it('key refresh, reshare', async () => {
    expect(await json(['key', 'refresh', 'release'])).toEqual(KEY);
    const args = ['--threshold', '2', '--participants', `${PEER_A},${PEER_B}`, '--timeout', '9s'];
    expect(await json(['key', 'reshare', 'release', ...args])).toEqual(KEY);
    const wish = { threshold: 2, participants: [PEER_A, PEER_B], timeoutMs: 9_000 };
    expect(h.node.calls).toEqual([
      ['changeKey', { key: 'release' }],
      ['changeKey', { key: 'release', ...wish }],
    ]);
  });

  it('key repair, retire', async () => {
    expect(await json(['key', 'repair', 'release', PEER_B])).toEqual(KEY);
    expect(await json(['key', 'retire', 'release', '--wipe'])).toMatchObject({ status: 'retired' });
    expect(await json(['key', 'retire', 'release'])).toMatchObject({ status: 'retired' });
    expect(h.node.calls).toEqual([
      ['repairKey', { key: 'release', peer: PEER_B }],
      ['retireKey', { key: 'release', wipe: true }],
      ['retireKey', { key: 'release', wipe: false }],
    ]);
  });

  it('session ls, show, cancel', async () => {
    expect(await json(['session', 'ls'])).toEqual([SESSION]);
    expect(await json(['session', 'show', 'efef'])).toEqual(SESSION);
    expect(await json(['session', 'cancel', 'efef'])).toMatchObject({ state: 'cancelled' });
  });

  it('session join', async () => {
    const token = GATHERING.token;
    expect(await json(['session', 'join', token])).toEqual(JOINED);
    expect(h.node.calls).toEqual([['joinGathering', token]]);
    expect((await run(['session', 'join', token])).stdout).toContain('2 of 3');
    expect(await run(['session', 'join'])).toMatchObject({ code: 2 });
  });

  it('invite, invite ls, invite revoke, roster remove, leave', async () => {
    const args = ['invite', '--role', 'observer', '--no-voter', '--ttl', '2h'];
    expect(await json(args)).toMatchObject({ invitation: 'bzzz1abc' });
    expect(await json(['invite', 'ls'])).toMatchObject([{ id: 'aa', state: 'open' }]);
    expect(await json(['invite', 'revoke', 'aa'])).toEqual({ revoked: 'aa' });
    expect(await json(['roster', 'remove', PEER_B])).toEqual({
      epoch: 3,
      keysStillHeld: ['release'],
    });
    expect(await json(['leave'])).toEqual({ epoch: 3 });
    expect(h.node.calls).toEqual([
      ['invite', { role: 'observer', noVoter: true, ttlMs: 7_200_000 }],
      ['revokeInvitation', 'aa'],
      ['removeMember', PEER_B],
      ['leave'],
    ]);
  });
});

describe('invite', () => {
  it('prints the string alone', async () => {
    const ran = await run(['invite']);
    expect(ran).toMatchObject({ code: 0, stdout: 'bzzz1abc\n', stderr: '' });
    expect(h.node.calls).toEqual([
      ['invite', { role: 'persistent', noVoter: false, ttlMs: 3_600_000 }],
    ]);
  });
});

describe('sign and verify', () => {
  it('take the message from text, hex, a file and stdin', async () => {
    const bytes = Uint8Array.of(0, 255, 10, 13);
    const file = join(h.dir, 'm');
    await writeFile(file, bytes);
    await json(['sign', 'release', '--message', 'hé']);
    await json(['sign', 'release', '--hex', '00FF0a0d']);
    await json(['sign', 'release', '--file', file, '--fresh']);
    await json(['sign', 'release', '-'], bytes);
    await json(['sign', 'release', '--message', '', '--timeout', '1s']);
    expect(h.node.calls.map(([, request]) => request)).toEqual([
      { key: 'release', message: new TextEncoder().encode('hé'), fresh: false },
      { key: 'release', message: bytes, fresh: false },
      { key: 'release', message: bytes, fresh: true },
      { key: 'release', message: bytes, fresh: false },
      { key: 'release', message: new Uint8Array(), fresh: false, timeoutMs: 1_000 },
    ]);
  });

  it('--out writes the raw bytes, whatever else is printed', async () => {
    const out = join(h.dir, 'sig');
    expect(await json(['sign', 'release', '--message', 'x', '--out', out])).toEqual(SIGNED);
    expect((await readFile(out)).toString('hex')).toBe(SIGNED.signature);
    const human = await run(['sign', 'release', '--message', 'x', '--out', out]);
    expect(human.stdout).toMatch(new RegExp(`^signature +${SIGNED.signature}$`, 'm'));
    const nowhere = await run(['sign', 'release', '--message', 'x', '--out', '/nowhere/x']);
    expect(nowhere.code).toBe(1);
  });

  it('1 MiB is signed, one byte more is refused with the advice to sign a digest', async () => {
    const file = join(h.dir, 'big');
    await writeFile(file, new Uint8Array(LIMITS.signMessageBytes));
    expect(await json(['sign', 'release', '--file', file])).toEqual(SIGNED);
    const more = new Uint8Array(LIMITS.signMessageBytes + 1);
    await writeFile(file, more);
    for (const ran of [
      await run(['sign', 'release', '--file', file]),
      await run(['sign', 'release', '-'], more),
    ]) {
      expect(ran.code).toBe(2);
      expect(ran.stderr).toMatch(/TOO_LARGE[\s\S]*digest/);
    }
    expect(h.node.calls).toHaveLength(1);
  });

  it('a file that is missing or a directory', async () => {
    expect((await run(['sign', 'release', '--file', '/nowhere'])).code).toBe(4);
    expect((await run(['sign', 'release', '--file', h.dir])).code).toBe(2);
  });

  it('verify exits 0 or 1 and says which', async () => {
    const good = ['verify', 'release', '--message', 'x', '--signature', SIGNED.signature];
    expect(await run(good)).toMatchObject({ code: 0, stdout: expect.stringMatching(/^valid/) });
    const bad = ['verify', 'release', '--message', 'x', '--signature', '00'];
    expect(await run(bad)).toMatchObject({ code: 1, stdout: expect.stringMatching(/^NOT valid/) });
    const asJson = await run([...bad, '--json']);
    expect(asJson).toMatchObject({ code: 1, stdout: '{"valid":false}\n' });
    const file = join(h.dir, 'raw');
    await writeFile(file, Buffer.from(SIGNED.signature, 'hex'));
    const fromFile = ['verify', 'release', '-', '--signature-file', file];
    expect((await run(fromFile, 'x')).code).toBe(0);
    expect(h.node.calls.at(-1)).toEqual([
      'verify',
      'release',
      new TextEncoder().encode('x'),
      new Uint8Array(Buffer.from(SIGNED.signature, 'hex')),
    ]);
  });
});

describe('records', () => {
  it('get writes the bytes as they are', async () => {
    const ran = await run(['get', 'ucxl://a:b@c:d/x', '--fast']);
    expect(ran.bytes).toEqual(Buffer.from([0, 255, 10]));
    expect(await json(['get', 'ucxl://a:b@c:d/x'])).toMatchObject({ bytes: '00ff0a' });
  });

  it('get --fast asks the daemon for the first valid copy', async () => {
    const address = 'ucxl://a:b@c:d/x';
    await run(['get', address]);
    await run(['get', address, '--fast']);
    await json(['get', address]);
    await json(['get', address, '--fast']);
    expect(h.node.calls).toEqual([
      ['read', address, { fast: false }],
      ['read', address, { fast: true }],
      ['get', address, { fast: false }],
      ['get', address, { fast: true }],
    ]);
  });

  it('put and resolve', async () => {
    const file = join(h.dir, 'content');
    await writeFile(file, 'abc');
    const address = 'ucxl://a:b@c:d/*=bafk/x?base=1#f';
    expect(await json(['put', address, '--file', file, '--ack', 'one'])).toMatchObject({
      ack: 'quorum',
    });
    await json(['put', address, '-'], 'abc');
    const abc = new TextEncoder().encode('abc');
    expect(h.node.calls).toEqual([
      ['put', address, abc, 'one'],
      ['put', address, abc, undefined],
    ]);
    expect(await json(['resolve', 'ucxl://a:b@c:d/x'])).toMatchObject({ pin: 'bafkreia' });
  });

  it('errors have the codes of the catalogue', async () => {
    const ran = await run(['resolve', 'nonsense', '--json']);
    expect(ran.code).toBe(2);
    expect(JSON.parse(ran.stdout).error.code).toBe('INVALID_ADDRESS');
    expect((await run(['resolve', 'ucxl://a:b@c:d/none'])).code).toBe(4);
  });
});

describe('exit codes', () => {
  it.each([
    ['INTERNAL', 1],
    ['BAD_REQUEST', 2],
    ['NOT_INITIALISED', 3],
    ['NOT_FOUND', 4],
    ['INSUFFICIENT_PERSISTENT_PARTIES', 5],
    ['TIMEOUT', 6],
    ['REFUSED_BY_POLICY', 7],
    ['CONFLICT', 8],
  ] as [ErrorCode, number][])('%s is %i, with details in the document', async (code, exit) => {
    const fail = async (): Promise<never> => {
      throw new BzzzError(code, 'm', { why: 'w', hint: 'h', details: { need: 3, have: 2 } });
    };
    await withService('keys', fail, async () => {
      const ran = await run(['key', 'ls', '--json']);
      expect(ran.code).toBe(exit);
      expect(JSON.parse(ran.stdout)).toEqual({
        error: { code, message: 'm', why: 'w', try: 'h', details: { need: 3, have: 2 } },
      });
      expect(ran.stderr).toBe(`error: m\nwhy: w (${code})\ntry: h\n`);
    });
  });

  it('health with a failed component is 1', async () => {
    const failed = { ...(await h.node.health())[0], status: 'failed' } as const;
    const list = [failed as Awaited<ReturnType<NodeServices['health']>>[number]];
    await withService(
      'health',
      async () => list,
      async () => {
        expect((await run(['health'])).code).toBe(1);
      },
    );
  });

  it('an answer that does not come in time is 6', async () => {
    await withService(
      'keys',
      () => new Promise(() => {}),
      async () => {
        const ran = await run(['key', 'ls', '--timeout', '300ms']);
        expect(ran.code).toBe(6);
        expect(ran.stderr).toContain('300 ms');
      },
    );
  });

  it('SIGINT is 130, and the daemon is told that nobody waits', async () => {
    const seen = Promise.withResolvers<AbortSignal>();
    const hang = (_request: unknown, signal: AbortSignal): Promise<never> => {
      seen.resolve(signal);
      return new Promise(() => {});
    };
    await withService('sign', hang, async () => {
      const child = start(['sign', 'release', '--message', 'x'], {
        home: h.dir,
        env: { BZZZ_CONTROL_SOCKET: h.path },
      });
      const signal = await seen.promise;
      const ended = new Promise((done) => child.once('exit', done));
      child.kill('SIGINT');
      expect(await ended).toBe(130);
      await expect.poll(() => signal.aborted).toBe(true);
    });
  });
});

describe('for people', () => {
  it('tables are at most 100 wide, ids cut in the middle unless --full', async () => {
    const wide = { ...KEY, name: 'n'.repeat(63), publicKey: 'ab'.repeat(64) };
    await withService(
      'keys',
      async () => [wide],
      async () => {
        for (const args of [
          ['peers'],
          ['key', 'ls'],
          ['session', 'ls'],
          ['roster'],
          ['invite', 'ls'],
        ]) {
          const { stdout } = await run(args);
          const table = stdout.slice(stdout.lastIndexOf('\n\n') + 1);
          for (const line of table.split('\n')) expect(line.length, line).toBeLessThanOrEqual(100);
        }
      },
    );
    expect((await run(['peers'])).stdout).toContain(`${PEER_B.slice(0, 8)}..${PEER_B.slice(-6)}`);
    expect((await run(['peers', '--full'])).stdout).toContain(PEER_B);
  });

  it('R43: key create says once how other hosts join while it waits, and not with --json', async () => {
    const slow = async () => {
      await new Promise((resolve) => setTimeout(resolve, 3_500));
      return KEY;
    };
    await withService('createKey', slow, async () => {
      const args = ['key', 'create', GATHERING.name, '--threshold', '2'];
      const [told, silent, other] = await Promise.all([
        run(args),
        run([...args, '--json']),
        run(['key', 'create', 'another', '--threshold', '2']),
      ]);
      expect(told.stderr.match(/bzzz session join \S+/g)).toEqual([
        `bzzz session join ${GATHERING.token}`,
      ]);
      expect(told.stderr).toContain(GATHERING.reason);
      expect(told.stderr).toContain('2 more hosts');
      expect([silent.stderr, other.stderr]).toEqual(['', '']);
      expect(JSON.parse(silent.stdout)).toEqual(KEY);
    });
  });

  it('no colour and no chatter where nobody looks', async () => {
    const ran = await run(['key', 'create', 'release', '--threshold', '2']);
    expect(ran.stderr).toBe('');
    expect(ran.stdout).not.toContain('\u001b');
  });

  it('control characters from other hosts are shown, not obeyed', async () => {
    const [peer] = h.node.peers();
    const evil = { ...peer, name: 'a\u001b[2J\nb' } as ReturnType<NodeServices['peers']>[number];
    await withService(
      'peers',
      () => [evil],
      async () => {
        const { stdout } = await run(['peers']);
        expect(stdout).not.toContain('\u001b');
        expect(stdout.trimEnd().split('\n')).toHaveLength(2);
      },
    );
    const fail = async (): Promise<never> => {
      throw new BzzzError('INTERNAL', 'x\ny\u001b[31m');
    };
    await withService('keys', fail, async () => {
      const { stderr } = await run(['key', 'ls']);
      expect(stderr.trimEnd().split('\n')).toHaveLength(3);
      expect(stderr).not.toContain('\u001b');
    });
  });
});

describe('streams', () => {
  it('events prints what happened and ends; one JSON document a line', async () => {
    h.node.events.emit('peer.connected', { peer: PEER_B });
    h.node.events.emit('roster.changed', { epoch: 3 });
    const ran = await run(['events', '--json']);
    expect(ran.code).toBe(0);
    const lines = ran.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.slice(-2)).toMatchObject([
      { kind: 'peer.connected', data: { peer: PEER_B } },
      { kind: 'roster.changed', data: { epoch: 3 } },
    ]);
    const human = await run(['events']);
    expect(human.stdout).toMatch(/^\S+Z roster\.changed epoch=3$/m);
  });

  it('events -f and session watch follow until SIGINT (130)', async () => {
    const env = { BZZZ_CONTROL_SOCKET: h.path };
    const children = [
      ['events', '-f'],
      ['session', 'watch'],
    ].map((args) => {
      const child = start([...args, '--json'], { home: h.dir, env });
      let text = '';
      child.stdout?.on('data', (chunk) => (text += chunk));
      return { child, text: () => text };
    });
    await expect
      .poll(
        () => {
          h.node.events.emit('session.completed', { sid: 'aa' });
          h.node.events.emit('peer.lost', {});
          return children.every(({ text }) => text().includes('session.completed'));
        },
        { timeout: 15_000 },
      )
      .toBe(true);
    const [all, sessions] = children.map(({ text }) => text());
    expect(all).toContain('peer.lost');
    expect(sessions).not.toContain('peer.lost');
    for (const { child } of children) {
      const ended = new Promise((done) => child.once('exit', done));
      child.kill('SIGINT');
      expect(await ended).toBe(130);
    }
  });

  it('a reader that had enough is no error', async () => {
    for (let i = 0; i < 2_000; i++) h.node.events.emit('filler', { text: 'x'.repeat(200) });
    const child = start(['events', '--json'], {
      home: h.dir,
      env: { BZZZ_CONTROL_SOCKET: h.path },
    });
    let stderr = '';
    child.stderr?.on('data', (chunk) => (stderr += chunk));
    child.stdout?.once('data', () => child.stdout?.destroy());
    expect(await new Promise((done) => child.once('exit', done))).toBe(0);
    expect(stderr).toBe('');
  });
});

describe('a daemon that is just starting', () => {
  it('is waited for by commands, but not by status', async () => {
    const other = await Harness.start();
    await other.server.stop();
    const env = { BZZZ_CONTROL_SOCKET: other.path };
    const status = await inProcess(['status'], { home: other.dir, env });
    expect(status.code).toBe(3);
    const waiting = inProcess(['invite'], { home: other.dir, env });
    await new Promise((done) => setTimeout(done, 700));
    other.server = other.make();
    await other.server.start();
    expect(await waiting).toMatchObject({ code: 0, stdout: 'bzzz1abc\n' });
    await other.stop();
  });
});
