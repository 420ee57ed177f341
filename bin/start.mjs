/**
 * Turns on the compile cache and starts the program. This file is JavaScript, because the entry
 * point itself is read before a cache can be on, and stripping types costs more than all the rest
 * of a short command.
 *
 * The cache holds code that will be run, so it must not lie where other users can write, as the
 * default below /tmp does: it lies beside the installed code, else below the home directory.
 */
import { existsSync, lstatSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { constants, enableCompileCache } from 'node:module';

const root = new URL('..', import.meta.url);

/** Whether `dir` exists or can be made, belongs to this user, and only this user may write it. */
function isOurs(dir) {
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    const info = lstatSync(dir);
    return info.isDirectory() && info.uid === process.getuid() && (info.mode & 0o022) === 0;
  } catch {
    // Read-only or not ours: the next place, or none. The program only starts more slowly.
    return false;
  }
}

const { HOME, XDG_CACHE_HOME } = process.env;
const places = [new URL('node_modules/.cache/bzzz', root).pathname];
if (XDG_CACHE_HOME?.startsWith('/')) places.push(`${XDG_CACHE_HOME}/bzzz`);
else if (HOME?.startsWith('/')) places.push(`${HOME}/.cache/bzzz`);

for (const place of places) {
  if (!isOurs(place)) continue;
  const { status } = enableCompileCache(place);
  if (status !== constants.compileCacheStatus.FAILED) break;
}

/** The bundle, unless a source is newer: who changes the code runs what was changed. */
function entry() {
  const stamp = statSync(new URL('dist/stamp', root), { throwIfNoEntry: false });
  const sources = ['src', 'bootstrap'].map((name) => new URL(name, root));
  const newer = (folder) =>
    readdirSync(folder, { recursive: true, withFileTypes: true }).some(
      (item) =>
        item.isFile() && statSync(`${item.parentPath}/${item.name}`).mtimeMs > stamp.mtimeMs,
    );
  const stale =
    stamp === undefined || sources.some((folder) => existsSync(folder) && newer(folder));
  return stale ? 'src/node/cli/main.ts' : 'dist/main.js';
}

await import(new URL(entry(), root).href);
