/**
 * Routes about backends and figures.
 * @module
 */
import { z } from 'zod';
import type { BackendDocument } from '../services.ts';
import type { Route } from './route.ts';
import { route } from './route.ts';
import * as s from './schemas.ts';

const plain = (document: BackendDocument) => ({
  ...document,
  previous: document.previous.map((choice) => ({ ...choice })),
});

/** Which backend serves what, and what it does. */
export const backendRoutes: readonly Route[] = [
  route('GET /v1/backends', {
    doc: 'Which backend serves each component',
    response: z.array(s.backendState),
    handle: ({ services }) => services.backends().map(plain),
  }),
  route('POST /v1/backends/rollback', {
    doc: 'Takes the last change of a backend back',
    body: s.rollbackRequest,
    response: s.backendState,
    handle: ({ services, body: { component } }) =>
      plain(
        component === undefined ? services.rollbackBackend() : services.rollbackBackend(component),
      ),
  }),
  route('POST /v1/backends/:component', {
    doc: 'Chooses the backend of a component, for all keys or for a share of them',
    body: s.backendRequest,
    response: s.backendState,
    handle: ({ services, params, body }) =>
      plain(services.setBackend(params.component ?? '', body)),
  }),
  route('POST /v1/backends/:component/isolate', {
    doc: 'Serves a component locally until its backend is set or rolled back',
    response: s.backendState,
    handle: ({ services, params }) => plain(services.isolate(params.component ?? '')),
  }),
  route('GET /v1/metrics', {
    doc: 'The documented figures of every component with backends',
    response: z.array(s.metrics),
    handle: ({ services }) => services.metrics().map((one) => ({ ...one })),
  }),
];
