/**
 * The repair of a lost share, as one member sees it (suites/repairing.ts).
 *
 * | who      | phase     | waits for             | then                                          |
 * | -------- | --------- | --------------------- | --------------------------------------------- |
 * | helper   | deltas    | a delta of each other | send the sigma to the loser -> finishing      |
 * | loser    | sigmas    | a sigma of each helper | check, store the share -> storing            |
 * | loser    | storing   | `stored share`        | send Done to all -> over                      |
 * | helper   | finishing | the loser's Done      | -> over                                       |
 * | proposer | finishing | the loser's Done      | -> over, when it is neither                   |
 *
 * Deltas go from helper to helper and sigmas to the loser, on direct streams and to nobody else:
 * all deltas of one helper are its share. Each phase has a deadline; whoever gives up says why to
 * all (Refusal), and all end. Nothing of a session survives a restart: it is asked for again.
 *
 * Parts that are no scalars convict their author: the signed message shows it. Parts that do not
 * add up to the share convict nobody; each of the helpers may have lied.
 * @module
 */
import type { PeerId } from '../../base/brands.ts';
import type { Suite } from '../suites/types.ts';
import type {
  CommonEffect,
  Failure,
  KeyInfo,
  KeyShare,
  MachineDeps,
  RepairProposal,
  SealedProposal,
} from '../types.ts';
import type { Said } from './messages.ts';

export type RepairPhase = 'deltas' | 'sigmas' | 'storing' | 'finishing' | 'over';

/** {@link MachineDeps} and the suite of the key. */
export interface RepairDeps extends MachineDeps {
  readonly suite: Suite;
}

/** What a session begins with. */
export interface RepairStart {
  readonly sealed: SealedProposal<RepairProposal>;
  readonly key: KeyInfo;
  /** A helper's; its bytes are wiped as soon as the deltas are made. */
  readonly share?: KeyShare;
}

export type RepairOutcome = { readonly state: 'completed' } | Failure;

export type RepairEffect =
  | CommonEffect
  /** Sync, read back, check; then answer `stored`. The bytes are wiped on that answer. */
  | { readonly type: 'store'; readonly name: 'share'; readonly share: KeyShare }
  | { readonly type: 'done'; readonly outcome: RepairOutcome };

/** One member's session. Maps go by helper index. It holds secrets: never print it. */
export interface RepairState {
  readonly start: RepairStart;
  readonly phase: RepairPhase;
  /** This member's index in the key; 0 for a proposer without a part. */
  readonly index: number;
  /** This helper's own part of the lost share. */
  readonly own: Uint8Array | undefined;
  readonly deltas: ReadonlyMap<number, Said<'delta'>>;
  readonly sigmas: ReadonlyMap<number, Said<'sigma'>>;
  /** Held only until the answer to `store share`. */
  readonly rebuilt: KeyShare | undefined;
  readonly culprits: readonly PeerId[];
  readonly ended: RepairOutcome | undefined;
}
