/**
 * Keys, sessions and signatures as the JSON documents that the control socket shows.
 * @module
 */
import { toHex } from '../base/bytes.ts';
import type { Role } from '../roster/types.ts';
import { certificateAddress } from './certificate.ts';
import type { Attestation } from './keygen/index.ts';
import type { KeyEntry } from './keyring.ts';
import type { KnownSession } from './session-store.ts';
import { suiteOf } from './suites/index.ts';
import type { Suites } from './suites/types.ts';
import type { KeygenProposal, KeyInfo, PolicyMode, SealedProposal, SuiteName } from './types.ts';

export interface KeyDocument {
  readonly keyId: string;
  readonly name: string;
  readonly suite: SuiteName;
  readonly threshold: number;
  readonly parties: readonly {
    readonly peerId: string;
    readonly index: number;
    readonly role: Role;
  }[];
  /** Hex; 32 bytes. */
  readonly publicKey: string;
  readonly epoch: number;
  readonly address: string;
  readonly sessionId: string;
  /** null on a node that took no part in making it. */
  readonly createdAt: string | null;
  /** `active`: a share is here; `pending`: it waits for the certificate; `public`: no share. */
  readonly status: 'active' | 'pending' | 'public';
  readonly purpose: string;
  readonly requesters: readonly string[];
  readonly policy: PolicyMode;
}

export interface SignDocument {
  readonly signature: string;
  readonly publicKey: string;
  readonly suite: SuiteName;
  readonly messageHash: string;
  readonly signers: readonly string[];
  readonly sessionId: string;
  readonly address: string;
  readonly requestId: string;
  readonly attempts: number;
  readonly cached: boolean;
  readonly elapsedMs: number;
}

export interface SessionDocument {
  readonly sessionId: string;
  readonly kind: 'keygen' | 'sign';
  readonly state: string;
  readonly keyId?: string;
  readonly initiator: string;
  readonly parties: readonly {
    readonly peerId: string;
    readonly index: number;
    readonly role: Role;
    readonly state: string;
  }[];
  readonly attempt: number;
  readonly createdAt: string;
  readonly expiresAt: string;
  readonly endedAt?: string;
  readonly error?: { readonly code: string; readonly message: string };
  readonly culprits?: readonly string[];
  readonly events: readonly {
    readonly author: string;
    readonly kind: string;
    readonly time: string;
  }[];
}

const iso = (ms: number): string => new Date(ms).toISOString();

/** @param held whether this node holds an active share. */
export function keyDocument(
  { key, createdAtMs }: KeyEntry,
  held: boolean,
  clusterName: string,
  suites: Suites,
): KeyDocument {
  return {
    ...publicParts(key, clusterName, suites),
    createdAt: createdAtMs === null ? null : iso(createdAtMs),
    status: held ? 'active' : 'public',
  };
}

/** A key that this party attested and whose certificate has not come. */
export function pendingDocument(
  { sid, proposal }: SealedProposal<KeygenProposal>,
  { keyId, public: outcome }: Attestation,
  clusterName: string,
  suites: Suites,
): KeyDocument {
  const key = { ...proposal, ...outcome, keyId, sid, epoch: 0 };
  return { ...publicParts(key, clusterName, suites), createdAt: null, status: 'pending' };
}

type PublicKeyParts = Omit<KeyInfo, 'commitments' | 'verifyingShares'>;

function publicParts(key: PublicKeyParts, clusterName: string, suites: Suites) {
  return {
    keyId: key.keyId,
    name: key.name,
    suite: key.suite,
    threshold: key.threshold,
    parties: key.parties.map(({ peerId, index, role }) => ({ peerId, index, role })),
    publicKey: toHex(suiteOf(key.suite, suites).publicKeyBytes(key.groupKey)),
    epoch: key.epoch,
    address: certificateAddress(key.keyId, clusterName),
    sessionId: key.sid,
    purpose: key.purpose,
    requesters: key.requesters,
    policy: key.policy,
  };
}

/** @param key of a signing session, where it is known. */
export function sessionDocument(session: KnownSession, key: KeyInfo | undefined): SessionDocument {
  const { sealed, view, receivedAtMs } = session;
  const { proposal } = sealed;
  const seats = proposal.kind === 'keygen' ? proposal.parties : (key?.parties ?? []);
  const keyId = proposal.kind === 'sign' ? proposal.keyId : view.keyId;
  return {
    sessionId: sealed.sid,
    kind: proposal.kind,
    state: view.state,
    ...(keyId === undefined ? {} : { keyId }),
    initiator: proposal.proposer,
    parties: seats.map(({ peerId, index, role }) => ({
      peerId,
      index,
      role,
      state: view.parties.get(peerId) ?? 'invited',
    })),
    attempt: view.attempt,
    createdAt: iso(receivedAtMs),
    expiresAt: iso(receivedAtMs + proposal.ttlMs),
    ...(view.endedAtMs === undefined ? {} : { endedAt: iso(view.endedAtMs) }),
    ...(view.error === undefined ? {} : { error: view.error }),
    ...(view.culprits.length === 0 ? {} : { culprits: view.culprits }),
    events: view.events.map(({ event }) => ({
      author: event.author,
      kind: event.data.what === undefined ? event.kind : `${event.kind}.${event.data.what}`,
      time: iso(event.timeMs),
    })),
  };
}
