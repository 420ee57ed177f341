/**
 * Preloaded into a daemon by tests. `CRASH_AT=keygen:7` ends the process with SIGKILL just before
 * the seventh effect of a key generation after the file `CRASH_ARMED` has come to be, so that what
 * is left from before does not count; `EFFECT_LOG=FILE` writes down every effect instead.
 */
import { subscribe } from 'node:diagnostics_channel';
import { appendFileSync, existsSync } from 'node:fs';

/** Timers and events leave no trace outside the process. */
const SILENT = new Set(['timer', 'clearTimer', 'event', 'ignored']);
const [kind, wanted] = (process.env.CRASH_AT ?? '').split(':');
let count = 0;

subscribe('bzzz.session.effect', (message) => {
  const type = message.effect.split(':')[0];
  if (SILENT.has(type)) return;
  if (process.env.EFFECT_LOG !== undefined) {
    appendFileSync(process.env.EFFECT_LOG, `${message.kind} ${message.effect}\n`);
  }
  if (message.kind !== kind || !existsSync(process.env.CRASH_ARMED ?? '')) return;
  count++;
  if (count === Number(wanted)) process.kill(process.pid, 'SIGKILL');
});
