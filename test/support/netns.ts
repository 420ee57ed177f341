/**
 * A virtual LAN: one bridge and a network namespace for each host, made and removed by the test.
 * Needs root and iproute2.
 */
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';

/** Why the namespaces cannot be used here; undefined when they can. */
export function lanMissing(): string | undefined {
  if (process.platform !== 'linux') return 'network namespaces exist on Linux only';
  if (process.getuid?.() !== 0) return 'network namespaces need root';
  const probe = `bzzz-probe-${process.pid}`;
  try {
    ip('netns', 'add', probe);
    ip('netns', 'del', probe);
    return undefined;
  } catch (thrown) {
    return `\`ip netns\` does not work here: ${thrown instanceof Error ? thrown.message.split('\n')[0] : thrown}`;
  }
}

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'pipe', 'pipe'], cwd: tmpdir() });
}

/** Hosts `10.77.0.1` ... on one bridge. */
export class Lan {
  readonly #prefix: string;
  readonly #count: number;
  #isSplit = false;

  constructor(count: number) {
    // Interface names have at most 15 bytes.
    this.#prefix = `bz${process.pid % 100_000}`;
    this.#count = count;
    ip('link', 'add', this.bridge, 'type', 'bridge', 'mcast_snooping', '0');
    ip('link', 'set', this.bridge, 'up');
    for (let i = 0; i < count; i++) this.#addHost(i);
  }

  get bridge(): string {
    return `${this.#prefix}br`;
  }

  /** The switch of those that `split` took away. */
  get #island(): string {
    return `${this.#prefix}b2`;
  }

  namespace(i: number): string {
    return `${this.#prefix}n${i}`;
  }

  address(i: number): string {
    return `10.77.0.${i + 1}`;
  }

  #cable(i: number): string {
    return `${this.#prefix}v${i}`;
  }

  #addHost(i: number): void {
    const ns = this.namespace(i);
    ip('netns', 'add', ns);
    ip('link', 'add', this.#cable(i), 'type', 'veth', 'peer', 'name', 'eth0', 'netns', ns);
    ip('link', 'set', this.#cable(i), 'master', this.bridge, 'up');
    ip('-n', ns, 'link', 'set', 'lo', 'up');
    ip('-n', ns, 'addr', 'add', `${this.address(i)}/24`, 'dev', 'eth0');
    ip('-n', ns, 'link', 'set', 'eth0', 'up');
    // Multicast needs a route; a LAN host has a default one.
    ip('-n', ns, 'route', 'add', 'default', 'dev', 'eth0');
  }

  /** Unplugs a host. */
  cut(i: number): void {
    ip('link', 'set', this.#cable(i), 'down');
  }

  mend(i: number): void {
    ip('link', 'set', this.#cable(i), 'up');
  }

  /**
   * Puts `hosts` on a switch of their own: packets between the two sides are lost in silence, as
   * when the cable between two switches is pulled. Every host's own link stays up.
   */
  split(hosts: readonly number[]): void {
    this.#isSplit = true;
    ip('link', 'add', this.#island, 'type', 'bridge', 'mcast_snooping', '0');
    ip('link', 'set', this.#island, 'up');
    for (const i of hosts) ip('link', 'set', this.#cable(i), 'master', this.#island);
  }

  /**
   * The command that takes host `i` to the other switch, from within its own namespace: for a host
   * that is to lose its cable at a certain step. `split([])` first.
   */
  cutCommand(i: number): readonly string[] {
    const here = `--net=/proc/${process.pid}/ns/net`;
    return ['nsenter', here, 'ip', 'link', 'set', this.#cable(i), 'master', this.#island];
  }

  /** Puts all of them back on one switch, if they are on two. */
  heal(): void {
    if (!this.#isSplit) return;
    this.#isSplit = false;
    for (let i = 0; i < this.#count; i++) {
      ip('link', 'set', this.#cable(i), 'master', this.bridge);
    }
    ip('link', 'del', this.#island);
  }

  /** Where `Cluster` runs host `i`. */
  place(i: number): { readonly prefix: readonly string[]; readonly listen: string } {
    return {
      prefix: ['ip', 'netns', 'exec', this.namespace(i)],
      listen: `/ip4/${this.address(i)}/tcp/4750`,
    };
  }

  remove(): void {
    for (let i = 0; i < this.#count; i++) {
      // The host's end first: a namespace is freed only when its last socket is gone.
      for (const args of [
        ['link', 'del', this.#cable(i)],
        ['netns', 'del', this.namespace(i)],
      ]) {
        try {
          ip(...args);
        } catch {
          // Half-made hosts are removed as far as they exist.
        }
      }
    }
    for (const bridge of [this.bridge, this.#island]) {
      try {
        ip('link', 'del', bridge);
      } catch {
        // As above; the second one is there between `split` and `heal` only.
      }
    }
  }
}
