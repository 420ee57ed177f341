/**
 * The `bzzz` program.
 *
 * Everything else is imported after the compile cache is on: parsing the sources is most of what a
 * short command costs.
 * @module
 */
import { enableCompileCache } from 'node:module';

enableCompileCache();

// A reader that had enough (`bzzz events | head`) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(0);
});

const { run } = await import('./run.ts');
const { code, exitNow } = await run(process.argv.slice(2));
process.exitCode = code;
if (exitNow) process.exit();
