/**
 * Join tokens: the proposer's signed permission for each peer that it names to take one seat in one
 * session.
 *
 * The seats of all parties stand in one token, which travels with the proposal: a holder can pass a
 * request on when its proposer has died, and a session costs one signature however many sit in it.
 * A seat is worth something only in the hands of its peer, which Noise has authenticated.
 * @module
 */
import { z } from 'zod';
import type { ClusterId, Millis, PeerId, SessionId } from '../base/brands.ts';
import { toHex } from '../base/bytes.ts';
import { decode, encode, field } from '../base/codec.ts';
import { openEnvelope } from '../base/envelope.ts';
import { BzzzError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Random, Signer } from '../base/ports.ts';
import type { Party } from './types.ts';

/** A seat is some 70 bytes; anything larger is no token. */
export const TOKEN_BYTES = 512 + 2 * LIMITS.parties * 96;

const tokenSchema = z.strictObject({
  v: z.literal(1),
  sid: field.hash<SessionId>(),
  seats: z
    .array(
      z.strictObject({
        peerId: field.peerId,
        /** A witness of a change sits behind the parties. */
        index: z
          .int()
          .min(1)
          .max(2 * LIMITS.parties),
      }),
    )
    .max(2 * LIMITS.parties)
    .readonly(),
  /** Life from receipt, by the receiver's own monotonic clock. */
  ttlMs: z.int().min(1).max(LIMITS.sessionTtlMs),
  jti: field.bytes(16),
});

/** What a token says. */
export type JoinToken = Readonly<z.infer<typeof tokenSchema>>;

type Seat = Pick<Party, 'peerId' | 'index'>;

/** Signature domain of join tokens of one cluster. */
export const tokenDomain = (clusterId: ClusterId): string => `bzzz/${clusterId}/join-token/1`;

/** Signs the token of `sid` for those who sit in it. */
export function sealToken(
  clusterId: ClusterId,
  sid: SessionId,
  seats: readonly Seat[],
  ttlMs: number,
  deps: { readonly signer: Signer; readonly random: Random },
): Uint8Array {
  const token: JoinToken = {
    v: 1,
    sid,
    seats: seats.map(({ peerId, index }) => ({ peerId, index })),
    ttlMs,
    jti: new Uint8Array(deps.random.bytes(16)),
  };
  return deps.signer.seal(tokenDomain(clusterId), encode(token));
}

/** What a token must match to be of use here. */
export interface TokenExpectation {
  readonly clusterId: ClusterId;
  readonly sid: SessionId;
  readonly proposer: PeerId;
  /** The seat that the proposal gives to this peer. */
  readonly party: Seat;
}

/**
 * Opens a token and checks that it gives a seat.
 * @throws BAD_MESSAGE: malformed, of another session or not by the proposer; UNAUTHORISED: not for
 * this peer, or for another seat of its. `details.reason` tells them apart.
 */
export function openToken(envelope: Uint8Array, expected: TokenExpectation): JoinToken {
  if (envelope.length > TOKEN_BYTES) {
    throw new BzzzError('BAD_MESSAGE', `join token: ${envelope.length} bytes`);
  }
  const { signer, payload } = openEnvelope(tokenDomain(expected.clusterId), envelope);
  const token = decode('join token', tokenSchema, payload, TOKEN_BYTES);
  if (signer !== expected.proposer) {
    throw new BzzzError('BAD_MESSAGE', `join token signed by ${signer}`, {
      details: { reason: 'wrong-proposer' },
    });
  }
  if (token.sid !== expected.sid) {
    throw new BzzzError('BAD_MESSAGE', 'join token of another session', {
      details: { reason: 'other-session' },
    });
  }
  const { peerId, index } = expected.party;
  if (!token.seats.some((seat) => seat.peerId === peerId && seat.index === index)) {
    throw new BzzzError('UNAUTHORISED', `join token without seat ${index} for ${peerId}`, {
      hint: 'a token serves only the peers that it names',
      details: { reason: 'wrong-peer' },
    });
  }
  return token;
}

/** How many sessions a ledger remembers; the oldest go first. */
const LEDGER_ENTRIES = 4 * LIMITS.liveSessions;

/**
 * Lets each seat be taken once. The durable half is the session record: a session that is known is
 * never joined again; the ledger covers what is refused before it becomes a record.
 */
export class TokenLedger {
  readonly #receivedAt = new Map<string, Millis>();
  readonly #used = new Map<SessionId, true>();

  /**
   * Notes the receipt of a token; its life counts from the first one.
   */
  receive(token: JoinToken, now: Millis): void {
    const id = toHex(token.jti);
    if (!this.#receivedAt.has(id)) remember(this.#receivedAt, id, now);
  }

  /** @throws SESSION_EXPIRED past its life; CONFLICT when the seat is taken. */
  redeem(token: JoinToken, now: Millis): void {
    this.receive(token, now);
    const since = this.#receivedAt.get(toHex(token.jti)) ?? now;
    if (now - since >= token.ttlMs) {
      throw new BzzzError('SESSION_EXPIRED', 'join token has expired', {
        details: { reason: 'expired' },
      });
    }
    if (this.#used.has(token.sid)) {
      throw new BzzzError('CONFLICT', 'join token was used before', {
        hint: 'a token serves once',
        details: { reason: 'reused' },
      });
    }
    remember(this.#used, token.sid, true as const);
  }
}

function remember<K, V>(map: Map<K, V>, key: K, value: V): void {
  map.set(key, value);
  if (map.size <= LEDGER_ENTRIES) return;
  const oldest = map.keys().next();
  if (oldest.done !== true) map.delete(oldest.value);
}
