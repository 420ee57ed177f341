/** A control server on a socket of its own, and raw ways to talk to it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Logger, Service } from '../../../src/base/ports.ts';
import { type ControlOptions, createControlServer } from '../../../src/node/control/server.ts';
import { systemClock } from '../../../src/node/system.ts';
import { type FakeNode, fakeNode } from './fake-services.ts';

export interface Answer {
  readonly status: number;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly text: string;
  // Documents are compared with literals, so the type of each would say nothing more.
  readonly json: Record<string, never> & { error: Record<string, unknown> };
}

export class Harness {
  readonly dir: string;
  readonly node: FakeNode;
  readonly logged: { level: string; message: string; fields: object }[] = [];
  server: Service;
  #options: Partial<ControlOptions>;

  private constructor(dir: string, options: Partial<ControlOptions>) {
    this.dir = dir;
    this.node = fakeNode();
    this.#options = options;
    this.server = this.make();
  }

  static async start(options: Partial<ControlOptions> = {}): Promise<Harness> {
    const harness = new Harness(await mkdtemp(join(tmpdir(), 'bzzz-ctl-')), options);
    await harness.server.start();
    return harness;
  }

  make(options: Partial<ControlOptions> = {}): Service {
    return createControlServer(
      { socketPath: this.path, version: '0.1.0', graceMs: 200, ...this.#options, ...options },
      { services: this.node, clock: systemClock, log: this.#log },
    );
  }

  get #log(): Logger {
    const at = (level: string) => (fields: object, message: string) =>
      void this.logged.push({ level, message, fields });
    const log: Logger = {
      error: at('error'),
      warn: at('warn'),
      info: at('info'),
      debug: at('debug'),
      child: () => log,
    };
    return log;
  }

  get path(): string {
    return join(this.dir, 'control.sock');
  }

  async stop(): Promise<void> {
    await this.server.stop();
    await rm(this.dir, { recursive: true, force: true });
  }

  call(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    const octets = body instanceof Uint8Array;
    const bytes = body === undefined || octets ? body : JSON.stringify(body);
    return new Promise((done, fail) => {
      const outgoing = request(
        {
          socketPath: this.path,
          method,
          path,
          agent: false,
          headers: {
            ...(bytes === undefined
              ? {}
              : { 'content-type': octets ? 'application/octet-stream' : 'application/json' }),
            ...headers,
          },
        },
        (response) => {
          let text = '';
          response.setEncoding('utf8');
          response.on('data', (chunk) => (text += chunk));
          response.on('end', () => {
            const isJson = /json/.test(response.headers['content-type'] ?? '');
            done({
              status: response.statusCode ?? 0,
              headers: response.headers,
              text,
              json: isJson ? JSON.parse(text) : undefined,
            });
          });
        },
      );
      outgoing.on('error', fail);
      outgoing.end(bytes);
    });
  }

  get(path: string): Promise<Answer> {
    return this.call('GET', path);
  }

  /** A bare connection. */
  raw(): Promise<Socket> {
    return new Promise((done, fail) => {
      const socket = connect(this.path);
      socket.once('error', fail);
      socket.once('connect', () => {
        socket.off('error', fail);
        socket.on('error', () => {});
        done(socket);
      });
    });
  }
}

/** All that a socket sends until it closes. */
export function untilClosed(socket: Socket): Promise<string> {
  return new Promise((done) => {
    let text = '';
    socket.on('data', (chunk) => (text += chunk));
    socket.once('close', () => done(text));
  });
}
