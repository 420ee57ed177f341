/**
 * The version of this program, as package.json says it.
 * @module
 */
import { readFileSync } from 'node:fs';
import { BzzzError } from '../../base/errors.ts';

/** Looks upward from this file, because the built files lie one directory deeper. */
export function programVersion(): string {
  for (const up of ['../../../package.json', '../../../../package.json']) {
    try {
      const manifest = JSON.parse(readFileSync(new URL(up, import.meta.url), 'utf8'));
      if (manifest.name === 'bzzz') return String(manifest.version);
    } catch (thrown) {
      if (!(thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT')) throw thrown;
    }
  }
  throw new BzzzError('INTERNAL', 'package.json is missing from the installation');
}
