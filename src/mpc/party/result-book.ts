/**
 * Results that this node has seen, and where to look for others. The same request has one address,
 * so an answer that exists is found before anybody signs again (S6).
 * @module
 */
import { BoundedMap } from '../../base/bounded.ts';
import type { ClusterId, PeerId, RequestId, SessionId } from '../../base/brands.ts';
import { toBzzzError } from '../../base/errors.ts';
import {
  chooseResult,
  compareResults,
  type OpenedResult,
  openResult,
  resultAddress,
  type VerifiedResult,
} from '../result.ts';
import { suiteOf } from '../suites/index.ts';
import type { KeyInfo, SignProposal } from '../types.ts';
import type { PartyDeps } from './ports.ts';
import { ResultPublisher } from './result-publisher.ts';

/** Sealed results kept in memory, of about 1 KB each. */
const REMEMBERED = 4_096;

/** What is looked at again of a result that was opened once. */
interface Kept extends Pick<OpenedResult, 'envelope' | 'cid'> {
  readonly signers: readonly PeerId[];
}

const keptOf = ({ envelope, cid, record: { signers } }: OpenedResult): Kept => ({
  ...{ envelope, cid, signers },
});

/** The results of this node. */
export class ResultBook {
  readonly #deps: PartyDeps;
  readonly #clusterId: ClusterId;
  readonly #publisher: ResultPublisher;
  readonly #byRequest = new BoundedMap<RequestId, Kept>(REMEMBERED);
  readonly #bySession = new BoundedMap<SessionId, Kept>(REMEMBERED);

  /** @param busy whether sessions are under way: publications wait for them. */
  constructor(deps: PartyDeps, clusterId: ClusterId, busy: () => boolean) {
    this.#deps = deps;
    this.#clusterId = clusterId;
    const done = (address: string): void => deps.outbox.drop(address);
    this.#publisher = new ResultPublisher({ ...deps, busy, done });
  }

  /** Timers under way. */
  get timers(): number {
    return this.#publisher.timers;
  }

  /** Takes up the results that the last run did not bring to their addresses. */
  resume(): void {
    for (const { address, role, record } of this.#deps.outbox.takeLeft()) {
      try {
        const opened = openResult(record, this.#clusterId);
        this.#remember(opened.record.sid, opened);
        this.#publisher[role]({ address, record });
      } catch (thrown) {
        const { message } = toBzzzError(thrown);
        this.#deps.logger.error({ address }, `a result of the last run is no result: ${message}`);
        this.#deps.outbox.drop(address);
      }
    }
  }

  /** Resolves when the result of a request, if this node learned one, outlives the process. */
  held(requestId: RequestId): Promise<void> {
    return this.#deps.outbox.written(this.address(requestId));
  }

  /** Writes down what is on its way to its address: the node is stopping. */
  flush(): Promise<void> {
    return this.#publisher.flush();
  }

  close(): void {
    this.#publisher.close();
  }

  /**
   * Sees to it that a valid result comes to its address, and remembers it unless a better one of
   * its request is known.
   */
  keep(sid: SessionId, result: VerifiedResult, role: 'author' | 'witness'): void {
    const { requestId } = result.record;
    const publication = { address: this.address(requestId), record: result.envelope };
    this.#deps.outbox.hold({ ...publication, role });
    this.#publisher[role](publication);
    this.#remember(sid, result);
  }

  #remember(sid: SessionId, opened: OpenedResult): void {
    const { requestId } = opened.record;
    const result = keptOf(opened);
    const known = this.#byRequest.get(requestId);
    if (known === undefined || compareResults(result, known) < 0) {
      this.#byRequest.set(requestId, result);
    }
    this.#bySession.set(sid, result);
  }

  /** The result that ended a session here. */
  ofSession(sid: SessionId): Uint8Array | undefined {
    return this.#bySession.get(sid)?.envelope;
  }

  /** Who made the signature that ended a session here, as long as it is in memory. */
  signersOf(sid: SessionId): readonly PeerId[] {
    return this.#bySession.get(sid)?.signers ?? [];
  }

  /** The best result of a request in memory. */
  ofRequest(requestId: RequestId): Uint8Array | undefined {
    return this.#byRequest.get(requestId)?.envelope;
  }

  /** A result that this node stores; whoever gets it verifies it. None for a fresh request. */
  async stored({ requestId, fresh }: SignProposal): Promise<Uint8Array | undefined> {
    if (fresh) return undefined;
    return (await this.#deps.records.candidates(this.address(requestId), 'local'))[0];
  }

  address(requestId: RequestId): string {
    return resultAddress(this.#deps.roster().clusterName, requestId);
  }

  /**
   * The answer to a request, verified against key and message.
   * @param where `local`: memory and what this node stores. `anywhere`: the network too.
   */
  async find(
    requestId: RequestId,
    key: KeyInfo,
    message: Uint8Array,
    where: 'local' | 'anywhere',
  ): Promise<VerifiedResult | undefined> {
    const suite = suiteOf(key.suite, this.#deps.suites);
    const known = this.ofRequest(requestId);
    // A signature stands, also one that holders of an earlier epoch have made.
    const earlier = this.#deps.keyring.byId(key.keyId)?.history ?? [];
    const choose = (candidates: readonly Uint8Array[]): VerifiedResult | undefined => {
      for (const epoch of [key, ...earlier]) {
        const found = chooseResult(candidates, this.#clusterId, { key: epoch, message, suite });
        if (found !== undefined) return found;
      }
      return undefined;
    };
    // Also with one in memory: after a partition the store may have got a smaller one, and all
    // nodes must come to the same.
    const stored = await this.#deps.records.candidates(this.address(requestId), where);
    const all = known === undefined ? stored : [known, ...stored];
    const result = choose(all);
    if (result !== undefined) this.#byRequest.set(requestId, keptOf(result));
    return result;
  }
}
