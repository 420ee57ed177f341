/** One machine: an identity, a disk, a clock, and the process that runs there, if one does. */
import type { PeerId } from '../../../src/base/brands.ts';
import { encode } from '../../../src/base/codec.ts';
import type { Signer } from '../../../src/base/ports.ts';
import type { Disk } from './disk.ts';
import { Process } from './process.ts';
import type { World } from './world.ts';

export class Host {
  readonly world: World;
  readonly index: number;
  readonly signer: Signer;
  disk: Disk;
  process: Process | undefined;
  /** It stays down. */
  buried = false;
  readonly rate: number;
  readonly wallOffset: number;

  constructor(world: World, index: number, signer: Signer, disk: Disk) {
    this.world = world;
    this.index = index;
    this.signer = signer;
    this.disk = disk;
    const { rng, plan } = world;
    this.rate = 1 + rng.between(-plan.skew, plan.skew);
    this.wallOffset = rng.between(-300_000, 300_000);
  }

  get id(): PeerId {
    return this.signer.peerId;
  }

  get name(): string {
    return `h${this.index + 1}`;
  }

  get up(): boolean {
    return this.process !== undefined;
  }

  get runs(): boolean {
    return this.process?.runs === true;
  }

  start(): void {
    if (this.up || this.buried) return;
    if (this.disk.full) {
      this.world.at(50, () => this.start());
      return;
    }
    // Restored disks bring an old counter back; the real one is durable in the same way.
    const boot = 1 + this.disk.keys('boot!').length;
    const process = new Process(this, boot);
    this.process = process;
    this.world.say(this, `starts, boot ${boot}`);
    this.world.net.joinAll(this);
    this.disk
      .port(process, 'boot!')
      .put(`${boot}`, encode(boot), { sync: true })
      .then(() => process.start())
      .catch((thrown: unknown) => {
        // A disk that is full keeps the daemon from starting; its supervisor tries again.
        if (process.dead) return;
        if (this.disk.full) this.kill(false);
        else this.world.caught(thrown);
      });
  }

  /** SIGKILL, or the power fails: then writes that were not synced are gone. */
  kill(power: boolean): void {
    const { process, world } = this;
    if (process === undefined) return;
    world.say(this, power ? 'loses power' : 'is killed');
    process.dead = true;
    this.process = undefined;
    if (power) this.disk.losePower(world.rng.next());
    world.died(this);
  }

  pause(): void {
    if (!this.runs) return;
    this.world.say(this, 'is stopped');
    this.process?.pause();
  }

  resume(): void {
    if (this.process?.paused !== true) return;
    this.world.say(this, 'goes on');
    this.process.resume();
  }
}
