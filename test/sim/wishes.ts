/** Who was asked for what, and whether it was answered: each wish once, unless its process died. */
import type { Epoch } from '../../src/base/brands.ts';
import type { BzzzError } from '../../src/base/errors.ts';
import type { Change } from '../../src/roster/entry.ts';
import type { SimNode } from './node.ts';
import { ancestor, changeText } from './toy.ts';
import type { Invariant } from './violation.ts';

interface Wish {
  readonly node: number;
  readonly change: Change | undefined;
  /** Its caller is gone. */
  readonly optional: boolean;
}

export class Wishes {
  readonly #open = new Map<string, Wish>();
  readonly #fail: (invariant: Invariant, message: string) => never;
  refusals = 0;

  constructor(fail: (invariant: Invariant, message: string) => never) {
    this.#fail = fail;
  }

  /** @param change absent for a transfer or a step-down. */
  asked(node: SimNode, id: string, change?: Change, optional = false): void {
    this.#open.set(id, { node: node.index, change, optional });
  }

  done(node: SimNode, id: string, epoch: Epoch): void {
    const { change } = this.#answered(node, id);
    if (node.head.epoch < epoch) {
      this.#fail('E8', `${id} is done, ${node.id} has no epoch ${epoch}`);
    }
    if (change === undefined) return;
    const made = ancestor(node.head, epoch).body?.change;
    if (made === undefined || changeText(made) !== changeText(change)) {
      this.#fail('E8', `${id} is done, but epoch ${epoch} is another change`);
    }
  }

  refused(node: SimNode, id: string, error: BzzzError): void {
    this.refusals++;
    if (error.code === 'INTERNAL') this.#fail('ANSWER', `${id} is refused: ${error.message}`);
    this.#answered(node, id);
  }

  /** Nobody can answer what a dead process was asked. */
  died(node: SimNode): void {
    for (const [id, wish] of this.#open) if (wish.node === node.index) this.#open.delete(id);
  }

  /** Wishes that nobody answered, though somebody waits. */
  get unanswered(): readonly string[] {
    return [...this.#open].filter(([, wish]) => !wish.optional).map(([id]) => id);
  }

  /** What this node was asked; from here on nobody waits for it. */
  give(node: SimNode): readonly string[] {
    const ids = [...this.#open].filter(([, wish]) => wish.node === node.index);
    for (const [id, wish] of ids) this.#open.set(id, { ...wish, optional: true });
    return ids.map(([id]) => id);
  }

  #answered(node: SimNode, id: string): Wish {
    const wish = this.#open.get(id);
    if (wish === undefined || wish.node !== node.index) {
      return this.#fail('ANSWER', `${node.id} answers ${id}: not asked for, or answered already`);
    }
    this.#open.delete(id);
    return wish;
  }
}
