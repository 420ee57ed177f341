/**
 * Preloaded into a daemon by tests: writes down all that it has for other members in its signing
 * sessions. `FRAMES_DIR/PID.frames` has a line for each, its topic and its body in hex.
 */
import { subscribe } from 'node:diagnostics_channel';
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';

const file = join(process.env.FRAMES_DIR ?? '', `${process.pid}.frames`);
const TOPICS = new Set(['mpc/propose', 'mpc/msg']);

subscribe('bzzz.direct.frame', ({ topic, body }) => {
  if (!TOPICS.has(topic)) return;
  appendFileSync(file, `${topic} ${Buffer.from(body).toString('hex')}\n`);
});
