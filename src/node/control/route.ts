/**
 * The shape of one route of the control API. The table of routes is all there is: the server, the
 * checks and /openapi.json are made from it.
 * @module
 */
import { z } from 'zod';
import { fromHex } from '../../base/bytes.ts';
import { BzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { NodeServices } from '../services.ts';

/** What a handler is given: a request whose parts have passed their schemas. */
export interface Call<Q = unknown, B = unknown> {
  readonly services: NodeServices;
  /** Path parameters by name. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: Q;
  /** undefined when the body came as octets. */
  readonly body: B;
  /** The body as it came, when its type was application/octet-stream. */
  readonly octets: Uint8Array | undefined;
  /** The same as it comes, for a route that takes it so; to be read once. */
  readonly parts: AsyncIterable<Uint8Array> | undefined;
  /** Aborted when the client goes away. */
  readonly signal: AbortSignal;
}

/** How a result is wrapped: bare, or in the envelope of the UCXI protocol. */
type Wrapping = 'bare' | 'ucxi';

/** One row of the table. */
export interface Route {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** `/v1/keys/:name` */
  readonly path: string;
  readonly doc: string;
  readonly query: z.ZodType;
  /** undefined: the request has no body. */
  readonly body: z.ZodType | undefined;
  /** Also takes the body as application/octet-stream. */
  readonly octets: boolean;
  /** Octets are not collected first, and may be more. */
  readonly inParts: boolean;
  readonly response: z.ZodType;
  readonly status: 200 | 201 | 202;
  readonly wrapping: Wrapping;
  handle(call: Call): Promise<unknown>;
}

interface RouteSpec<Q extends z.ZodType, B extends z.ZodType, R extends z.ZodType> {
  readonly doc: string;
  readonly query?: Q;
  readonly body?: B;
  readonly octets?: boolean;
  readonly inParts?: boolean;
  readonly response: R;
  readonly status?: 200 | 201 | 202;
  readonly wrapping?: Wrapping;
  handle(call: Call<z.output<Q>, z.output<B>>): Promise<z.input<R>> | z.input<R>;
}

const noQuery = z.strictObject({});

/** Writes a row, so that the handler's types follow from the schemas. */
export function route<R extends z.ZodType, Q extends z.ZodType, B extends z.ZodType>(
  place: `${Route['method']} /${string}`,
  spec: RouteSpec<Q, B, R>,
): Route {
  const [method, path = ''] = place.split(' ');
  return {
    method: method as Route['method'],
    path,
    doc: spec.doc,
    query: spec.query ?? noQuery,
    body: spec.body,
    octets: spec.octets ?? false,
    inParts: spec.inParts ?? false,
    response: spec.response,
    status: spec.status ?? 200,
    wrapping: spec.wrapping ?? 'bare',
    // The server parses query and body with this row's own schemas before it calls.
    handle: async (call) => spec.handle(call as Call<z.output<Q>, z.output<B>>),
  };
}

/** Query parameters are text; a switch is on as `?fresh`, `?fresh=1` and `?fresh=true`. */
export const flagParam = z
  .enum(['', '1', 'true', '0', 'false'])
  .default('false')
  .transform((s) => s === '' || s === '1' || s === 'true');

/** A whole number as a query parameter. */
export const countParam = (max: number) =>
  z
    .string()
    .regex(/^\d{1,15}$/)
    .transform(Number)
    .refine((n) => n <= max, { message: `at most ${max}` });

/**
 * The message of a request, from JSON or from octets.
 * @throws BAD_REQUEST: not in its encoding; TOO_LARGE over 1 MiB.
 */
export function messageOf(
  call: Call,
  json: { readonly message: string; readonly encoding: 'hex' | 'base64' | 'utf8' } | undefined,
): Uint8Array {
  const bytes = call.octets ?? bytesOf('message', json?.message ?? '', json?.encoding ?? 'hex');
  if (bytes.length > LIMITS.signMessageBytes) {
    throw new BzzzError(
      'TOO_LARGE',
      `the message has ${bytes.length} bytes, at most ${LIMITS.signMessageBytes}`,
      { hint: 'sign its digest, for instance the output of sha256sum' },
    );
  }
  return bytes;
}

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?$/;

/** Decodes text of a JSON request. @throws BAD_REQUEST naming the field. */
export function bytesOf(
  name: string,
  text: string,
  encoding: 'hex' | 'base64' | 'utf8',
): Uint8Array {
  if (encoding === 'utf8') return new TextEncoder().encode(text);
  const bytes =
    encoding === 'hex'
      ? fromHex(text)
      : BASE64.test(text)
        ? new Uint8Array(Buffer.from(text, 'base64'))
        : undefined;
  if (bytes === undefined) throw new BzzzError('BAD_REQUEST', `${name} is not ${encoding}`);
  return bytes;
}
