/**
 * One run of the command line: parses, acts, and turns what happened into an exit code.
 * @module
 */
import { Command, CommanderError } from 'commander';
import { BzzzError, toBzzzError } from '../../base/errors.ts';
import type { Act } from './command.ts';
import { binder, planned } from './command.ts';
import { addBackends } from './commands/backends.ts';
import { addBackup } from './commands/backup.ts';
import { addJobs } from './commands/jobs.ts';
import { addKeys } from './commands/keys.ts';
import { addLeader } from './commands/leader.ts';
import { addLocal } from './commands/local.ts';
import { addNode } from './commands/node.ts';
import { addRecords } from './commands/records.ts';
import { addRoster } from './commands/roster.ts';
import { addSessions } from './commands/sessions.ts';
import { addSetup } from './commands/setup.ts';
import type { Io } from './context.ts';
import { failureJson, failureLines } from './failure-text.ts';

/** Commands of the contract that come with later versions. */
const PLANNED = ['rm', 'history', 'discover', 'watch', 'audit', 'doctor', 'bundle'];

/** Waits so long for what was interrupted to end by itself; the demo has daemons to stop. */
const INTERRUPT_MS = 500;
const INTERRUPT_DEMO_MS = 15_000;

function buildProgram(act: Act, io: Io): Command {
  const program = new Command('bzzz')
    .description('Threshold signing for a handful of hosts, with nothing in the middle.')
    .option('--json', 'print one JSON document (one a line for streams)')
    .option('--socket <path>', 'control socket of the daemon')
    .option('--data-dir <dir>', 'data directory')
    .option('--config <file>', 'configuration file')
    .option('--timeout <duration>', 'give up after 5m, 30s, 250ms or milliseconds')
    .option('--full', 'do not cut ids and tables')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void io.out.write(text),
      writeErr: (text) => void io.err.write(text),
      outputError: () => undefined,
    })
    .configureHelp({ showGlobalOptions: true, helpWidth: 100 });
  addSetup(program, act);
  addNode(program, act);
  addLeader(program, act);
  addRoster(program, act);
  addKeys(program, act);
  addSessions(program, act);
  addRecords(program, act);
  addJobs(program, act);
  addBackends(program, act);
  addBackup(program, act);
  addLocal(program, act);
  for (const name of PLANNED) planned(program, name);
  return program;
}

/** The first SIGINT aborts; whatever hangs is cut soon after. `release` stops listening. */
class Interrupt {
  readonly #abort = new AbortController();
  #listener: (() => void) | undefined;

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  listen(graceMs: number): void {
    this.#listener = () => {
      this.#abort.abort(interruption());
      setTimeout(() => process.exit(130), graceMs).unref();
    };
    process.once('SIGINT', this.#listener);
  }

  release(): void {
    if (this.#listener !== undefined) process.off('SIGINT', this.#listener);
  }
}

/**
 * Runs one command.
 * @param argv what follows the program's name.
 * @returns the exit code, and whether to end although timers may be left: those of a stopped libp2p
 *   linger for a second.
 */
export async function run(
  argv: readonly string[],
  io: Io,
): Promise<{ readonly code: number; readonly exitNow: boolean }> {
  let code = 0;
  let isDaemon = false;
  const interrupt = new Interrupt();
  const signal = (command: Command): AbortSignal => {
    isDaemon = command.name() === 'daemon';
    // The daemon drains on SIGINT and SIGTERM by itself.
    if (!isDaemon) {
      interrupt.listen(command.name() === 'demo' ? INTERRUPT_DEMO_MS : INTERRUPT_MS);
    }
    return interrupt.signal;
  };
  const program = buildProgram(
    binder(io, signal, (given) => {
      code = given;
    }),
    io,
  );
  try {
    await program.parseAsync(argv, { from: 'user' });
    return { code, exitNow: isDaemon };
  } catch (thrown) {
    if (thrown instanceof CommanderError && thrown.exitCode === 0)
      return { code: 0, exitNow: false };
    const error = interrupt.signal.aborted ? interruption() : asError(thrown);
    return { code: report(error, argv.includes('--json'), io), exitNow: isDaemon };
  } finally {
    interrupt.release();
  }
}

const interruption = (): BzzzError => new BzzzError('INTERRUPTED', 'interrupted');

/** Commander's complaints are errors of usage; its suggestion is the reason. */
function asError(thrown: unknown): BzzzError {
  if (!(thrown instanceof CommanderError)) return toBzzzError(thrown);
  const [first = '', ...more] = thrown.message.replace(/^error: /, '').split('\n');
  if (thrown.code === 'commander.help') {
    return new BzzzError('BAD_USAGE', 'no command is given');
  }
  const why = more.join(' ').trim();
  return new BzzzError('BAD_USAGE', first, why === '' ? {} : { why });
}

function report(error: BzzzError, json: boolean, io: Io): number {
  if (error.code === 'INTERRUPTED') return error.exit;
  const colour = io.err.isTTY === true && (io.env.NO_COLOR ?? '') === '';
  io.err.write(failureLines(error, colour));
  if (json) io.out.write(failureJson(error));
  return error.exit;
}
