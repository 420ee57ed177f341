/**
 * Routes about the roster: who belongs, who votes, who may join.
 * @module
 */
import { z } from 'zod';
import { BzzzError } from '../../base/errors.ts';
import type { NodeServices } from '../services.ts';
import { memberCalled } from './member-reference.ts';
import type { Call, Route } from './route.ts';
import { route } from './route.ts';
import * as s from './schemas.ts';

type RecoverCall = Call<unknown, z.output<typeof s.recoverRequest>>;

/** The peer id behind what the caller wrote. */
const peerOf = (services: NodeServices, who: string): string =>
  memberCalled(services.roster().members, who);

/** @throws BAD_REQUEST when the confirmation is not the cluster's name, or a voter stands twice. */
async function recover({ services, body }: RecoverCall): Promise<z.input<typeof s.recovery>> {
  const { cluster } = services.roster();
  if (body.confirm !== cluster) {
    throw new BzzzError('BAD_REQUEST', `body confirm: ${body.confirm} is not this cluster's name`, {
      hint: `confirm with the name of the cluster: ${cluster}`,
    });
  }
  const voters = body.voters.map((who) => peerOf(services, who));
  const twice = voters.findIndex((peer, i) => voters.indexOf(peer) < i);
  if (twice >= 0) {
    throw new BzzzError('BAD_REQUEST', `body voters: ${body.voters[twice]} is named twice`);
  }
  const done = await services.recoverRoster(voters);
  return { ...done, voters: [...done.voters], waitingFor: [...done.waitingFor] };
}

/** Members, voters, invitations. */
export const rosterRoutes: readonly Route[] = [
  route('GET /v1/roster', {
    doc: 'Who belongs to the cluster',
    response: s.roster,
    handle: ({ services }) => services.roster() as z.input<typeof s.roster>,
  }),
  route('POST /v1/roster/promote', {
    doc: 'Makes a member a voter',
    body: s.memberRequest,
    response: s.changed,
    handle: ({ services, body }) => services.promoteMember(peerOf(services, body.peer)),
  }),
  route('POST /v1/roster/demote', {
    doc: 'Takes the vote from a member, which stays one',
    body: s.memberRequest,
    response: s.changed,
    handle: ({ services, body }) => services.demoteMember(peerOf(services, body.peer)),
  }),
  route('POST /v1/roster/remove', {
    doc: 'Takes a member off the roster; names the keys whose shares it still holds',
    body: s.memberRequest,
    response: s.removed,
    handle: async ({ services, body }) => {
      const done = await services.removeMember(peerOf(services, body.peer));
      return { epoch: done.epoch, keysStillHeld: [...done.keysStillHeld] };
    },
  }),
  route('POST /v1/roster/recover', {
    doc: 'When a majority of the voters is gone for good: consents, on this host, to other voters',
    body: s.recoverRequest,
    response: s.recovery,
    handle: recover,
  }),
  route('POST /v1/leave', {
    doc: 'Takes this node off the roster',
    response: s.changed,
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
];
