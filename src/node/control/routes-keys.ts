/**
 * Routes about keys, signatures and sessions.
 * @module
 */
import { z } from 'zod';
import { BzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { NodeServices } from '../services.ts';
import { isCalled, memberCalled } from './member-reference.ts';
import type { Call, Route } from './route.ts';
import { bytesOf, countParam, flagParam, messageOf, route } from './route.ts';
import * as s from './schemas.ts';

type KeyJson = z.input<typeof s.key>;
type ImportJson = z.input<typeof s.imported>;
type SessionJson = z.input<typeof s.session>;

/** With octets as the body, what JSON says beside the message stands in the query. */
const signQuery = z.strictObject({
  key: s.reference.optional(),
  fresh: flagParam,
  timeoutMs: countParam(LIMITS.sessionTtlMs).optional(),
});

/** @throws BAD_REQUEST when the request names no key. */
function keyOf(named: string | undefined): string {
  if (named !== undefined) return named;
  throw new BzzzError('BAD_REQUEST', 'no key is named', { hint: 'add ?key=NAME' });
}

async function sign(
  call: Call<z.output<typeof signQuery>, z.output<typeof s.signRequest> | undefined>,
): Promise<z.input<typeof s.signature>> {
  const { services, query, body, signal } = call;
  const timeoutMs = body?.timeoutMs ?? query.timeoutMs;
  const result = await services.sign(
    {
      key: keyOf(body?.key ?? query.key),
      message: messageOf(call, body),
      fresh: (body?.fresh ?? false) || query.fresh,
      ...(body?.share === undefined ? {} : { share: body.share }),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    },
    signal,
  );
  return { ...result, signers: [...result.signers] };
}

/**
 * Members by name, id or prefix. What is no member passes as it is: the node refuses it with the
 * code that fits.
 */
const peersCalled = (services: NodeServices, names: readonly string[]): readonly string[] => {
  const { members } = services.roster();
  return names.map((name) => (isCalled(members, name) ? memberCalled(members, name) : name));
};

/** A request with its lists of members looked up. */
function withPeers<
  R extends {
    readonly participants?: readonly string[];
    readonly requesters?: readonly string[];
  },
>(services: NodeServices, request: R): R {
  const { participants, requesters } = request;
  return {
    ...request,
    ...(participants === undefined ? {} : { participants: peersCalled(services, participants) }),
    ...(requesters === undefined ? {} : { requesters: peersCalled(services, requesters) }),
  };
}

/** Keys, signatures, sessions. */
export const keyRoutes: readonly Route[] = [
  route('POST /v1/keys', {
    doc: 'Distributed key generation',
    body: s.createKeyRequest,
    response: s.key,
    status: 201,
    handle: ({ services, body, signal }) =>
      services.createKey(withPeers(services, body), signal) as Promise<KeyJson>,
  }),
  route('GET /v1/keys', {
    doc: 'All keys that this node knows',
    response: z.array(s.key),
    handle: ({ services }) => services.keys() as Promise<KeyJson[]>,
  }),
  route('GET /v1/keys/:name', {
    doc: 'One key, by name or id',
    response: s.key,
    handle: ({ services, params }) => services.key(params.name ?? '') as Promise<KeyJson>,
  }),
  route('GET /v1/keys/:name/export', {
    doc: 'The public key in a form that other tools read',
    query: z.strictObject({ format: s.exportFormat }),
    response: s.exported,
    handle: async ({ services, params, query }) => ({
      format: query.format,
      text: await services.exportKey(params.name ?? '', query.format),
    }),
  }),
  route('POST /v1/keys/:name/share', {
    doc: 'A delegate’s share for its operator, once: a key package; it is wiped here',
    response: s.exportedShare,
    handle: async ({ services, params }) => ({
      format: 'zf-json' as const,
      text: await services.takeShare(params.name ?? ''),
    }),
  }),
  route('POST /v1/keys/:name/share-export', {
    doc: 'This node’s own share in plain text, as a key package of the Zcash Foundation’s library',
    response: s.exportedShare,
    handle: async ({ services, params }) => ({
      format: 'zf-json' as const,
      text: await services.exportShare(params.name ?? ''),
    }),
  }),
  route('POST /v1/keys/import', {
    doc: 'Brings this node’s share of a key from elsewhere; the last to do so makes it known',
    body: s.importKeyRequest,
    response: s.imported,
    handle: ({ services, body, signal }) =>
      services.importKey(
        withPeers(services, body),
        signal,
      ) as Promise<unknown> as Promise<ImportJson>,
  }),
  route('POST /v1/keys/:name/verify', {
    doc: 'Verifies a signature; the message also as octets, with ?signature=HEX',
    query: z.strictObject({ signature: z.string().max(1_024).optional() }),
    body: s.verifyRequest,
    octets: true,
    response: s.verified,
    handle: async (call) => {
      const { services, params, query } = call;
      const body = call.octets === undefined ? call.body : undefined;
      const signature = bytesOf('signature', body?.signature ?? query.signature ?? '', 'hex');
      const { valid } = await services.verify(params.name ?? '', messageOf(call, body), signature);
      return { valid };
    },
  }),
  route('POST /v1/sign', {
    doc: 'A threshold signature; the message also as octets, with ?key=NAME',
    query: signQuery,
    body: s.signRequest,
    octets: true,
    response: s.signature,
    handle: sign,
  }),
  route('GET /v1/sessions', {
    doc: 'Sessions that this node takes or took part in',
    response: z.array(s.session),
    handle: ({ services }) => services.sessions() as SessionJson[],
  }),
  route('GET /v1/sessions/:id', {
    doc: 'One session, by its id or a unique prefix',
    response: s.session,
    handle: ({ services, params }) => services.session(params.id ?? '') as SessionJson,
  }),
  route('POST /v1/sessions/:id/cancel', {
    doc: 'Cancels a session; only its proposer may',
    response: s.session,
    handle: ({ services, params }) =>
      services.cancelSession(params.id ?? '') as Promise<SessionJson>,
  }),
  route('POST /v1/sessions/:id/approve', {
    doc: 'The operator lets this node sign, for a key with policy approve',
    response: s.session,
    handle: ({ services, params }) =>
      services.approveSession(params.id ?? '') as Promise<SessionJson>,
  }),
  route('POST /v1/sessions/:id/deny', {
    doc: 'The operator keeps this node from signing; the requester reads the reason',
    body: s.denyRequest,
    response: s.session,
    handle: ({ services, params, body }) =>
      services.denySession(params.id ?? '', body.reason) as Promise<SessionJson>,
  }),
];
