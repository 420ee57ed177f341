/**
 * The control API as a Hono application: parses a request with the schemas of its route, calls the
 * services, wraps the result or the error.
 * @module
 */
import { randomBytes, randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Context, Hono } from 'hono';
import type { z } from 'zod';
import { BzzzError, toBzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Clock, Logger } from '../../base/ports.ts';
import type { NodeServices } from '../services.ts';
import { readBody } from './body.ts';
import { bodyOfParts, bodyParts } from './content.ts';
import { eventStream, parseEventId } from './event-stream.ts';
import { type FailureContext, failureDocument, ucxiDocument } from './failure.ts';
import { openApiDocument } from './openapi.ts';
import { type Call, flagParam, type Route } from './route.ts';
import { backendRoutes } from './routes-backends.ts';
import { gatheringRoutes } from './routes-gatherings.ts';
import { keyLifeRoutes } from './routes-key-life.ts';
import { keyRoutes } from './routes-keys.ts';
import { leaderRoutes } from './routes-leader.ts';
import { nodeRoutes } from './routes-node.ts';
import { recordRoutes } from './routes-records.ts';
import { rosterRoutes } from './routes-roster.ts';

/** Every route but those that answer in their own form: events, readiness, Prometheus text. */
export const ROUTES: readonly Route[] = [
  ...nodeRoutes,
  ...rosterRoutes,
  ...leaderRoutes,
  ...gatheringRoutes,
  ...keyRoutes,
  ...keyLifeRoutes,
  ...recordRoutes,
  ...backendRoutes,
];

/** What the application needs of its server. */
export interface AppDependencies {
  readonly services: NodeServices;
  readonly clock: Clock;
  readonly log: Logger;
  readonly version: string;
  readonly heartbeatMs: number;
  /** Aborted when the server stops: ends the event streams. */
  readonly stopping: AbortSignal;
}

type Env = { Bindings: { incoming: IncomingMessage; outgoing: ServerResponse } };
type Ctx = Context<Env>;

/** The text format of Prometheus. */
const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/** Builds the application; one for the life of a server. */
export function createApp(deps: AppDependencies): Hono<Env> {
  const app = new Hono<Env>();
  for (const route of ROUTES) {
    app.on(route.method, route.path, (c) => serve(deps, route, c));
  }
  const run = randomBytes(6).toString('hex');
  app.get('/v1/events', (c) => serveEvents(deps, run, c));
  app.get('/v1/records/content', (c) => serveContent(deps, c));
  app.get('/readyz', (c) => serveReadiness(deps, c));
  app.get('/metrics', async (c) => {
    const text = await deps.services.metricsText();
    return c.body(text, 200, { 'content-type': METRICS_TYPE });
  });
  const document = openApiDocument(ROUTES, deps.version);
  app.get('/openapi.json', (c) => c.json(document));
  app.notFound((c) => {
    const error = new BzzzError('NOT_FOUND', `no route ${c.req.method} ${c.req.path}`, {
      hint: 'GET /openapi.json lists all routes',
    });
    return refuse(deps, c, error, contextOf(deps, c, false));
  });
  app.onError((thrown, c) => refuse(deps, c, toBzzzError(thrown), contextOf(deps, c, false)));
  return app;
}

function contextOf(deps: AppDependencies, c: Ctx, ucxi: boolean): FailureContext {
  const given = c.req.header('x-request-id') ?? '';
  return {
    path: c.req.path,
    requestId: /^[\w.-]{1,64}$/.test(given) ? given : randomUUID(),
    wallMs: deps.clock.wallMs(),
    ucxi,
  };
}

async function serve(deps: AppDependencies, route: Route, c: Ctx): Promise<Response> {
  const at = contextOf(deps, c, route.wrapping === 'ucxi');
  try {
    const result = await route.handle(await callOf(deps, route, c));
    const document = at.ucxi ? ucxiDocument(result, route.status, at) : result;
    return c.json(document as object, route.status);
  } catch (thrown) {
    return refuse(deps, c, toBzzzError(thrown), at);
  }
}

/** An internal error is the operator's business as well as the client's. */
function refuse(deps: AppDependencies, c: Ctx, error: BzzzError, at: FailureContext): Response {
  const fields = { path: at.path, requestId: at.requestId, err: error };
  if (error.http >= 500) deps.log.warn(fields, 'request failed');
  else deps.log.debug(fields, 'request refused');
  // A body that was not read to its end would be taken for the next request.
  if (error.code === 'TOO_LARGE') c.header('connection', 'close');
  return c.json(failureDocument(error, at), error.http as 400);
}

async function callOf(deps: AppDependencies, route: Route, c: Ctx): Promise<Call> {
  const { incoming, outgoing } = c.env;
  const query = checked('query', route.query, c.req.query());
  const { json, octets, parts } = await bodyOf(route, incoming);
  return {
    services: deps.services,
    params: c.req.param(),
    query,
    body:
      route.body === undefined || octets !== undefined || parts !== undefined
        ? undefined
        : checked('body', route.body, json),
    octets,
    parts,
    signal: signalOf(outgoing),
  };
}

/** Aborted when the connection closes before the answer was sent. */
function signalOf(outgoing: ServerResponse): AbortSignal {
  const abort = new AbortController();
  const gone = (): void => {
    if (!outgoing.writableFinished) {
      abort.abort(new BzzzError('INTERRUPTED', 'the client went away'));
    }
  };
  if (outgoing.destroyed) gone();
  else outgoing.once('close', gone);
  return abort.signal;
}

/** @throws BAD_REQUEST, UNSUPPORTED_MEDIA, TOO_LARGE. */
async function bodyOf(
  route: Route,
  incoming: IncomingMessage,
): Promise<{ json?: unknown; octets?: Uint8Array; parts?: AsyncIterable<Uint8Array> }> {
  if (route.body === undefined) return {};
  const type = (incoming.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase();
  const octets = route.octets && type === 'application/octet-stream';
  if (!octets && type !== 'application/json') {
    throw new BzzzError('UNSUPPORTED_MEDIA', `content type ${type === '' ? 'missing' : type}`, {
      hint: `send application/json${route.octets ? ' or application/octet-stream' : ''}`,
    });
  }
  if (octets && route.inParts) return { parts: bodyParts(incoming) };
  const bytes = await readBody(incoming, LIMITS.controlBodyBytes);
  if (octets) return { octets: bytes };
  try {
    return { json: JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) };
  } catch {
    throw new BzzzError('BAD_REQUEST', 'the body is not JSON');
  }
}

/** @throws BAD_REQUEST naming the first field that is wrong. */
function checked<T>(what: string, schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const path = issue?.path.join('.') ?? '';
  throw new BzzzError('BAD_REQUEST', `${what}${path === '' ? '' : ` ${path}`}: ${issue?.message}`);
}

/** Content of any size, as octets. */
async function serveContent(deps: AppDependencies, c: Ctx): Promise<Response> {
  const at = contextOf(deps, c, true);
  try {
    const address = c.req.query('address');
    if (address === undefined) throw new BzzzError('BAD_REQUEST', 'no address is named');
    const fast = checked('query fast', flagParam, c.req.query('fast'));
    const parts = await deps.services.read(address, signalOf(c.env.outgoing), { fast });
    return c.body(await bodyOfParts(parts), 200, { 'content-type': 'application/octet-stream' });
  } catch (thrown) {
    return refuse(deps, c, toBzzzError(thrown), at);
  }
}

function serveEvents(deps: AppDependencies, run: string, c: Ctx): Response {
  const resume = parseEventId(c.req.header('last-event-id') ?? c.req.query('after'));
  const signal = AbortSignal.any([signalOf(c.env.outgoing), deps.stopping]);
  const body = eventStream(deps.services.events, {
    run,
    resume,
    heartbeatMs: deps.heartbeatMs,
    follow: c.req.query('follow') !== '0',
    signal,
  });
  return c.body(body, 200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
}

async function serveReadiness(deps: AppDependencies, c: Ctx): Promise<Response> {
  const reasons = deps.services.unready();
  const verbose = c.req.query('verbose') !== undefined;
  const document = {
    ready: reasons.length === 0,
    reasons,
    ...(verbose ? { components: await deps.services.health() } : {}),
  };
  return c.json(document, document.ready ? 200 : 503);
}
