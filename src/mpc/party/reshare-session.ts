/**
 * A refresh or a reshare on this node.
 * @module
 */

import { BzzzError } from '../../base/errors.ts';
import type { RosterView } from '../../roster/types.ts';
import type { KeyEntry } from '../keys/keyring.ts';
import { wipe } from '../keys/sharefile.ts';
import { type OldEpoch, reshareDealing } from '../reshare/dealing.ts';
import { seatPeers } from '../sessions/proposal.ts';
import type { KeyInfo, ReshareProposal, SealedProposal } from '../types.ts';
import { DealtSession } from './dealt-session.ts';
import type { Host, Live } from './live.ts';
import type { ProposeBody } from './wire.ts';

/** One running refresh or reshare. */
export class ReshareSession extends DealtSession<ReshareProposal> {
  readonly #old: OldEpoch;

  /** @param old its share is wiped when it was dealt, and at the latest when the session closes. */
  constructor(
    host: Host,
    sealed: SealedProposal<ReshareProposal>,
    body: ProposeBody | undefined,
    old: OldEpoch,
  ) {
    super(host, sealed, body, {
      epoch: sealed.proposal.keyEpoch + 1,
      dealing: (deps) => reshareDealing(sealed, old, deps),
      certified: (certificate, key) => keep(host, sealed, certificate, key),
    });
    this.#old = old;
    this.onEnd(() => this.#forget());
  }

  /** Another epoch is certified. If it is not this session's, what this one holds is of no use. */
  passedBy({ key, history }: KeyEntry): void {
    const { keyId, keyEpoch } = this.sealed.proposal;
    if (key.keyId !== keyId || key.epoch <= keyEpoch) return;
    if (key.sid === this.sid || history.some(({ sid }) => sid === this.sid)) return;
    this.abandon({ code: 'STALE_EPOCH', message: 'another change of the key was certified' });
  }

  override close(): void {
    super.close();
    this.#forget();
  }

  #forget(): void {
    if (this.#old.share !== undefined) wipe(this.#old.share.signingShare);
  }
}

/** First the certificate, then the switch: a crash between them is made good at the next start. */
async function keep(
  host: Host,
  { sid, proposal }: SealedProposal<ReshareProposal>,
  link: Uint8Array,
  { keyId, name, epoch, threshold, parties }: KeyInfo,
): Promise<void> {
  const { keyring, logger, emit } = host.deps;
  const { entry } = await keyring.follow(keyId, link);
  await host.shares.settle(entry);
  await host.deps.sessions.dropConsent(sid);
  logger.info({ sessionId: sid, keyId, name, epoch }, 'a key has new shares');
  const holders = parties.map(({ peerId }) => peerId);
  emit('key.refreshed', { keyId, name, epoch, threshold, holders, sessionId: sid });
  host.publish(entry, proposal.proposer === host.self ? 'author' : 'witness');
}

/**
 * One change of an epoch at a time: a seat that agreed to one agrees to no other, because the first
 * could still be certified. When a seat of the first has left the roster, its word may be missing
 * for ever; another change may then begin, if everybody else who could have the certificate of the
 * first has a seat in it: who has that certificate refuses, and the change comes to nothing.
 * @param live every session with a machine here.
 * @throws CONFLICT while another change of the same epoch is open.
 */
export function requireUnlocked(
  live: readonly Live[],
  wanted: ReshareProposal,
  { members }: Pick<RosterView, 'members'>,
): void {
  const asked = new Set(seatPeers(wanted));
  for (const one of live) {
    if (!(one instanceof ReshareSession) || (one.ended && !one.pending)) continue;
    const { proposal } = one.sealed;
    if (proposal.keyId !== wanted.keyId || proposal.keyEpoch !== wanted.keyEpoch) continue;
    const left = one.parties.filter((peer) => members.has(peer));
    const isStuck = one.ended && left.length < one.parties.length;
    if (isStuck && left.every((peer) => asked.has(peer))) continue;
    throw new BzzzError('CONFLICT', `the key is being changed in session ${one.sid}`, {
      hint: 'wait for its end: `bzzz session show` names who is missing',
      details: { sessionId: one.sid },
    });
  }
}
