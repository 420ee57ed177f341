/** Commands that need no daemon, and what all commands do without one. */
import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Epoch } from '../../../src/base/brands.ts';
import { dataDirPaths } from '../../../src/node/datadir.ts';
import { loadInvitation } from '../../../src/node/datadir-cluster.ts';
import { createGenesis } from '../../../src/roster/genesis.ts';
import { encodeInvitation } from '../../../src/roster/invitation.ts';
import { publicKeyOf, sealToken } from '../../../src/roster/token.ts';
import { testSigner } from '../../support/world.ts';
import { bzzz, inProcess, type Ran } from './harness.ts';

let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'bzzz-cli-'));
});
afterAll(() => rm(home, { recursive: true, force: true }));

const run = (args: readonly string[], env: NodeJS.ProcessEnv = {}, input = ''): Promise<Ran> =>
  inProcess(args, { home, env, input });

/** Three lines on stderr, nothing on stdout, and the exit code. */
function expectFailure(ran: Ran, code: number, message: RegExp, name: string): void {
  expect(ran.stderr).toMatch(/^error: .+\nwhy: .+\ntry: .+\n$/);
  expect(ran.stderr).toMatch(message);
  expect(ran.stderr).toContain(`(${name})`);
  expect(ran.stdout).toBe('');
  expect(ran.code).toBe(code);
}

/** An invitation as a voter of `cluster` would print it. */
async function invitationTo(cluster: string): Promise<string> {
  const signer = await testSigner(`founder of ${cluster}`);
  const salt = new Uint8Array(16);
  const genesis = createGenesis({ name: cluster, salt, founder: signer.peerId });
  const secret = new Uint8Array(32).fill(9);
  const sealedToken = sealToken(signer, {
    v: 1,
    clusterId: genesis.clusterId,
    id: new Uint8Array(16),
    role: 'persistent',
    noVoter: false,
    expiresAt: Date.UTC(2030, 0, 1),
    publicKey: publicKeyOf(secret),
  });
  return encodeInvitation({
    genesis,
    sealedToken,
    secret,
    checkpoint: { epoch: 0 as Epoch, head: genesis.hash },
    addresses: ['/ip4/10.0.0.1/tcp/4750'],
  });
}

describe('init', () => {
  it('is idempotent, and refuses another cluster (8)', async () => {
    const first = await run(['init', '--cluster', 'lab', '--json']);
    expect(first.code, first.stderr).toBe(0);
    const made = JSON.parse(first.stdout);
    expect(made).toMatchObject({
      peerId: expect.stringMatching(/^12D3KooW/),
      cluster: 'lab',
      clusterId: expect.stringMatching(/^[0-9a-f]{64}$/),
      created: true,
    });
    const again = await run(['init', '--cluster', 'lab']);
    expect(again.code).toBe(0);
    expect(again.stdout).toContain(made.peerId);
    expect(again.stdout).toContain(made.clusterId);
    expectFailure(await run(['init', '--cluster', 'home']), 8, /lab/, 'ALREADY_INITIALISED');
    const dir = join(home, '.local/share/bzzz');
    expect((await stat(dir)).mode & 0o777).toBe(0o700);
    expect((await stat(join(dir, 'identity.key'))).mode & 0o777).toBe(0o600);
  });

  it('takes the name from the environment, and refuses bad names and none', async () => {
    const BZZZ_DATA_DIR = join(home, 'env');
    const ran = await run(['init', '--json'], { BZZZ_DATA_DIR, BZZZ_CLUSTER: 'lab' });
    expect(JSON.parse(ran.stdout)).toMatchObject({ cluster: 'lab', dataDir: BZZZ_DATA_DIR });
    expectFailure(
      await run(['init'], { BZZZ_DATA_DIR: join(home, 'x') }),
      2,
      /cluster/,
      'BAD_USAGE',
    );
    const bad = await run(['init', '--cluster', 'Not Good', '--data-dir', join(home, 'x')]);
    expectFailure(bad, 2, /flag --cluster.*Not Good/, 'BAD_CONFIG');
  });

  it('refuses a loose directory', async () => {
    const dir = join(home, 'loose');
    await mkdir(dir);
    await chmod(dir, 0o755);
    const ran = await run(['init', '--cluster', 'lab', '--data-dir', dir]);
    expectFailure(ran, 2, new RegExp(`chmod 700 ${dir}`), 'LOOSE_PERMISSIONS');
  });
});

describe('join', () => {
  it('writes identity, genesis, invitation and configuration, without a daemon', async () => {
    const string = await invitationTo('lab');
    const dir = join(home, 'joined');
    const ran = await run(['join', string, '--data-dir', dir, '--json']);
    expect(ran.code, ran.stderr).toBe(0);
    const document = JSON.parse(ran.stdout);
    expect(document).toMatchObject({ cluster: 'lab', role: 'persistent' });
    expect(ran.stdout + ran.stderr).not.toContain(string);
    const pending = await loadInvitation(dataDirPaths(dir));
    expect(pending?.genesis.clusterId).toBe(document.clusterId);
    expect(await readFile(join(dir, 'config.yaml'), 'utf8')).toContain('cluster: lab');
    for (const name of ['identity.key', 'genesis.cbor', 'invitation', 'config.yaml']) {
      expect((await stat(join(dir, name))).mode & 0o777, name).toBe(0o600);
    }
    const shown = await run(['config', 'show', '--json', '--data-dir', dir]);
    expect(JSON.parse(shown.stdout)).toContainEqual({
      key: 'node.cluster',
      value: 'lab',
      origin: `file ${dir}/config.yaml: node.cluster`,
    });

    // The same again, this time through stdin and broken over lines, keeps the identity.
    const broken = `  ${string.slice(0, 40)}\n${string.slice(40).toUpperCase()}\n`;
    const again = await run(['join', '-', '--data-dir', dir, '--json'], {}, broken);
    expect(JSON.parse(again.stdout)).toEqual(document);
    const foreign = await run(['join', await invitationTo('elsewhere'), '--data-dir', dir]);
    expectFailure(foreign, 8, /lab/, 'ALREADY_INITIALISED');
  });

  it('keeps a configuration that is already there', async () => {
    const dir = join(home, 'kept');
    await mkdir(dir, { mode: 0o700 });
    const text = '# mine\nlog:\n  level: debug\n';
    await writeFile(join(dir, 'config.yaml'), text, { mode: 0o600 });
    expect((await run(['join', await invitationTo('lab'), '--data-dir', dir])).code).toBe(0);
    expect(await readFile(join(dir, 'config.yaml'), 'utf8')).toBe(text);
  });

  it('of a bad string is refused (2) and writes nothing', async () => {
    const good = await invitationTo('lab');
    const dir = join(home, 'nothing');
    for (const bad of ['', 'bzzz1', 'hello', good.slice(0, -3), `${good}x`]) {
      const ran = await run(['join', bad, '--data-dir', dir]);
      expectFailure(ran, 2, /not a valid invitation/, 'INVALID_INVITATION');
      expect(ran.stderr).not.toContain(good.slice(20, 60));
    }
    await expect(stat(dir)).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

describe('config', () => {
  it('show --origin tells each value and where it came from', async () => {
    const ran = await run(['config', 'show', '--origin', '--log-level', 'debug'], {
      BZZZ_CACHE_TTL: '1m',
    });
    expect(ran.code).toBe(0);
    expect(ran.stdout).toMatch(/^log\.level +debug +flag --log-level$/m);
    expect(ran.stdout).toMatch(/^resolver\.cache_ttl +60000 +env BZZZ_CACHE_TTL$/m);
    expect(ran.stdout).toMatch(/^dht\.backend +hybrid +default$/m);
    expect(ran.stdout).toMatch(/^election\.weights +uptime=0\.3,capabilities=0\.2,.* +default$/m);
  });

  it('check names what is wrong, its source and the nearest key', async () => {
    const good = await run(['config', 'check', '--json'], { RUSTLE_TIMEOUT_MS: '700' });
    expect(JSON.parse(good.stdout)).toEqual({ ok: true, unused: ['env RUSTLE_TIMEOUT_MS'] });
    const bad = await run(['config', 'check'], { BZZZ_LOG_LEVLE: 'info' });
    expectFailure(bad, 2, /env BZZZ_LOG_LEVLE.*BZZZ_LOG_LEVEL/, 'BAD_CONFIG');
  });

  it('check reads the files of secrets, and refuses loose and missing ones', async () => {
    const path = join(home, 'pass');
    await writeFile(path, 'correct horse', { mode: 0o600 });
    const env = { BZZZ_KEY_PASSPHRASE_FILE: path };
    const good = await run(['config', 'check'], env);
    expect(good.code).toBe(0);
    expect(good.stdout).not.toContain('correct horse');
    await chmod(path, 0o644);
    expectFailure(await run(['config', 'check'], env), 2, /pass/, 'LOOSE_PERMISSIONS');
    await rm(path);
    expectFailure(await run(['config', 'check'], env), 2, /BZZZ_KEY_PASSPHRASE_FILE/, 'BAD_CONFIG');
  });
});

describe('usage', () => {
  it.each([
    [['stauts'], /unknown command 'stauts'[\s\S]*status/],
    [['status', '--wtach'], /unknown option '--wtach'[\s\S]*--watch/],
    [['key', 'create', 'k'], /--threshold/],
    [['key', 'create', 'k', '--threshold', 'two'], /--threshold two/],
    [['key', 'create', 'k', '--threshold', '2', '--role', 'king'], /--role king/],
    [['sign', 'k'], /give one message/],
    [['sign', 'k', '--message', 'a', '--hex', '00'], /give one message/],
    [['sign', 'k', '--hex', '0g'], /--hex is not hex/],
    [['sign', 'k', 'text'], /unexpected argument text/],
    [['verify', 'k', '--message', 'a'], /give one signature/],
    [['put', 'ucxl://a:b@c:d/x'], /give one content/],
    [['invite', '--ttl', 'soon'], /--ttl soon/],
    [['peers', '--timeout', 'never'], /--timeout never/],
    [['roster', 'frobnicate'], /too many arguments/],
    [['roster', 'promote'], /missing required argument 'peer'/],
    [['session', 'join'], /missing required argument 'token'/],
    [['roster', 'recover'], /--voters/],
    [['roster', 'recover', '--voters', ','], /no voter is named/],
    [['leader', 'transfer', 'a', 'b'], /too many arguments/],
    [['job', 'submit', 'refresh'], /missing required argument 'subject'/],
    [['completion', 'cmd'], /no completion for cmd/],
  ])('%o is refused with 2', async (args, message) => {
    expectFailure(await run(args), 2, message, 'BAD_USAGE');
  });

  it.each([
    ...[['doctor'], ['rm', 'a']],
    ...[
      ['config', 'set', 'a'],
      ['watch', 'ucxl://any'],
    ],
  ])('%s %s: a later version says so (2), and help does not list it', async (...args) => {
    const ran = await run(args);
    expectFailure(ran, 2, /not part of this version/, 'NOT_SUPPORTED');
  });

  it('help lists what there is, and not what there is not', async () => {
    const help = await run(['--help']);
    expect(help.code).toBe(0);
    for (const word of ['init', 'daemon', 'leader', 'roster', 'job', 'sign', 'resolve', 'demo']) {
      expect(help.stdout).toMatch(new RegExp(`^  ${word} `, 'm'));
    }
    for (const word of ['bundle', 'doctor']) expect(help.stdout).not.toContain(word);
    const nothing = await run([]);
    expect(nothing.code).toBe(2);
    expect(nothing.stdout).toBe('');
  });

  it('with --json a failure is also one document on stdout', async () => {
    const ran = await run(['sign', 'k', '--json']);
    expect(ran.code).toBe(2);
    expect(JSON.parse(ran.stdout)).toEqual({
      error: {
        code: 'BAD_USAGE',
        message: 'give one message',
        details: {},
        try: expect.any(String),
      },
    });
    expect(ran.stderr).toMatch(/^error: /);
  });

  it('the program itself ends with the code and the three lines', async () => {
    expectFailure(await bzzz(['stauts'], { home }), 2, /stauts/, 'BAD_USAGE');
    expect((await bzzz(['--help'], { home })).code).toBe(0);
  });

  it('version and completion work', async () => {
    const { version } = JSON.parse((await run(['version', '--json'])).stdout);
    const manifest = JSON.parse(await readFile('package.json', 'utf8'));
    expect(version).toBe(manifest.version);
    const bash = await run(['completion', 'bash']);
    const script = `${bash.stdout}\nCOMP_WORDS=(bzzz key cr); COMP_CWORD=2; _bzzz; echo "\${COMPREPLY[@]}"`;
    const { spawnSync } = await import('node:child_process');
    expect(spawnSync('bash', ['-c', script], { encoding: 'utf8' }).stdout.trim()).toBe('create');
    expect((await run(['completion', 'fish'])).stdout).toContain('complete -c bzzz');
    expect((await run(['completion', 'zsh'])).stdout).toContain('bashcompinit');
  });
});

describe('without a daemon', () => {
  it.each([
    ['status'],
    ['health'],
    ['peers'],
    ['leader'],
    ['job', 'ls'],
    ['roster', 'recover', '--voters', 'a', '--yes', 'lab'],
    ['key', 'ls'],
    ['events', '-f'],
    ['session', 'watch'],
  ])('%s %s exits 3 and names the socket', async (...args) => {
    const ran = await run([...args.filter((a) => a !== undefined), '--timeout', '3s']);
    const socket = join(home, '.local/share/bzzz/control.sock');
    expectFailure(ran, 3, new RegExp(socket), 'DAEMON_UNREACHABLE');
  });

  it('a socket path that is too long is told apart (2)', async () => {
    const ran = await run(['status', '--socket', `/tmp/${'x'.repeat(200)}`]);
    expectFailure(ran, 2, /too long/, 'PATH_TOO_LONG');
  });
});
