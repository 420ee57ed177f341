/**
 * The switched components of a node, as an operator handles them: by name, one command each.
 * Every change is an event and a line in the log. Nothing of it is stored: a restart brings back
 * what the configuration says.
 * @module
 */
import type { Arm, BackendMeter, BackendMetrics } from '../base/backend-meter.ts';
import { BzzzError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Logger } from '../base/ports.ts';
import {
  type Backend,
  type Choice,
  mainBackend,
  type Switch,
  type SwitchChange,
  type SwitchCommand,
} from '../base/switch.ts';

/** A component with backends. */
export interface SwitchedComponent {
  readonly choice: Switch;
  readonly meter: BackendMeter;
  /** Whom `hybrid` asks now. */
  readonly hybridArm: Arm;
}

/** One component, as `bzzz backend show` prints it. */
export interface BackendDocument {
  readonly component: string;
  /** What is chosen. */
  readonly backend: Backend;
  /** Who answers now: `mock` when isolated, and while `hybrid` has fallen back. */
  readonly active: Arm;
  readonly percent: number;
  readonly isolated: boolean;
  /** Changes since the start. */
  readonly generation: number;
  /** What `rollback` goes back to, the last one last. */
  readonly previous: readonly Choice[];
}

/** Who asked for a change. */
export type SwitchedBy = 'operator' | 'configuration';

export interface BackendsDeps {
  readonly components: readonly SwitchedComponent[];
  readonly emit: (kind: string, data: Readonly<Record<string, unknown>>) => void;
  readonly log: Logger;
}

/** What is chosen, in one word for the event log. */
const wordOf = (state: SwitchChange['after']): string =>
  state.isolated ? 'isolated' : state.chosen.backend;

/** See the top of this file. */
export class Backends {
  readonly #components: ReadonlyMap<string, SwitchedComponent>;
  readonly #deps: BackendsDeps;
  /** Components in the order of their changes that were not taken back. */
  #changed: string[] = [];
  #by: SwitchedBy = 'operator';

  constructor(deps: BackendsDeps) {
    this.#deps = deps;
    this.#components = new Map(deps.components.map((one) => [one.choice.component, one]));
    for (const { choice } of deps.components) choice.onChange((change) => this.#tell(change));
  }

  list(): readonly BackendDocument[] {
    return [...this.#components.values()].map(documentOf);
  }

  metrics(): readonly BackendMetrics[] {
    return [...this.#components.values()].map(({ meter }) => meter.metrics());
  }

  /** @throws NOT_FOUND, BAD_REQUEST. */
  set(component: string, choice: Choice, by: SwitchedBy = 'operator'): BackendDocument {
    return this.#apply(component, { kind: 'set', choice }, by);
  }

  /** @throws NOT_FOUND. */
  isolate(component: string): BackendDocument {
    return this.#apply(component, { kind: 'isolate' }, 'operator');
  }

  /**
   * Takes the last change back.
   * @param component the one that changed last when absent.
   * @throws NOT_FOUND, CONFLICT when there is nothing to take back.
   */
  rollback(component?: string): BackendDocument {
    const name = component ?? this.#changed.at(-1) ?? [...this.#components.keys()][0] ?? '';
    return this.#apply(name, { kind: 'rollback' }, 'operator');
  }

  #apply(component: string, command: SwitchCommand, by: SwitchedBy): BackendDocument {
    const found = this.#components.get(component);
    if (found === undefined) {
      const known = [...this.#components.keys()].join(', ');
      throw new BzzzError('NOT_FOUND', `no component ${component} has backends`, {
        hint: `the components are: ${known}`,
      });
    }
    this.#by = by;
    found.choice.apply(command);
    return documentOf(found);
  }

  #tell({ component, command, before, after }: SwitchChange): void {
    if (command === 'rollback') {
      const at = this.#changed.lastIndexOf(component);
      if (at >= 0) this.#changed.splice(at, 1);
    } else {
      this.#changed = [...this.#changed, component].slice(-LIMITS.switchHistory);
    }
    const data = {
      component,
      command,
      from: wordOf(before),
      to: wordOf(after),
      percent: after.chosen.percent,
      by: this.#by,
    };
    this.#deps.emit('backend.switched', data);
    this.#deps.log.info(data, 'switched a backend');
  }
}

function documentOf(one: SwitchedComponent): BackendDocument {
  const { choice } = one;
  const { component, state } = choice;
  const { chosen, isolated, generation, previous } = state;
  const main = mainBackend(state);
  return {
    component,
    backend: chosen.backend,
    active: main === 'hybrid' ? one.hybridArm : main,
    percent: chosen.percent,
    ...{ isolated, generation, previous },
  };
}
