/**
 * Large content of one node, put together: its pieces on the disk, who has them, and the streams
 * on which they travel.
 * @module
 */
import type { PeerId } from '../base/brands.ts';
import type { Clock, KeyValue, Logger, Random, Service } from '../base/ports.ts';
import { Blocks, type BlocksOptions } from '../dht/blocks/blocks.ts';
import type { Providers } from '../dht/providers.ts';
import type { Repairer } from '../dht/repair.ts';
import { BlockStreams, type BlockStreamsDeps } from './net/block-streams.ts';

export interface ContentDeps {
  readonly self: PeerId;
  /** Of the network as it is in use: this node alone while the local backend is chosen. */
  readonly members: () => readonly PeerId[];
  /** Those of the record store: a DHT has one set of provider records. */
  readonly providers: Providers;
  /** That of the record store: it knows who is gone. */
  readonly repairer: Pick<Repairer, 'onBegun'>;
  readonly streams: BlockStreamsDeps;
  /** From `protocolNames`. */
  readonly protocol: string;
  /** A namespace of its own. */
  readonly disk: KeyValue;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/** `start` it before the network, so that no stream comes too early. */
export class Content implements Service {
  readonly name = 'content';
  readonly blocks: Blocks;
  readonly #streams: BlockStreams;

  constructor(options: BlocksOptions, deps: ContentDeps) {
    const { protocol, streams } = deps;
    this.#streams = new BlockStreams({ protocol }, streams);
    this.blocks = new Blocks(options, { ...deps, net: this.#streams });
    // Holders of records hold contents as well, and nobody need lead for these to be missed.
    deps.repairer.onBegun(() => this.blocks.membersChanged());
  }

  /** @throws DISK_FAILED. */
  async start(): Promise<void> {
    await this.blocks.start();
    await this.#streams.start((peer, stream) => this.blocks.accept(peer, stream));
  }

  async stop(): Promise<void> {
    await this.#streams.stop();
    await this.blocks.stop();
  }

  /** Call it whenever the roster, or the use of the network, changed. */
  membersChanged(): void {
    this.blocks.membersChanged();
  }
}
