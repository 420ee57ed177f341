/**
 * What an operator decides about a signing session of a key with policy `approve`, on this node
 * and for this node alone. In memory only: after a restart the operator is asked again.
 *
 * | state    | approve            | deny                | the session ends |
 * | -------- | ------------------ | ------------------- | ---------------- |
 * | waiting  | approved           | denied              | over             |
 * | approved | CONFLICT           | CONFLICT            | approved         |
 * | denied   | CONFLICT           | CONFLICT            | denied           |
 * | over     | CONFLICT           | CONFLICT            | over             |
 * @module
 */
import { toHex } from '../../base/bytes.ts';
import { BzzzError } from '../../base/errors.ts';
import type { KeyInfo, SealedProposal, SignProposal } from '../types.ts';

export const APPROVAL_STATES = ['waiting', 'approved', 'denied', 'over'] as const;
export type ApprovalState = (typeof APPROVAL_STATES)[number];

/** What the operator is asked, and what came of it. */
export interface ApprovalDocument {
  readonly state: ApprovalState;
  /** Name of the key. */
  readonly key: string;
  readonly purpose: string;
  readonly requester: string;
  /** Hex SHA-256. */
  readonly messageHash: string;
  /** Bytes. */
  readonly messageSize: number;
  /** The operator's, with `denied`. */
  readonly reason?: string;
}

/** One question to the operator of this node. */
export class Approval {
  readonly #asked: Omit<ApprovalDocument, 'state' | 'reason'>;
  readonly #changed: (document: ApprovalDocument) => void;
  #state: ApprovalState = 'waiting';
  #reason: string | undefined;

  /** @param changed is called with every state but the first. */
  constructor(
    { proposal }: SealedProposal<SignProposal>,
    key: KeyInfo,
    message: Uint8Array,
    changed: (document: ApprovalDocument) => void,
  ) {
    this.#asked = {
      key: key.name,
      purpose: proposal.purpose,
      requester: proposal.proposer,
      messageHash: toHex(proposal.messageHash),
      messageSize: message.length,
    };
    this.#changed = changed;
  }

  get document(): ApprovalDocument {
    const reason = this.#reason;
    return { state: this.#state, ...this.#asked, ...(reason === undefined ? {} : { reason }) };
  }

  /** Whether an answer still counts. */
  get waits(): boolean {
    return this.#state === 'waiting';
  }

  /** @throws CONFLICT. */
  approve(): void {
    this.#decide('approved');
  }

  /** @throws CONFLICT. */
  deny(reason: string): void {
    this.#reason = this.waits ? reason : this.#reason;
    this.#decide('denied');
  }

  /** The session has ended, with or without an answer. */
  end(): void {
    if (this.waits) this.#set('over');
  }

  #decide(state: 'approved' | 'denied'): void {
    if (!this.waits) {
      throw new BzzzError('CONFLICT', `the session waits for no answer: it is ${this.#state}`, {
        hint: '`bzzz session ls` shows what waits',
      });
    }
    this.#set(state);
  }

  #set(state: ApprovalState): void {
    this.#state = state;
    this.#changed(this.document);
  }
}
