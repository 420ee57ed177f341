/** A node that only the control socket sees: documents of every kind, and a record of what was asked. */
import type { PeerId } from '../../../src/base/brands.ts';
import { BzzzError } from '../../../src/base/errors.ts';
import { EventLog } from '../../../src/node/events.ts';
import type {
  BackendDocument,
  BackendMetrics,
  GatheringDocument,
  JobDocument,
  JoinedDocument,
  KeyDocument,
  LeaderDocument,
  NodeServices,
  PeerDocument,
  SessionDocument,
  SignDocument,
  TermDocument,
} from '../../../src/node/services.ts';
import { systemClock } from '../../../src/node/system.ts';
import { once, type Source } from '../../../src/ucxl/content.ts';

export const PEER_A = '12D3KooWGyJpJDvJyEKWZ1mWBBvcVfEAc5K5mWvm1d8dS2nQ7vQb';
export const PEER_B = '12D3KooWLr1gYejUTeriAsSu6roR2aQ423G3Q4fFTqzqSwTsMz9n';
const HASH = 'ab'.repeat(32);
const TIME = '2026-01-01T00:00:00.000Z';

export const KEY: KeyDocument = {
  keyId: HASH,
  name: 'release',
  suite: 'ed25519',
  threshold: 2,
  parties: [
    { peerId: PEER_A, index: 1, role: 'persistent' },
    { peerId: PEER_B, index: 2, role: 'persistent' },
  ],
  publicKey: 'cd'.repeat(32),
  epoch: 0,
  address: 'ucxl://g-abc:group@lab:key/public',
  sessionId: 'ef'.repeat(32),
  createdAt: TIME,
  status: 'active',
  purpose: 'any',
  requesters: [PEER_A, PEER_B],
  policy: 'auto',
  limits: {},
  imported: false,
};

export const SIGNED: SignDocument = {
  signature: '11'.repeat(64),
  publicKey: KEY.publicKey,
  suite: 'ed25519',
  messageHash: HASH,
  signers: [PEER_A, PEER_B],
  sessionId: 'ef'.repeat(32),
  address: 'ucxl://mpc:sign@lab:abc/result',
  requestId: '22'.repeat(32),
  attempts: 1,
  cached: false,
  elapsedMs: 12,
};

export const SESSION: SessionDocument = {
  sessionId: 'ef'.repeat(32),
  kind: 'sign',
  state: 'running',
  initiator: PEER_A,
  parties: [{ peerId: PEER_A, index: 1, role: 'persistent', state: 'joined' }],
  attempt: 1,
  createdAt: TIME,
  expiresAt: TIME,
  events: [{ author: PEER_A, kind: 'proposed', time: TIME }],
};

export const GATHERING: GatheringDocument = {
  name: 'late',
  suite: 'ed25519',
  threshold: 2,
  reason: 'mDNS, announcements and DHT say nothing of 2 missing members',
  need: 3,
  have: 1,
  joined: [],
  token: 'bzzz-join1aaaa',
  expiresAt: TIME,
};

export const JOINED: JoinedDocument = {
  name: 'late',
  suite: 'ed25519',
  threshold: 2,
  proposer: PEER_A as PeerId,
  need: 3,
  have: 2,
};

export const LEADER: LeaderDocument = {
  peerId: PEER_A,
  term: 7,
  since: TIME,
  votes: [PEER_A, PEER_B],
  epoch: 2,
  self: true,
};

export const TERMS: readonly TermDocument[] = [
  { term: 6, leader: PEER_B, since: TIME, until: TIME, trigger: 'start' },
  { term: 7, leader: PEER_A, since: TIME, until: null, trigger: 'closed' },
];

export const JOB: JobDocument = {
  id: '33'.repeat(16),
  kind: 'refresh',
  subject: 'release',
  state: 'assigned',
  owner: PEER_B,
  term: 7,
  attempt: 1,
  createdAt: TIME,
  endedAt: null,
  result: null,
};

const META = {
  address: 'ucxl://a:b@c:d/x',
  version: null,
  pin: 'bafkreia',
  type: 'application/octet-stream',
  size: 3,
  writer: PEER_A,
  time: TIME,
  source: 'local',
  stale: false,
  holders: [PEER_A],
} as const;

const PEER: PeerDocument = {
  peerId: PEER_B,
  name: 'shelf',
  addrs: ['/ip4/10.0.0.2/tcp/4750'],
  role: 'persistent',
  voter: false,
  ready: true,
  connected: true,
  rttMs: 0.4,
  version: '0.1.0',
  epoch: 2,
  term: 7,
  lag: 0,
  sources: ['mdns', 'announce'],
};

const HEALTH = {
  component: 'dht',
  backend: 'real',
  status: 'healthy',
  last_check: TIME,
  error_count: 0,
  latency_ms: 3,
} as const;

export const BACKEND: BackendDocument = {
  component: 'dht',
  backend: 'hybrid',
  active: 'real',
  percent: 100,
  isolated: false,
  generation: 3,
  previous: [{ backend: 'mock', percent: 100 }],
};

export const METRICS: BackendMetrics = {
  component: 'dht',
  mock_requests: 3,
  real_requests: 5,
  fallback_events: 2,
  recovery_events: 1,
  avg_latency_mock: 0.4,
  avg_latency_real: 14,
  error_rate_mock: 0,
  error_rate_real: 0.25,
};

export interface FakeNode extends NodeServices {
  readonly calls: [name: string, ...args: unknown[]][];
  /** Replaces one answer. */
  set<K extends keyof NodeServices>(name: K, fn: NodeServices[K]): void;
  reasons: string[];
}

async function whole(source: Source): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of source instanceof Uint8Array ? once(source) : source) parts.push(part);
  return new Uint8Array(Buffer.concat(parts));
}

export function fakeNode(): FakeNode {
  const calls: FakeNode['calls'] = [];
  const note = <T>(name: string, args: unknown[], result: T): T => {
    calls.push([name, ...args]);
    return result;
  };
  const node: FakeNode = {
    calls,
    reasons: [],
    set: (name, fn) => void Object.assign(node, { [name]: fn }),
    events: new EventLog(systemClock),
    status: async () => ({
      version: '0.1.0',
      peerId: PEER_A,
      cluster: 'lab',
      clusterId: HASH,
      role: 'persistent',
      ready: true,
      draining: false,
      epoch: 2,
      leader: { peerId: PEER_A, term: 7 },
      term: 7,
      voters: 1,
      peers: 1,
      keys: 1,
      uptimeMs: 61_000,
      components: [HEALTH],
      warnings: ['1 voter: nobody else can change the roster when this host is gone'],
    }),
    health: async () => [HEALTH],
    unready: () => node.reasons,
    peers: () => [PEER],
    roster: () => ({
      cluster: 'lab',
      clusterId: HASH,
      epoch: 2,
      term: 0,
      head: HASH,
      members: [
        { peerId: PEER_A, role: 'persistent', voter: true, since: 0 },
        { peerId: PEER_B, name: 'shelf', role: 'persistent', voter: false, since: 1 },
      ],
    }),
    removeMember: async (peer) =>
      note('removeMember', [peer], { epoch: 3, keysStillHeld: ['release'] }),
    promoteMember: async (peer) => note('promoteMember', [peer], { epoch: 3 }),
    demoteMember: async (peer) => note('demoteMember', [peer], { epoch: 4 }),
    recoverRoster: async (voters) =>
      note('recoverRoster', [voters], { state: 'done', epoch: 3, voters, waitingFor: [] }),
    leader: () => LEADER,
    terms: () => TERMS,
    transferLeadership: async (...to) =>
      note('transferLeadership', to, { peerId: PEER_B, term: 8 }),
    stepDown: async () => note('stepDown', [], { term: 7 }),
    jobs: () => [JOB],
    submitJob: async (request) => note('submitJob', [request], JOB),
    leave: async () => note('leave', [], { epoch: 3 }),
    invite: async (request) =>
      note('invite', [request], { invitation: 'bzzz1abc', expiresAt: TIME }),
    invitations: async () => [{ id: 'aa', role: 'persistent', expiresAt: TIME, state: 'open' }],
    revokeInvitation: async (id) => note('revokeInvitation', [id], undefined),
    createKey: async (request) => note('createKey', [request], KEY),
    changeKey: async (request) => note('changeKey', [request], KEY),
    repairKey: async (request) => note('repairKey', [request], KEY),
    retireKey: async (request) => note('retireKey', [request], { ...KEY, status: 'retired' }),
    keys: async () => [KEY],
    key: async (name) => {
      if (name !== 'release') throw new BzzzError('NOT_FOUND', `no key ${name}`);
      return KEY;
    },
    exportKey: async (name, format) => note('exportKey', [name, format], '-----BEGIN\n'),
    sign: async (request) => note('sign', [request], SIGNED),
    verify: async (key, message, signature) =>
      note('verify', [key, message, signature], { valid: signature[0] === 0x11 }),
    gatherings: () => [GATHERING],
    joinGathering: async (token) => note('joinGathering', [token], JOINED),
    sessions: () => [SESSION],
    session: (id) => {
      if (!SESSION.sessionId.startsWith(id)) throw new BzzzError('NOT_FOUND', `no session ${id}`);
      return SESSION;
    },
    cancelSession: async (id) => note('cancelSession', [id], { ...SESSION, state: 'cancelled' }),
    takeShare: async (name) => note('takeShare', [name], '{}\n'),
    exportShare: async (name) => note('exportShare', [name], '{}\n'),
    importKey: async (request) =>
      note('importKey', [request], { state: 'waiting', waitingFor: [], key: null }),
    backup: async (passphrase) =>
      note('backup', [passphrase], {
        ...{ peerId: 'ann', cluster: 'lab', createdAt: '2026-01-01T00:00:00.000Z' },
        ...{ shares: 1, backup: 'AA==' },
      }),
    approveSession: async (id) => note('approveSession', [id], SESSION),
    denySession: async (id, reason) => note('denySession', [id, reason], SESSION),
    resolve: async (address) => {
      if (!address.startsWith('ucxl://')) {
        throw new BzzzError('INVALID_ADDRESS', `${address} is no address`);
      }
      if (address.endsWith('/none')) throw new BzzzError('NOT_FOUND', `nothing at ${address}`);
      return META;
    },
    get: async (address, how) =>
      note('get', [address, how], { meta: META, bytes: Uint8Array.of(0, 255, 10) }),
    read: async (address, _signal, how) =>
      note('read', [address, how], once(Uint8Array.of(0, 255, 10))),
    put: async (address, source, require) =>
      note('put', [address, await whole(source), require], {
        address,
        version: null,
        pin: 'bafkreia',
        ack: 'quorum',
        holders: [PEER_A],
        pending: 0,
      }),
    backends: () => [BACKEND],
    setBackend: (component, request) => {
      if (component !== 'dht') throw new BzzzError('NOT_FOUND', `no component ${component}`);
      return note('setBackend', [component, request], { ...BACKEND, backend: request.backend });
    },
    isolate: (component) => note('isolate', [component], { ...BACKEND, isolated: true }),
    rollbackBackend: (...component) => note('rollbackBackend', component, BACKEND),
    metrics: () => [METRICS],
    metricsText: async () => 'bzzz_info{version="0.1.0"} 1\n',
    config: () => [{ key: 'log.level', value: 'info', origin: 'default' }],
    shutdown: () => note('shutdown', [], undefined),
  };
  return node;
}
