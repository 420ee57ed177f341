/**
 * Routes about records at UCXL addresses, in the envelope of the UCXI protocol.
 * @module
 */
import { z } from 'zod';
import { toHex } from '../../base/bytes.ts';
import { BzzzError } from '../../base/errors.ts';
import type { Route } from './route.ts';
import { bytesOf, flagParam, route } from './route.ts';
import * as s from './schemas.ts';

const byAddress = z.strictObject({ address: s.address });
const getQuery = z.strictObject({ address: s.address, fast: flagParam });
const putQuery = z.strictObject({
  address: s.address.optional(),
  ack: s.acknowledgement.optional(),
});

/** Addresses stand in the query, percent-encoded: they contain `/`, `?` and `#` of their own. */
export const recordRoutes: readonly Route[] = [
  route('GET /v1/records/resolve', {
    doc: 'What stands at an address, without its bytes',
    query: byAddress,
    response: s.resolved,
    wrapping: 'ucxi',
    handle: async ({ services, query }) => {
      const found = await services.resolve(query.address);
      return { ...found, holders: [...found.holders] };
    },
  }),
  route('GET /v1/records/get', {
    doc: 'What stands at an address, with its bytes in hex; at most 4 MiB',
    query: getQuery,
    response: s.record,
    wrapping: 'ucxi',
    handle: async ({ services, query }) => {
      const { meta, bytes } = await services.get(query.address, { fast: query.fast });
      return { ...meta, holders: [...meta.holders], bytes: toHex(bytes) };
    },
  }),
  route('POST /v1/records/put', {
    doc: 'Stores content; its bytes also as octets, with ?address=',
    query: putQuery,
    body: s.putRequest,
    octets: true,
    inParts: true,
    response: s.put,
    status: 201,
    wrapping: 'ucxi',
    handle: async ({ services, query, body: json, parts }) => {
      const body = parts === undefined ? json : undefined;
      const address = body?.address ?? query.address;
      if (address === undefined) throw new BzzzError('BAD_REQUEST', 'no address is named');
      const bytes = parts ?? bytesOf('bytes', body?.bytes ?? '', body?.encoding ?? 'hex');
      const done = await services.put(address, bytes, body?.ack ?? query.ack);
      return { ...done, holders: [...done.holders] };
    },
  }),
];
