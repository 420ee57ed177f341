/**
 * Routes about the node and its peers.
 * @module
 */
import { z } from 'zod';
import type { Route } from './route.ts';
import { flagParam, route } from './route.ts';
import * as s from './schemas.ts';

/** Probes, status, settings, shutdown. */
export const nodeRoutes: readonly Route[] = [
  route('GET /v1/status', {
    doc: 'Who this node is and how it is',
    response: s.status,
    handle: ({ services }) => services.status() as Promise<z.input<typeof s.status>>,
  }),
  route('GET /v1/health', {
    doc: 'Health of every component',
    response: z.array(s.health),
    handle: async ({ services }) => [...(await services.health())],
  }),
  route('GET /v1/peers', {
    doc: 'The other members, connected or not',
    response: z.array(s.peer),
    handle: ({ services }) => services.peers() as z.input<typeof s.peer>[],
  }),
  route('GET /v1/config', {
    doc: 'Effective settings, each with where it came from',
    response: z.array(s.setting),
    handle: ({ services }) => [...services.config()],
  }),
  route('POST /v1/backup', {
    doc: 'Identity, shares and certificates of this node, encrypted under a passphrase',
    body: s.backupRequest,
    response: s.backup,
    handle: ({ services, body }) => services.backup(body.passphrase),
  }),
  route('POST /v1/shutdown', {
    doc: 'Drains and stops the daemon',
    response: z.strictObject({ stopping: z.literal(true) }),
    status: 202,
    handle: ({ services }) => {
      // The answer has to leave before the socket goes.
      setImmediate(() => services.shutdown());
      return { stopping: true as const };
    },
  }),
  route('GET /livez', {
    doc: 'Answers while the process works',
    query: z.strictObject({ verbose: flagParam }),
    response: z.strictObject({ live: z.literal(true) }),
    handle: () => ({ live: true as const }),
  }),
];
