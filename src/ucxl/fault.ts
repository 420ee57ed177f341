/**
 * The one error of the address grammar: which part is wrong, where, and what may stand there.
 * @module
 */
import { BzzzError } from '../base/errors.ts';

/** The parts of an address that an error can name. */
export type AddressPart =
  | 'address'
  | 'scheme'
  | 'agent'
  | 'role'
  | 'project'
  | 'task'
  | 'temporal'
  | 'path'
  | 'query'
  | 'fragment';

/** Input comes from strangers too: an error shows the beginning of it, escaped. */
const SHOWN_CHARACTERS = 64;

/**
 * INVALID_ADDRESS with `details: {part, position, found, allowed}`; `position` counts characters
 * from 0.
 */
export function invalid(
  part: AddressPart,
  position: number,
  found: string,
  allowed: string,
): BzzzError {
  const shown = found.length > SHOWN_CHARACTERS ? `${found.slice(0, SHOWN_CHARACTERS)}...` : found;
  const what = found === '' ? 'nothing' : JSON.stringify(shown);
  return new BzzzError('INVALID_ADDRESS', `address: ${part} at position ${position}: ${what}`, {
    why: `allowed here: ${allowed}`,
    details: { part, position, found: shown, allowed },
  });
}
