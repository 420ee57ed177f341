/**
 * The names of backends. In a file of its own, because the command line reads them at its start.
 * @module
 */

export const BACKENDS = ['mock', 'real', 'hybrid'] as const;

/** The documented name of a backend: embedded local, network, network with a fallback. */
export type Backend = (typeof BACKENDS)[number];

/** What the backends are called in the program's own words. */
export const BACKEND_SYNONYMS = { local: 'mock', dht: 'real' } as const;
