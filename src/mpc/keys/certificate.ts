/**
 * The key certificate: what a key generation and every later change of its shares have proven, each
 * by a link (certificate-link.ts). Whoever recomputes it from its bytes knows the key, its holders
 * and its rules now, and needs to trust nobody: a proposal's hash is the session id, the statements
 * are signed by everybody whom the proposal names, all say the same, the verifying shares lie on
 * the one polynomial of the group key, and each link names the one before.
 *
 * A link is left out once a later one is signed by all holders of the one before it, and it names
 * no holders that both its neighbours do not know: years of refreshes take no more room than one.
 *
 * It stands at `ucxl://g-<base32(keyId[0..19])>:group@<cluster>:key/public`; the newest epoch is
 * the answer there.
 * @module
 */
import { z } from 'zod';
import type { ClusterId, KeyId, PeerId } from '../../base/brands.ts';
import { equalBytes, toBase32 } from '../../base/bytes.ts';
import { decode, encode, field } from '../../base/codec.ts';
import { BzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Address } from '../../ucxl/address.ts';
import type { HeadKind } from '../../ucxl/kinds.ts';
import { seatPeers } from '../sessions/proposal.ts';
import type { DealtProposal, KeyInfo, ReshareProposal, SealedProposal } from '../types.ts';
import {
  bytesOfHex,
  type CertificateDeps,
  keyOfLink,
  type OpenedLink,
  openLink,
  refuseCertificate,
} from './certificate-link.ts';

export type { CertificateDeps } from './certificate-link.ts';
export { encodeCertificate, keyIdOf } from './certificate-link.ts';

/** Media type of a certificate record. */
export const CERTIFICATE_TYPE = 'application/vnd.bzzz.certificate+cbor';

const CHAIN_LINKS = 256;
/** Of one statement at most, without its points; and a point of any suite as it stands there. */
const STATEMENT_BYTES = 640;
const POINT_BYTES = 36;
/** One link stands by itself; more of them in here. */
const chainSchema = z.strictObject({
  v: z.literal(2),
  links: z.array(field.bytesUpTo(LIMITS.recordBytes)).min(2).max(CHAIN_LINKS),
});
const anySchema = z.union([chainSchema, z.looseObject({ v: z.literal(1) })]);

interface Link extends OpenedLink {
  readonly key: KeyInfo;
}

/** What a certificate proves. */
export interface Certified {
  /** The key in its newest epoch. */
  readonly keyInfo: KeyInfo;
  /** Of the newest epoch. */
  readonly proposal: SealedProposal<DealtProposal>;
  /** What the next epoch's proposal names as the one before. */
  readonly hash: Uint8Array;
  /** The key in the epochs before, oldest first; every set of holders it ever had is among them. */
  readonly history: readonly KeyInfo[];
  /** The newest link alone. */
  readonly newest: Uint8Array;
  /** Who proposed the key generation. */
  readonly creator: PeerId;
}

/** The UCXL agent name of a key: 34 characters. */
export const keyAgent = (keyId: KeyId): string =>
  `g-${toBase32(bytesOfHex(keyId).subarray(0, 20))}`;

/** Where a key's certificate stands. `clusterName` is the roster's. */
export const certificateAddress = (keyId: KeyId, clusterName: string): string =>
  `ucxl://${keyAgent(keyId)}:group@${clusterName}:key/public`;

/**
 * Recomputes a certificate from its bytes.
 * @throws BAD_MESSAGE naming what does not hold.
 */
export function verifyCertificate(
  bytes: Uint8Array,
  clusterId: ClusterId,
  deps: CertificateDeps = {},
): Certified {
  return certifiedOf(linksOf(bytes, clusterId, deps));
}

/**
 * Adds the certificate of the next epoch.
 * @param before a certificate of the key; @param link the new link alone.
 * @throws BAD_MESSAGE unless it follows; TOO_LARGE when the whole fits no record.
 */
export function extendCertificate(
  before: Uint8Array,
  link: Uint8Array,
  clusterId: ClusterId,
  deps: CertificateDeps = {},
): Uint8Array {
  const links = [...linksOf(before, clusterId, deps)];
  const last = links.at(-1);
  const opened = openLink(link, clusterId, deps);
  const next: Link = { ...opened, key: keyOfLink(opened, last) };
  if (mayLeaveOut(links.at(-2)?.key, last?.key, next.sealed.proposal)) links.pop();
  const whole = encode({ v: 2, links: [...links, next].map((one) => one.bytes) });
  if (links.length < CHAIN_LINKS && whole.length <= LIMITS.recordBytes) return whole;
  return refuseLength(next.key);
}

const refuseLength = ({ name, epoch }: KeyInfo): never => {
  throw new BzzzError('TOO_LARGE', `key ${name} changed hands too often`, {
    why: `its certificates up to epoch ${epoch} fill a record, and a change adds one`,
    hint: 'make a new key',
  });
};

/**
 * Looks for room before anybody agrees to a change: who has attested it waits for its certificate,
 * and one that fits no record would never come.
 * @throws TOO_LARGE.
 */
export function checkRoom(
  { key, history, certificate, newest }: KeyOfRoom,
  { proposal, envelope }: SealedProposal<ReshareProposal>,
): void {
  const { threshold, parties } = proposal;
  const statement = STATEMENT_BYTES + POINT_BYTES * (threshold + parties.length);
  const link = envelope.length + seatPeers(proposal).length * statement;
  const goes = mayLeaveOut(history.at(-1), key, proposal);
  const links = history.length + (goes ? 0 : 1);
  const whole = certificate.length + link - (goes ? newest.length : 0);
  if (links >= CHAIN_LINKS || whole > LIMITS.recordBytes) refuseLength(key);
}

interface KeyOfRoom extends Pick<Certified, 'history' | 'newest'> {
  readonly key: KeyInfo;
  readonly certificate: Uint8Array;
}

/** @returns the links, oldest first, each with the key that it certifies. */
function linksOf(bytes: Uint8Array, clusterId: ClusterId, deps: CertificateDeps): readonly Link[] {
  const raw = decode('certificate', anySchema, bytes, LIMITS.recordBytes);
  const parts = raw.v === 2 ? raw.links : [bytes];
  const links: Link[] = [];
  for (const part of parts) {
    const opened = openLink(part as Uint8Array, clusterId, deps);
    links.push({ ...opened, key: keyOfLink(opened, links.at(-1)) });
  }
  return links;
}

function certifiedOf(links: readonly Link[]): Certified {
  const last = links.at(-1);
  const [first] = links;
  if (last === undefined || first === undefined) return refuseCertificate('it has no link');
  const creator = first.sealed.proposal.proposer;
  const { key, sealed, hash, bytes } = last;
  const history = links.slice(0, -1).map((link) => link.key);
  return { keyInfo: key, proposal: sealed, hash, history, newest: bytes, creator };
}

type Holders = Pick<KeyInfo, 'threshold' | 'parties'>;

const sameHolders = (a: Holders, b: Holders): boolean =>
  a.threshold === b.threshold &&
  a.parties.length === b.parties.length &&
  a.parties.every(({ peerId }, i) => peerId === b.parties[i]?.peerId);

/** Whether the middle one of three epochs says nothing that the others do not. */
function mayLeaveOut(
  first: Holders | undefined,
  middle: Holders | undefined,
  last: DealtProposal,
): boolean {
  if (first === undefined || middle === undefined) return false;
  const seats = seatPeers(last);
  return (
    first.parties.every(({ peerId }) => seats.includes(peerId)) &&
    (sameHolders(middle, first) || sameHolders(middle, last))
  );
}

/** Whether two certificates of one key and epoch prove the same. */
export const sameEpoch = (a: Certified, b: Certified): boolean =>
  a.keyInfo.keyId === b.keyInfo.keyId &&
  a.keyInfo.epoch === b.keyInfo.epoch &&
  equalBytes(a.hash, b.hash);

/**
 * Certificates as records of the store: a head, because a key's newest epoch stands. Two valid
 * certificates of one epoch can differ in a statement's signature and in links that one of them
 * leaves out; they prove the same.
 */
export function certificateKind(
  clusterId: ClusterId,
  clusterName: string,
  deps: CertificateDeps = {},
): HeadKind {
  const matches = ({ agent, role, project, task, path }: Address): boolean =>
    /^g-[a-z2-7]{32}$/.test(agent) &&
    role === 'group' &&
    project === clusterName &&
    task === 'key' &&
    path === 'public';
  return {
    name: 'certificate',
    copies: 'newest',
    maxBytes: LIMITS.recordBytes,
    matches,
    verify(address, bytes) {
      const { keyInfo, proposal } = verifyCertificate(bytes, clusterId, deps);
      if (!matches(address) || address.agent !== keyAgent(keyInfo.keyId)) {
        throw new BzzzError('BAD_MESSAGE', `certificate of ${keyAgent(keyInfo.keyId)} elsewhere`);
      }
      return { writer: proposal.proposal.proposer, type: CERTIFICATE_TYPE };
    },
    order: (bytes) => [verifyCertificate(bytes, clusterId, deps).keyInfo.epoch, 0],
  };
}
