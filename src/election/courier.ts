/**
 * What the machine sends: votes and beats as notes, certified entries as messages that arrive, and
 * the exchange of rosters with one peer.
 * @module
 */
import type { PeerId, Term } from '../base/brands.ts';
import { toBzzzError } from '../base/errors.ts';
import type { Direct, Logger } from '../base/ports.ts';
import { type Chain, entriesFrom } from '../roster/chain.ts';
import type { Message } from './types.ts';
import { ELECTION_TOPIC, encodeMessage } from './wire.ts';

export interface CourierDeps {
  readonly direct: Pick<Direct, 'note' | 'send' | 'connected'>;
  readonly chain: () => Chain;
  /** Compares rosters with a peer and extends the shorter one. */
  readonly exchange: (peer: PeerId) => Promise<void>;
  readonly logger: Logger;
}

/** Nothing here waits, and nothing throws: what is lost the machine sends again. */
export class Courier {
  readonly #deps: CourierDeps;
  /** Offers and exchanges under way: the same again would bring nothing new. */
  readonly #busy = new Set<string>();
  #last: { readonly message: Message; readonly bytes: Uint8Array } | undefined;

  constructor(deps: CourierDeps) {
    this.#deps = deps;
  }

  /** A message to many is encoded once. */
  send(to: PeerId, message: Message): void {
    if (this.#last?.message !== message) this.#last = { message, bytes: encodeMessage(message) };
    this.#deps.direct.note(to, ELECTION_TOPIC, this.#last.bytes);
  }

  /** The certified entries from `epoch` on. A peer without a stream gets them when it connects. */
  offer(to: PeerId, epoch: number, term: Term): void {
    const { direct, chain } = this.#deps;
    if (!direct.connected().includes(to)) return;
    this.#once(`offer ${to} ${epoch}`, async () => {
      const entries = entriesFrom(chain(), Math.max(1, epoch));
      const bodies = entries.map((entry) => encodeMessage({ type: 'entry', term, entry }));
      await Promise.all(bodies.map((body) => direct.send(to, ELECTION_TOPIC, body)));
    });
  }

  exchange(peer: PeerId): void {
    this.#once(`exchange ${peer}`, () => this.#deps.exchange(peer));
  }

  #once(what: string, work: () => Promise<void>): void {
    if (this.#busy.has(what)) return;
    this.#busy.add(what);
    work()
      .catch((error: unknown) => {
        const { code, message } = toBzzzError(error);
        this.#deps.logger.debug({ what, code, message }, 'a roster did not get across');
      })
      .finally(() => this.#busy.delete(what));
  }
}
