/**
 * Where results and certificates stand: every host keeps what it published and what reached it, and
 * reads what it can reach. The real stores are tested elsewhere.
 */
import type { RecordsPort } from '../../../src/mpc/party/ports.ts';
import type { Host } from './host.ts';
import type { Process } from './process.ts';
import type { World } from './world.ts';

export class Records {
  readonly #world: World;
  readonly #stores = new Map<Host, Map<string, Set<string>>>();

  constructor(world: World) {
    this.#world = world;
  }

  port(process: Process): RecordsPort {
    const { host } = process;
    const publish = async (address: string, bytes: Uint8Array): Promise<void> => {
      await process.passes('write');
      const hex = Buffer.from(bytes).toString('hex');
      this.#keep(host, address, hex);
      for (const other of this.#reachable(process)) {
        other.process?.later(this.#world.rng.between(1, 20), () => {
          this.#keep(other, address, hex);
        });
      }
    };
    return {
      publish,
      complete: publish,
      keep: async (address, bytes) => {
        await process.passes('write');
        if (this.#at(host, address).size > 0) return;
        this.#keep(host, address, Buffer.from(bytes).toString('hex'));
      },
      candidates: async (address, where) => {
        await process.lives();
        const from = where === 'local' ? [host] : [host, ...this.#reachable(process)];
        if (where === 'anywhere') {
          await new Promise<void>((resolve) => process.later(2, resolve));
        }
        const all = new Set(from.flatMap((one) => [...this.#at(one, address)]));
        return [...all].map((hex) => new Uint8Array(Buffer.from(hex, 'hex')));
      },
    };
  }

  /** What a repair does when two meet: each gets what the other has. */
  meet(a: Host, b: Host): void {
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      for (const [address, all] of this.#stores.get(from) ?? []) {
        for (const hex of all) this.#keep(to, address, hex);
      }
    }
  }

  #reachable({ host, deps }: Process): readonly Host[] {
    const connected = deps?.direct.connected() ?? [];
    return this.#world.list.filter((other) => {
      return other !== host && other.runs && connected.includes(other.id);
    });
  }

  #at(host: Host, address: string): ReadonlySet<string> {
    return this.#stores.get(host)?.get(address) ?? new Set();
  }

  #keep(host: Host, address: string, hex: string): void {
    const store = this.#stores.get(host) ?? new Map<string, Set<string>>();
    store.set(address, new Set(store.get(address)).add(hex));
    this.#stores.set(host, store);
  }
}
