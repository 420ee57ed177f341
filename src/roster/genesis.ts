/**
 * The genesis document: where a cluster begins. Its hash is the cluster id, and every protocol id,
 * topic, mDNS tag and signature domain contains that hash, so nothing of one cluster means anything
 * in another.
 * @module
 */
import { z } from 'zod';
import type { ClusterId, PeerId } from '../base/brands.ts';
import { taggedHash, toBase32, toHex } from '../base/bytes.ts';
import { decode, encode, field } from '../base/codec.ts';
import { BzzzError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { isClusterName, MEMBER_NAME, rosterField } from './fields.ts';

/**
 * Bounds that all nodes must apply alike, or their chains would part. They stand in the genesis and
 * not in `limits.ts` because a newer version of the program may have other limits.
 */
export interface Policy {
  readonly maxMembers: number;
  readonly maxVoters: number;
}

/** A decoded genesis with what follows from its bytes. */
export interface Genesis {
  readonly name: string;
  /** 16 random bytes: two clusters of one name and founder are two clusters. */
  readonly salt: Uint8Array;
  /** The first member and the only voter of epoch 0. */
  readonly founder: PeerId;
  readonly founderName?: string;
  readonly policy: Policy;
  readonly bytes: Uint8Array;
  /** 32 bytes; the head of a chain without entries. */
  readonly hash: Uint8Array;
  readonly clusterId: ClusterId;
  /** Base32 of the first 15 bytes of the hash: 24 characters. */
  readonly tag: string;
}

const genesisSchema = z.strictObject({
  v: z.literal(1),
  name: rosterField.clusterName,
  salt: field.bytes(16),
  founder: rosterField.peerId,
  founderName: rosterField.memberName.exactOptional(),
  policy: z.strictObject({
    maxMembers: z.int().min(1).max(LIMITS.rosterMembers),
    maxVoters: z.int().min(1).max(LIMITS.parties),
  }),
});

const TAG_BYTES = 15;
const DEFAULT_POLICY: Policy = { maxMembers: LIMITS.rosterMembers, maxVoters: 5 };

export interface GenesisOptions {
  readonly name: string;
  /** 16 random bytes. */
  readonly salt: Uint8Array;
  readonly founder: PeerId;
  readonly founderName?: string;
}

/** @throws BAD_USAGE: a name that cannot stand in an address, or no host name. */
export function createGenesis(options: GenesisOptions): Genesis {
  if (!isClusterName(options.name)) {
    throw new BzzzError('BAD_USAGE', `cluster name "${options.name}" is not allowed`, {
      why: `1-${LIMITS.nameBytes} of a-z 0-9 _ -, beginning with a letter or digit, not "any"`,
      hint: 'choose a name such as `lab`; it becomes part of every address',
    });
  }
  assertMemberName(options.founderName);
  const { name, salt, founder, founderName } = options;
  const document = { v: 1, name, salt, founder, policy: DEFAULT_POLICY };
  return decodeGenesis(encode(founderName === undefined ? document : { ...document, founderName }));
}

/** @throws BAD_MESSAGE. */
export function decodeGenesis(bytes: Uint8Array): Genesis {
  const { v: _, ...document } = decode('genesis', genesisSchema, bytes, LIMITS.genesisBytes);
  const hash = taggedHash('bzzz/genesis/1', bytes);
  return {
    ...document,
    bytes: new Uint8Array(bytes),
    hash,
    clusterId: toHex(hash) as ClusterId,
    tag: toBase32(hash.subarray(0, TAG_BYTES)),
  };
}

/** @throws BAD_USAGE unless `name` is absent or looks like a host name. */
export function assertMemberName(name: string | undefined): void {
  if (name === undefined || rosterField.memberName.safeParse(name).success) return;
  throw new BzzzError('BAD_USAGE', `node name "${name}" is not allowed`, {
    why: `at most ${LIMITS.nameBytes} characters, ${MEMBER_NAME.source}`,
    hint: 'set BZZZ_NODE_NAME to a plain host name',
  });
}
