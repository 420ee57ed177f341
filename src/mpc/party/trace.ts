/**
 * Every effect of a session machine, before it is carried out, on the diagnostics channel
 * `bzzz.session.effect`: for tracing tools, and for tests that end the process at a chosen step.
 * Costs nothing while nobody listens.
 * @module
 */
import { channel } from 'node:diagnostics_channel';
import type { Proposal } from '../types.ts';

/** What a subscriber gets; never a secret. */
export interface TracedEffect {
  readonly kind: Proposal['kind'];
  readonly sid: string;
  readonly effect: string;
}

const EFFECTS = channel('bzzz.session.effect');

/** @param effect of either machine; only its type, and its name where it has one, is told. */
export function traceEffect(
  kind: TracedEffect['kind'],
  sid: string,
  effect: { readonly type: string; readonly name?: string },
): void {
  if (!EFFECTS.hasSubscribers) return;
  const name = effect.name === undefined ? effect.type : `${effect.type}:${effect.name}`;
  EFFECTS.publish({ kind, sid, effect: name } satisfies TracedEffect);
}
