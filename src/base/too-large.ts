/**
 * The one error for content over the bound.
 * @module
 */
import { BzzzError } from './errors.ts';
import { LIMITS } from './limits.ts';

/** @param what the content, as the reader knows it. */
export const contentTooLarge = (what = 'the content'): BzzzError =>
  new BzzzError('TOO_LARGE', `${what} is larger than ${LIMITS.chunkedBytes} bytes`, {
    hint: 'store it elsewhere and put its digest',
  });
