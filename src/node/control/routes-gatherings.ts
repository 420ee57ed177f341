/**
 * Routes about keys that wait for their parties while discovery fails. Their paths come before
 * those of sessions by id.
 * @module
 */
import { z } from 'zod';
import type { Route } from './route.ts';
import { route } from './route.ts';
import * as s from './schemas.ts';

type GatheringJson = z.input<typeof s.gathering>;
type JoinedJson = z.input<typeof s.joined>;

/** What waits here, and taking a seat elsewhere. */
export const gatheringRoutes: readonly Route[] = [
  route('GET /v1/sessions/gatherings', {
    doc: 'Keys that wait here for their parties, because discovery fails',
    response: z.array(s.gathering),
    handle: ({ services }) => services.gatherings() as unknown as GatheringJson[],
  }),
  route('POST /v1/sessions/join', {
    doc: 'Takes a seat in a key that waits on another host, with the token printed there',
    body: s.joinRequest,
    response: s.joined,
    handle: ({ services, body, signal }) =>
      services.joinGathering(body.token, signal) as Promise<JoinedJson>,
  }),
];
