/** The control socket at its borders: who may reach it, and what hostile clients cannot do. */
import { spawn, spawnSync } from 'node:child_process';
import { chmod, lstat, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import type { BzzzError } from '../../../src/base/errors.ts';
import { LIMITS } from '../../../src/base/limits.ts';
import { Harness, untilClosed } from './harness.ts';

const open: Harness[] = [];
async function start(...args: Parameters<typeof Harness.start>): Promise<Harness> {
  const h = await Harness.start(...args);
  open.push(h);
  return h;
}
afterEach(async () => {
  await Promise.all(open.splice(0).map((h) => h.stop()));
});

const refusal = (work: Promise<unknown>): Promise<BzzzError> =>
  work.then(
    () => expect.unreachable('was accepted'),
    (thrown: BzzzError) => thrown,
  );

describe('the socket file', () => {
  it.each([0o000, 0o022, 0o077, 0o777])('has mode 0600 under umask %o', async (umask) => {
    const before = process.umask(umask);
    try {
      const h = await Harness.start();
      process.umask(before);
      expect((await lstat(h.path)).mode & 0o777).toBe(0o600);
      expect((await lstat(h.path)).isSocket()).toBe(true);
      expect((await h.get('/livez')).status).toBe(200);
      await h.stop();
    } finally {
      process.umask(before);
    }
  });

  it('needs a directory that nobody else may enter', async () => {
    const h = await start();
    await h.server.stop();
    await chmod(h.dir, 0o755);
    const error = await refusal(h.make().start());
    expect(error).toMatchObject({ code: 'LOOSE_PERMISSIONS', exit: 2 });
    expect(error.message).toContain(h.dir);
    await chmod(h.dir, 0o700);
  });

  it('cannot be reached by another uid', async ({ skip }) => {
    if (process.getuid?.() !== 0) {
      console.warn('skipped: only root can act as another user');
      skip();
    }
    const h = await start();
    const script = `require('node:net').connect(${JSON.stringify(h.path)})
      .on('connect', () => process.exit(0)).on('error', (e) => { console.log(e.code); process.exit(9); })`;
    // cwd: the other user may not be allowed into this one.
    const asNobody = { uid: 65_534, gid: 65_534, encoding: 'utf8', cwd: '/' } as const;
    const probe = spawnSync('/usr/bin/env', ['true'], asNobody);
    if (probe.status !== 0) {
      console.warn('skipped: this system runs nothing as another user');
      skip();
    }
    const node = spawnSync(process.execPath, ['-e', script], asNobody);
    if (node.error !== undefined || node.status === null) {
      console.warn(`skipped: another user cannot run this runtime (${node.error?.message})`);
      skip();
    }
    expect(node.status).not.toBe(0);
    expect(node.stdout).toMatch(/EACCES/);
    expect((await lstat(h.dir)).mode & 0o077).toBe(0);
  });

  it('that a killed daemon left behind is reclaimed', async () => {
    const h = await start();
    await h.server.stop();
    const child = spawn(
      process.execPath,
      [
        '-e',
        `require('node:net').createServer().listen(${JSON.stringify(h.path)}, () => console.log('up'))`,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    await new Promise((done) => child.stdout.once('data', done));
    const ended = new Promise((done) => child.once('exit', done));
    child.kill('SIGKILL');
    await ended;
    expect((await lstat(h.path)).isSocket()).toBe(true);
    h.server = h.make();
    await h.server.start();
    expect((await h.get('/livez')).status).toBe(200);
  });

  it('of a living daemon is left alone', async () => {
    const h = await start();
    const error = await refusal(h.make().start());
    expect(error).toMatchObject({ code: 'CONFLICT', exit: 8 });
    expect(error.message).toContain(h.path);
    expect((await h.get('/livez')).status).toBe(200);
  });

  it('that is a symbolic link, also to a stale socket, or a file is refused and kept', async () => {
    const h = await start();
    await h.server.stop();
    const target = join(h.dir, 'target');
    await symlink(target, h.path);
    expect(await refusal(h.make().start())).toMatchObject({
      code: 'CONFLICT',
      message: expect.stringContaining('symbolic link'),
    });
    expect((await lstat(h.path)).isSymbolicLink()).toBe(true);
    await rm(h.path);
    await writeFile(h.path, 'precious');
    expect(await refusal(h.make().start())).toMatchObject({ code: 'CONFLICT' });
    expect((await lstat(h.path)).size).toBe(8);
  });

  it('with a path over 107 bytes is PATH_TOO_LONG; with 107 it works', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'b-'));
    const h = await start();
    const at = (bytes: number): string => join(dir, 'x'.repeat(bytes - dir.length - 1));
    const error = await refusal(h.make({ socketPath: at(108) }).start());
    expect(error).toMatchObject({ code: 'PATH_TOO_LONG', exit: 2, details: { bytes: 108 } });
    const most = h.make({ socketPath: at(107) });
    await most.start();
    await most.stop();
    await rm(dir, { recursive: true });
  });

  it('is gone after a clean stop, and its directory is made when missing', async () => {
    const h = await start();
    const path = join(h.dir, 'deep', 'c.sock');
    const other = h.make({ socketPath: path });
    await mkdir(join(h.dir, 'elsewhere'));
    await other.start();
    expect((await lstat(join(h.dir, 'deep'))).mode & 0o777).toBe(0o700);
    await other.stop();
    await expect(lstat(path)).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

describe('hostile clients, while others are served', () => {
  it('a client that dribbles its headers is closed', async () => {
    const h = await start({ headerMs: 300, bodyMs: 600 });
    const slow = await h.raw();
    const closed = untilClosed(slow);
    slow.write('GET /v1/status HTTP/1.1\r\nHost: x\r\n');
    const dribble = setInterval(() => slow.write('X-A: b\r\n'), 50);
    expect((await h.get('/livez')).status).toBe(200);
    expect(await closed).toMatch(/^HTTP\/1\.1 408/);
    clearInterval(dribble);
    expect((await h.get('/livez')).status).toBe(200);
    expect(h.logged.some(({ message }) => /bad request/.test(message))).toBe(true);
  });

  it('a client that dribbles its body is closed, and nothing was called', async () => {
    const h = await start({ headerMs: 200, bodyMs: 400 });
    const slow = await h.raw();
    const closed = untilClosed(slow);
    slow.write(
      'POST /v1/sign?key=release HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n' +
        'Content-Type: application/octet-stream\r\n\r\n',
    );
    const dribble = setInterval(() => slow.write('x'), 50);
    expect(await closed).toMatch(/^HTTP\/1\.1 408/);
    clearInterval(dribble);
    expect(h.node.calls).toEqual([]);
    expect((await h.get('/livez')).status).toBe(200);
  });

  it('a client that connects and says nothing is closed', async () => {
    const h = await start({ headerMs: 200, bodyMs: 300 });
    const mute = await h.raw();
    await untilClosed(mute);
    expect((await h.get('/livez')).status).toBe(200);
  });

  it('a body that declares too much is 413 before it is sent', async () => {
    const h = await start();
    const socket = await h.raw();
    const closed = untilClosed(socket);
    socket.write(
      'POST /v1/sign?key=k HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n' +
        `Content-Length: ${LIMITS.controlBodyBytes + 1}\r\n\r\n`,
    );
    expect(await closed).toMatch(/^HTTP\/1\.1 413[\s\S]*"code":"TOO_LARGE"/);
  });

  it('a chunked body without end is 413 and closed, without being kept', async () => {
    const h = await start();
    const socket = await h.raw();
    let sent = 0;
    const closed = untilClosed(socket);
    socket.write(
      'POST /v1/sign?key=k HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n' +
        'Transfer-Encoding: chunked\r\n\r\n',
    );
    const piece = `10000\r\n${'x'.repeat(65_536)}\r\n`;
    const pump = async (): Promise<void> => {
      while (!socket.destroyed && sent < 500 * 65_536) {
        sent += 65_536;
        if (!socket.write(piece)) {
          await Promise.race([new Promise((done) => socket.once('drain', done)), closed]);
        }
      }
    };
    await Promise.race([pump(), closed]);
    expect(await closed).toMatch(/^HTTP\/1\.1 413/);
    expect(sent).toBeLessThan(500 * 65_536);
    expect(h.node.calls).toEqual([]);
  });

  it.each([
    ['noise', Buffer.from([0, 255, 1, 254, 13, 10, 13, 10])],
    ['another protocol', Buffer.from('\u0016\u0003\u0001 hello TLS\r\n\r\n')],
    ['headers without end', Buffer.from(`GET / HTTP/1.1\r\nA: ${'x'.repeat(40_000)}\r\n`)],
    [
      'two lengths',
      Buffer.from('POST /v1/keys HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx'),
    ],
    [
      'a length and chunks',
      Buffer.from(
        'POST /v1/keys HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      ),
    ],
    [
      'a bad chunk',
      Buffer.from(
        'POST /v1/keys HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\nzz\r\n',
      ),
    ],
  ])('%s: closed and logged, others served', async (_name, bytes) => {
    const h = await start();
    const socket = await h.raw();
    const closed = untilClosed(socket);
    socket.write(bytes);
    expect(await closed).toMatch(/^(HTTP\/1\.1 4\d\d|$)/);
    expect(h.logged.some(({ message }) => /bad request, connection closed/.test(message))).toBe(
      true,
    );
    expect((await h.get('/v1/status')).status).toBe(200);
    expect(h.node.calls).toEqual([]);
  });

  it('more connections than allowed are closed, and those inside go on', async () => {
    const h = await start({ maxConnections: 3 });
    const inside = [await h.raw(), await h.raw()];
    const outside = await Promise.all([h.raw(), h.raw(), h.raw()]);
    const ended = outside.map(untilClosed);
    await Promise.race(ended);
    const request = 'GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n';
    const answers = inside.map(untilClosed);
    for (const socket of inside) socket.write(request);
    for (const text of await Promise.all(answers)) expect(text).toMatch(/^HTTP\/1\.1 200/);
    for (const socket of outside) socket.destroy();
    expect(h.logged.some(({ message }) => /too many connections/.test(message))).toBe(true);
  });

  it('200 clients that break off in the middle leave the server as it was', async () => {
    const h = await start();
    await Promise.all(
      Array.from({ length: 200 }, async (_, i) => {
        const socket = await h.raw();
        socket.write(
          'POST /v1/keys HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{'.slice(0, i),
        );
        await sleep(i % 7);
        socket.destroy();
      }),
    );
    expect((await h.get('/v1/status')).status).toBe(200);
    expect(h.node.calls).toEqual([]);
  });
});

describe('stop', () => {
  it('ends although a call hangs and a stream is open', async () => {
    const h = await start();
    h.node.set('status', () => new Promise(() => {}));
    const hanging = h.get('/v1/status').catch((e: Error) => e);
    const stream = await h.raw();
    stream.write('GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n');
    await new Promise((done) => stream.once('data', done));
    await h.server.stop();
    expect(await hanging).toBeInstanceOf(Error);
  });

  it('lets a running call end', async () => {
    const h = await start({ graceMs: 5_000 });
    const release = Promise.withResolvers<void>();
    const entered = Promise.withResolvers<void>();
    const original = h.node.status;
    h.node.set('status', async () => {
      entered.resolve();
      await release.promise;
      return original();
    });
    const running = h.get('/v1/status');
    await entered.promise;
    const stopped = h.server.stop();
    release.resolve();
    expect((await running).status).toBe(200);
    await stopped;
  });
});
