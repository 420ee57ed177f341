/**
 * What the control socket can ask of a running node. The daemon composes it; routes translate HTTP
 * to these calls and nothing else. Results are the JSON documents of docs/cli.md.
 * @module
 */
import type { HealthStatus } from '../dht/store.ts';
import type { KeyDocument, SessionDocument, SignDocument } from '../mpc/party-documents.ts';
import type { PolicyMode } from '../mpc/types.ts';
import type { Role } from '../roster/types.ts';
import type { EventLog } from './events.ts';

export type { KeyDocument, SessionDocument, SignDocument };

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
  /** Connected members other than this node. */
  readonly peers: number;
  readonly keys: number;
  readonly uptimeMs: number;
  readonly components: readonly HealthStatus[];
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
  readonly sources: readonly ('mdns' | 'dht' | 'bootstrap' | 'announce')[];
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
  readonly ephemeral?: boolean;
  readonly timeoutMs?: number;
}

export interface SignRequest {
  /** Key name or key id. */
  readonly key: string;
  readonly message: Uint8Array;
  readonly fresh: boolean;
  readonly timeoutMs?: number;
}

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
  invite(
    request: InviteRequest,
  ): Promise<{ readonly invitation: string; readonly expiresAt: string }>;
  invitations(): Promise<readonly InvitationDocument[]>;
  revokeInvitation(id: string): Promise<void>;
  createKey(request: CreateKeyRequest, signal: AbortSignal): Promise<KeyDocument>;
  keys(): Promise<readonly KeyDocument[]>;
  key(name: string): Promise<KeyDocument>;
  exportKey(name: string, format: 'pem' | 'ssh' | 'zf-json'): Promise<string>;
  sign(request: SignRequest, signal: AbortSignal): Promise<SignDocument>;
  verify(
    key: string,
    message: Uint8Array,
    signature: Uint8Array,
  ): Promise<{ readonly valid: boolean }>;
  sessions(): readonly SessionDocument[];
  session(id: string): SessionDocument;
  cancelSession(id: string): Promise<SessionDocument>;
  resolve(address: string): Promise<ResolveDocument>;
  get(address: string): Promise<{ readonly meta: ResolveDocument; readonly bytes: Uint8Array }>;
  put(
    address: string,
    bytes: Uint8Array,
    require: 'local' | 'one' | 'quorum' | undefined,
  ): Promise<PutDocument>;
  /** Every effective setting with its origin; secrets are paths, never contents. */
  config(): readonly { readonly key: string; readonly value: unknown; readonly origin: string }[];
  /** Drains and ends the process. */
  shutdown(): void;
}
