/**
 * Bundles the program into dist/: a daemon of 1,500 modules takes a second of a core to load from
 * their files, and a quarter of that from one. `npm ci` runs it; without it the sources run as they
 * are, and start more slowly.
 */
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = new URL('..', import.meta.url);
const path = (name) => fileURLToPath(new URL(name, root));

const rolldown = await import('rolldown').catch(() => undefined);
if (rolldown === undefined || !existsSync(path('src'))) {
  process.stderr.write('bzzz: not bundled: there is no bundler, or there are no sources\n');
  process.exit(0);
}

rmSync(path('dist'), { recursive: true, force: true });
const bundle = await rolldown.rolldown({
  input: { main: path('src/node/cli/main.ts') },
  platform: 'node',
  // A native addon finds its binary beside its own package; WebAssembly is read as it is.
  external: ['classic-level', 'level', 'libsodium-wrappers-sumo', 'tiny-secp256k1'],
});
await bundle.write({
  dir: path('dist'),
  format: 'esm',
  entryFileNames: '[name].js',
  chunkFileNames: '[name]-[hash].js',
});
await bundle.close();
writeFileSync(path('dist/stamp'), '');
