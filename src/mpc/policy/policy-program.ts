/**
 * An external policy program: a node's operator may have every signing request judged by a program
 * of theirs before this node takes part. This is the question it gets, and the gate in front of
 * it; src/node/policy-program.ts runs it.
 *
 * | gate                        | a question comes              | a run ends                  |
 * | --------------------------- | ----------------------------- | --------------------------- |
 * | fewer than 4 runs           | run it                        |                             |
 * | 4 runs, fewer than 64 wait  | it waits                      | the oldest that waits runs  |
 * | 4 runs, 64 wait             | no: too many requests wait    |                             |
 * | one waited 2 s              | no: too many requests wait    |                             |
 *
 * Everything that is not a clear yes is a no: a program that hangs, is missing or crashes refuses.
 * @module
 */
import type { SessionId } from '../../base/brands.ts';
import { toHex } from '../../base/bytes.ts';
import { BzzzError, toBzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Clock, Logger } from '../../base/ports.ts';
import { Slots } from '../../base/slots.ts';
import type { KeyInfo, PolicyMode, SealedProposal, SignProposal } from '../types.ts';

/** What the program reads on its standard input, as one line of JSON. */
export interface PolicyQuestion {
  readonly v: 1;
  readonly sessionId: SessionId;
  readonly key: { readonly keyId: string; readonly name: string; readonly suite: string };
  readonly purpose: string;
  readonly requester: string;
  readonly policy: PolicyMode;
  /** Hex SHA-256. */
  readonly messageHash: string;
  /** Bytes. */
  readonly messageSize: number;
  /** Hex; null when it has more than 64 KiB. */
  readonly message: string | null;
}

/** Yes, or no with a reason of one line. */
export type PolicyVerdict = { readonly ok: true } | { readonly ok: false; readonly reason: string };

/** Asks somebody for a verdict. A rejection counts as no. */
export type PolicyJudge = (question: PolicyQuestion) => Promise<PolicyVerdict>;

/** The question about one signing request. */
export function policyQuestion(
  { sid, proposal }: SealedProposal<SignProposal>,
  key: KeyInfo,
  message: Uint8Array,
): PolicyQuestion {
  const { keyId, name, suite, policy } = key;
  return {
    v: 1,
    sessionId: sid,
    key: { keyId, name, suite },
    purpose: proposal.purpose,
    requester: proposal.proposer,
    policy,
    messageHash: toHex(proposal.messageHash),
    messageSize: message.length,
    message: message.length <= LIMITS.policyMessageBytes ? toHex(message) : null,
  };
}

/**
 * Asks this node's policy program, where there is one.
 * @throws REFUSED_BY_POLICY with its reason.
 */
export async function checkProgram(
  judge: PolicyJudge | undefined,
  sealed: SealedProposal<SignProposal>,
  key: KeyInfo,
  message: Uint8Array,
): Promise<void> {
  if (judge === undefined) return;
  const verdict = await judge(policyQuestion(sealed, key, message));
  if (verdict.ok) return;
  throw new BzzzError('REFUSED_BY_POLICY', `the policy program says no: ${verdict.reason}`, {
    details: { rule: 'program' },
  });
}

const RUNS = 4;
const WAITING = 64;
const WAIT_MS = 2_000;
const BUSY = { ok: false, reason: 'too many requests wait for the policy program' } as const;

/** Puts a bounded queue in front of a judge, logs its verdicts, and turns failures into no. */
export function policyGate(
  judge: PolicyJudge,
  deps: { readonly clock: Clock; readonly logger: Logger },
): PolicyJudge {
  const { clock, logger } = deps;
  const slots = new Slots(RUNS, WAITING);
  const ask = async (question: PolicyQuestion): Promise<PolicyVerdict> => {
    const patience = new AbortController();
    const stop = clock.after(WAIT_MS, () => patience.abort());
    const entry = await slots.enter(patience.signal);
    stop();
    if (entry !== 'in') return BUSY;
    try {
      return await judge(question);
    } catch (thrown) {
      return { ok: false, reason: toBzzzError(thrown).message };
    } finally {
      slots.leave();
    }
  };
  return async (question) => {
    const startedAt = clock.now();
    const verdict = await ask(question);
    const { sessionId, requester, messageHash } = question;
    const { name } = question.key;
    const elapsedMs = Math.round(clock.now() - startedAt);
    const said = verdict.ok ? { ok: true } : { ok: false, reason: verdict.reason };
    logger.info(
      { sessionId, key: name, requester, messageHash, elapsedMs, ...said },
      'policy program',
    );
    return verdict;
  };
}
