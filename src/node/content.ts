/**
 * Large content of one node, put together: its pieces on the disk, who has them, and the streams
 * on which they travel.
 * @module
 */
import type { KadDHT } from '@libp2p/kad-dht';
import type { PeerId } from '../base/brands.ts';
import type { Clock, KeyValue, Logger, Random, Service } from '../base/ports.ts';
import { Blocks, type BlocksOptions } from '../dht/blocks/blocks.ts';
import type { Counters } from '../dht/counters.ts';
import { Providers } from '../dht/providers.ts';
import { BlockStreams, type BlockStreamsDeps } from './net/block-streams.ts';

export interface ContentDeps {
  readonly self: PeerId;
  /** Of the network as it is in use: this node alone while the local backend is chosen. */
  readonly members: () => readonly PeerId[];
  readonly kad: KadDHT;
  readonly streams: BlockStreamsDeps;
  /** From `protocolNames`. */
  readonly protocol: string;
  /** A namespace of its own. */
  readonly disk: KeyValue;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Shared with the record store. */
  readonly counters: Counters;
}

/** `start` it before the network, so that no stream comes too early. */
export class Content implements Service {
  readonly name = 'content';
  readonly blocks: Blocks;
  readonly #streams: BlockStreams;

  constructor(options: BlocksOptions, deps: ContentDeps) {
    const { protocol, streams } = deps;
    this.#streams = new BlockStreams({ protocol }, streams);
    const providers = new Providers(deps, {
      ...(options.replication === undefined ? {} : { replication: options.replication }),
    });
    this.blocks = new Blocks(options, { ...deps, net: this.#streams, providers });
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
