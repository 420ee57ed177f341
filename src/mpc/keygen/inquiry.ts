/**
 * Asking where the others stand. A party that attested and has no certificate asks until it has
 * one, or somebody's durable refusal.
 * @module
 */
import type { ClusterId, PeerId } from '../../base/brands.ts';
import { type Opened, openEnvelope } from '../../base/envelope.ts';
import { BzzzError } from '../../base/errors.ts';
import { isDealt, openProposal, seatPeers } from '../sessions/proposal.ts';
import type { DealtProposal, SealedProposal } from '../types.ts';
import { INQUIRE_MAX_MS } from './attest.ts';
import { type Draft, head, indexOf, seal, sendParties, sendTo } from './draft.ts';
import { openMessage, pack, type Said, unpack } from './messages.ts';
import { refuseLate } from './refusal.ts';

/** Says again what this party attested, and asks. */
export function inquire(draft: Draft): void {
  const { state, effects } = draft;
  for (const packet of question(draft)) sendParties(draft, packet);
  effects.push({ type: 'timer', name: 'inquire', ms: state.inquireMs });
  state.inquireMs = Math.min(state.inquireMs * 2, INQUIRE_MAX_MS);
}

/** A seat is there again: whoever waits for its word need not wait for the next question. */
export function onMet(draft: Draft, peer: PeerId): void {
  const { phase } = draft.state;
  if (phase !== 'attested' && phase !== 'watching') return;
  if (peer === draft.deps.self || indexOf(draft, peer) === 0) return;
  for (const packet of question(draft)) sendTo(draft, peer, packet);
}

function question(draft: Draft): readonly Uint8Array[] {
  const { state } = draft;
  const own = state.statements.get(state.index);
  const inquiry = seal(draft, 'inquiry', { ...head(draft), proposal: state.sealed.envelope });
  const said = own === undefined ? [] : [pack('statement', own.envelope)];
  return [...said, pack('inquiry', inquiry)];
}

/** Answers a party or the proposer with the strongest thing this party can say; or nothing yet. */
export function onInquiry(draft: Draft, { author }: Said<'inquiry'>): void {
  const { state } = draft;
  const { proposer } = state.sealed.proposal;
  if (author === draft.deps.self) return;
  if (indexOf(draft, author) === 0 && author !== proposer) return;
  if (state.ended?.state === 'completed' && state.certificate !== undefined) {
    sendTo(draft, author, pack('certificate', state.certificate));
    return;
  }
  if (state.phase === 'over' && state.refusal !== undefined) {
    sendTo(draft, author, pack('refusal', state.refusal));
    return;
  }
  refuseLate(draft);
  const own = state.statements.get(state.index);
  if (state.attested && own !== undefined) sendTo(draft, author, pack('statement', own.envelope));
}

/**
 * The proposal that an inquiry about a forgotten session carries. A party that finds nothing about
 * it on its disk has never attested: it passes the proposal to `resumeKeygen`, which refuses.
 * @returns undefined when the packet is of another kind.
 * @throws BAD_MESSAGE
 */
export function readInquiry(
  packet: Uint8Array,
  clusterId: ClusterId,
  open: (domain: string, envelope: Uint8Array) => Opened = openEnvelope,
): SealedProposal<DealtProposal> | undefined {
  const { kind, body } = unpack(packet);
  if (kind !== 'inquiry') return undefined;
  const { author, payload } = openMessage(clusterId, open, 'inquiry', body);
  const sealed = openProposal(payload.proposal, clusterId, open);
  if (!isDealt(sealed) || sealed.sid !== payload.sid) {
    throw new BzzzError('BAD_MESSAGE', 'inquiry with another proposal');
  }
  if (author !== sealed.proposal.proposer && !seatPeers(sealed.proposal).includes(author)) {
    throw new BzzzError('BAD_MESSAGE', `inquiry by ${author}, who has no part in the session`);
  }
  return sealed;
}
