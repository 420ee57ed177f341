/**
 * What the party service needs of the world, and what it is asked.
 * @module
 */
import type { PeerId } from '../../base/brands.ts';
import type { Clock, Direct, Gossip, Logger, Random, Signer } from '../../base/ports.ts';
import type { RosterView } from '../../roster/types.ts';
import type { Keyring } from '../keys/keyring.ts';
import type { Keystore } from '../keys/keystore.ts';
import type { PolicyJudge } from '../policy/policy-program.ts';
import type { PartyPool } from '../pool.ts';
import type { SessionStore } from '../sessions/store.ts';
import type { Suites } from '../suites/types.ts';
import type { PolicyMode, SigningLimits } from '../types.ts';
import type { Outbox } from './outbox.ts';

/** Public records at their addresses. */
export interface RecordsPort {
  /**
   * Journals, then replicates; resolves when the record is safe here.
   * @param role the `author` spreads it at once; a `witness` keeps it in case the author dies, and
   * may take its time.
   */
  publish(address: string, bytes: Uint8Array, role: 'author' | 'witness'): Promise<void>;
  /** As an author publishes, a record that most of those that should hold it have already. */
  complete(address: string, bytes: Uint8Array): Promise<void>;
  /** Stores a record here, as one of its holders, unless something stands at its address. */
  keep(address: string, bytes: Uint8Array): Promise<void>;
  /**
   * What stands at an address that takes one candidate per author.
   * @param where `local`: only what this node stores; fast. `anywhere`: asks the network too.
   * @returns no candidate when there is none or nobody answered.
   */
  candidates(address: string, where: 'local' | 'anywhere'): Promise<readonly Uint8Array[]>;
}

/** The way to members whom discovery does not find. */
export interface ReachPort {
  /** Where others reach this node, best first. */
  addresses(): readonly string[];
  /** An operator's token says where a member is: it is tried at once. */
  sighted(peer: PeerId, addresses: readonly string[]): void;
}

export interface PartyOptions {
  /** Life of a session for which nothing else is asked, in ms. `BZZZ_SESSION_TIMEOUT` */
  readonly sessionTimeoutMs: number;
  /** The durable boot counter: tells two runs of this node apart. */
  readonly boot: number;
  /** Longest life of a delegate's share in memory. `BZZZ_DELEGATE_TTL` @default 15 min */
  readonly delegateMs?: number;
  /** Policy of a new key that names none. `BZZZ_SIGN_POLICY` @default auto */
  readonly signPolicy?: PolicyMode;
  /** A session without progress for so long is reported. @default 10,000 */
  readonly stallMs?: number;
}

export interface PartyDeps {
  readonly roster: () => RosterView;
  readonly direct: Direct;
  readonly gossip: Gossip;
  readonly clock: Clock;
  readonly random: Random;
  readonly signer: Signer;
  readonly logger: Logger;
  readonly pool: PartyPool;
  readonly reach: ReachPort;
  readonly keystore: Keystore;
  readonly keyring: Keyring;
  readonly sessions: SessionStore;
  readonly records: RecordsPort;
  /** Results on their way to their addresses. */
  readonly outbox: Outbox;
  readonly suites: Suites;
  /** Says yes or no to every signing request, when the operator has set a program. */
  readonly judge?: PolicyJudge;
  /** Tells the node's event log. */
  readonly emit: (kind: string, data: Readonly<Record<string, unknown>>) => void;
  /** Lets written frames leave before a long computation. */
  readonly nextTurn: () => Promise<void>;
}

/** A request for a new key, as it comes from the control socket. */
export interface CreateKeyRequest {
  readonly name: string;
  readonly suite: string;
  readonly threshold: number;
  readonly parties?: number | undefined;
  readonly composition?: Readonly<Record<string, number>> | undefined;
  readonly participants?: readonly string[] | undefined;
  readonly purpose?: string | undefined;
  readonly requesters?: readonly string[] | undefined;
  readonly policy?: PolicyMode | undefined;
  readonly limits?: SigningLimits | undefined;
  readonly ephemeral?: boolean | undefined;
  readonly timeoutMs?: number | undefined;
}

/** A request to hand a key on: with nothing named to the same holders, which is a refresh. */
export interface ChangeKeyRequest {
  /** Key name or key id. */
  readonly key: string;
  readonly threshold?: number | undefined;
  readonly participants?: readonly string[] | undefined;
  readonly timeoutMs?: number | undefined;
}

/** A request to bring this node's share of a key from elsewhere. */
export interface ImportKeyRequest {
  readonly name: string;
  /** This node's key package: JSON, or hex of the binary form. */
  readonly keyPackage: string;
  readonly publicKeyPackage: string;
  /** Peer ids, in the order of the identifiers. */
  readonly participants: readonly string[];
  readonly purpose?: string | undefined;
  readonly requesters?: readonly string[] | undefined;
  readonly policy?: PolicyMode | undefined;
  readonly limits?: SigningLimits | undefined;
  readonly timeoutMs?: number | undefined;
}

/** What came of bringing a share. */
export interface ImportDocument<K> {
  /** `waiting`: operators of `waitingFor` have not brought theirs under the same terms. */
  readonly state: 'done' | 'waiting';
  readonly waitingFor: readonly string[];
  /** The key, when it is done. */
  readonly key: K | null;
}

/** A request to rebuild the share that a holder has lost. */
export interface RepairKeyRequest {
  /** Key name or key id. */
  readonly key: string;
  /** The holder that lost its share. */
  readonly peer: string;
  readonly timeoutMs?: number | undefined;
}

/** A request for a signature. */
export interface SignRequest {
  /** Key name or key id. */
  readonly key: string;
  readonly message: Uint8Array;
  /** Signs again although a result exists. */
  readonly fresh: boolean;
  /** A delegate's share, as `key share` gave it out: a key package in JSON. */
  readonly share?: string | undefined;
  readonly timeoutMs?: number | undefined;
}

/** Everybody who must hear of a session: its parties and its proposer, without this node. */
export const othersOf = (
  self: PeerId,
  proposer: PeerId,
  parties: readonly PeerId[],
): readonly PeerId[] => [...new Set([...parties, proposer])].filter((peer) => peer !== self);
