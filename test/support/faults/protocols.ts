/**
 * What the fault loop does with a key, and who has which part in it. Node 0 asks, always.
 */
import { loseShare } from '../lost-share.ts';
import type { FaultRig, KeyView, Kind } from './rig.ts';

export interface Protocol {
  readonly name: string;
  /** Under which its steps are traced. */
  readonly kind: Kind;
  /** Who may break down, by role. */
  roles(rig: FaultRig): Readonly<Record<string, readonly number[]>>;
  /** The key that living holders sign with meanwhile. */
  key(rig: FaultRig): string;
  /** Makes the case possible. */
  prepare(rig: FaultRig): Promise<void>;
  /** @param id of the case; no two are alike. @param ttlMs life of the session. */
  request(rig: FaultRig, id: string, ttlMs: number): Promise<unknown>;
  /** The key to look at afterwards. */
  result(rig: FaultRig, id: string): string;
}

/** Life of a session in the loop, ms; and of one that nothing is to happen to. */
export const TTL_MS = 5_000;
export const CALM_TTL_MS = 30_000;
/** Of a signature by those who live. Hosts that only hear of it wait for its end so long. */
export const SIGN_TTL_MS = 12_000;
/** A client waits longer than any session lives, and longer than its node sleeps. */
const CLIENT_MS = 60_000;

const nothing = async (): Promise<void> => {};
const others = ({ nodes }: FaultRig): readonly number[] => nodes.map((_, i) => i).slice(1);
const both = (rig: FaultRig) => ({ asking: [0], other: others(rig) });

/** More than half, so that no two signatures come about side by side. */
export const thresholdOf = (n: number): number => Math.floor(n / 2) + 1;

export const newKey = (
  name: string,
  participants: readonly string[],
  threshold: number,
  timeoutMs: number,
) => ({ name, suite: 'ed25519', threshold, participants, timeoutMs });

const peers = ({ nodes }: FaultRig): readonly string[] => nodes.map(({ peerId }) => peerId);

const signing: Protocol = {
  ...{ name: 'sign', kind: 'sign', key: () => 'main', roles: both, prepare: nothing },
  request: (rig, id, ttlMs) => rig.sign(rig.node(0), 'main', id, ttlMs),
  result: () => 'main',
};

const generation: Protocol = {
  ...{ name: 'keygen', kind: 'keygen', key: () => 'main', roles: both, prepare: nothing },
  request(rig, id, ttlMs) {
    const body = newKey(id, peers(rig), thresholdOf(rig.nodes.length), ttlMs);
    return rig.node(0).post('/v1/keys', body, CLIENT_MS);
  },
  result: (_rig, id) => id,
};

const refresh: Protocol = {
  ...{ name: 'refresh', kind: 'reshare', key: () => 'main', roles: both, prepare: nothing },
  request: (rig, _id, timeoutMs) =>
    rig.node(0).post('/v1/keys/main/refresh', { timeoutMs }, CLIENT_MS),
  result: () => 'main',
};

/** Who has the key that moves next: of the third and the fourth node the other one. */
async function nextHolders(rig: FaultRig): Promise<readonly string[]> {
  const { parties } = await rig.node(0).get<KeyView>(`/v1/keys/${rig.moving}`);
  const holders = parties.map(({ peerId }) => peerId);
  const [first, ...rest] = holders;
  // With three nodes the same ones, with other indices.
  if (rig.nodes.length === 3 && first !== undefined) return [...rest, first];
  const moving = peers(rig).slice(2, 4);
  return [...peers(rig).slice(0, 2), ...moving.filter((peer) => !holders.includes(peer))];
}

const reshare: Protocol = {
  ...{ name: 'reshare', kind: 'reshare', key: (rig) => rig.moving },
  prepare: (rig) => rig.freshMoving(),
  // Of the third and the fourth node one leaves, and the other joins.
  roles: (rig) =>
    rig.nodes.length === 3 ? both(rig) : { asking: [0], staying: [1], moving: [2, 3] },
  async request(rig, _id, timeoutMs) {
    const wish = { threshold: 2, participants: await nextHolders(rig), timeoutMs };
    return rig.node(0).post(`/v1/keys/${rig.moving}/reshare`, wish, CLIENT_MS);
  },
  result: (rig) => rig.moving,
};

const loserOf = ({ nodes }: FaultRig): number => nodes.length - 1;

const repair: Protocol = {
  ...{ name: 'repair', kind: 'repair', key: () => 'main' },
  roles: (rig) => ({
    asking: [0],
    helping: others(rig).filter((i) => i !== loserOf(rig)),
    losing: [loserOf(rig)],
  }),
  async prepare(rig) {
    const { keyId } = await rig.node(0).get<KeyView>('/v1/keys/main');
    await loseShare(rig.node(loserOf(rig)), keyId);
    await rig.whole();
  },
  request(rig, _id, timeoutMs) {
    const wish = { peer: rig.node(loserOf(rig)).peerId, timeoutMs };
    return rig.node(0).post('/v1/keys/main/repair', wish, CLIENT_MS);
  },
  result: () => 'main',
};

export const PROTOCOLS: readonly Protocol[] = [signing, generation, refresh, reshare, repair];
