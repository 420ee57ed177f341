/**
 * Runs the command line: as a child process where the process itself matters (signals, pipes, start
 * of the program), else in this one, which is far quicker.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { join, resolve } from 'node:path';
import { run } from '../../../src/node/cli/run.ts';

const root = resolve(import.meta.dirname, '../../..');

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly bytes: Buffer;
  readonly stderr: string;
}

/** Variables of this process that would change what the command line does. */
const clean = (): NodeJS.ProcessEnv =>
  Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^(BZZZ|RUSTLE|XDG|NODE)_|^NO_COLOR$/.test(name),
    ),
  );

export function start(
  args: readonly string[],
  options: { home: string; env?: NodeJS.ProcessEnv },
): ChildProcess {
  return spawn(join(root, 'bin/bzzz'), args, {
    env: { ...clean(), HOME: options.home, ...options.env },
    cwd: options.home,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
}

export interface Options {
  readonly home: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly input?: string | Uint8Array;
  /** Somebody sits at stdin and stderr. */
  readonly terminal?: boolean;
}

/** The same in this process. */
export async function inProcess(args: readonly string[], options: Options): Promise<Ran> {
  const out: Buffer[] = [];
  let stderr = '';
  const isTTY = options.terminal === true;
  const typed = (async function* () {
    if (options.input !== undefined) yield Buffer.from(options.input);
  })();
  const { code } = await run(args, {
    out: { write: (text) => out.push(Buffer.from(text)) },
    err: { write: (text) => (stderr += text), isTTY },
    stdin: Object.assign(typed, { isTTY }),
    env: { HOME: options.home, ...options.env },
  });
  const bytes = Buffer.concat(out);
  return { code, bytes, stdout: bytes.toString(), stderr };
}

export function bzzz(args: readonly string[], options: Options): Promise<Ran> {
  return new Promise((done, fail) => {
    const child = start(args, options);
    const out: Buffer[] = [];
    let stderr = '';
    child.stdout?.on('data', (chunk) => out.push(chunk));
    child.stderr?.on('data', (chunk) => (stderr += chunk));
    child.once('error', fail);
    child.once('close', (code) => {
      const bytes = Buffer.concat(out);
      done({ code, bytes, stdout: bytes.toString(), stderr });
    });
    child.stdin?.on('error', () => {});
    child.stdin?.end(options.input);
  });
}
