/**
 * Signatures and a roster chain without cryptography. What is sealed is a handle into a table that
 * only the sealing functions fill, so no honest node can make one up, alter one, or take one for
 * another; whoever opens it reads who sealed what. Sealing the same thing twice gives equal bytes,
 * as Ed25519 does.
 *
 * The chain applies the real rules of roster/membership.ts. Because a hash covers `prev`, a hash
 * names a whole chain; nodes hold pointers into one tree of links.
 */
import type { Epoch, PeerId, Term } from '../../src/base/brands.ts';
import { equalBytes } from '../../src/base/bytes.ts';
import { BzzzError, toBzzzError } from '../../src/base/errors.ts';
import type { RosterFacts, Seals, Vote } from '../../src/election/types.ts';
import type { Change, EntryBody } from '../../src/roster/entry.ts';
import type { Policy } from '../../src/roster/genesis.ts';
import { applyChange, checkChange, draftOf, type Membership } from '../../src/roster/membership.ts';

/** One link of the tree: the chain that ends here. */
export interface Link {
  readonly epoch: Epoch;
  readonly hash: Uint8Array;
  /** null for the genesis. */
  readonly body: EntryBody | null;
  readonly parent: Link | null;
  readonly membership: Membership;
  readonly facts: RosterFacts;
  /** A certified form of it, for those who ask. */
  readonly bytes: Uint8Array | null;
}

export interface ToyEntry {
  readonly body: EntryBody;
  readonly hash: Uint8Array;
  readonly ballot: Term;
  readonly signers: readonly PeerId[];
}

export interface ToySignature {
  readonly hash: Uint8Array;
  readonly ballot: Term;
  readonly signer: PeerId;
}

type Kind = 'vote' | 'hash' | 'signature' | 'entry';
const KINDS: readonly Kind[] = ['vote', 'hash', 'signature', 'entry'];
const HANDLE_BYTES = 4;

const POLICY: Policy = { maxMembers: 64, maxVoters: 7 };

/** How many of `voters` certify; the simulator's own, so that it does not share a mistake. */
export const majorityOf = (voters: number): number => (voters >> 1) + 1;

const bad = (message: string): never => {
  throw new BzzzError('BAD_MESSAGE', message);
};

export class Toy {
  readonly genesis: Link;
  readonly #tables: Record<Kind, unknown[]> = { vote: [], hash: [], signature: [], entry: [] };
  readonly #interned = new Map<string, Uint8Array>();
  readonly #hashes = new WeakMap<EntryBody, Uint8Array>();
  readonly #links = new Map<number, Link>();

  constructor(founder: PeerId) {
    const member = {
      peerId: founder,
      role: 'persistent',
      voter: true,
      noVoter: false,
      since: 0 as Epoch,
    } as const;
    const membership: Membership = {
      members: new Map([[founder, member]]),
      voters: [founder],
      removed: new Map(),
      issuers: new Set([founder]),
      invitations: new Map(),
      recoveries: [],
    };
    const hash = this.#seal('hash', 'genesis', null);
    this.genesis = linkOf(null, hash, null, membership, null);
  }

  /** The seals of one node. */
  sealsOf(self: PeerId): Seals {
    return {
      sealVote: (vote) =>
        this.#seal('vote', `${self} ${vote.term} ${vote.epoch} ${vote.candidate}`, {
          ...vote,
          voter: self,
        }),
      openVote: (bytes) => this.openVote(bytes),
      signEntry: (body, ballot) => this.sign(self, body, ballot),
      openSignature: (body, ballot, bytes) => {
        const signature = this.openSignature(bytes);
        if (signature.ballot !== ballot) bad('a signature under another ballot');
        if (!equalBytes(signature.hash, this.hash(body))) bad('a signature over another body');
        return signature.signer;
      },
      hash: (body) => this.hash(body),
      assemble: (body, ballot, signatures) => this.assemble(body, ballot, signatures),
    };
  }

  openVote(bytes: Uint8Array): Vote & { readonly voter: PeerId } {
    return this.#open('vote', bytes) as Vote & { readonly voter: PeerId };
  }

  openSignature(bytes: Uint8Array): ToySignature {
    return this.#open('signature', bytes) as ToySignature;
  }

  openEntry(bytes: Uint8Array): ToyEntry {
    return this.#open('entry', bytes) as ToyEntry;
  }

  /** The body behind a hash that was formed here. */
  bodyOf(hash: Uint8Array): EntryBody {
    return this.#open('hash', hash) as EntryBody;
  }

  sign(signer: PeerId, body: EntryBody, ballot: Term): Uint8Array {
    const hash = this.hash(body);
    const what = `${signer} ${indexOf(hash)} ${ballot}`;
    return this.#seal('signature', what, { hash, ballot, signer });
  }

  /** Of the content: two bodies that say the same have one hash. */
  hash(body: EntryBody): Uint8Array {
    const known = this.#hashes.get(body);
    if (known !== undefined) return known;
    const { epoch, term, prev, change, time, invitationId = '' } = body;
    const text = `${epoch} ${term} ${indexOf(prev)} ${time} ${invitationId} ${changeText(change)}`;
    const hash = this.#seal('hash', text, body);
    this.#hashes.set(body, hash);
    return hash;
  }

  assemble(body: EntryBody, ballot: Term, signatures: readonly Uint8Array[]): Uint8Array {
    const hash = this.hash(body);
    const signers = signatures.map((bytes) => {
      const signature = this.openSignature(bytes);
      if (signature.ballot !== ballot || !equalBytes(signature.hash, hash))
        bad('foreign signature');
      return signature.signer;
    });
    signers.sort();
    const what = `${indexOf(hash)} ${ballot} ${signers.join()}`;
    return this.#seal('entry', what, { body, hash, ballot, signers });
  }

  /**
   * The table at the head of roster/chain.ts.
   * @returns the chain with the entry; `head` itself when it is known.
   * @throws BAD_MESSAGE, ROSTER_FORK.
   */
  extend(head: Link, bytes: Uint8Array): Link {
    const entry = this.openEntry(bytes);
    const { epoch, prev, term, change, invitationId } = entry.body;
    if (epoch > head.epoch + 1) bad(`epoch ${epoch}: the chain ends at ${head.epoch}`);
    if (epoch <= head.epoch) return this.#known(head, entry);
    if (!equalBytes(prev, head.hash)) bad(`epoch ${epoch}: does not follow the head`);
    if (term < head.facts.term) bad(`epoch ${epoch}: term ${term} after ${head.facts.term}`);
    verifySigners(entry, head.membership.voters);
    const index = indexOf(entry.hash);
    const existing = this.#links.get(index);
    if (existing !== undefined) return existing;
    try {
      checkChange(head.membership, POLICY, change, invitationId);
    } catch (thrown) {
      bad(`epoch ${epoch}: ${toBzzzError(thrown).message}`);
    }
    const draft = draftOf(head.membership);
    applyChange(draft, epoch, change, invitationId);
    const link = linkOf(head, entry.hash, entry.body, draft, bytes);
    this.#links.set(index, link);
    return link;
  }

  /** Grows a chain at the beginning of a run, signed by everybody. */
  grow(head: Link, change: Change): Link {
    const body: EntryBody = {
      v: 1,
      epoch: (head.epoch + 1) as Epoch,
      term: 0 as Term,
      prev: head.hash,
      change,
      time: 0,
    };
    const ballot = 0 as Term;
    const signatures = head.membership.voters.map((voter) => this.sign(voter, body, ballot));
    return this.extend(head, this.assemble(body, ballot, signatures));
  }

  #known(head: Link, entry: ToyEntry): Link {
    const here = ancestor(head, entry.body.epoch);
    if (equalBytes(here.hash, entry.hash)) return head;
    if (here.parent === null || !equalBytes(entry.body.prev, here.parent.hash)) {
      bad(`epoch ${entry.body.epoch}: follows an entry unknown here`);
    }
    verifySigners(entry, (here.parent as Link).membership.voters);
    throw new BzzzError('ROSTER_FORK', `two entries of epoch ${entry.body.epoch}`);
  }

  #seal(kind: Kind, text: string, content: unknown): Uint8Array {
    const key = `${kind} ${text}`;
    const known = this.#interned.get(key);
    if (known !== undefined) return known;
    const table = this.#tables[kind];
    const index = table.push(content) - 1;
    const bytes = Uint8Array.of(KINDS.indexOf(kind), index & 255, (index >> 8) & 255, index >> 16);
    this.#interned.set(key, bytes);
    return bytes;
  }

  #open(kind: Kind, bytes: Uint8Array): unknown {
    if (bytes.length !== HANDLE_BYTES || KINDS[bytes[0] ?? 255] !== kind) bad(`no ${kind}`);
    return this.#tables[kind][indexOf(bytes)] ?? bad(`no such ${kind}`);
  }
}

/** The link of `epoch` on the way to `head`. */
export function ancestor(head: Link, epoch: number): Link {
  let link = head;
  while (link.epoch > epoch && link.parent !== null) link = link.parent;
  return link;
}

/** A number that stands for a handle. */
export const indexOf = (handle: Uint8Array): number =>
  (handle[1] ?? 0) | ((handle[2] ?? 0) << 8) | ((handle[3] ?? 0) << 16);

export const changeText = (change: Change): string =>
  'peer' in change ? `${change.kind} ${change.peer}` : change.kind;

function verifySigners(entry: ToyEntry, voters: readonly PeerId[]): void {
  const { body, ballot, signers } = entry;
  if (ballot < body.term) bad(`epoch ${body.epoch}: ballot ${ballot} under term ${body.term}`);
  if (new Set(signers).size !== signers.length) bad(`epoch ${body.epoch}: signed twice`);
  if (!signers.every((signer) => voters.includes(signer))) bad(`epoch ${body.epoch}: no voter`);
  const need = majorityOf(voters.length);
  if (signers.length < need) bad(`epoch ${body.epoch}: ${signers.length} of ${need} signatures`);
}

function linkOf(
  parent: Link | null,
  hash: Uint8Array,
  body: EntryBody | null,
  membership: Membership,
  bytes: Uint8Array | null,
): Link {
  const epoch = body?.epoch ?? (0 as Epoch);
  const facts: RosterFacts = {
    epoch,
    term: body?.term ?? (0 as Term),
    head: hash,
    voters: membership.voters,
    members: membership.members,
    check: (change, invitationId) => checkChange(membership, POLICY, change, invitationId),
  };
  return { epoch, hash, body, parent, membership, facts, bytes };
}
