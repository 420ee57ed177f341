/**
 * The control server: HTTP/1.1 on a unix socket that only this user can reach.
 * @module
 */
import { chmod } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { getRequestListener } from '@hono/node-server';
import { toBzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Clock, Logger, Service } from '../../base/ports.ts';
import type { NodeServices } from '../services.ts';
import { createApp } from './app.ts';
import { claimSocketPath } from './socket.ts';

/** Limits of one server; the defaults are those of `limits.ts`. */
export interface ControlOptions {
  readonly socketPath: string;
  readonly version: string;
  /** @default 5,000: request line and headers must be there. */
  readonly headerMs?: number;
  /** @default 15,000: the whole request must be there. */
  readonly bodyMs?: number;
  /** @default 15,000: a comment on an idle event stream. */
  readonly heartbeatMs?: number;
  /** @default 256 connections; more are closed at once. */
  readonly maxConnections?: number;
  /** @default 1,000: requests may end for so long after `stop`. */
  readonly graceMs?: number;
}

export interface ControlDependencies {
  readonly services: NodeServices;
  readonly clock: Clock;
  readonly log: Logger;
}

const MAX_HEADER_BYTES = 16_384;
const MAX_CONNECTIONS = 256;

/** Serves the control API from `start` to `stop`. */
export function createControlServer(options: ControlOptions, deps: ControlDependencies): Service {
  const stopping = new AbortController();
  const app = createApp({
    ...deps,
    version: options.version,
    heartbeatMs: options.heartbeatMs ?? 15_000,
    stopping: stopping.signal,
  });
  const headerMs = options.headerMs ?? LIMITS.controlHeaderMs;
  const server = createServer(
    {
      headersTimeout: headerMs,
      requestTimeout: options.bodyMs ?? LIMITS.controlBodyMs,
      // Node looks for late requests this often; its default of 30 s would let them sit.
      connectionsCheckingInterval: Math.max(50, Math.floor(headerMs / 5)),
      maxHeaderSize: MAX_HEADER_BYTES,
    },
    getRequestListener(app.fetch, { overrideGlobalObjects: false, hostname: 'bzzz' }),
  );
  server.maxConnections = options.maxConnections ?? MAX_CONNECTIONS;
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    refuseConnection(deps.log, error, socket);
  });
  server.on('drop', () => deps.log.warn({}, 'control socket: too many connections'));
  return {
    name: 'control',
    start: () => listen(server, options.socketPath, deps.log),
    stop: () => {
      stopping.abort();
      return close(server, options.graceMs ?? 1_000);
    },
  };
}

/** Whatever is not HTTP, too large in its headers or too slow: an answer if one can be given. */
function refuseConnection(log: Logger, error: NodeJS.ErrnoException, socket: Duplex): void {
  log.warn({ code: error.code ?? error.name }, 'control socket: bad request, connection closed');
  const status =
    error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
      ? '408 Request Timeout'
      : error.code === 'HPE_HEADER_OVERFLOW'
        ? '431 Request Header Fields Too Large'
        : '400 Bad Request';
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const answer = `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`;
  // Ended and not half open: a slow client may not keep the connection.
  socket.end(answer, () => socket.destroy());
}

async function listen(server: Server, path: string, log: Logger): Promise<void> {
  await claimSocketPath(path);
  await new Promise<void>((done, fail) => {
    server.once('error', fail);
    server.listen(path, () => {
      server.off('error', fail);
      done();
    });
  }).catch((thrown: unknown) => {
    throw toBzzzError(thrown, 'DISK_FAILED');
  });
  server.on('error', (err) => log.error({ err }, 'control socket failed'));
  // Any umask: the mode is set here; the directory's 0700 covers the moment in between.
  await chmod(path, 0o600);
  log.info({ path }, 'control socket open');
}

/** Lets running requests end for a moment; then cuts what is left. */
async function close(server: Server, graceMs: number): Promise<void> {
  if (!server.listening) return;
  const closed = new Promise<void>((done) => server.close(() => done()));
  server.closeIdleConnections();
  const timer = setTimeout(() => server.closeAllConnections(), graceMs);
  await closed;
  clearTimeout(timer);
}
