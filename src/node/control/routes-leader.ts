/**
 * Routes about the leader and the jobs that it gives out.
 * @module
 */
import { z } from 'zod';
import { memberCalled } from './member-reference.ts';
import type { Route } from './route.ts';
import { route } from './route.ts';
import * as s from './schemas.ts';

/** Leader, terms, jobs. */
export const leaderRoutes: readonly Route[] = [
  route('GET /v1/leader', {
    doc: 'Who leads; 503 NO_LEADER when nobody does',
    response: s.leader,
    handle: ({ services }) => services.leader() as z.input<typeof s.leader>,
  }),
  route('GET /v1/leader/history', {
    doc: 'The terms that this node has seen a leader in, oldest first',
    response: z.array(s.term),
    handle: ({ services }) => [...services.terms()],
  }),
  route('POST /v1/leader/transfer', {
    doc: 'Hands leadership to another voter: the one named, or the best of the others',
    body: s.transferRequest,
    response: s.transferred,
    handle: ({ services, body: { to } }) =>
      to === undefined
        ? services.transferLeadership()
        : services.transferLeadership(memberCalled(services.roster().members, to)),
  }),
  route('POST /v1/leader/step-down', {
    doc: 'Has the leader give up; it stands last in the election that follows',
    response: s.steppedDown,
    handle: ({ services }) => services.stepDown(),
  }),
  route('GET /v1/jobs', {
    doc: 'The job table as this node knows it',
    response: z.array(s.job),
    handle: ({ services }) => [...services.jobs()],
  }),
  route('POST /v1/jobs', {
    doc: 'Hands a job to the leader; the same id again is the same job',
    body: s.jobRequest,
    response: s.job,
    status: 201,
    handle: ({ services, body }) => services.submitJob(body),
  }),
];
