/**
 * The README's LAN steps, typed as they stand, on hosts that are network namespaces on one bridge:
 * default ports, default data directories, real multicast.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ControlClient } from '../../src/node/control/client.ts';
import { bzzzPath, projectRoot, until } from '../support/cluster.ts';
import { Lan, lanMissing } from '../support/netns.ts';

const missing = lanMissing();
if (missing !== undefined) console.warn(`skipped: the LAN tests: ${missing}`);

/** The fenced block that follows `<!-- name -->` in the README. */
function steps(name: string): string {
  const readme = readFileSync(join(projectRoot, 'README.md'), 'utf8');
  const block = new RegExp(`<!-- ${name} -->\\s*\`\`\`\\n([\\s\\S]*?)\`\`\``).exec(readme)?.[1];
  if (block === undefined) throw new Error(`README.md has no block named ${name}`);
  return block;
}

interface Peer {
  peerId: string;
  connected: boolean;
  ready: boolean;
  sources: string[];
}

/** One machine on the LAN with a person at its shell. */
class Host {
  readonly home: string;
  readonly #namespace: string;
  readonly #shell: ChildProcess;
  #out = '';
  #asked = 0;

  constructor(root: string, namespace: string, name: string) {
    this.home = join(root, name);
    this.#namespace = namespace;
    mkdirSync(this.home, { mode: 0o700 });
    cpSync(join(projectRoot, 'README.md'), join(this.home, 'README.md'));
    this.#shell = spawn('ip', ['netns', 'exec', namespace, 'sh'], {
      cwd: this.home,
      env: {
        PATH: `${dirname(bzzzPath)}:${process.env.PATH}`,
        HOME: this.home,
        LANG: 'C.UTF-8',
      },
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
    });
    this.#shell.stdout?.on('data', (chunk) => (this.#out += chunk));
    this.#shell.stderr?.on('data', () => {});
  }

  /** Types lines and gives what they printed. */
  async type(lines: string, variables: Record<string, string> = {}): Promise<string> {
    const mark = `--done-${++this.#asked}--`;
    const from = this.#out.length;
    for (const [name, value] of Object.entries(variables)) {
      this.#shell.stdin?.write(`${name}='${value}'\n`);
    }
    this.#shell.stdin?.write(`${lines}\necho "$? ${mark}"\n`);
    await until(`${lines.split('\n')[0]}`, () => this.#out.slice(from).includes(mark), 120_000);
    return this.#out.slice(from).split(`${mark}`)[0] ?? '';
  }

  /** A command of the tester's own, beside the person's shell. */
  json<T>(args: string): Promise<T> {
    return new Promise((done, fail) => {
      const child = spawn(
        'ip',
        ['netns', 'exec', this.#namespace, bzzzPath, ...args.split(' '), '--json'],
        {
          cwd: this.home,
          env: { PATH: process.env.PATH, HOME: this.home },
        },
      );
      let out = '';
      child.stdout.on('data', (chunk) => (out += chunk));
      child.stderr.on('data', (chunk) => (out += chunk));
      child.once('close', (code) =>
        code === 0 ? done(JSON.parse(out) as T) : fail(new Error(`${args}: ${code} ${out}`)),
      );
    });
  }

  /** Polls without a process in between; a unix socket does not care for network namespaces. */
  peers(): Promise<Peer[]> {
    const socketPath = join(this.home, '.local/share/bzzz/control.sock');
    return new ControlClient({ socketPath, timeoutMs: 5_000 }).call('GET', '/v1/peers');
  }

  /** Ends the shell and everything started in it: the whole process group. */
  kill(): void {
    try {
      if (this.#shell.pid !== undefined) process.kill(-this.#shell.pid, 'SIGKILL');
    } catch {
      // Already gone.
    }
  }
}

describe.skipIf(missing !== undefined)('the LAN steps of the README', () => {
  let root: string;
  let lan: Lan;
  let hosts: Host[];

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'bzzz-lan-'));
    lan = new Lan(6);
    hosts = Array.from({ length: 6 }, (_, i) => new Host(root, lan.namespace(i), `host${i}`));
  });
  afterEach(() => {
    for (const host of hosts) host.kill();
    lan.remove();
    rmSync(root, { recursive: true, force: true });
  });

  const host = (i: number): Host => {
    const found = hosts[i];
    if (found === undefined) throw new Error(`no host ${i}`);
    return found;
  };

  /** Milliseconds until each of `members` has all the others connected and ready. */
  async function meshMs(members: readonly Host[], since: number): Promise<number> {
    await until(
      'full mesh',
      async () => {
        const views = await Promise.all(members.map((member) => member.peers().catch(() => [])));
        return views.every(
          (view) =>
            view.filter((peer) => peer.connected && peer.ready).length >= members.length - 1,
        );
      },
      240_000,
    );
    return performance.now() - since;
  }

  const invitationIn = (printed: string): string => {
    const string = /bzzz1\S+/.exec(printed)?.[0];
    if (string === undefined) throw new Error(`no invitation in: ${printed}`);
    return string;
  };

  async function useIt(user: Host): Promise<void> {
    const printed = await user.type(steps('lan:use'));
    expect(printed).toMatch(/Verified Successfully/);
  }

  it('R2, R6: five hosts with mDNS only; all off and on at once', async () => {
    const invitations = [invitationIn(await host(0).type(steps('lan:founder')))];
    while (invitations.length < 4) {
      invitations.push(invitationIn(await host(0).type('bzzz invite')));
    }
    let lastStart = 0;
    for (const [i, INVITATION] of invitations.entries()) {
      await host(i + 1).type(steps('lan:member'), { INVITATION });
      lastStart = performance.now();
    }
    const five = hosts.slice(0, 5);
    const meshed = await meshMs(five, lastStart);
    console.log(
      JSON.stringify({ bench: 'lan-mdns-mesh', ms_after_last_start: Math.round(meshed) }),
    );
    expect(meshed).toBeLessThan(30_000);
    const sources = (await host(4).json<Peer[]>('peers')).flatMap((peer) => peer.sources);
    expect(sources).toContain('mdns');
    expect(sources).not.toContain('bootstrap');
    await useIt(host(2));

    await Promise.all(five.map((h) => h.type('kill -9 $!; wait')));
    const cold = performance.now();
    await Promise.all(five.map((h) => h.type('bzzz daemon &')));
    const coldMs = await meshMs(five, cold);
    console.log(JSON.stringify({ bench: 'lan-cold-start', ms: Math.round(coldMs) }));
    expect(coldMs).toBeLessThan(45_000);
    const { signature } = await host(3).json<{ signature: string }>('sign release --message cold');
    expect(signature).toHaveLength(128);
  });

  it('R3: bootstrap only; then the bootstrap node dies for good', async () => {
    const observer = host(5);
    const forObserver = invitationIn(await host(0).type(steps('bootstrap:founder')));
    await observer.type(steps('bootstrap:node'), { INVITATION: forObserver });
    const BOOTSTRAP = `${lan.address(5)}:4750`;
    let lastStart = 0;
    for (const i of [1, 2, 3, 4]) {
      const INVITATION = invitationIn(await host(0).type('bzzz invite'));
      await host(i).type(steps('bootstrap:member'), { INVITATION, BOOTSTRAP });
      lastStart = performance.now();
    }
    const five = hosts.slice(0, 5);
    const meshed = await meshMs([...five, observer], lastStart);
    console.log(
      JSON.stringify({ bench: 'lan-bootstrap-mesh', ms_after_last_start: Math.round(meshed) }),
    );
    expect(meshed).toBeLessThan(30_000);
    const sources = (await host(4).json<Peer[]>('peers')).flatMap((peer) => peer.sources);
    expect(sources).not.toContain('mdns');
    observer.kill();
    await useIt(host(1));

    // A node that was off while another joined is a member at once when it returns.
    await host(3).type('kill -9 $!; wait');
    await host(3).type('bzzz daemon &');
    const back = performance.now();
    await meshMs(five, back);
  });
});
