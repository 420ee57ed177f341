/**
 * A share that its operator brings for one signature: `key share` gave it to them.
 * @module
 */
import type { PeerId } from '../../base/brands.ts';
import { equalBytes } from '../../base/bytes.ts';
import { BzzzError } from '../../base/errors.ts';
import { keyFromJson } from '../keys/interchange.ts';
import { wipe } from '../keys/sharefile.ts';
import { suiteOf } from '../suites/index.ts';
import type { Suites } from '../suites/types.ts';
import type { KeyInfo, KeyShare } from '../types.ts';

/**
 * Reads a key package and holds it against the key; the caller wipes the share.
 * @throws BAD_MESSAGE: form; BAD_REQUEST: of another key, party or node; SHARE_CORRUPT: not the
 * share of this epoch.
 */
export function broughtShare(text: string, key: KeyInfo, self: PeerId, suites: Suites): KeyShare {
  const { suite, index, signingShare, verifyingKey } = keyFromJson(text);
  const refuse = (error: BzzzError): never => {
    wipe(signingShare);
    throw error;
  };
  if (suite !== key.suite || !equalBytes(verifyingKey, key.groupKey)) {
    refuse(new BzzzError('BAD_REQUEST', `the share is not one of key ${key.name}`));
  }
  if (key.parties[index - 1]?.peerId !== self) {
    refuse(
      new BzzzError('BAD_REQUEST', `the share is party ${index}'s, and this node is another`, {
        hint: 'bring it on the node that gave it out',
      }),
    );
  }
  const share = { index, signingShare };
  const expected = key.verifyingShares[index - 1] ?? new Uint8Array();
  if (!equalBytes(suiteOf(suite, suites).verifyingShareOf(share), expected)) {
    refuse(
      new BzzzError('SHARE_CORRUPT', `the share does not fit key ${key.name}`, {
        why: 'it was altered, or is of another epoch of the key',
      }),
    );
  }
  return share;
}
