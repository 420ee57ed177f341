/**
 * The installation that this program runs from: its folder and its version.
 * @module
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { BzzzError } from '../../base/errors.ts';

/** The nearest folder above this file with a package.json; sources and bundle differ in depth. */
export function installationRoot(): string {
  for (let folder = import.meta.dirname; folder !== dirname(folder); folder = dirname(folder)) {
    if (existsSync(join(folder, 'package.json'))) return folder;
  }
  throw new BzzzError('INTERNAL', 'package.json is missing from the installation');
}

/** As package.json says it. */
export function programVersion(): string {
  const manifest: unknown = JSON.parse(
    readFileSync(join(installationRoot(), 'package.json'), 'utf8'),
  );
  if (manifest instanceof Object && 'version' in manifest) return String(manifest.version);
  throw new BzzzError('INTERNAL', 'package.json of the installation names no version');
}
