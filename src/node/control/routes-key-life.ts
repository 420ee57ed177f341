/**
 * Routes about the life of a key after it was made.
 * @module
 */
import type { z } from 'zod';
import type { NodeServices } from '../services.ts';
import { memberCalled } from './member-reference.ts';
import type { Route } from './route.ts';
import { route } from './route.ts';
import * as s from './schemas.ts';

type KeyJson = z.input<typeof s.key>;

/** The peer id behind what the caller wrote. */
const peerOf = (services: NodeServices, who: string): string =>
  memberCalled(services.roster().members, who);

/** Refresh, reshare, repair, retire. */
export const keyLifeRoutes: readonly Route[] = [
  route('POST /v1/keys/:name/refresh', {
    doc: 'New shares for the same holders; the key stays',
    body: s.refreshRequest,
    response: s.key,
    handle: ({ services, params, body, signal }) =>
      services.changeKey({ key: params.name ?? '', ...body }, signal) as Promise<KeyJson>,
  }),
  route('POST /v1/keys/:name/reshare', {
    doc: 'Hands the key on to these holders with this threshold; the key stays',
    body: s.reshareRequest,
    response: s.key,
    handle: ({ services, params, body, signal }) => {
      const participants = body.participants.map((who) => peerOf(services, who));
      const wish = { key: params.name ?? '', ...body, participants };
      return services.changeKey(wish, signal) as Promise<KeyJson>;
    },
  }),
  route('POST /v1/keys/:name/repair', {
    doc: 'Rebuilds the share that a holder has lost',
    body: s.repairRequest,
    response: s.key,
    handle: ({ services, params, body, signal }) => {
      const wish = { key: params.name ?? '', ...body, peer: peerOf(services, body.peer) };
      return services.repairKey(wish, signal) as Promise<KeyJson>;
    },
  }),
  route('POST /v1/keys/:name/retire', {
    doc: 'Nobody shall use the key again; with `wipe` the share on this host is destroyed',
    body: s.retireRequest,
    response: s.key,
    handle: ({ services, params, body }) =>
      services.retireKey({ key: params.name ?? '', ...body }) as Promise<KeyJson>,
  }),
];
