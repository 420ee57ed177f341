/**
 * SIGHUP: reads the configuration again and applies what can change at run time. Everything else
 * that changed is named, and waits for the next start.
 * @module
 */
import { toBzzzError } from '../base/errors.ts';
import type { HybridTuning } from '../dht/hybrid-options.ts';
import { hybridOptions, inForce, type Reload, reloadOf } from './backends-tuning.ts';
import type { Config, Effective } from './config.ts';
import type { Node } from './node.ts';

/** What of a node a configuration changes at run time. */
export type Reloadable = Pick<Node, 'backends' | 'tuning'> & {
  readonly deps: Pick<Node['deps'], 'log' | 'events'>;
  readonly records: { readonly backends: { configure(options: HybridTuning): void } };
};

/** The settings in force, and how they come to be others. */
export class Reloading {
  #effective: Effective;
  readonly #load: () => Promise<Effective>;
  readonly #node: Reloadable;
  /** One after the other: signals may come faster than files are read. */
  #turns: Promise<unknown> = Promise.resolve();

  constructor(effective: Effective, load: () => Promise<Effective>, node: Reloadable) {
    this.#effective = effective;
    this.#load = load;
    this.#node = node;
  }

  get effective(): Effective {
    return this.#effective;
  }

  /** From here on the signal no longer ends the process. */
  listen(): void {
    process.on('SIGHUP', () => void this.reload());
  }

  /** @returns what changed; undefined when the configuration is bad, and nothing changed. */
  reload(): Promise<Reload | undefined> {
    const turn = this.#turns.then(() => this.#reload());
    this.#turns = turn;
    return turn;
  }

  async #reload(): Promise<Reload | undefined> {
    const { log, events } = this.#node.deps;
    let next: Effective;
    try {
      next = await this.#load();
    } catch (thrown) {
      const { code, message } = toBzzzError(thrown);
      log.error({ code }, `the configuration was not read again: ${message}`);
      events.emit('config.refused', { code, message });
      return undefined;
    }
    const done = reloadOf(this.#effective, next);
    const before = this.#effective.config;
    this.#effective = inForce(this.#effective, next);
    this.#apply(before, next.config);
    log.info({ ...done }, 'read the configuration again');
    if (done.needRestart.length > 0) {
      log.warn({ settings: done.needRestart }, 'these settings need a restart');
    }
    events.emit('config.reloaded', { ...done });
    return done;
  }

  /** What an operator switched at run time stays, unless the setting itself changed. */
  #apply(before: Config, now: Config): void {
    const { backends, tuning, records } = this.#node;
    tuning.apply(now);
    records.backends.configure(hybridOptions(now));
    if (before.dhtBackend !== now.dhtBackend || before.rolloutPercent !== now.rolloutPercent) {
      const choice = { backend: now.dhtBackend, percent: now.rolloutPercent };
      backends.set('dht', choice, 'configuration');
    }
    if (before.discoveryBackend !== now.discoveryBackend) {
      const choice = { backend: now.discoveryBackend, percent: 100 };
      backends.set('discovery', choice, 'configuration');
    }
  }
}
