/**
 * Import this before anything else: the simulator's stand-in takes the place of `base/envelope`,
 * in every file that imports it. Whole clusters sign and open some hundred envelopes a seed, and
 * Ed25519 would be nearly all that a campaign does.
 */
import { registerHooks } from 'node:module';

const real = new URL('../../../src/base/envelope.ts', import.meta.url).href;
const toy = new URL('./envelope.ts', import.meta.url).href;

registerHooks({
  resolve(specifier, context, next) {
    const found = next(specifier, context);
    return found.url === real ? { ...found, url: toy } : found;
  },
});
