/**
 * The roster chain: the genesis and the entries that grew from it. Pure: a chain never changes,
 * extending one makes another.
 *
 * | given entry                    | outcome                                              |
 * | ------------------------------ | ---------------------------------------------------- |
 * | known (same epoch, same hash)  | skipped                                              |
 * | epoch = head + 1, all rules    | appended                                             |
 * | epoch = head + 1, a rule broken| BAD_MESSAGE, the whole batch has no effect           |
 * | epoch > head + 1               | BAD_MESSAGE: entries between are missing             |
 * | epoch <= head, other hash, certified by the same voters after the same entry | ROSTER_FORK |
 * | epoch <= head, other hash, not certified | BAD_MESSAGE: anyone can make those up      |
 * | at the checkpoint, other hash  | ROSTER_FORK                                          |
 * | a recovery at head + 1 that nobody here consented to | RECOVERY_UNCONFIRMED           |
 *
 * "Same hash" is the same body: with another ballot or other signatures it is the same entry.
 * @module
 */
import type { Epoch, PeerId, Term } from '../base/brands.ts';
import { equalBytes, toHex } from '../base/bytes.ts';
import { BzzzError, toBzzzError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { type Entry, type EntryBody, verifyCertified } from './entry.ts';
import type { Genesis } from './genesis.ts';
import {
  applyChange,
  checkChange,
  checkRecover,
  type Draft,
  draftOf,
  type Membership,
  membershipOf,
} from './membership.ts';
import { assertRecoveryFollows, unconfirmed } from './recovery-rules.ts';
import type { RosterView } from './types.ts';

/** An entry and who had to certify it. */
export interface Link {
  readonly entry: Entry;
  /** The voters of the epoch before. */
  readonly voters: readonly PeerId[];
}

/** A point that the chain must pass through; it came with the invitation. */
export interface Checkpoint {
  readonly epoch: Epoch;
  readonly head: Uint8Array;
}

export interface Chain {
  readonly genesis: Genesis;
  /** `links[i]` has epoch i + 1. */
  readonly links: readonly Link[];
  readonly membership: Membership;
  readonly view: RosterView;
  readonly checkpoint: Checkpoint | undefined;
}

/** A chain without entries. @throws ROSTER_FORK: a checkpoint at epoch 0 of another genesis. */
export function createChain(genesis: Genesis, checkpoint?: Checkpoint): Chain {
  if (checkpoint?.epoch === 0) assertCheckpoint(checkpoint, genesis.hash);
  return chainOf(genesis, [], membershipOf(genesis), checkpoint);
}

/** @returns undefined beyond the head. */
export function hashAt(chain: Chain, epoch: number): Uint8Array | undefined {
  return epoch === 0 ? chain.genesis.hash : chain.links[epoch - 1]?.entry.hash;
}

/** Whether the chain contains the invitation's checkpoint; true when there is none. */
export const isCheckpointReached = (chain: Chain): boolean =>
  chain.checkpoint === undefined || chain.view.epoch >= chain.checkpoint.epoch;

/** The entry that removed a peer which is no member now. */
export function removalOf(chain: Chain, peer: PeerId): Entry | undefined {
  const epoch = chain.membership.removed.get(peer);
  return epoch === undefined ? undefined : chain.links[epoch - 1]?.entry;
}

/** CBOR around the entries of a frame, and around each of them. */
const FRAME_OVERHEAD = 1_024;
const ENTRY_OVERHEAD = 8;

/**
 * The bytes of the entries from `epoch` (at least 1) on, as many as fit into one frame; at least
 * one unless the chain ends before.
 */
export function entriesFrom(
  chain: Chain,
  epoch: number,
  maxEntries: number = LIMITS.rosterEntriesPerFrame,
): readonly Uint8Array[] {
  const out: Uint8Array[] = [];
  let room = LIMITS.rosterFrameBytes - FRAME_OVERHEAD;
  for (const { entry } of chain.links.slice(epoch - 1, epoch - 1 + maxEntries)) {
    room -= entry.bytes.length + ENTRY_OVERHEAD;
    if (room < 0) break;
    out.push(entry.bytes);
  }
  return out;
}

export interface Extended {
  readonly chain: Chain;
  readonly added: readonly Entry[];
}

/** Whether the operator of this node consented to a recovery; see recovery.ts. */
export type Consented = (body: EntryBody) => boolean;

/**
 * Verifies `entries` in order of their epochs and appends what is new; all or nothing.
 * @param consented asked for a recovery beyond the checkpoint; by default nobody consented.
 * @throws see the table above.
 */
export function extendChain(
  chain: Chain,
  entries: readonly Entry[],
  consented: Consented = () => false,
): Extended {
  const { genesis, checkpoint } = chain;
  const { clusterId } = genesis;
  const links = [...chain.links];
  const draft = draftOf(chain.membership);
  const added: Entry[] = [];
  for (const entry of [...entries].sort((a, b) => a.body.epoch - b.body.epoch)) {
    const { epoch, change, invitationId } = entry.body;
    const before: Chain = { ...chain, links };
    if (epoch <= links.length) {
      assertKnown(before, entry);
      continue;
    }
    assertFollows(before, entry);
    verifyCertified(clusterId, entry, draft.voters);
    assertAllowed(before, draft, entry);
    if (checkpoint?.epoch === epoch) assertCheckpoint(checkpoint, entry.hash);
    // Any member can certify a recovery that names it alone, so somebody here must want it: the
    // operator, or the invitation, whose checkpoint lies behind it.
    const vouched = checkpoint !== undefined && epoch <= checkpoint.epoch;
    if (change.kind === 'recover' && !vouched && !consented(entry.body)) {
      throw unconfirmed(epoch, change);
    }
    links.push({ entry, voters: draft.voters });
    applyChange(draft, epoch, change, invitationId);
    added.push(entry);
  }
  if (added.length === 0) return { chain, added };
  return { chain: chainOf(genesis, links, draft, checkpoint), added };
}

export interface Grown extends Extended {
  /** Epochs of the entries that were given up, oldest first; nearly always none. */
  readonly dropped: readonly Epoch[];
}

/**
 * {@link extendChain} for a node's own chain. Below the checkpoint a recovery needs no consent, so
 * whoever speaks first may have led a joining node astray. Entries that contradict such a chain
 * take its place from the first recovery on; at the checkpoint only the right one gets through.
 * @throws as {@link extendChain}; then nothing was given up.
 */
export function growChain(chain: Chain, entries: readonly Entry[], consented: Consented): Grown {
  try {
    return { ...extendChain(chain, entries, consented), dropped: [] };
  } catch (thrown) {
    const first = chain.view.recoveries[0];
    const isFork = thrown instanceof BzzzError && thrown.code === 'ROSTER_FORK';
    if (!isFork || first === undefined || isCheckpointReached(chain)) throw thrown;
    const kept = chain.links.slice(0, first - 1).map((link) => link.entry);
    const base = extendChain(createChain(chain.genesis, chain.checkpoint), kept).chain;
    const grown = extendChain(base, entries, consented);
    const dropped = chain.links.slice(first - 1).map((link) => link.entry.body.epoch);
    return { ...grown, dropped };
  }
}

function assertAllowed(before: Chain, draft: Draft, entry: Entry): void {
  const { policy } = before.genesis;
  const { epoch, change, invitationId } = entry.body;
  try {
    if (change.kind === 'recover') {
      assertRecoveryFollows(before.links.at(-1)?.entry.body, entry.body);
      checkRecover(draft, policy, change);
    } else {
      checkChange(draft, policy, change, invitationId);
    }
  } catch (thrown) {
    const { message } = toBzzzError(thrown);
    throw new BzzzError('BAD_MESSAGE', `roster entry ${epoch}: ${message}`, { cause: thrown });
  }
}

/** An entry of an epoch that the chain has: the same one, or evidence of a fork. */
function assertKnown(chain: Chain, entry: Entry): void {
  const { epoch, prev } = entry.body;
  const link = chain.links[epoch - 1];
  if (link === undefined || equalBytes(link.entry.hash, entry.hash)) return;
  const parent = hashAt(chain, epoch - 1);
  if (parent === undefined || !equalBytes(prev, parent)) {
    throw new BzzzError('BAD_MESSAGE', `roster entry ${epoch}: follows an entry unknown here`);
  }
  verifyCertified(chain.genesis.clusterId, entry, link.voters);
  assertSignersKnown(chain, entry);
  throw fork(link.entry, entry);
}

/** Who signs a recovery is named by the recovery itself: a stranger's would prove nothing. */
function assertSignersKnown(chain: Chain, { body }: Entry): void {
  if (body.change.kind !== 'recover') return;
  const { members, removed } = chain.membership;
  const stranger = body.change.voters.find((peer) => !members.has(peer) && !removed.has(peer));
  if (stranger === undefined) return;
  throw new BzzzError('BAD_MESSAGE', `roster entry ${body.epoch}: ${stranger} never was a member`);
}

function assertFollows(chain: Chain, entry: Entry): void {
  const { epoch, prev, term } = entry.body;
  const last = chain.links.at(-1)?.entry;
  const head = last?.hash ?? chain.genesis.hash;
  const lastTerm = last?.body.term ?? 0;
  if (epoch !== chain.links.length + 1) {
    throw new BzzzError('BAD_MESSAGE', `roster entry ${epoch}: the chain ends before it`, {
      details: { have: chain.links.length, need: epoch - 1 },
    });
  }
  if (!equalBytes(prev, head)) {
    throw new BzzzError('BAD_MESSAGE', `roster entry ${epoch}: does not follow the head`, {
      details: { head: toHex(head), prev: toHex(prev) },
    });
  }
  if (term < lastTerm) {
    throw new BzzzError('BAD_MESSAGE', `roster entry ${epoch}: term ${term} after ${lastTerm}`);
  }
}

function assertCheckpoint(checkpoint: Checkpoint, hash: Uint8Array): void {
  if (equalBytes(checkpoint.head, hash)) return;
  const error = forkOf(checkpoint.epoch, checkpoint.head, hash);
  throw new BzzzError('ROSTER_FORK', "the roster does not contain the invitation's checkpoint", {
    why: error.message,
    hint: 'somebody offers another roster than the inviting host has; ask for a new invitation',
    details: error.details,
  });
}

/** Two certified entries of one epoch; when one is a recovery, the reason is said. */
function fork(ours: Entry, theirs: Entry): BzzzError {
  const why = ([whose, { body }]: readonly [string, Entry]): string | undefined =>
    body.change.kind === 'recover'
      ? `${whose} is a recovery with the voters ${body.change.voters.join(', ')}`
      : undefined;
  const reasons = [why(['the one here', ours]), why(["the other host's", theirs])];
  const told = reasons.filter((reason) => reason !== undefined).join('; ');
  return forkOf(ours.body.epoch, ours.hash, theirs.hash, told);
}

function forkOf(epoch: number, ours: Uint8Array, theirs: Uint8Array, recovery = ''): BzzzError {
  const both = `two entries of epoch ${epoch}: ${toHex(ours)}, ${toHex(theirs)}`;
  const details = { epoch, ours: toHex(ours), theirs: toHex(theirs) };
  if (recovery === '') return new BzzzError('ROSTER_FORK', both, { details });
  return new BzzzError('ROSTER_FORK', `${both}; ${recovery}`, {
    hint: 'a host on the branch that is given up joins anew, with an empty data directory',
    details,
  });
}

function chainOf(
  genesis: Genesis,
  links: readonly Link[],
  membership: Membership,
  checkpoint: Checkpoint | undefined,
): Chain {
  const last = links.at(-1)?.entry;
  const { members, voters, removed, recoveries } = membership;
  const view: RosterView = {
    clusterId: genesis.clusterId,
    clusterName: genesis.name,
    tag: genesis.tag,
    founder: genesis.founder,
    epoch: links.length as Epoch,
    term: last?.body.term ?? (0 as Term),
    head: last?.hash ?? genesis.hash,
    members,
    voters,
    recoveries,
    standing: (peer) => (members.has(peer) ? 'member' : removed.has(peer) ? 'removed' : 'stranger'),
  };
  return { genesis, links, membership, view, checkpoint };
}
