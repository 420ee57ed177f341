/**
 * Lets input and output happen before a long computation.
 * @module
 */

/** Resolves in the next turn of the event loop, after pending writes were handed to the kernel. */
export const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
