/**
 * Agents that prove themselves: a name made of a hash belongs to whoever holds what was hashed.
 * @module
 */
import { peerIdFromString } from '@libp2p/peer-id';
import type { PeerId } from '../base/brands.ts';
import { fromHex, sha256, toBase32 } from '../base/bytes.ts';
import { BzzzError } from '../base/errors.ts';
import type { Address } from './address.ts';
import { makeAddress } from './parse.ts';

/** Stands for one's own agent wherever an operator writes an address. */
export const SELF = 'self';
/** Any member writes under this agent. */
export const SHARED = 'shared';

/** 160 bits: 32 characters of base32, so that the agent fits the 63 characters of a name. */
const AGENT_HASH_BYTES = 20;

/**
 * `n-` and base32 of the first 20 bytes of SHA-256 over the 32 bytes of the peer's Ed25519 key.
 * @throws BAD_MESSAGE unless `peer` is the id of an Ed25519 key.
 */
export function selfAgent(peer: PeerId): string {
  return `n-${toBase32(sha256(ed25519KeyOf(peer)).subarray(0, AGENT_HASH_BYTES))}`;
}

/** `g-` and base32 of the first 20 bytes of the key id, given as 64 hex digits. */
export function keyAgent(keyId: string): string {
  const bytes = fromHex(keyId);
  if (bytes?.length !== 32) throw new BzzzError('BAD_MESSAGE', `key id: expected 64 hex digits`);
  return `g-${toBase32(bytes.subarray(0, AGENT_HASH_BYTES))}`;
}

/** Puts one's own agent where `self` stands. @throws INVALID_ADDRESS when that is too long. */
export function expandSelf<A extends Address>(address: A, own: string): A {
  if (address.agent !== SELF) return address;
  return { ...address, ...makeAddress({ ...address, agent: own }) };
}

/**
 * Content that an operator puts stands under the node's own agent or under `shared`; every other
 * agent belongs to another key or to a protocol. Aliases and delegations do not exist yet.
 * @throws REFUSED_BY_POLICY.
 */
export function requireWritable(address: Address, own: string): void {
  if (address.agent === own || address.agent === SHARED) return;
  throw new BzzzError('REFUSED_BY_POLICY', `this node may not write as agent ${address.agent}`, {
    why: `it writes as ${own} (or "${SELF}") and as "${SHARED}"`,
    hint: `write to ucxl://${SELF}:... or ucxl://${SHARED}:...`,
    details: { agent: address.agent, own },
  });
}

function ed25519KeyOf(peer: PeerId): Uint8Array {
  try {
    const { publicKey } = peerIdFromString(peer);
    if (publicKey?.type === 'Ed25519') return publicKey.raw;
  } catch (cause) {
    throw new BzzzError('BAD_MESSAGE', `not a peer id: ${JSON.stringify(peer)}`, { cause });
  }
  throw new BzzzError('BAD_MESSAGE', `not the peer id of an Ed25519 key: ${peer}`);
}
