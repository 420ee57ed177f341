/**
 * Routes about the node, its peers and the roster.
 * @module
 */
import { z } from 'zod';
import type { Route } from './route.ts';
import { flagParam, route } from './route.ts';
import * as s from './schemas.ts';

const peerRequest = z.strictObject({ peer: s.reference });

/** Probes, status, membership, settings, shutdown. */
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
  route('GET /v1/roster', {
    doc: 'Who belongs to the cluster',
    response: s.roster,
    handle: ({ services }) => services.roster() as z.input<typeof s.roster>,
  }),
  route('POST /v1/roster/remove', {
    doc: 'Takes a member off the roster; names the keys whose shares it still holds',
    body: peerRequest,
    response: s.removed,
    handle: async ({ services, body }) => {
      const { epoch, keysStillHeld } = await services.removeMember(body.peer);
      return { epoch, keysStillHeld: [...keysStillHeld] };
    },
  }),
  route('POST /v1/leave', {
    doc: 'Takes this node off the roster',
    response: s.left,
    handle: ({ services }) => services.leave(),
  }),
  route('POST /v1/invitations', {
    doc: 'Makes an invitation: one string that admits one host',
    body: s.inviteRequest,
    response: s.invited,
    status: 201,
    handle: ({ services, body }) => services.invite(body),
  }),
  route('GET /v1/invitations', {
    doc: 'Invitations that this node issued; without their secrets',
    response: z.array(s.invitation),
    handle: async ({ services }) => [...(await services.invitations())],
  }),
  route('DELETE /v1/invitations/:id', {
    doc: 'Revokes an invitation, by its id or a unique prefix',
    response: z.strictObject({ revoked: z.string() }),
    handle: async ({ services, params }) => {
      const id = params.id ?? '';
      await services.revokeInvitation(id);
      return { revoked: id };
    },
  }),
  route('GET /v1/config', {
    doc: 'Effective settings, each with where it came from',
    response: z.array(s.setting),
    handle: ({ services }) => [...services.config()],
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
