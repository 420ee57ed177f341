/**
 * Preloaded into a daemon by tests: it breaks down just before a chosen effect of a session.
 *
 * `FAULT_DIR/plan` says where: `{id, kind, step, fault, nodes, cuts}`, the `step`th effect of the
 * first session of `kind` that begins after the plan was laid, at whichever of `nodes` comes there
 * first. `kill` and `stop` are the signals; `cut` runs the node's command of `cuts`, which takes its
 * cable away, and goes on. What was done stands in `FAULT_DIR/fired`; every effect is written down in
 * `FAULT_DIR/NAME.steps`.
 */
import { spawnSync } from 'node:child_process';
import { subscribe } from 'node:diagnostics_channel';
import { appendFileSync, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Timers and events leave no trace outside the process. */
const SILENT = new Set(['timer', 'clearTimer', 'event', 'ignored']);
const SIGNALS = { kill: 'SIGKILL', stop: 'SIGSTOP' };
const { FAULT_DIR: dir = '', BZZZ_NODE_NAME: name } = process.env;
const old = new Set();
let known = { id: undefined, sid: undefined, count: 0 };

subscribe('bzzz.session.effect', ({ kind, sid, effect }) => {
  if (SILENT.has(effect.split(':')[0])) return;
  appendFileSync(join(dir, `${name}.steps`), `${kind} ${sid} ${effect}\n`);
  const plan = read();
  if (plan === undefined || plan.kind !== kind || !plan.nodes.includes(name)) {
    old.add(sid);
    return;
  }
  if (plan.id !== known.id) known = { id: plan.id, sid: undefined, count: 0 };
  if (known.sid === undefined && !old.has(sid)) known.sid = sid;
  if (known.sid !== sid || ++known.count !== plan.step) return;
  breakDown(plan, effect);
});

function read() {
  if (!existsSync(join(dir, 'plan'))) return undefined;
  try {
    return JSON.parse(readFileSync(join(dir, 'plan'), 'utf8'));
  } catch (error) {
    // Another node has just claimed it.
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
}

function breakDown({ id, fault, cuts }, effect) {
  const mine = join(dir, `${name}.claim`);
  try {
    renameSync(join(dir, 'plan'), mine);
  } catch (error) {
    // One node of several breaks down.
    if (error.code === 'ENOENT') return;
    throw error;
  }
  if (fault === 'cut') run(cuts[name]);
  writeFileSync(mine, JSON.stringify({ id, name, effect, at: Date.now() }));
  renameSync(mine, join(dir, 'fired'));
  if (fault !== 'cut') process.kill(process.pid, SIGNALS[fault]);
}

function run([command, ...args]) {
  const { status, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr}`);
}
