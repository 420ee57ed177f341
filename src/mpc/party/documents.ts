/**
 * Keys, sessions and signatures as the JSON documents that the control socket shows.
 * @module
 */
import type { PeerId } from '../../base/brands.ts';
import { toHex } from '../../base/bytes.ts';
import type { Role } from '../../roster/types.ts';
import type { Attestation } from '../keygen/index.ts';
import { certificateAddress } from '../keys/certificate.ts';
import type { KeyEntry } from '../keys/keyring.ts';
import { seatParties } from '../sessions/proposal.ts';
import type { KnownSession } from '../sessions/store.ts';
import { suiteOf } from '../suites/index.ts';
import { taprootScript } from '../suites/secp256k1-tr.ts';
import type { Suites } from '../suites/types.ts';
import type {
  KeygenProposal,
  KeyInfo,
  PolicyMode,
  Proposal,
  SealedProposal,
  SigningLimits,
  SuiteName,
} from '../types.ts';
import type { ApprovalDocument } from './approval.ts';
import type { ShareStanding } from './share-book.ts';

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
  /**
   * `active`: a share is here; `pending`: it waits for the certificate; `public`: no share, and
   * none is due; `stale`: it is of an older epoch and never signs; `lost`: it is gone;
   * `retired`: nobody signs with the key any more.
   */
  readonly status: 'active' | 'pending' | 'public' | 'stale' | 'lost' | 'retired';
  readonly purpose: string;
  readonly requesters: readonly string[];
  readonly policy: PolicyMode;
  /** What holders let each requester ask for; empty when nothing is limited. */
  readonly limits: SigningLimits;
  /** Made elsewhere: somebody may have had it in whole. */
  readonly imported: boolean;
  /** Of a secp256k1-tr key that was made here: BIP 341, with no script path. Hex. */
  readonly taproot?: { readonly outputKey: string; readonly scriptPubKey: string };
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
  readonly kind: Proposal['kind'];
  readonly state: string;
  /** It is `completed` by the word of others: this node has no part in it and saw no result. */
  readonly reported?: true;
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
  /** What this node's operator is asked, for a key with policy `approve`. */
  readonly approval?: ApprovalDocument;
  readonly events: readonly {
    readonly author: string;
    readonly kind: string;
    readonly time: string;
  }[];
}

const iso = (ms: number): string => new Date(ms).toISOString();

/** @param standing of this node to the key. */
export function keyDocument(
  { key, createdAtMs, retirement }: KeyEntry,
  standing: ShareStanding,
  clusterName: string,
  suites: Suites,
): KeyDocument {
  return {
    ...publicParts(key, clusterName, suites),
    createdAt: createdAtMs === null ? null : iso(createdAtMs),
    status: retirement !== undefined ? 'retired' : standing === 'none' ? 'public' : standing,
  };
}

/** A key that this party attested and whose certificate has not come. */
export function pendingDocument(
  { sid, proposal }: SealedProposal<KeygenProposal>,
  { keyId, public: outcome }: Attestation,
  clusterName: string,
  suites: Suites,
): KeyDocument {
  const { imported, ...rules } = proposal;
  const mark = imported === undefined ? {} : ({ imported: true } as const);
  const key = { ...rules, ...outcome, ...mark, keyId, sid, epoch: 0 };
  return { ...publicParts(key, clusterName, suites), createdAt: null, status: 'pending' };
}

type PublicKeyParts = Omit<KeyInfo, 'commitments' | 'verifyingShares'>;

function publicParts(key: PublicKeyParts, clusterName: string, suites: Suites) {
  const publicKey = suiteOf(key.suite, suites).publicKeyBytes(key.groupKey);
  const taproot = {
    outputKey: toHex(publicKey),
    scriptPubKey: toHex(taprootScript(publicKey)),
  };
  return {
    keyId: key.keyId,
    name: key.name,
    suite: key.suite,
    threshold: key.threshold,
    parties: key.parties.map(({ peerId, index, role }) => ({ peerId, index, role })),
    publicKey: toHex(publicKey),
    epoch: key.epoch,
    address: certificateAddress(key.keyId, clusterName),
    sessionId: key.sid,
    purpose: key.purpose,
    requesters: key.requesters,
    policy: key.policy,
    limits: key.limits ?? {},
    imported: key.imported === true,
    ...(key.suite === 'secp256k1-tr' && key.imported !== true ? { taproot } : {}),
  };
}

/** What this node knows of a session beside its record. */
interface SessionKnowledge {
  readonly approval: ApprovalDocument | undefined;
  /** Of a signature that is quickly made only the proposer tells; its result names the others. */
  readonly signers: readonly PeerId[];
}

/** @param key of a signing session, where it is known. */
export function sessionDocument(
  session: KnownSession,
  key: KeyInfo | undefined,
  { approval, signers }: SessionKnowledge,
): SessionDocument {
  const { sealed, view, receivedAtMs } = session;
  const { proposal } = sealed;
  const isDealt = proposal.kind === 'keygen' || proposal.kind === 'reshare';
  const seats = isDealt ? seatParties(proposal) : (key?.parties ?? []);
  const keyId = proposal.kind === 'keygen' ? view.keyId : proposal.keyId;
  return {
    sessionId: sealed.sid,
    kind: proposal.kind,
    state: view.state,
    ...(view.reported ? { reported: true } : {}),
    ...(keyId === undefined ? {} : { keyId }),
    initiator: proposal.proposer,
    parties: seats.map(({ peerId, index, role }) => ({
      peerId,
      index,
      role,
      state: signers.includes(peerId) ? 'completed' : (view.parties.get(peerId) ?? 'invited'),
    })),
    attempt: view.attempt,
    createdAt: iso(receivedAtMs),
    expiresAt: iso(receivedAtMs + proposal.ttlMs),
    ...(view.endedAtMs === undefined ? {} : { endedAt: iso(view.endedAtMs) }),
    ...(view.error === undefined ? {} : { error: view.error }),
    ...(view.culprits.length === 0 ? {} : { culprits: view.culprits }),
    ...(approval === undefined ? {} : { approval }),
    events: view.events.map(({ event }) => ({
      author: event.author,
      kind: event.data.what === undefined ? event.kind : `${event.kind}.${event.data.what}`,
      time: iso(event.timeMs),
    })),
  };
}
