/**
 * What the control socket can ask of a running node. The daemon composes it; routes translate HTTP
 * to these calls and nothing else. Results are the JSON documents of docs/cli.md.
 * @module
 */
import type { BackendMetrics } from '../base/backend-meter.ts';
import type { Backend } from '../base/backend-words.ts';
import type { HealthStatus } from '../dht/store.ts';
import type { JobDocument, JobKind } from '../election/jobs/types.ts';
import type { KeyDocument, SessionDocument, SignDocument } from '../mpc/party/documents.ts';
import type { JoinedDocument } from '../mpc/party/gathering-join.ts';
import type { GatheringDocument } from '../mpc/party/gatherings.ts';
import type { ImportDocument, ImportKeyRequest } from '../mpc/party/ports.ts';
import type { PolicyMode, SigningLimits } from '../mpc/types.ts';
import type { Role } from '../roster/types.ts';
import type { BackendDocument } from './backends.ts';
import type { BackupSummary } from './backup-file.ts';
import type { EventLog } from './events.ts';

export type {
  BackendDocument,
  BackendMetrics,
  GatheringDocument,
  JobDocument,
  JoinedDocument,
  KeyDocument,
  SessionDocument,
  SignDocument,
};

export interface StatusDocument {
  readonly version: string;
  readonly peerId: string;
  readonly cluster: string;
  readonly clusterId: string;
  /** null until the node is admitted. */
  readonly role: Role | null;
  readonly ready: boolean;
  readonly draining: boolean;
  readonly epoch: number;
  readonly leader: { readonly peerId: string; readonly term: number } | null;
  /** The highest term this node has seen; 0 before the first election. */
  readonly term: number;
  /** How many voters the roster has. */
  readonly voters: number;
  /** Connected members other than this node. */
  readonly peers: number;
  readonly keys: number;
  readonly uptimeMs: number;
  readonly components: readonly HealthStatus[];
  /**
   * What an operator should know though nothing failed, one sentence each: 1, 2 or 4 voters, no
   * leader, why this node is not ready.
   */
  readonly warnings: readonly string[];
}

/** Who leads; the proof stands at `ucxl://leader:slurp@CLUSTER:election/current`. */
export interface LeaderDocument {
  readonly peerId: string;
  readonly term: number;
  /** ISO 8601 UTC; when this node learned of it. */
  readonly since: string;
  /** The voters whose votes elected it, as far as this node has seen them. */
  readonly votes: readonly string[];
  /** Of the roster whose voters elected it. */
  readonly epoch: number;
  /** Whether this node is the leader. */
  readonly self: boolean;
}

/** One term that this node has seen a leader in. */
export interface TermDocument {
  readonly term: number;
  readonly leader: string;
  readonly since: string;
  /** null while it lasts. */
  readonly until: string | null;
  /** Why the election was held: `start`, `timeout`, `closed`, `transfer`, ... */
  readonly trigger: string;
}

/** How a record is read. */
export interface ReadRequest {
  /** Takes the first valid copy, also of what may be replaced. @default false */
  readonly fast?: boolean;
}

export interface PeerDocument {
  readonly peerId: string;
  readonly name?: string;
  readonly addrs: readonly string[];
  readonly role: Role;
  readonly voter: boolean;
  readonly ready: boolean;
  readonly connected: boolean;
  readonly rttMs: number | null;
  readonly version: string | null;
  readonly epoch: number | null;
  /** The highest term that it acknowledged or announced; null when it never did. */
  readonly term: number | null;
  /** Epochs that its roster is behind the newest one known here; null when it told none. */
  readonly lag: number | null;
  readonly sources: readonly ('mdns' | 'dht' | 'bootstrap' | 'announce' | 'token')[];
}

export interface RosterDocument {
  readonly cluster: string;
  readonly clusterId: string;
  readonly epoch: number;
  readonly term: number;
  readonly head: string;
  readonly members: readonly {
    readonly peerId: string;
    readonly name?: string;
    readonly role: Role;
    readonly voter: boolean;
    readonly since: number;
  }[];
}

/** What came of `roster recover` on this host. */
export interface RecoveryDocument {
  /** `waiting`: the operators of `waitingFor` have not run the same command yet. */
  readonly state: 'done' | 'waiting';
  /** Of the entry that makes `voters` the voters. */
  readonly epoch: number;
  readonly voters: readonly string[];
  readonly waitingFor: readonly string[];
}

export interface JobRequest {
  readonly kind: JobKind;
  /** What the job is about; its kind says how to read it. */
  readonly subject: string;
  /** The same id again is the same job. */
  readonly id?: string;
}

export interface InviteRequest {
  readonly role: Role;
  readonly noVoter: boolean;
  readonly ttlMs: number;
}

export interface InvitationDocument {
  readonly id: string;
  readonly role: Role;
  readonly expiresAt: string;
  readonly state: 'open' | 'used' | 'expired' | 'revoked';
  readonly usedBy?: string;
}

export interface CreateKeyRequest {
  readonly name: string;
  readonly suite: string;
  readonly threshold: number;
  readonly parties?: number;
  readonly composition?: Readonly<Record<string, number>>;
  readonly participants?: readonly string[];
  readonly purpose?: string;
  readonly requesters?: readonly string[];
  readonly policy?: PolicyMode;
  readonly limits?: SigningLimits;
  readonly ephemeral?: boolean;
  readonly timeoutMs?: number;
}

/** Without threshold and participants: new shares for the same holders. */
export interface ChangeKeyRequest {
  /** Key name or key id. */
  readonly key: string;
  readonly threshold?: number;
  readonly participants?: readonly string[];
  readonly timeoutMs?: number;
}

export interface RepairKeyRequest {
  /** Key name or key id. */
  readonly key: string;
  /** The holder that lost its share. */
  readonly peer: string;
  readonly timeoutMs?: number;
}

export interface RetireKeyRequest {
  /** Key name or key id. */
  readonly key: string;
  /** Also destroys the share on this host. */
  readonly wipe: boolean;
}

export interface SignRequest {
  /** Key name or key id. */
  readonly key: string;
  readonly message: Uint8Array;
  readonly fresh: boolean;
  /** A delegate's share, as `takeShare` gave it. */
  readonly share?: string;
  readonly timeoutMs?: number;
}

/** @property backup base64 of the file. */
export type BackupDocument = BackupSummary & { readonly backup: string };

export interface ResolveDocument {
  readonly address: string;
  readonly version: number | null;
  readonly pin: string;
  readonly type: string;
  readonly size: number;
  readonly writer: string | null;
  readonly time: string | null;
  readonly source: 'cache' | 'local' | 'dht' | 'sync';
  readonly stale: boolean;
  readonly holders: readonly string[];
}

export interface PutDocument {
  readonly address: string;
  readonly version: number | null;
  readonly pin: string;
  readonly ack: 'local' | 'one' | 'quorum';
  readonly holders: readonly string[];
  readonly pending: number;
}

/** @property percent 100 when absent. */
export interface BackendRequest {
  readonly backend: Backend;
  readonly percent?: number;
}

/** Everything an operator can do to a node. Each call may throw a BzzzError. */
export interface NodeServices {
  readonly events: EventLog;
  status(): Promise<StatusDocument>;
  health(): Promise<readonly HealthStatus[]>;
  /** Why the node is not ready; empty when it is. */
  unready(): readonly string[];
  peers(): readonly PeerDocument[];
  roster(): RosterDocument;
  removeMember(
    peer: string,
  ): Promise<{ readonly epoch: number; readonly keysStillHeld: readonly string[] }>;
  leave(): Promise<{ readonly epoch: number }>;
  promoteMember(peer: string): Promise<{ readonly epoch: number }>;
  demoteMember(peer: string): Promise<{ readonly epoch: number }>;
  /** This operator's consent to `voters` from here on; the caller has confirmed it. */
  recoverRoster(voters: readonly string[]): Promise<RecoveryDocument>;
  /** @throws NO_LEADER. */
  leader(): LeaderDocument;
  /** Oldest first. */
  terms(): readonly TermDocument[];
  /** To the best of the others when `to` is absent; resolves when the next leader is known. */
  transferLeadership(to?: string): Promise<{ readonly peerId: string; readonly term: number }>;
  /** The leader gives up. @returns the term that ended. @throws NO_LEADER. */
  stepDown(): Promise<{ readonly term: number }>;
  jobs(): readonly JobDocument[];
  submitJob(request: JobRequest): Promise<JobDocument>;
  invite(
    request: InviteRequest,
  ): Promise<{ readonly invitation: string; readonly expiresAt: string }>;
  invitations(): Promise<readonly InvitationDocument[]>;
  revokeInvitation(id: string): Promise<void>;
  createKey(request: CreateKeyRequest, signal: AbortSignal): Promise<KeyDocument>;
  /** Refresh and reshare. */
  changeKey(request: ChangeKeyRequest, signal: AbortSignal): Promise<KeyDocument>;
  repairKey(request: RepairKeyRequest, signal: AbortSignal): Promise<KeyDocument>;
  retireKey(request: RetireKeyRequest): Promise<KeyDocument>;
  keys(): Promise<readonly KeyDocument[]>;
  key(name: string): Promise<KeyDocument>;
  exportKey(name: string, format: 'pem' | 'ssh' | 'zf-json'): Promise<string>;
  /** A delegate's share, once. @throws NOT_FOUND, CONFLICT, REFUSED_BY_POLICY. */
  takeShare(name: string): Promise<string>;
  /** This node's share in plain text. @throws NOT_FOUND, CONFLICT, SHARE_CORRUPT. */
  exportShare(name: string): Promise<string>;
  importKey(request: ImportKeyRequest, signal: AbortSignal): Promise<ImportDocument<KeyDocument>>;
  sign(request: SignRequest, signal: AbortSignal): Promise<SignDocument>;
  verify(
    key: string,
    message: Uint8Array,
    signature: Uint8Array,
  ): Promise<{ readonly valid: boolean }>;
  /** Keys that wait here for their parties, because discovery fails. */
  gatherings(): readonly GatheringDocument[];
  /** @throws what `joinGathering` of the party service throws: the token, the way, the seat. */
  joinGathering(token: string, signal: AbortSignal): Promise<JoinedDocument>;
  sessions(): readonly SessionDocument[];
  session(id: string): SessionDocument;
  cancelSession(id: string): Promise<SessionDocument>;
  /** This operator's yes, for this node. @throws NOT_FOUND, CONFLICT. */
  approveSession(id: string): Promise<SessionDocument>;
  /** @param reason for the requester; may be empty. @throws NOT_FOUND, CONFLICT. */
  denySession(id: string, reason: string): Promise<SessionDocument>;
  resolve(address: string): Promise<ResolveDocument>;
  get(
    address: string,
    how?: ReadRequest,
  ): Promise<{ readonly meta: ResolveDocument; readonly bytes: Uint8Array }>;
  /** The bytes of any size, as they come. */
  read(address: string, signal: AbortSignal, how?: ReadRequest): Promise<AsyncIterable<Uint8Array>>;
  put(
    address: string,
    bytes: Uint8Array | AsyncIterable<Uint8Array>,
    require: 'local' | 'one' | 'quorum' | undefined,
  ): Promise<PutDocument>;
  /** A backup of this node, encrypted. @throws BAD_REQUEST, SHARE_CORRUPT, TOO_LARGE. */
  backup(passphrase: string): Promise<BackupDocument>;
  /** Every effective setting with its origin; secrets are paths, never contents. */
  config(): readonly { readonly key: string; readonly value: unknown; readonly origin: string }[];
  backends(): readonly BackendDocument[];
  /** @throws NOT_FOUND for a component without backends. */
  setBackend(component: string, request: BackendRequest): BackendDocument;
  /** Serves it locally until it is set or rolled back. @throws NOT_FOUND. */
  isolate(component: string): BackendDocument;
  /** The component that was changed last when none is named. @throws NOT_FOUND, CONFLICT. */
  rollbackBackend(component?: string): BackendDocument;
  /** @throws NOT_FOUND when metrics are switched off. */
  metrics(): readonly BackendMetrics[];
  /** Prometheus text. @throws NOT_FOUND when metrics are switched off. */
  metricsText(): Promise<string>;
  /** Drains and ends the process. */
  shutdown(): void;
}
