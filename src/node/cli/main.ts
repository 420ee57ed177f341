/**
 * The `bzzz` program. bin/start.mjs runs it with the compile cache on.
 * @module
 */
import { run } from './run.ts';

// A reader that had enough (`bzzz events | head`) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(0);
});

const { code, exitNow } = await run(process.argv.slice(2), {
  out: process.stdout,
  err: process.stderr,
  // Opened when somebody reads it: an open stdin would keep a command from ending.
  get stdin() {
    return process.stdin;
  },
  env: process.env,
});
process.exitCode = code;
if (exitNow) process.exit();
