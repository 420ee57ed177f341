/**
 * Schemas of the field types that only the roster's documents share.
 * @module
 */
import { peerIdFromString } from '@libp2p/peer-id';
import { z } from 'zod';
import { field } from '../base/codec.ts';
import { LIMITS } from '../base/limits.ts';
import { ROLES } from './types.ts';

/** What a node may call itself: a host name. No blanks or control characters reach a terminal. */
export const MEMBER_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;

/** A UCXL name (addresses §1) in its canonical, lower-case form. */
const CLUSTER_NAME = /^[a-z0-9][a-z0-9_-]*$/;

/** Whether `name` can stand in an address of the cluster: `any` is the wildcard there. */
export const isClusterName = (name: string): boolean =>
  name.length <= LIMITS.nameBytes && CLUSTER_NAME.test(name) && name !== 'any';

const isMemberName = (name: string): boolean =>
  name.length <= LIMITS.nameBytes && MEMBER_NAME.test(name);

export const rosterField = {
  clusterName: z.string().refine(isClusterName, { message: 'expected a cluster name' }),
  memberName: z.string().refine(isMemberName, { message: 'expected a host name' }),
  /** The pattern alone lets through texts that no key encodes to. */
  peerId: field.peerId.refine(encodesKey, { message: 'expected an Ed25519 peer id' }),
  role: z.enum(ROLES),
  hash: field.bytes(32),
  invitationId: field.bytes(16),
  /** Wall clock in ms since 1970. */
  wallMs: z.int().min(0),
} as const;

function encodesKey(text: string): boolean {
  try {
    return peerIdFromString(text).toString() === text;
  } catch {
    return false; // whatever the decoder dislikes is no peer id
  }
}
