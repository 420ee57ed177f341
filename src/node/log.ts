/**
 * The log: one JSON object a line on stderr, or a readable line on a terminal.
 *
 * Levels: error = an operator must act; warn = degraded; info = life cycle; debug = detail.
 * @module
 */
import { type Logger as PinoLogger, pino } from 'pino';
import type { Logger } from '../base/ports.ts';
import { formatPretty } from './log-pretty.ts';
import { redact, redactText } from './log-redact.ts';

/** Where lines go; a line ends with a newline. */
export interface LogSink {
  write(line: string): void;
}

export interface LogOptions {
  readonly level: 'error' | 'warn' | 'info' | 'debug' | 'silent';
  readonly format: 'json' | 'pretty';
  /** @default colour when `format` is pretty, stderr is a terminal and NO_COLOR is not set. */
  readonly colour?: boolean;
  /** @default stderr, written before the call returns, so that the last words are not lost. */
  readonly sink?: LogSink;
}

/** The root logger. Give each component its own with `child({component})`. */
export function createLogger(options: LogOptions): Logger {
  const sink = options.sink ?? pino.destination({ dest: 2, sync: true });
  const colour =
    options.colour ?? (process.stderr.isTTY === true && (process.env.NO_COLOR ?? '') === '');
  const stream: LogSink =
    options.format === 'json'
      ? sink
      : { write: (line) => void sink.write(formatPretty(line, colour)) };
  const root = pino(
    {
      level: options.level,
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    stream,
  );
  return wrap(root);
}

type Level = 'error' | 'warn' | 'info' | 'debug';

function wrap(inner: PinoLogger<never, boolean>): Logger {
  const at =
    (level: Level) =>
    (fields: object, message: string): void => {
      // Redaction walks the fields, so it is left out for lines that nobody will see.
      if (inner.isLevelEnabled(level)) inner[level](redact(fields), redactText(message));
    };
  return {
    error: at('error'),
    warn: at('warn'),
    info: at('info'),
    debug: at('debug'),
    child: (fields) => wrap(inner.child(redact(fields))),
  };
}
