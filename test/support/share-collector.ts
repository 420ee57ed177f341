/**
 * Every signature share that left anybody, put together from frames alone: who signed what, with
 * which commitment. It asks no machine, and finds by the verification equation which commitment a
 * share was made with.
 */
import type { ClusterId, PeerId, SessionId } from '../../src/base/brands.ts';
import { toHex } from '../../src/base/bytes.ts';
import { openEnvelope } from '../../src/base/envelope.ts';
import { isBadMessage } from '../../src/base/errors.ts';
import { TOPICS, wire } from '../../src/mpc/party/wire.ts';
import { openProposal } from '../../src/mpc/sessions/proposal.ts';
import {
  type MessageOf,
  openAny,
  type PackageMessage,
  type Received,
} from '../../src/mpc/signing/messages.ts';
import { packageId } from '../../src/mpc/signing/package.ts';
import { suiteOf } from '../../src/mpc/suites/index.ts';
import type { NonceCommitment } from '../../src/mpc/suites/types.ts';
import type { KeyInfo, SignProposal } from '../../src/mpc/types.ts';
import type { SeenFrame } from './memory-net.ts';

interface Package {
  readonly sid: SessionId;
  readonly members: readonly (NonceCommitment & { readonly author: PeerId })[];
}

interface Share {
  readonly author: PeerId;
  readonly attempt: string;
  readonly bytes: Uint8Array;
}

export interface Collected {
  /** Different shares, by author, attempt and bytes. */
  readonly shares: number;
  /** Points of nonces that shares were made with; two for each commitment. */
  readonly commitments: number;
  readonly packages: number;
  /** Of which package the collector knows nothing; a checker that skips them proves less. */
  readonly orphans: number;
  /** What must never be, in words. */
  readonly violations: readonly string[];
}

const attempt = <T>(read: () => T): T | undefined => {
  try {
    return read();
  } catch (error) {
    // Much of what is in the frames is none of this: other machines' messages, garbage, replays.
    if (isBadMessage(error)) return undefined;
    throw error;
  }
};

export class ShareCollector {
  readonly #clusterId: ClusterId;
  readonly #packages = new Map<string, Package>();
  readonly #shares = new Map<string, Share>();
  readonly #proposals = new Map<SessionId, SignProposal>();
  readonly #messages = new Map<SessionId, Uint8Array>();

  constructor(clusterId: ClusterId) {
    this.#clusterId = clusterId;
  }

  /** Takes what is in a frame. */
  see({ topic, body }: Pick<SeenFrame, 'topic' | 'body'>): void {
    if (topic === TOPICS.message) {
      const read = attempt(() => wire.readMessage(body));
      if (read !== undefined) this.#envelope(read.envelope);
    } else if (topic === TOPICS.propose) {
      const read = attempt(() => wire.readPropose(body));
      if (read === undefined) return;
      const sealed = attempt(() => openProposal(read.proposal, this.#clusterId));
      if (sealed?.proposal.kind === 'sign') {
        this.#proposals.set(sealed.sid, sealed.proposal);
        if (read.message !== null) this.#messages.set(sealed.sid, read.message);
      }
      if (read.first !== null) this.#envelope(read.first);
    }
  }

  #open(envelope: Uint8Array): Received | undefined {
    return attempt(() => openAny(envelope, { clusterId: this.#clusterId, open: openEnvelope }));
  }

  #envelope(envelope: Uint8Array): void {
    const received = this.#open(envelope);
    if (received === undefined) return;
    const { author, message } = received;
    if (message.kind === 'share') this.#share(author, message);
    else if (message.kind === 'package' || message.kind === 'pooled') {
      this.#package({ ...received, message });
    } else if (message.kind === 'blame') {
      // Evidence carries what may never have come this way.
      for (const part of Object.values(message.evidence)) {
        if (part instanceof Uint8Array) this.#envelope(part);
      }
    }
  }

  #share(author: PeerId, message: MessageOf<'share'>): void {
    const id = toHex(message.attempt);
    const name = `${author} ${id} ${toHex(message.share)}`;
    this.#shares.set(name, { author, attempt: id, bytes: message.share });
  }

  #package(received: Received<PackageMessage>): void {
    const { message } = received;
    const members =
      message.kind === 'pooled'
        ? message.pairs.map(({ holder, ...pair }) => ({ ...pair, author: holder, index: 0 }))
        : message.commitments.flatMap((envelope) => {
            const inner = this.#open(envelope);
            return inner?.message.kind === 'commitment'
              ? [{ ...inner.message, author: inner.author, index: 0 }]
              : [];
          });
    this.#packages.set(packageId(received), { sid: message.sid, members });
  }

  /** @param keys every epoch of every key. */
  check(keys: readonly KeyInfo[]): Collected {
    const violations: string[] = [];
    /** The shares by the point of a nonce that is in each of them. */
    const uses = new Map<string, Set<string>>();
    let orphans = 0;
    for (const [name, share] of this.#shares) {
      const found = this.#packages.get(share.attempt);
      const message = found && this.#messages.get(found.sid);
      const proposal = found && this.#proposals.get(found.sid);
      if (found === undefined || message === undefined || proposal === undefined) {
        orphans++;
        continue;
      }
      const key = keys.find(
        ({ keyId, epoch }) => keyId === proposal.keyId && epoch === proposal.keyEpoch,
      );
      if (key === undefined) throw new Error(`no key of session ${found.sid}`);
      const list = found.members.map((member) => ({
        ...member,
        index: key.parties.find(({ peerId }) => peerId === member.author)?.index ?? 0,
      }));
      const own = list.find(({ author }) => author === share.author);
      const suite = suiteOf(key.suite);
      if (own === undefined || !suite.verifyShare(key, list, message, own.index, share.bytes)) {
        violations.push(`a share that was not made with its commitment: ${name}`);
        continue;
      }
      for (const point of [own.hiding, own.binding]) {
        const at = `${share.author} ${toHex(point)}`;
        uses.set(at, (uses.get(at) ?? new Set()).add(toHex(share.bytes)));
      }
    }
    for (const [point, shares] of uses) {
      if (shares.size > 1) violations.push(`N1: ${point} is in ${shares.size} different shares`);
    }
    const { size } = this.#shares;
    return {
      ...{ shares: size, commitments: uses.size, packages: this.#packages.size },
      ...{ orphans, violations },
    };
  }
}
