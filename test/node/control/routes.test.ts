/** Every route of the control API, its documents and its errors. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BzzzError, ERRORS, type ErrorCode } from '../../../src/base/errors.ts';
import { LIMITS } from '../../../src/base/limits.ts';
import { ROUTES } from '../../../src/node/control/app.ts';
import { failure } from '../../../src/node/control/schemas.ts';
import {
  GATHERING,
  JOB,
  KEY,
  LEADER,
  PEER_A,
  PEER_B,
  SESSION,
  SIGNED,
  TERMS,
} from './fake-services.ts';
import { Harness } from './harness.ts';

let h: Harness;
beforeAll(async () => {
  h = await Harness.start();
});
afterAll(() => h.stop());
beforeEach(() => {
  h.node.calls.length = 0;
});

const KEYS = { name: 'release', suite: 'ed25519', threshold: 2, parties: 3 };
const ADDRESS = encodeURIComponent('ucxl://a:b@c:d/x');

/** One good request for each route of the table. */
const GOOD: Record<string, [path: string, body?: unknown]> = {
  'GET /v1/status': ['/v1/status'],
  'GET /v1/health': ['/v1/health'],
  'GET /v1/peers': ['/v1/peers'],
  'GET /v1/roster': ['/v1/roster'],
  'POST /v1/roster/remove': ['/v1/roster/remove', { peer: PEER_B }],
  'POST /v1/roster/promote': ['/v1/roster/promote', { peer: PEER_B }],
  'POST /v1/roster/demote': ['/v1/roster/demote', { peer: PEER_B }],
  'POST /v1/roster/recover': ['/v1/roster/recover', { voters: [PEER_A], confirm: 'lab' }],
  'POST /v1/leave': ['/v1/leave'],
  'GET /v1/leader': ['/v1/leader'],
  'GET /v1/leader/history': ['/v1/leader/history'],
  'POST /v1/leader/transfer': ['/v1/leader/transfer', { to: PEER_B }],
  'POST /v1/leader/step-down': ['/v1/leader/step-down'],
  'GET /v1/jobs': ['/v1/jobs'],
  'POST /v1/jobs': ['/v1/jobs', { kind: 'refresh', subject: 'release' }],
  'POST /v1/invitations': ['/v1/invitations', {}],
  'GET /v1/invitations': ['/v1/invitations'],
  'DELETE /v1/invitations/:id': ['/v1/invitations/aa'],
  'GET /v1/config': ['/v1/config'],
  'POST /v1/backup': ['/v1/backup', { passphrase: 'correct horse' }],
  'POST /v1/shutdown': ['/v1/shutdown'],
  'GET /livez': ['/livez'],
  'POST /v1/keys': ['/v1/keys', KEYS],
  'GET /v1/keys': ['/v1/keys'],
  'GET /v1/keys/:name': ['/v1/keys/release'],
  'POST /v1/keys/:name/repair': ['/v1/keys/release/repair', { peer: PEER_B }],
  'POST /v1/keys/:name/retire': ['/v1/keys/release/retire', { wipe: true }],
  'POST /v1/keys/:name/refresh': ['/v1/keys/release/refresh', {}],
  'POST /v1/keys/:name/reshare': [
    '/v1/keys/release/reshare',
    { threshold: 2, participants: [PEER_A, PEER_B] },
  ],
  'GET /v1/keys/:name/export': ['/v1/keys/release/export?format=ssh'],
  'POST /v1/keys/:name/verify': [
    '/v1/keys/release/verify',
    { message: '00', signature: SIGNED.signature },
  ],
  'POST /v1/sign': ['/v1/sign', { key: 'release', message: '00ff' }],
  'GET /v1/sessions': ['/v1/sessions'],
  'GET /v1/sessions/gatherings': ['/v1/sessions/gatherings'],
  'POST /v1/sessions/join': ['/v1/sessions/join', { token: GATHERING.token }],
  'GET /v1/sessions/:id': ['/v1/sessions/efef'],
  'POST /v1/keys/:name/share': ['/v1/keys/release/share'],
  'POST /v1/keys/:name/share-export': ['/v1/keys/release/share-export'],
  'POST /v1/keys/import': [
    '/v1/keys/import',
    { name: 'release', keyPackage: '{}', publicKeyPackage: '{}', participants: ['ann'] },
  ],
  'POST /v1/sessions/:id/cancel': ['/v1/sessions/efef/cancel'],
  'POST /v1/sessions/:id/approve': ['/v1/sessions/efef/approve'],
  'POST /v1/sessions/:id/deny': ['/v1/sessions/efef/deny', { reason: 'no' }],
  'GET /v1/records/resolve': [`/v1/records/resolve?address=${ADDRESS}`],
  'GET /v1/records/get': [`/v1/records/get?address=${ADDRESS}`],
  'GET /v1/backends': ['/v1/backends'],
  'POST /v1/backends/rollback': ['/v1/backends/rollback', {}],
  'POST /v1/backends/:component': ['/v1/backends/dht', { backend: 'local' }],
  'POST /v1/backends/:component/isolate': ['/v1/backends/dht/isolate'],
  'GET /v1/metrics': ['/v1/metrics'],
  'POST /v1/records/put': ['/v1/records/put', { address: 'ucxl://a:b@c:d/x', bytes: '00' }],
};

describe('the table of routes', () => {
  it('has a good request here for every row', () => {
    expect(Object.keys(GOOD).sort()).toEqual(ROUTES.map((r) => `${r.method} ${r.path}`).sort());
  });

  for (const route of ROUTES) {
    it(`${route.method} ${route.path} answers a document of its schema`, async () => {
      const [path, body] = GOOD[`${route.method} ${route.path}`] ?? [''];
      const answer = await h.call(route.method, path, body);
      expect(answer.status, answer.text).toBe(route.status);
      const document: unknown =
        route.wrapping === 'ucxi'
          ? (answer.json as unknown as { response: { data: unknown } }).response.data
          : answer.json;
      expect(route.response.safeParse(document).error).toBeUndefined();
    });
  }

  it('is what /openapi.json describes', async () => {
    const { json } = await h.get('/openapi.json');
    const { openapi, paths } = json as unknown as {
      openapi: string;
      paths: Record<string, Record<string, { requestBody?: object; responses: object }>>;
    };
    expect(openapi).toBe('3.1.0');
    for (const route of ROUTES) {
      const path = route.path.replaceAll(/:(\w+)/g, '{$1}');
      const operation = paths[path]?.[route.method.toLowerCase()];
      expect(operation, path).toBeDefined();
      expect(operation?.requestBody === undefined).toBe(route.body === undefined);
      expect(operation?.responses).toHaveProperty(String(route.status));
    }
    expect(paths).toHaveProperty(['/v1/events']);
    expect(paths).toHaveProperty(['/readyz']);
    expect(paths).toHaveProperty(['/metrics']);
  });
});

describe('what reaches the node', () => {
  it('the message of a signature, from hex, base64, text and octets', async () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
    const b = Buffer.from(bytes);
    await h.call('POST', '/v1/sign', { key: 'release', message: b.toString('hex') });
    await h.call('POST', '/v1/sign', {
      key: 'release',
      message: b.toString('base64'),
      encoding: 'base64',
      fresh: true,
      timeoutMs: 5,
    });
    await h.call('POST', '/v1/sign?key=release&fresh=1&timeoutMs=7', bytes);
    await h.call('POST', '/v1/sign', { key: 'release', message: 'hé', encoding: 'utf8' });
    expect(h.node.calls).toEqual([
      ['sign', { key: 'release', message: bytes, fresh: false }],
      ['sign', { key: 'release', message: bytes, fresh: true, timeoutMs: 5 }],
      ['sign', { key: 'release', message: bytes, fresh: true, timeoutMs: 7 }],
      ['sign', { key: 'release', message: new TextEncoder().encode('hé'), fresh: false }],
    ]);
  });

  it('a backend by any of its names, and the share that is given', async () => {
    await h.call('POST', '/v1/backends/dht', { backend: 'dht', percent: 30 });
    await h.call('POST', '/v1/backends/dht', { backend: 'local' });
    await h.call('POST', '/v1/backends/rollback', {});
    await h.call('POST', '/v1/backends/rollback', { component: 'dht' });
    expect(h.node.calls).toEqual([
      ['setBackend', 'dht', { backend: 'real', percent: 30 }],
      ['setBackend', 'dht', { backend: 'mock' }],
      ['rollbackBackend'],
      ['rollbackBackend', 'dht'],
    ]);
    for (const body of [{ backend: 'paper' }, { backend: 'real', percent: 101 }, {}]) {
      expect((await h.call('POST', '/v1/backends/dht', body)).status).toBe(400);
    }
    expect((await h.call('POST', '/v1/backends/dhd', { backend: 'real' })).status).toBe(404);
  });

  it('figures as Prometheus reads them, unless they are switched off', async () => {
    const answer = await h.get('/metrics');
    expect([answer.status, answer.text]).toEqual([200, 'bzzz_info{version="0.1.0"} 1\n']);
    expect(answer.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
    h.node.set('metricsText', async () => {
      throw new BzzzError('NOT_FOUND', 'metrics are switched off');
    });
    expect((await h.get('/metrics')).json.error.code).toBe('NOT_FOUND');
  });

  it('only what a key request gives', async () => {
    await h.call('POST', '/v1/keys', { ...KEYS, composition: { persistent: 3 } });
    expect(h.node.calls).toEqual([['createKey', { ...KEYS, composition: { persistent: 3 } }]]);
  });

  it('an invitation with its defaults', async () => {
    await h.call('POST', '/v1/invitations', {});
    expect(h.node.calls).toEqual([
      ['invite', { role: 'persistent', noVoter: false, ttlMs: 3_600_000 }],
    ]);
  });

  it('members by id, name, prefix and as tables print them', async () => {
    const spellings = [PEER_B, 'shelf', PEER_B.slice(0, 12), '12D3KooW..wTsMz9n', '12D3KooW..Mz9n'];
    for (const peer of spellings) {
      for (const verb of ['promote', 'demote', 'remove']) {
        expect((await h.call('POST', `/v1/roster/${verb}`, { peer })).status, peer).toBe(200);
      }
      expect((await h.call('POST', '/v1/leader/transfer', { to: peer })).status).toBe(200);
    }
    const once = [
      ['promoteMember', PEER_B],
      ['demoteMember', PEER_B],
      ['removeMember', PEER_B],
      ['transferLeadership', PEER_B],
    ];
    expect(h.node.calls).toEqual(spellings.flatMap(() => once));
  });

  it('a transfer to nobody in particular', async () => {
    const answer = await h.call('POST', '/v1/leader/transfer', {});
    expect(answer.json).toEqual({ peerId: PEER_B, term: 8 });
    expect(h.node.calls).toEqual([['transferLeadership']]);
  });

  it('a recovery that is confirmed by the name of the cluster', async () => {
    const body = { voters: ['shelf', PEER_A], confirm: 'lab' };
    const answer = await h.call('POST', '/v1/roster/recover', body);
    const voters = [PEER_B, PEER_A];
    expect(answer.json).toEqual({ state: 'done', epoch: 3, voters, waitingFor: [] });
    expect(h.node.calls).toEqual([['recoverRoster', voters]]);
  });

  it('a job with the id that its caller chose, or none', async () => {
    const job = { kind: 'repair', subject: 'release laptop', id: 'mine' };
    expect((await h.call('POST', '/v1/jobs', job)).status).toBe(201);
    await h.call('POST', '/v1/jobs', { kind: 'index', subject: 'é'.repeat(512) });
    expect(h.node.calls).toEqual([
      ['submitJob', job],
      ['submitJob', { kind: 'index', subject: 'é'.repeat(512) }],
    ]);
  });

  it('a shutdown, after the answer', async () => {
    expect((await h.call('POST', '/v1/shutdown')).status).toBe(202);
    await expect.poll(() => h.node.calls).toEqual([['shutdown']]);
  });

  it('a message of exactly 1 MiB, and none larger', async () => {
    const most = new Uint8Array(LIMITS.signMessageBytes);
    expect((await h.call('POST', '/v1/sign?key=release', most)).status).toBe(200);
    const more = new Uint8Array(LIMITS.signMessageBytes + 1);
    for (const body of [
      more,
      { key: 'release', message: Buffer.from(more).toString('hex') },
      { key: 'release', message: Buffer.from(more).toString('base64'), encoding: 'base64' },
    ]) {
      const answer = await h.call('POST', '/v1/sign?key=release', body);
      expect(answer.status).toBe(413);
      expect(answer.json.error).toMatchObject({ code: 'TOO_LARGE' });
      expect(answer.json.error.try).toMatch(/digest/);
    }
    expect(h.node.calls).toHaveLength(1);
  });

  it('the abort of a client that goes away while its call runs', async () => {
    const seen = Promise.withResolvers<AbortSignal>();
    const original = h.node.sign;
    h.node.set('sign', (_request, signal) => {
      seen.resolve(signal);
      return new Promise((_done, fail) => {
        signal.addEventListener('abort', () => fail(signal.reason));
      });
    });
    const socket = await h.raw();
    const body = JSON.stringify({ key: 'release', message: '00' });
    socket.write(
      'POST /v1/sign HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n' +
        `Content-Length: ${body.length}\r\n\r\n${body}`,
    );
    const signal = await seen.promise;
    expect(signal.aborted).toBe(false);
    socket.destroy();
    await expect.poll(() => signal.aborted).toBe(true);
    expect(signal.reason).toMatchObject({ code: 'INTERRUPTED' });
    h.node.set('sign', original);
  });

  it('a call that has been answered is not aborted afterwards', async () => {
    let signal: AbortSignal | undefined;
    const original = h.node.sign;
    h.node.set('sign', async (_request, given) => {
      signal = given;
      return SIGNED;
    });
    await h.call('POST', '/v1/sign', { key: 'release', message: '00' });
    await h.get('/livez');
    expect(signal?.aborted).toBe(false);
    h.node.set('sign', original);
  });
});

describe('errors', () => {
  it('have exactly the documented form', async () => {
    const answer = await h.call('GET', '/v1/keys/nope', undefined, { 'x-request-id': 'r-1' });
    expect(answer.status).toBe(404);
    expect(answer.json).toEqual({
      error: {
        code: 'NOT_FOUND',
        message: 'no key nope',
        source: 'control',
        path: '/v1/keys/nope',
        request_id: 'r-1',
        timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
        try: ERRORS.NOT_FOUND.hint,
      },
    });
  });

  it('carry details, why, cause and the status of the catalogue, for every code', async () => {
    const original = h.node.status;
    for (const code of Object.keys(ERRORS) as ErrorCode[]) {
      h.node.set('status', async () => {
        const cause = new Error('because');
        throw new BzzzError(code, 'm', { why: 'w', details: { need: 3, have: 2 }, cause });
      });
      const { status, json } = await h.get('/v1/status');
      expect(status, code).toBe(ERRORS[code].http);
      expect(failure.safeParse(json).error).toBeUndefined();
      expect(json.error).toMatchObject({
        code,
        details: { need: 3, have: 2 },
        why: 'w',
        cause: 'because',
      });
    }
    h.node.set('status', original);
  });

  it('of a programming mistake are INTERNAL, without a stack, and logged', async () => {
    const original = h.node.status;
    h.node.set('status', async () => {
      throw new TypeError('undefined is not a function');
    });
    const { status, text } = await h.get('/v1/status');
    expect(status).toBe(500);
    expect(text).not.toContain('fake-services');
    expect(text).not.toContain('.ts');
    expect(
      h.logged.some(({ level, message }) => level === 'warn' && message === 'request failed'),
    ).toBe(true);
    h.node.set('status', original);
  });

  it.each([
    ['POST', '/v1/keys', { ...KEYS, threshold: 'two' }, 400, /threshold/],
    ['POST', '/v1/keys', { ...KEYS, extra: 1 }, 400, /extra/],
    ['POST', '/v1/keys', [], 400, /body/],
    ['POST', '/v1/keys', { ...KEYS, composition: { '': Number.NaN } }, 400, /composition/],
    ['POST', '/v1/sign', { key: 'release', message: '0g' }, 400, /message is not hex/],
    ['POST', '/v1/sign', { key: 'release', message: '0' }, 400, /message is not hex/],
    ['POST', '/v1/sign', { key: 'k', message: 'a*', encoding: 'base64' }, 400, /base64/],
    ['POST', '/v1/sign', Uint8Array.of(1), 400, /no key is named/],
    ['POST', '/v1/sign?timeoutMs=-1', { key: 'k', message: '' }, 400, /timeoutMs/],
    ['POST', '/v1/keys/release/verify', { message: '', signature: 'x' }, 400, /signature/],
    ['POST', '/v1/invitations', { role: 'king' }, 400, /role/],
    ['POST', '/v1/invitations', { ttlMs: LIMITS.invitationTtlMs + 1 }, 400, /ttlMs/],
    ['POST', '/v1/roster/promote', {}, 400, /peer/],
    ['POST', '/v1/roster/promote', { peer: 'nobody' }, 404, /no member nobody/],
    ['POST', '/v1/roster/demote', { peer: '' }, 400, /peer/],
    ['POST', '/v1/leader/transfer', { to: 'nobody' }, 404, /no member nobody/],
    ['POST', '/v1/leader/transfer', { to: null }, 400, /to/],
    ['POST', '/v1/roster/recover', { voters: [PEER_A] }, 400, /confirm/],
    ['POST', '/v1/roster/recover', { voters: [PEER_A], confirm: 'Lab' }, 400, /confirm: Lab/],
    ['POST', '/v1/roster/recover', { voters: [], confirm: 'lab' }, 400, /voters/],
    ['POST', '/v1/roster/recover', { voters: ['x'], confirm: 'lab' }, 404, /no member x/],
    [
      'POST',
      '/v1/roster/recover',
      { voters: [PEER_B, 'shelf'], confirm: 'lab' },
      400,
      /shelf .*twice/,
    ],
    ['POST', '/v1/jobs', { kind: 'dance', subject: 'x' }, 400, /kind/],
    ['POST', '/v1/jobs', { kind: 'index', subject: '' }, 400, /subject/],
    ['POST', '/v1/jobs', { kind: 'index', subject: 'é'.repeat(513) }, 400, /subject.*1024 bytes/],
    ['POST', '/v1/jobs', { kind: 'index', subject: 'x', id: 'no blanks' }, 400, /id/],
    ['GET', '/v1/keys/release/export?format=gif', undefined, 400, /format/],
    ['GET', '/v1/status?colour=red', undefined, 400, /colour/],
    ['GET', '/v1/nowhere', undefined, 404, /no route/],
    ['PUT', '/v1/status', undefined, 404, /no route PUT/],
    ['GET', '/v1/sign', undefined, 404, /no route/],
  ])('%s %s %o is refused', async (method, path, body, status, message) => {
    const answer = await h.call(method, path, body);
    expect(answer.status).toBe(status);
    expect(failure.safeParse(answer.json).error).toBeUndefined();
    expect(answer.json.error.message).toMatch(message);
    expect(h.node.calls).toEqual([]);
  });

  it('of a body that is no JSON, of another type, or of none', async () => {
    const type = (value: string) => ({ 'content-type': value });
    const broken = await h.call('POST', '/v1/keys', Buffer.from('{'), type('application/json'));
    expect(broken.status).toBe(400);
    const notUtf8 = await h.call('POST', '/v1/keys', Buffer.of(0xff), type('application/json'));
    expect(notUtf8.status).toBe(400);
    const form = await h.call('POST', '/v1/keys', Buffer.from('{}'), type('text/plain'));
    expect(form.status).toBe(415);
    expect((await h.call('POST', '/v1/keys')).status).toBe(415);
    const octets = await h.call('POST', '/v1/keys', Uint8Array.of(1));
    expect(octets.status).toBe(415);
  });

  it('__proto__ in a document reaches no prototype', async () => {
    const text = '{"name":"release","suite":"ed25519","threshold":2,"__proto__":{"x":1}}';
    const json = { 'content-type': 'application/json' };
    const answer = await h.call('POST', '/v1/keys', Buffer.from(text), json);
    expect([201, 400]).toContain(answer.status);
    expect(({} as Record<string, unknown>).x).toBeUndefined();
  });
});

describe('records (R91)', () => {
  it('results stand in the UCXI envelope', async () => {
    const { json } = await h.get(`/v1/records/resolve?address=${ADDRESS}`);
    expect(json).toEqual({
      response: {
        code: 'UCXL-200-OK',
        message: 'ok',
        data: expect.objectContaining({ pin: 'bafkreia', stale: false }),
        request_id: expect.any(String),
        timestamp: expect.any(String),
      },
    });
    const put = await h.call(
      'POST',
      '/v1/records/put?address=ucxl%3A%2F%2Fx&ack=one',
      Buffer.of(7),
    );
    expect(put.status).toBe(201);
    expect(put.json).toMatchObject({ response: { code: 'UCXL-201-CREATED' } });
    expect(h.node.calls).toEqual([['put', 'ucxl://x', Uint8Array.of(7), 'one']]);
  });

  it.each(['get', 'content'])('%s takes the first valid copy where it is asked to', async (way) => {
    for (const fast of ['', '&fast', '&fast=1', '&fast=maybe']) {
      const { status } = await h.get(`/v1/records/${way}?address=${ADDRESS}${fast}`);
      expect(status).toBe(fast === '&fast=maybe' ? 400 : 200);
    }
    expect(h.node.calls.map(([, , how]) => how)).toEqual([
      { fast: false },
      { fast: true },
      { fast: true },
    ]);
  });

  it('bytes come back in hex', async () => {
    const { json } = await h.get(`/v1/records/get?address=${ADDRESS}`);
    expect(json).toMatchObject({ response: { data: { bytes: '00ff0a' } } });
  });

  it.each([
    ['nonsense', 400, 'UCXL-400-INVALID_ADDRESS'],
    ['ucxl://a:b@c:d/none', 404, 'UCXL-404-NOT_FOUND'],
    ['x'.repeat(1_025), 400, 'UCXL-400-BAD_REQUEST'],
  ])('errors carry the protocol and the status', async (address, status, code) => {
    const answer = await h.get(`/v1/records/resolve?address=${encodeURIComponent(address)}`);
    expect(answer.status).toBe(status);
    expect(answer.json.error).toMatchObject({ code, source: 'ucxl', path: '/v1/records/resolve' });
  });
});

describe('probes (R119)', () => {
  it('/readyz is 503 with the reasons until there are none', async () => {
    expect(await h.get('/readyz')).toMatchObject({
      status: 200,
      json: { ready: true, reasons: [] },
    });
    h.node.reasons.push('not a member yet');
    const answer = await h.get('/readyz?verbose');
    expect(answer).toMatchObject({
      status: 503,
      json: { ready: false, reasons: ['not a member yet'] },
    });
    expect(answer.json).toHaveProperty('components');
    h.node.reasons.length = 0;
    expect(await h.get('/livez')).toMatchObject({ status: 200, json: { live: true } });
  });
});

it('documents are those of the services, field by field', async () => {
  expect((await h.get('/v1/keys/release')).json).toEqual(KEY);
  expect((await h.get('/v1/sessions/efef')).json).toEqual(SESSION);
  expect((await h.get('/v1/sessions/gatherings')).json).toEqual([GATHERING]);
  expect((await h.call('POST', '/v1/sign', { key: 'k', message: '' })).json).toEqual(SIGNED);
  expect((await h.get('/v1/leader')).json).toEqual(LEADER);
  expect((await h.get('/v1/leader/history')).json).toEqual(TERMS);
  expect((await h.get('/v1/jobs')).json).toEqual([JOB]);
  expect((await h.get('/v1/status')).json).toEqual(await h.node.status());
  expect((await h.get('/v1/peers')).json).toEqual(h.node.peers());
});

it('no leader is 503, with the reason', async () => {
  const original = h.node.leader;
  h.node.set('leader', () => {
    const details = { have: 1, need: 2 };
    throw new BzzzError('NO_LEADER', 'no leader for 3 s', { why: '1 of 3 voters', details });
  });
  const { status, json } = await h.get('/v1/leader');
  expect(status).toBe(503);
  expect(json.error).toMatchObject({ code: 'NO_LEADER', details: { have: 1, need: 2 } });
  h.node.set('leader', original);
});
