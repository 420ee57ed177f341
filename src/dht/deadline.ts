/**
 * Time limits as abort signals, on the injected clock.
 * @module
 */
import { setMaxListeners } from 'node:events';
import { BzzzError } from '../base/errors.ts';
import type { Clock } from '../base/ports.ts';

/** A signal that aborts after `ms` or with `outer`. Call `end` when the work is over. */
export function deadline(
  clock: Clock,
  ms: number,
  outer?: AbortSignal,
): { readonly signal: AbortSignal; abort(): void; end(): void } {
  const controller = new AbortController();
  // Every stream of a query listens to it.
  setMaxListeners(0, controller.signal);
  const abort = (): void => controller.abort(new BzzzError('TIMEOUT', 'the time is up'));
  const cancel = clock.after(ms, abort);
  if (outer?.aborted) abort();
  outer?.addEventListener('abort', abort, { once: true });
  return {
    signal: controller.signal,
    abort,
    end() {
      cancel();
      outer?.removeEventListener('abort', abort);
    },
  };
}
