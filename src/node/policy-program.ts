/**
 * Runs the external policy program: one process for each question, the question on its standard
 * input, the verdict in its exit code. It is started as it is, by no shell, with an empty
 * environment and in the root directory; it and its children are killed after 2 s.
 * @module
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { BzzzError, toBzzzError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Clock } from '../base/ports.ts';
import type { PolicyJudge, PolicyVerdict } from '../mpc/policy/policy-program.ts';

/** How long the program may take. */
export const PROGRAM_MS = 2_000;
/** Of its standard error only the beginning is read; the rest is thrown away. */
const STDERR_BYTES = 4_096;

/**
 * Checks, before the node starts, that the program is one that only this user or root can change.
 * @throws BAD_CONFIG: not an executable file; LOOSE_PERMISSIONS.
 */
export async function checkPolicyProgram(path: string): Promise<void> {
  const info = await stat(path).catch((cause: unknown) => {
    throw new BzzzError('BAD_CONFIG', `policy program ${path} cannot be read`, { cause });
  });
  if (!info.isFile() || (info.mode & 0o111) === 0) {
    throw new BzzzError('BAD_CONFIG', `policy program ${path} is no executable file`, {
      hint: 'give the absolute path of a program; it is not run by a shell',
    });
  }
  const uid = process.getuid?.();
  const foreign = uid !== undefined && info.uid !== uid && info.uid !== 0;
  if (!foreign && (info.mode & 0o022) === 0) return;
  throw new BzzzError('LOOSE_PERMISSIONS', `policy program ${path} can be changed by other users`, {
    why: `its mode is ${(info.mode & 0o777).toString(8)}, its owner uid ${info.uid}`,
    hint: `chmod go-w ${path}`,
  });
}

/** A judge that runs `path`. It never rejects: what goes wrong is a no with its reason. */
export const policyProgram =
  (path: string, clock: Clock): PolicyJudge =>
  (question) =>
    new Promise((resolve) => {
      const child = spawn(path, [], {
        ...{ cwd: '/', env: {}, stdio: ['pipe', 'ignore', 'pipe'], detached: true },
      });
      let heard = Buffer.alloc(0);
      const end = (verdict: PolicyVerdict): void => {
        stop();
        // Later calls change nothing: a promise settles once.
        resolve(verdict);
      };
      const stop = clock.after(PROGRAM_MS, () => {
        killGroup(child);
        end(no(`no answer within ${PROGRAM_MS} ms`));
      });
      child.once('error', (error) => end(no(`it cannot be run: ${toBzzzError(error).message}`)));
      child.once('exit', (code, signal) => {
        // What it left behind must not outlive it, and would keep its standard error open.
        killGroup(child);
        if (code === 0) end({ ok: true });
        // The rest of what it said may still be in the pipe.
        else child.once('close', () => end(no(firstLine(heard) ?? endOf(code, signal))));
      });
      child.stderr?.on('data', (chunk: Buffer) => {
        if (heard.length < STDERR_BYTES) heard = Buffer.concat([heard, chunk]);
      });
      // A program may decide without reading the question.
      child.stdin?.on('error', () => {});
      child.stdin?.end(`${JSON.stringify(question)}\n`);
    });

const no = (reason: string): PolicyVerdict => ({ ok: false, reason });

const endOf = (code: number | null, signal: string | null): string =>
  code === null ? `it was ended by ${signal}` : `exit code ${code}`;

/** Printable, at most 200 bytes. @returns undefined when nothing was said. */
function firstLine(bytes: Buffer): string | undefined {
  const [line = ''] = bytes.subarray(0, STDERR_BYTES).toString('utf8').split('\n');
  let text = line.replaceAll(/\p{C}/gu, '').trim();
  while (Buffer.byteLength(text) > LIMITS.policyReasonBytes) text = text.slice(0, -1);
  return text === '' ? undefined : text;
}

/** The program leads a process group of its own, so its children go with it. */
function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    // Nothing of the group is left.
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}
