/**
 * Waiting for the end of a session on behalf of a client.
 * @module
 */
import type { SessionId } from '../../base/brands.ts';
import { BzzzError } from '../../base/errors.ts';
import type { Cancel } from '../../base/ports.ts';
import type { Failure } from '../types.ts';

/** @throws INTERRUPTED when the client has gone. */
export function throwIfGone(signal: AbortSignal): void {
  if (signal.aborted) throw new BzzzError('INTERRUPTED', 'the request was withdrawn');
}

/**
 * Resolves with the first end of a session.
 * @param gone is called when the client goes before the end.
 * @throws INTERRUPTED when the client goes.
 */
export function waitForEnd<T>(
  session: { onEnd(callback: (end: T) => void): Cancel },
  signal: AbortSignal,
  gone: () => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      stop();
      gone();
      reject(new BzzzError('INTERRUPTED', 'the request was withdrawn'));
    };
    let ended = false;
    const stop = session.onEnd((end) => {
      ended = true;
      signal.removeEventListener('abort', onAbort);
      resolve(end);
    });
    if (ended) return;
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
}

/** What a client is told of a session that did not complete. */
export function failureError(
  { error, culprits, silent }: Failure,
  sessionId: SessionId,
): BzzzError {
  return new BzzzError(error.code, error.message, {
    ...(error.why === undefined ? {} : { why: error.why }),
    ...(error.try === undefined ? {} : { hint: error.try }),
    details: { ...error.details, sessionId, culprits, silent },
  });
}
