/**
 * /openapi.json, made from the table of routes (OpenAPI 3.1, whose schemas are JSON Schema
 * draft 2020-12, which is what zod writes). Pure.
 * @module
 */
import { z } from 'zod';
import type { Route } from './route.ts';
import { failure } from './schemas.ts';

const schemaOf = (schema: z.ZodType, io: 'input' | 'output'): object => {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any' });
  return rest;
};

const content = (schema: object): object => ({ 'application/json': { schema } });

/** `/v1/keys/:name` as OpenAPI writes it: `/v1/keys/{name}`. */
const templateOf = (path: string): string => path.replaceAll(/:(\w+)/g, '{$1}');

function parametersOf(route: Route): object[] {
  const inPath = [...route.path.matchAll(/:(\w+)/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }));
  const query = schemaOf(route.query, 'input') as {
    properties?: Record<string, object>;
    required?: string[];
  };
  const inQuery = Object.entries(query.properties ?? {}).map(([name, schema]) => ({
    name,
    in: 'query',
    required: query.required?.includes(name) ?? false,
    schema,
  }));
  return [...inPath, ...inQuery];
}

/** UCXI results stand in an envelope. */
function responseOf(route: Route): object {
  const data = schemaOf(route.response, 'output');
  if (route.wrapping === 'bare') return data;
  const text = { type: 'string' };
  const properties = { code: text, message: text, data, request_id: text, timestamp: text };
  const response = { type: 'object', properties, required: Object.keys(properties) };
  return { type: 'object', properties: { response }, required: ['response'] };
}

function operationOf(route: Route): object {
  const octets = { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } };
  return {
    summary: route.doc,
    parameters: parametersOf(route),
    ...(route.body === undefined
      ? {}
      : {
          requestBody: {
            required: true,
            content: {
              ...content(schemaOf(route.body, 'input')),
              ...(route.octets ? octets : {}),
            },
          },
        }),
    responses: {
      [route.status]: { description: 'done', content: content(responseOf(route)) },
      default: {
        description: 'refused',
        content: content({ $ref: '#/components/schemas/Failure' }),
      },
    },
  };
}

const stream = {
  summary: 'What happens on this node, as server-sent events; resume with Last-Event-ID',
  parameters: [
    { name: 'Last-Event-ID', in: 'header', required: false, schema: { type: 'string' } },
    { name: 'after', in: 'query', required: false, schema: { type: 'string' } },
    { name: 'follow', in: 'query', required: false, schema: { type: 'string', enum: ['0', '1'] } },
  ],
  responses: {
    200: {
      description: 'a stream',
      content: { 'text/event-stream': { schema: { type: 'string' } } },
    },
  },
};

const contentOctets = {
  summary: 'The bytes at an address, of any size',
  parameters: [{ name: 'address', in: 'query', required: true, schema: { type: 'string' } }],
  responses: {
    200: {
      description: 'the bytes; an answer that breaks off is not all of them',
      content: { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } },
    },
  },
};

const readiness = {
  summary: 'Whether this node takes sessions',
  parameters: [{ name: 'verbose', in: 'query', required: false, schema: { type: 'string' } }],
  responses: { 200: { description: 'ready' }, 503: { description: 'not ready, with reasons' } },
};

const prometheus = {
  summary: 'Figures in the text format of Prometheus',
  responses: {
    200: { description: 'figures', content: { 'text/plain': { schema: { type: 'string' } } } },
    404: { description: 'metrics are switched off' },
  },
};

/** The whole document. */
export function openApiDocument(routes: readonly Route[], version: string): object {
  const paths: Record<string, Record<string, object>> = {
    '/v1/events': { get: stream },
    '/v1/records/content': { get: contentOctets },
    '/readyz': { get: readiness },
    '/metrics': { get: prometheus },
  };
  for (const route of routes) {
    const path = templateOf(route.path);
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operationOf(route) };
  }
  return {
    openapi: '3.1.0',
    info: { title: 'bzzz control socket', version },
    paths,
    components: { schemas: { Failure: schemaOf(failure, 'output') } },
  };
}
