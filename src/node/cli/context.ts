/**
 * What a command is given: the options that all commands share, the way to the daemon, and the ways
 * to speak.
 * @module
 */

import { BzzzError } from '../../base/errors.ts';
import type { Effective, SettingKey } from '../config.ts';
import { loadConfig } from '../config-load.ts';
import type { RawValue } from '../config-values.ts';
import { parseDuration } from '../config-values.ts';
import { ControlClient } from '../control/client.ts';
import { cutMiddle, WIDTH } from './text.ts';

/** Options of every command, as commander gives them. */
export interface SharedOptions {
  readonly json?: boolean;
  readonly full?: boolean;
  readonly socket?: string;
  readonly dataDir?: string;
  readonly config?: string;
  readonly timeout?: string;
}

/** The world of a command: where its words go, where its input and its environment come from. */
export interface Io {
  readonly out: { write(text: string | Uint8Array): unknown; readonly isTTY?: boolean };
  readonly err: { write(text: string): unknown; readonly isTTY?: boolean };
  readonly stdin: AsyncIterable<string | Buffer> & { readonly isTTY?: boolean };
  readonly env: Readonly<Record<string, string | undefined>>;
}

const ANSWER_MS = 30_000;
/** Content is hashed, cut up and held by several nodes before the answer comes. */
const MS_PER_MIB = 2_000;
/** `bzzz daemon & bzzz invite`: a daemon that is just starting is waited for. */
const PATIENCE_MS = 5_000;
/** The daemon's own time-out comes first, with the reason in it. */
const SLACK_MS = 2_000;

/** One run of one command. */
export class Context {
  readonly options: SharedOptions;
  readonly signal: AbortSignal;
  readonly io: Io;
  /** Settings given as flags, beside the shared ones. */
  readonly #flags: ReadonlyMap<SettingKey, RawValue>;

  constructor(
    options: SharedOptions,
    flags: ReadonlyMap<SettingKey, RawValue>,
    signal: AbortSignal,
    io: Io,
  ) {
    this.options = options;
    this.signal = signal;
    this.#flags = flags;
    this.io = io;
  }

  get json(): boolean {
    return this.options.json === true;
  }

  get full(): boolean {
    return this.options.full === true;
  }

  /** An id as it is shown: cut in the middle unless `--full`. */
  id(text: string): string {
    return this.full ? text : cutMiddle(text);
  }

  /** Whole ids need room; then nothing is cut. */
  get tableWidth(): number {
    return this.full ? 1_000 : WIDTH;
  }

  /** Whether somebody sits there who can be asked. */
  get interactive(): boolean {
    return this.io.stdin.isTTY === true && this.io.err.isTTY === true;
  }

  /** `--timeout` in ms. @throws BAD_USAGE. */
  get timeoutMs(): number | undefined {
    const { timeout } = this.options;
    if (timeout === undefined) return undefined;
    const ms = parseDuration(timeout);
    if (ms === undefined || ms < 1) {
      throw new BzzzError('BAD_USAGE', `--timeout ${timeout} is no duration`, {
        hint: 'give 5m, 30s, 250ms or milliseconds',
      });
    }
    return ms;
  }

  /** How long to wait for the answer to a call that brings so many bytes, in ms. */
  answerMs(bytes: number): number {
    return this.timeoutMs ?? ANSWER_MS + Math.ceil((bytes / 1_048_576) * MS_PER_MIB);
  }

  /** What a call that runs a session is told, and how long to wait for its answer. */
  sessionTimes(defaultMs: number): { readonly server?: number; readonly client: number } {
    const ms = this.timeoutMs;
    return ms === undefined ? { client: defaultMs } : { server: ms, client: ms + SLACK_MS };
  }

  /** The settings in force for this command. @throws BAD_CONFIG. */
  settings(): Promise<Effective> {
    const { socket, dataDir, config } = this.options;
    const flags = new Map(this.#flags);
    if (socket !== undefined) flags.set('controlSocket', socket);
    if (dataDir !== undefined) flags.set('dataDir', dataDir);
    if (config !== undefined) flags.set('configFile', config);
    return loadConfig({ flags, env: this.io.env });
  }

  /**
   * A client of this node's daemon.
   * @param options.patient waits a moment for a daemon that is just starting.
   */
  async client(options: { readonly patient: boolean }): Promise<ControlClient> {
    const timeoutMs = this.answerMs(0);
    const { config } = await this.settings();
    return new ControlClient({
      socketPath: config.controlSocket,
      timeoutMs,
      patienceMs: options.patient ? Math.min(PATIENCE_MS, timeoutMs * 0.8) : 0,
      signal: this.signal,
    });
  }

  /** The result: one JSON document with `--json`, else what `human` makes of it. */
  result<T>(document: T, human: (document: T) => string): void {
    this.data(this.json ? `${JSON.stringify(document)}\n` : human(document));
  }

  /** Writes to stdout. */
  data(text: string | Uint8Array): void {
    this.io.out.write(text);
  }

  /** Progress, for somebody who looks: stderr, on a terminal, not with `--json`. */
  chatter(text: string): void {
    if (this.io.err.isTTY === true && !this.json) this.io.err.write(`${text}\n`);
  }
}
