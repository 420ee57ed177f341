/**
 * Results that this node has seen, and where to look for others. The same request has one address,
 * so an answer that exists is found before anybody signs again (S6).
 * @module
 */
import type { ClusterId, RequestId, SessionId } from '../base/brands.ts';
import type { PartyDeps } from './party-ports.ts';
import {
  chooseResult,
  compareResults,
  openResult,
  resultAddress,
  type VerifiedResult,
} from './result.ts';
import { suiteOf } from './suites/index.ts';
import type { KeyInfo, SignProposal } from './types.ts';

/** Sealed results kept in memory, of about 600 bytes each. */
const REMEMBERED = 4_096;

/** The results of this node. */
export class ResultBook {
  readonly #deps: PartyDeps;
  readonly #clusterId: ClusterId;
  /** Insertion order is age. */
  readonly #byRequest = new Map<RequestId, Uint8Array>();
  readonly #bySession = new Map<SessionId, Uint8Array>();

  constructor(deps: PartyDeps, clusterId: ClusterId) {
    this.#deps = deps;
    this.#clusterId = clusterId;
  }

  /** Remembers a valid result, unless a better one of its request is known. */
  keep(sid: SessionId, requestId: RequestId, record: Uint8Array): void {
    const known = this.#byRequest.get(requestId);
    const better =
      known === undefined ||
      compareResults(openResult(record, this.#clusterId), openResult(known, this.#clusterId)) < 0;
    if (better) remember(this.#byRequest, requestId, record);
    remember(this.#bySession, sid, record);
  }

  /** The result that ended a session here. */
  ofSession(sid: SessionId): Uint8Array | undefined {
    return this.#bySession.get(sid);
  }

  /** The best result of a request in memory. */
  ofRequest(requestId: RequestId): Uint8Array | undefined {
    return this.#byRequest.get(requestId);
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
    const context = { key, message, suite };
    const known = this.#byRequest.get(requestId);
    if (known !== undefined && where === 'local') {
      const result = chooseResult([known], this.#clusterId, context);
      if (result !== undefined) return result;
    }
    const stored = await this.#deps.records.candidates(this.address(requestId), where);
    const all = known === undefined ? stored : [known, ...stored];
    const result = chooseResult(all, this.#clusterId, context);
    if (result !== undefined) remember(this.#byRequest, requestId, result.envelope);
    return result;
  }
}

function remember<K, V>(map: Map<K, V>, key: K, value: V): void {
  map.delete(key);
  map.set(key, value);
  if (map.size <= REMEMBERED) return;
  const oldest = map.keys().next();
  if (oldest.done !== true) map.delete(oldest.value);
}
