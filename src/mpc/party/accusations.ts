/**
 * What peers proved against this node: it learns that it is faulty, shows it, and takes part in
 * nothing new until an operator has looked and started it again (S4).
 * @module
 */
import type { SessionId } from '../../base/brands.ts';
import type { PartyDeps } from './ports.ts';

/** Sessions in which this node was proven faulty. */
export class Accusations {
  readonly #deps: Pick<PartyDeps, 'logger' | 'emit'>;
  readonly #sessions = new Set<SessionId>();

  constructor(deps: Pick<PartyDeps, 'logger' | 'emit'>) {
    this.#deps = deps;
  }

  get sessions(): readonly SessionId[] {
    return [...this.#sessions];
  }

  add(sid: SessionId): void {
    if (this.#sessions.has(sid)) return;
    this.#sessions.add(sid);
    this.#deps.logger.error({ sessionId: sid }, 'peers proved this node faulty');
    this.#deps.emit('party.faulty', { sessionId: sid });
  }
}
