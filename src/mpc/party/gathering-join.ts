/**
 * Joins a key that waits for its parties on another node, with the token that was printed there.
 * @module
 */
import type { PeerId } from '../../base/brands.ts';
import { BzzzError } from '../../base/errors.ts';
import { suiteOf } from '../suites/index.ts';
import { openGatheringToken } from './gathering-token.ts';
import type { SessionRegistry } from './registry.ts';
import { throwIfGone } from './wait.ts';
import { TOPICS, wire } from './wire.ts';

/** A host that is there answers a dial well before. */
const CONNECT_MS = 15_000;

/** What a host that joined is told. */
export interface JoinedDocument {
  readonly name: string;
  readonly suite: string;
  readonly threshold: number;
  /** Who makes the key once enough members are there. */
  readonly proposer: PeerId;
  readonly need: number;
  readonly have: number;
}

/**
 * Takes a seat. The key is made when enough have; this does not wait for it.
 * @throws what `openGatheringToken` throws; NOT_A_MEMBER for a token of a stranger; CONFLICT for
 * this node's own; UNSUPPORTED_SUITE; PEER_UNREACHABLE; SESSION_EXPIRED when nobody waits any
 * more; the proposer's refusal; INTERRUPTED.
 */
export async function joinGathering(
  text: string,
  signal: AbortSignal,
  registry: SessionRegistry,
): Promise<JoinedDocument> {
  const { deps, clusterId, self } = registry;
  const token = openGatheringToken(text, clusterId);
  const { name, suite, threshold, proposer } = token;
  if (proposer === self) {
    throw new BzzzError('CONFLICT', 'this host printed the token itself', {
      hint: 'run the command on the other hosts that are to hold a share',
    });
  }
  if (deps.roster().standing(proposer) !== 'member') {
    throw new BzzzError('NOT_A_MEMBER', `the token is signed by ${proposer}, which is no member`, {
      hint: '`bzzz roster` lists the members; use a token that one of them printed',
    });
  }
  suiteOf(suite, deps.suites);
  deps.reach.sighted(proposer, token.addresses);
  await connected(proposer, Math.min(CONNECT_MS, token.ttlMs), signal, registry);
  const answer = await deps.direct.request(proposer, TOPICS.join, wire.join(token.jti));
  const { need, have } = wire.readJoinAnswer(answer);
  deps.logger.info({ name, proposer, need, have }, 'joined for a key');
  return { name, suite, threshold, proposer, need, have };
}

/** @throws PEER_UNREACHABLE, INTERRUPTED. */
function connected(
  peer: PeerId,
  ms: number,
  signal: AbortSignal,
  { deps: { direct, clock } }: SessionRegistry,
): Promise<void> {
  throwIfGone(signal);
  if (direct.connected().includes(peer)) return Promise.resolve();
  return new Promise((resolve, reject) => {
    const done = (error?: BzzzError): void => {
      stopWatch();
      stopClock();
      signal.removeEventListener('abort', gone);
      if (error === undefined) resolve();
      else reject(error);
    };
    const gone = (): void => done(new BzzzError('INTERRUPTED', 'the request was withdrawn'));
    const stopWatch = direct.onPeer((other, live) => {
      if (live && other === peer) done();
    });
    const stopClock = clock.after(ms, () =>
      done(
        new BzzzError('PEER_UNREACHABLE', `${peer} was not reached within ${ms} ms`, {
          why: 'nobody answered at the addresses of the token',
          hint: 'check the network and firewalls between the two hosts, then try again',
        }),
      ),
    );
    signal.addEventListener('abort', gone, { once: true });
  });
}
