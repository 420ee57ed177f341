/**
 * The client of the control socket. The command line uses it and nothing else.
 * @module
 */
import type { IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { BzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import { plainCode } from './failure.ts';
import { type SseEvent, SseParser } from './sse.ts';

export interface ClientOptions {
  readonly socketPath: string;
  /** A whole request may take so long, ms. */
  readonly timeoutMs: number;
  /** How long to wait for a daemon that is just starting, ms. @default 0 */
  readonly patienceMs?: number;
  /** Ends every call with INTERRUPTED. */
  readonly signal?: AbortSignal;
}

/** One call. `json` and `octets` exclude each other. */
export interface ClientCall {
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly json?: unknown;
  /** In one piece or in several. */
  readonly octets?: Uint8Array | readonly Uint8Array[];
  readonly timeoutMs?: number;
}

/** An event of the node, or the marker that some were lost. */
export interface ControlEvent {
  readonly event: string;
  readonly data: unknown;
}

/**
 * Not imported: an import evaluates every export of the module, and one of them loads a whole
 * WebSocket and fetch implementation, a quarter of what `bzzz status` costs.
 */
const { request } = process.getBuiltinModule('node:http');

type Method = 'GET' | 'POST' | 'DELETE';

const RETRY_MS = 50;
const RECONNECT_MS = 500;
/** A daemon that is restarted is back well before. */
const RECONNECT_FOR_MS = 30_000;
const MAX_RESPONSE_BYTES = 16 * 1_048_576;

/** Speaks HTTP over one unix socket; holds no connection between calls. */
export class ControlClient {
  readonly #options: ClientOptions;

  constructor(options: ClientOptions) {
    this.#options = options;
  }

  /**
   * Calls a route.
   * @returns its document; for a UCXI result the data inside.
   * @throws the daemon's error as it is; DAEMON_UNREACHABLE, UNAUTHORISED, TIMEOUT, INTERRUPTED.
   */
  async call<T>(method: Method, path: string, call: ClientCall = {}): Promise<T> {
    const limitMs = call.timeoutMs ?? this.#options.timeoutMs;
    const timeout = AbortSignal.timeout(limitMs);
    const signal = AbortSignal.any([timeout, ...this.#own()]);
    try {
      const response = await this.#open(method, path, call, {}, signal);
      const text = await readText(response);
      if ((response.statusCode ?? 0) >= 400) throw errorOf(response.statusCode ?? 0, text);
      return unwrap(text) as T;
    } catch (thrown) {
      throw this.#explain(thrown, timeout, `${method} ${path}`, limitMs);
    }
  }

  /**
   * The octets that a route answers with, as they come. A slow reader makes the daemon wait; the
   * time runs anew for each part.
   * @throws as `call`; DAEMON_UNREACHABLE also when the answer breaks off.
   */
  async *octets(path: string, call: ClientCall = {}): AsyncGenerator<Uint8Array> {
    const limitMs = call.timeoutMs ?? this.#options.timeoutMs;
    const silence = new AbortController();
    const wait = (): NodeJS.Timeout => setTimeout(() => silence.abort(), limitMs);
    const signal = AbortSignal.any([silence.signal, ...this.#own()]);
    let timer = wait();
    try {
      const response = await this.#open('GET', path, call, {}, signal);
      const status = response.statusCode ?? 0;
      if (status >= 400) throw errorOf(status, await readText(response));
      for await (const part of response) {
        clearTimeout(timer);
        yield part;
        timer = wait();
      }
      if (!response.complete) throw new Error('the answer broke off');
    } catch (thrown) {
      throw this.#explain(thrown, silence.signal, `GET ${path}`, limitMs);
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * The node's events. Reconnects when the connection ends and resumes after the last event seen.
   * @param options.after where to begin: `undefined` now, `0.0` with all that is remembered.
   * @param options.follow false: ends with what has happened so far.
   * @throws DAEMON_UNREACHABLE at first, or after 30 s without a daemon; INTERRUPTED.
   */
  async *events(options: {
    readonly after?: string;
    readonly follow: boolean;
  }): AsyncGenerator<ControlEvent, void, undefined> {
    let last = options.after;
    let lostAt: number | undefined;
    for (;;) {
      try {
        for await (const { id, event, data } of this.#eventsOnce(last, options.follow)) {
          lostAt = undefined;
          last = id ?? last;
          yield { event, data: JSON.parse(data) };
        }
        if (!options.follow) return;
      } catch (thrown) {
        const error = this.#explain(thrown, undefined, 'events', 0);
        const first = lostAt === undefined && last === options.after;
        const over = lostAt !== undefined && performance.now() - lostAt > RECONNECT_FOR_MS;
        if (first || over || !options.follow || error.code !== 'DAEMON_UNREACHABLE') throw error;
      }
      lostAt ??= performance.now();
      await sleep(RECONNECT_MS, undefined, { signal: AbortSignal.any(this.#own()) }).catch(() => {
        throw interrupted();
      });
    }
  }

  async *#eventsOnce(last: string | undefined, follow: boolean): AsyncGenerator<SseEvent> {
    const signal = AbortSignal.any(this.#own());
    const headers = last === undefined ? {} : { 'last-event-id': last };
    const query = { follow: follow ? 1 : 0 };
    const response = await this.#open('GET', '/v1/events', { query }, headers, signal);
    if (response.statusCode !== 200) {
      throw errorOf(response.statusCode ?? 0, await readText(response));
    }
    const parser = new SseParser();
    response.setEncoding('utf8');
    try {
      for await (const chunk of response) yield* parser.push(String(chunk));
    } catch (thrown) {
      // The daemon went away: as good as an end, because the reader resumes. Ours is not.
      if (signal.aborted) throw thrown;
    } finally {
      response.destroy();
    }
  }

  #own(): AbortSignal[] {
    return this.#options.signal === undefined ? [] : [this.#options.signal];
  }

  /** Sends a request, again while nobody listens and patience lasts; nothing was sent then. */
  async #open(
    method: Method,
    path: string,
    call: ClientCall,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<IncomingMessage> {
    const { socketPath, patienceMs = 0 } = this.#options;
    if (Buffer.byteLength(socketPath) > LIMITS.socketPathBytes) {
      throw new BzzzError('PATH_TOO_LONG', `the socket path ${socketPath} is too long`);
    }
    const end = performance.now() + patienceMs;
    for (;;) {
      try {
        return await send(socketPath, method, path, call, headers, signal);
      } catch (thrown) {
        if (!isNobody(thrown) || performance.now() >= end) throw thrown;
        // What ends the waiting is not what is wrong: nobody listens.
        await sleep(RETRY_MS, undefined, { signal }).catch(() => {
          throw thrown;
        });
      }
    }
  }

  #explain(
    thrown: unknown,
    timeout: AbortSignal | undefined,
    what: string,
    limitMs: number,
  ): BzzzError {
    if (thrown instanceof BzzzError) return thrown;
    if (this.#options.signal?.aborted === true) return interrupted();
    if (timeout?.aborted === true && !isNobody(thrown)) {
      return new BzzzError('TIMEOUT', `no answer to ${what} within ${limitMs} ms`);
    }
    const { socketPath } = this.#options;
    const code = codeOf(thrown);
    if (code === 'EACCES' || code === 'EPERM') {
      return new BzzzError('UNAUTHORISED', `no access to ${socketPath}`, { cause: thrown });
    }
    const why =
      code === 'ENOENT'
        ? 'there is no such socket'
        : code === 'ECONNREFUSED'
          ? 'nobody listens there; an earlier daemon left it behind'
          : thrown instanceof Error
            ? thrown.message
            : String(thrown);
    return new BzzzError('DAEMON_UNREACHABLE', `no daemon answers on ${socketPath}`, {
      why,
      details: { socket: socketPath },
      cause: thrown,
    });
  }
}

const codeOf = (thrown: unknown): string =>
  thrown instanceof Error && 'code' in thrown ? String(thrown.code) : '';

/** Nobody listens on the socket: nothing was sent, so trying again is safe. */
const isNobody = (thrown: unknown): boolean => ['ENOENT', 'ECONNREFUSED'].includes(codeOf(thrown));

const interrupted = (): BzzzError => new BzzzError('INTERRUPTED', 'interrupted');

function send(
  socketPath: string,
  method: Method,
  path: string,
  call: ClientCall,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const body = partsOf(call);
  const type = call.octets === undefined ? 'application/json' : 'application/octet-stream';
  const content =
    body === undefined ? {} : { 'content-type': type, 'content-length': lengthOf(body) };
  return new Promise((done, fail) => {
    // Without an agent no idle connection keeps the command from ending.
    const outgoing = request({
      socketPath,
      method,
      path: path + queryText(call.query ?? {}),
      headers: { host: 'bzzz', ...content, ...headers },
      agent: false,
      signal,
    });
    outgoing.once('response', done);
    outgoing.on('error', fail);
    for (const part of body ?? []) outgoing.write(part);
    outgoing.end();
  });
}

function partsOf({ octets, json }: ClientCall): readonly Uint8Array[] | undefined {
  if (octets !== undefined) return octets instanceof Uint8Array ? [octets] : octets;
  return json === undefined ? undefined : [Buffer.from(JSON.stringify(json))];
}

const lengthOf = (parts: readonly Uint8Array[]): number =>
  parts.reduce((sum, part) => sum + part.length, 0);

function queryText(query: NonNullable<ClientCall['query']>): string {
  const given = Object.entries(query).flatMap(([k, v]) =>
    v === undefined ? [] : [`${encodeURIComponent(k)}=${encodeURIComponent(v)}`],
  );
  return given.length === 0 ? '' : `?${given.join('&')}`;
}

async function readText(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response) {
    length += chunk.length;
    if (length > MAX_RESPONSE_BYTES) {
      throw new BzzzError('TOO_LARGE', `the answer is larger than ${MAX_RESPONSE_BYTES} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new BzzzError('INTERNAL', 'the daemon answered with something that is not JSON', {
      cause,
    });
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null;

function unwrap(text: string): unknown {
  const value = parse(text);
  const inner = isRecord(value) ? value.response : undefined;
  return isRecord(inner) && String(inner.code).startsWith('UCXL-') ? inner.data : value;
}

/** The daemon's error, rebuilt; a status without a document becomes one that says so. */
function errorOf(status: number, text: string): BzzzError {
  const value = text === '' ? undefined : parse(text);
  const error = isRecord(value) && isRecord(value.error) ? value.error : undefined;
  if (error === undefined) {
    return new BzzzError('INTERNAL', `the daemon answered with status ${status}`);
  }
  return BzzzError.fromShape({
    code: plainCode(String(error.code)),
    message: String(error.message),
    ...(typeof error.why === 'string' ? { why: error.why } : {}),
    ...(typeof error.try === 'string' ? { try: error.try } : {}),
    ...(isRecord(error.details) ? { details: error.details } : {}),
  });
}
