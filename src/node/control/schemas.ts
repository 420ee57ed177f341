/**
 * The JSON documents of the control API as schemas: requests are checked against them, responses
 * are described by them in /openapi.json. The types of services.ts say the same to the compiler.
 * @module
 */
import { z } from 'zod';
import { BACKEND_SYNONYMS, BACKENDS } from '../../base/backend-words.ts';
import { LIMITS } from '../../base/limits.ts';
import { JOB_KINDS, JOB_STATES, jobField } from '../../election/jobs/types.ts';
import { APPROVAL_STATES } from '../../mpc/party/approval.ts';
import { GATHERING_TEXT } from '../../mpc/party/gathering-token.ts';
import { POLICIES, SUITES } from '../../mpc/types.ts';
import { ROLES } from '../../roster/types.ts';

const text = (max: number) => z.string().min(1).max(max);
const peerId = z.string().meta({ description: 'base58 peer id' });
const hex = z
  .string()
  .regex(/^(?:[0-9a-f]{2})*$/)
  .meta({ description: 'lower-case hex' });
const time = z.string().meta({ description: 'ISO 8601, UTC' });
const role = z.enum(ROLES);
const count = z.int().min(0);
const ack = z.enum(['local', 'one', 'quorum']);

/** A number of milliseconds that a request may take. */
export const timeoutMs = z.int().min(1).max(LIMITS.sessionTtlMs);

/** A name, an id or a prefix of one, before the node has looked it up. */
export const reference = text(128);

/** A UCXL address before it is parsed. */
export const address = text(LIMITS.addressBytes);

/** How bytes stand in a JSON request. */
export const encoding = z.enum(['hex', 'base64', 'utf8']).default('hex');

const backend = z.enum(BACKENDS);

export const health = z.strictObject({
  component: z.string(),
  backend,
  status: z.enum(['healthy', 'degraded', 'failed']),
  last_check: time,
  error_count: count,
  latency_ms: z.number(),
  reason: z.string().optional(),
});

export const status = z.strictObject({
  version: z.string(),
  peerId,
  cluster: z.string(),
  clusterId: hex,
  role: role.nullable(),
  ready: z.boolean(),
  draining: z.boolean(),
  epoch: count,
  leader: z.strictObject({ peerId, term: count }).nullable(),
  term: count,
  voters: count,
  peers: count,
  keys: count,
  uptimeMs: z.number(),
  components: z.array(health),
  warnings: z.array(z.string()),
});

export const leader = z.strictObject({
  peerId,
  term: count,
  since: time,
  votes: z.array(peerId),
  epoch: count,
  self: z.boolean(),
});
export const term = z.strictObject({
  term: count,
  leader: peerId,
  since: time,
  until: time.nullable(),
  trigger: z.string(),
});
/** Without `to` the best of the others leads next. */
export const transferRequest = z.strictObject({ to: reference.exactOptional() });
export const transferred = z.strictObject({ peerId, term: count });
export const steppedDown = z.strictObject({ term: count });

export const peer = z.strictObject({
  peerId,
  name: z.string().optional(),
  addrs: z.array(z.string()),
  role,
  voter: z.boolean(),
  ready: z.boolean(),
  connected: z.boolean(),
  rttMs: z.number().nullable(),
  version: z.string().nullable(),
  epoch: count.nullable(),
  term: count.nullable(),
  lag: count.nullable(),
  sources: z.array(z.enum(['mdns', 'dht', 'bootstrap', 'announce', 'token'])),
});

export const roster = z.strictObject({
  cluster: z.string(),
  clusterId: hex,
  epoch: count,
  term: count,
  head: hex,
  members: z.array(
    z.strictObject({
      peerId,
      name: z.string().optional(),
      role,
      voter: z.boolean(),
      since: count,
    }),
  ),
});

/** A member by peer id, name, or unambiguous prefix of its id. */
export const memberRequest = z.strictObject({ peer: reference });
export const changed = z.strictObject({ epoch: count });
export const removed = z.strictObject({ epoch: count, keysStillHeld: z.array(z.string()) });
export const recoverRequest = z.strictObject({
  voters: z.array(reference).min(1).max(LIMITS.rosterMembers),
  confirm: text(LIMITS.nameBytes).meta({ description: 'the name of the cluster' }),
});
export const recovery = z.strictObject({
  state: z.enum(['done', 'waiting']),
  epoch: count,
  voters: z.array(peerId),
  waitingFor: z.array(peerId),
});

export const inviteRequest = z.strictObject({
  role: role.default('persistent'),
  noVoter: z.boolean().default(false),
  ttlMs: z.int().min(1).max(LIMITS.invitationTtlMs).default(3_600_000),
});
export const invited = z.strictObject({ invitation: z.string(), expiresAt: time });
export const invitation = z.strictObject({
  id: z.string(),
  role,
  expiresAt: time,
  state: z.enum(['open', 'used', 'expired', 'revoked']),
  usedBy: peerId.optional(),
});

const party = z.strictObject({ peerId, index: z.int().min(1), role });

const limits = z.strictObject({
  messageBytes: z.number().exactOptional(),
  perMinute: z.number().exactOptional(),
});

export const key = z.strictObject({
  keyId: hex,
  name: z.string(),
  suite: z.enum(SUITES),
  threshold: count,
  parties: z.array(party),
  publicKey: hex,
  epoch: count,
  address: z.string(),
  sessionId: hex,
  createdAt: time.nullable(),
  status: z.enum(['active', 'pending', 'public', 'stale', 'lost', 'retired']),
  purpose: z.string(),
  requesters: z.array(peerId),
  policy: z.enum(POLICIES),
  limits,
  imported: z.boolean(),
  taproot: z.strictObject({ outputKey: hex, scriptPubKey: hex }).exactOptional(),
});

/**
 * Numbers and names pass as they are: which combinations make sense is for the node to say, with
 * the error codes of the catalogue.
 */
export const createKeyRequest = z.strictObject({
  name: text(LIMITS.nameBytes),
  suite: text(32),
  threshold: z.number(),
  parties: z.number().exactOptional(),
  composition: z.record(z.string().max(32), z.number()).exactOptional(),
  participants: z.array(reference).max(LIMITS.rosterMembers).exactOptional(),
  purpose: z.string().max(LIMITS.purposeBytes).exactOptional(),
  requesters: z.array(reference).max(LIMITS.requesters).exactOptional(),
  policy: z.enum(POLICIES).exactOptional(),
  limits: limits.exactOptional(),
  ephemeral: z.boolean().exactOptional(),
  timeoutMs: timeoutMs.exactOptional(),
});

export const refreshRequest = z.strictObject({ timeoutMs: timeoutMs.exactOptional() });
export const reshareRequest = z.strictObject({
  threshold: z.number(),
  participants: z.array(reference).max(LIMITS.rosterMembers),
  timeoutMs: timeoutMs.exactOptional(),
});
/** A key package is a few hundred bytes, a public one of 16 parties a few thousand. */
const keyPackage = text(16_384).meta({ description: 'JSON, or hex of the binary form' });
export const importKeyRequest = z.strictObject({
  name: text(LIMITS.nameBytes),
  keyPackage,
  publicKeyPackage: keyPackage,
  participants: z.array(reference).max(LIMITS.parties),
  purpose: z.string().max(LIMITS.purposeBytes).exactOptional(),
  requesters: z.array(reference).max(LIMITS.requesters).exactOptional(),
  policy: z.enum(POLICIES).exactOptional(),
  limits: limits.exactOptional(),
  timeoutMs: timeoutMs.exactOptional(),
});
export const imported = z.strictObject({
  state: z.enum(['done', 'waiting']),
  waitingFor: z.array(peerId),
  key: key.nullable(),
});
export const exportedShare = z.strictObject({ format: z.literal('zf-json'), text: z.string() });

export const repairRequest = z.strictObject({
  peer: reference,
  timeoutMs: timeoutMs.exactOptional(),
});
export const retireRequest = z.strictObject({ wipe: z.boolean().default(false) });
/** The passphrase is never kept, logged or answered. */
export const backupRequest = z.strictObject({ passphrase: text(4_096) });
export const backup = z.strictObject({
  peerId,
  cluster: z.string(),
  createdAt: time,
  shares: count,
  backup: z.string().meta({ description: 'base64 of the encrypted file' }),
});

export const exportFormat = z.enum(['pem', 'ssh', 'zf-json']).default('pem');
export const exported = z.strictObject({
  format: z.enum(['pem', 'ssh', 'zf-json']),
  text: z.string(),
});

export const signRequest = z.strictObject({
  key: reference,
  message: z.string().meta({ description: 'bytes, in `encoding`' }),
  encoding,
  fresh: z.boolean().default(false),
  share: keyPackage.optional(),
  timeoutMs: timeoutMs.optional(),
});

export const signature = z.strictObject({
  signature: hex,
  publicKey: hex,
  suite: z.enum(SUITES),
  messageHash: hex,
  signers: z.array(peerId),
  sessionId: hex,
  address: z.string(),
  requestId: hex,
  attempts: count,
  cached: z.boolean(),
  elapsedMs: z.number(),
});

export const verifyRequest = z.strictObject({
  message: z.string().meta({ description: 'bytes, in `encoding`' }),
  encoding,
  signature: z.string().max(1_024).meta({ description: 'hex' }),
});
export const verified = z.strictObject({ valid: z.boolean() });

/** Why not, in the operator's words; the requester reads it. */
export const denyRequest = z.strictObject({
  reason: z
    .string()
    .max(LIMITS.policyReasonBytes)
    .refine((s) => !/\p{C}/u.test(s), 'control characters')
    .default(''),
});

export const session = z.strictObject({
  sessionId: hex,
  kind: z.enum(['keygen', 'sign', 'reshare', 'repair']),
  state: z.string(),
  reported: z.literal(true).optional(),
  keyId: hex.optional(),
  initiator: peerId,
  parties: z.array(party.extend({ state: z.string() })),
  attempt: count,
  createdAt: time,
  expiresAt: time,
  endedAt: time.optional(),
  error: z.strictObject({ code: z.string(), message: z.string() }).optional(),
  culprits: z.array(peerId).optional(),
  approval: z
    .strictObject({
      state: z.enum(APPROVAL_STATES),
      key: z.string(),
      purpose: z.string(),
      requester: peerId,
      messageHash: hex,
      messageSize: count,
      reason: z.string().optional(),
    })
    .optional(),
  events: z.array(z.strictObject({ author: z.string(), kind: z.string(), time })),
});

/** A key that waits for its parties, because discovery fails. */
export const gathering = z.strictObject({
  name: z.string(),
  suite: z.enum(SUITES),
  threshold: count,
  reason: z.string(),
  need: count,
  have: count,
  joined: z.array(peerId),
  token: z.string(),
  expiresAt: time,
});
export const joinRequest = z.strictObject({ token: text(2 * GATHERING_TEXT) });
export const joined = z.strictObject({
  name: z.string(),
  suite: z.enum(SUITES),
  threshold: count,
  proposer: peerId,
  need: count,
  have: count,
});

export const jobRequest = z.strictObject({
  kind: jobField.kind,
  subject: jobField.subject.min(1),
  id: jobField.id.exactOptional(),
});
export const job = z.strictObject({
  id: z.string(),
  kind: z.enum(JOB_KINDS),
  subject: z.string(),
  state: z.enum(JOB_STATES),
  owner: peerId.nullable(),
  term: count,
  attempt: count,
  createdAt: time,
  endedAt: time.nullable(),
  result: z.string().nullable(),
});

export const resolved = z.strictObject({
  address: z.string(),
  version: count.nullable(),
  pin: z.string(),
  type: z.string(),
  size: count,
  writer: peerId.nullable(),
  time: time.nullable(),
  source: z.enum(['cache', 'local', 'dht', 'sync']),
  stale: z.boolean(),
  holders: z.array(peerId),
});

/** `bytes` is the content in hex. */
export const record = resolved.extend({ bytes: hex });

export const putRequest = z.strictObject({
  address,
  bytes: z.string().meta({ description: 'bytes, in `encoding`' }),
  encoding,
  ack: ack.optional(),
});

export const put = z.strictObject({
  address: z.string(),
  version: count.nullable(),
  pin: z.string(),
  ack,
  holders: z.array(peerId),
  pending: count,
});

export const acknowledgement = ack;

export const setting = z.strictObject({
  key: z.string(),
  value: z.unknown(),
  origin: z.string(),
});

const percent = z.int().min(0).max(100);

export const backendState = z.strictObject({
  component: z.string(),
  backend,
  active: z.enum(['mock', 'real']),
  percent,
  isolated: z.boolean(),
  generation: count,
  previous: z.array(z.strictObject({ backend, percent })),
});

const SYNONYMS: Readonly<Record<string, (typeof BACKENDS)[number]>> = BACKEND_SYNONYMS;

/** `local` and `dht` are taken as well as the documented words. */
export const backendRequest = z.strictObject({
  backend: z
    .enum([...BACKENDS, 'local', 'dht'])
    .transform((word) => SYNONYMS[word] ?? word)
    .pipe(backend),
  percent: percent.exactOptional(),
});
/** Without `component` the one that was changed last. */
export const rollbackRequest = z.strictObject({ component: reference.exactOptional() });

const rate = z.number().min(0).max(1);
export const metrics = z.strictObject({
  component: z.string(),
  mock_requests: count,
  real_requests: count,
  fallback_events: count,
  recovery_events: count,
  avg_latency_mock: z.number().meta({ description: 'ms' }),
  avg_latency_real: z.number().meta({ description: 'ms' }),
  error_rate_mock: rate,
  error_rate_real: rate,
});

/** What every refused request is answered with. */
export const failure = z.strictObject({
  error: z.strictObject({
    code: z.string(),
    message: z.string(),
    details: z.record(z.string(), z.unknown()).optional(),
    source: z.string(),
    path: z.string(),
    request_id: z.string(),
    timestamp: time,
    cause: z.string().optional(),
    why: z.string().optional(),
    try: z.string().optional(),
  }),
});
