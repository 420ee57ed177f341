/**
 * The invitations that this node issued. Whether one was used stands in the chain; the book knows
 * the rest. Secrets are not kept: the string is printed once.
 * @module
 */
import { z } from 'zod';
import type { PeerId } from '../base/brands.ts';
import { compareText, toHex } from '../base/bytes.ts';
import { decode, encode } from '../base/codec.ts';
import { BzzzError, type ErrorCode, toBzzzError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Clock, KeyValue, Random, Signer } from '../base/ports.ts';
import { rosterField } from './fields.ts';
import { encodeInvitation } from './invitation.ts';
import type { TokenStanding } from './invitation-wire.ts';
import type { RosterService } from './service.ts';
import { publicKeyOf, sealToken } from './token.ts';
import type { Role } from './types.ts';

export type InvitationState = 'open' | 'used' | 'expired' | 'revoked';

export interface IssuedInvitation {
  /** Hex of the token's id. */
  readonly id: string;
  readonly role: Role;
  readonly noVoter: boolean;
  /** Wall clock in ms. */
  readonly expiresAt: number;
  readonly state: InvitationState;
  readonly usedBy?: PeerId;
}

export interface IssueOptions {
  readonly role: Role;
  readonly noVoter: boolean;
  readonly ttlMs: number;
  /** Multiaddrs where this node can be reached, best first. */
  readonly addresses: readonly string[];
}

export interface BookDeps {
  /** A namespace of its own. */
  readonly store: KeyValue;
  readonly roster: RosterService;
  readonly signer: Signer;
  readonly random: Random;
  readonly clock: Clock;
}

const noteSchema = z.strictObject({
  v: z.literal(1),
  role: rosterField.role,
  noVoter: z.boolean(),
  expiresAt: rosterField.wallMs,
  revoked: z.boolean(),
});
type Note = z.infer<typeof noteSchema>;

const NOTE_BYTES = 256;
const ID_BYTES = 16;
const MIN_TTL_MS = 1_000;
/** A closed invitation stays listed for this long after its expiry. */
const KEEP_MS = 30 * 24 * 3_600_000;

/**
 * Refusals after which an admission has not happened and will not. After any other end of an
 * election's proposal somebody may still certify it.
 */
const SETTLED: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'CONFLICT',
  'NOT_FOUND',
  'NOT_A_VOTER',
  'NOT_LEADER',
  'NOT_SUPPORTED',
  'REFUSED_BY_POLICY',
  'INVALID_INVITATION',
  'INVITATION_EXPIRED',
  'INVITATION_REVOKED',
  'INVITATION_USED',
]);

/** Issues, lists and revokes; see above. */
export class InvitationBook {
  readonly #deps: BookDeps;
  /** Admissions under way, by the id of their invitation. */
  readonly #running = new Map<string, Set<Promise<unknown>>>();
  /** Invitations with an admission of which nobody knows whether it will come about. */
  readonly #unsettled = new Set<string>();

  constructor(deps: BookDeps) {
    this.#deps = deps;
  }

  /**
   * Makes an invitation; it is on the disk before the string exists.
   * @throws NOT_A_VOTER; BAD_USAGE: the time to live; CONFLICT: too many are open.
   */
  async issue(options: IssueOptions): Promise<IssuedInvitation & { readonly text: string }> {
    const { roster, signer, random, clock, store } = this.#deps;
    const { role, noVoter, ttlMs, addresses } = options;
    if (!(ttlMs >= MIN_TTL_MS && ttlMs <= LIMITS.invitationTtlMs)) {
      throw new BzzzError('BAD_USAGE', `an invitation cannot live for ${ttlMs} ms`, {
        hint: 'give --ttl between 1s and 30 days, e.g. 1h',
      });
    }
    return roster.exclusive(async (chain) => {
      if (!chain.view.voters.includes(roster.self)) {
        throw new BzzzError('NOT_A_VOTER', 'only a voter can invite', {
          why: `the voters are ${chain.view.voters.join(', ')}`,
        });
      }
      await this.#makeRoom();
      const { genesis, view } = chain;
      const id = random.bytes(ID_BYTES);
      const secret = random.bytes(32);
      const expiresAt = Math.floor(clock.wallMs() + ttlMs);
      const sealedToken = sealToken(signer, {
        v: 1,
        clusterId: view.clusterId,
        id,
        role,
        noVoter,
        expiresAt,
        publicKey: publicKeyOf(secret),
      });
      const checkpoint = { epoch: view.epoch, head: view.head };
      const text = encodeInvitation({ genesis, sealedToken, secret, checkpoint, addresses });
      const note: Note = { v: 1, role, noVoter, expiresAt, revoked: false };
      await store.put(toHex(id), encode(note), { sync: true });
      return { id: toHex(id), role, noVoter, expiresAt, state: 'open', text };
    });
  }

  /** All that are remembered, the one that expires first first. */
  async list(): Promise<readonly IssuedInvitation[]> {
    const issued = await this.#all();
    return issued.sort((a, b) => a.expiresAt - b.expiresAt || compareText(a.id, b.id));
  }

  /**
   * Closes an invitation for good; again is no error. Once this returns, no admission that this
   * host decided with it is still on its way.
   * @param idOrPrefix hex, as many digits as tell it from the others.
   * @returns its id.
   * @throws NOT_FOUND; CONFLICT: the prefix fits several, or it was used already. LEADERSHIP_LOST:
   * it is closed, but an admission before that may still come about.
   */
  async revoke(idOrPrefix: string): Promise<string> {
    const { roster, store } = this.#deps;
    const id = await roster.exclusive(async () => {
      const issued = await this.#find(idOrPrefix.toLowerCase());
      assertUnused(issued);
      const note = await this.#note(issued.id);
      if (note !== undefined && !note.revoked) {
        await store.put(issued.id, encode({ ...note, revoked: true }), { sync: true });
      }
      return issued.id;
    });
    // Whoever begins from here on finds it revoked. Not in the queue: they need it to append.
    await Promise.allSettled(this.#running.get(id) ?? []);
    assertUnused(await this.#find(id));
    if (!this.#unsettled.has(id)) return id;
    throw new BzzzError('LEADERSHIP_LOST', `invitation ${id} was revoked, perhaps too late`, {
      why: 'an admission with it was under way when its leader was lost',
      hint: 'see `bzzz roster` in a moment; to shut a host out: `bzzz roster remove PEER`',
    });
  }

  /**
   * Runs an admission with an invitation of this book, which {@link revoke} waits for.
   * @param work gets what the book says of it.
   */
  async using<T>(id: Uint8Array, work: (standing: TokenStanding) => Promise<T>): Promise<T> {
    const key = toHex(id);
    const running = this.#running.get(key) ?? new Set();
    this.#running.set(key, running);
    // Registered before the book is read, and so before `revoke` can have looked.
    const run = this.standingOf(id).then(work);
    running.add(run);
    try {
      return await run;
    } catch (thrown) {
      const settled = !this.#deps.roster.hasCertifier || SETTLED.has(toBzzzError(thrown).code);
      if (!settled) this.#unsettled.add(key);
      throw thrown;
    } finally {
      running.delete(run);
      if (running.size === 0) this.#running.delete(key);
    }
  }

  /** What is known of a token by its id. */
  async standingOf(id: Uint8Array): Promise<TokenStanding> {
    const note = await this.#note(toHex(id));
    if (note === undefined) return 'unknown';
    return note.revoked ? 'revoked' : 'issued';
  }

  async #find(prefix: string): Promise<IssuedInvitation> {
    const found = (await this.#all()).filter(({ id }) => prefix !== '' && id.startsWith(prefix));
    const [first, second] = found;
    if (first === undefined) {
      throw new BzzzError('NOT_FOUND', `no invitation "${prefix}" was issued here`, {
        hint: '`bzzz invite ls` lists them; ask the host that issued it',
      });
    }
    if (second !== undefined) {
      throw new BzzzError('CONFLICT', `"${prefix}" fits ${found.length} invitations`, {
        hint: 'give more digits of the id',
      });
    }
    return first;
  }

  async #note(id: string): Promise<Note | undefined> {
    const bytes = await this.#deps.store.get(id);
    return bytes && decode('issued invitation', noteSchema, bytes, NOTE_BYTES);
  }

  async #all(): Promise<IssuedInvitation[]> {
    const { store, roster, clock } = this.#deps;
    const { invitations } = roster.chain.membership;
    const out: IssuedInvitation[] = [];
    for await (const [id, bytes] of store.entries()) {
      const note = decode('issued invitation', noteSchema, bytes, NOTE_BYTES);
      const { role, noVoter, expiresAt, revoked } = note;
      const usedBy = invitations.get(id);
      const late = clock.wallMs() > expiresAt;
      const state = usedBy ? 'used' : revoked ? 'revoked' : late ? 'expired' : 'open';
      const issued = { id, role, noVoter, expiresAt, state } as const;
      out.push(usedBy === undefined ? issued : { ...issued, usedBy });
    }
    return out;
  }

  /** Forgets what has been closed for long. @throws CONFLICT when too many remain. */
  async #makeRoom(): Promise<void> {
    const { store, clock } = this.#deps;
    const all = await this.#all();
    const old = all.filter(({ expiresAt }) => expiresAt + KEEP_MS < clock.wallMs());
    await store.batch(
      old.map(({ id }) => ({ type: 'del', key: id })),
      { sync: true },
    );
    if (all.length - old.length < LIMITS.invitations) return;
    throw new BzzzError('CONFLICT', `${LIMITS.invitations} invitations are remembered already`, {
      hint: 'wait until older ones are forgotten, 30 days after their expiry; issue fewer',
    });
  }
}

function assertUnused({ id, state, usedBy }: IssuedInvitation): void {
  if (state !== 'used') return;
  throw new BzzzError('CONFLICT', `invitation ${id} was used already`, {
    why: `it admitted ${usedBy}`,
    hint: 'to shut that host out: `bzzz roster remove PEER`',
  });
}
