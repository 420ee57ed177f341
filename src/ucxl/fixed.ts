/**
 * The addresses at which the protocols of this project put their records: one builder and one
 * recogniser for all of them, so that nobody glues addresses together.
 *
 * | record           | address                                                        |
 * | ---------------- | -------------------------------------------------------------- |
 * | key certificate  | `ucxl://g-...:group@<cluster>:key/public`                      |
 * | proposal         | `ucxl://mpc:session@<cluster>:<session>/proposal`              |
 * | session events   | `ucxl://mpc:session@<cluster>:<session>/events/<peer id>`      |
 * | result           | `ucxl://mpc:sign@<cluster>:<request>/result`                   |
 * | roster entry     | `ucxl://roster:chain@<cluster>:membership/<epoch>`             |
 * | announcement     | `ucxl://n-...:node@<cluster>:registry/self`                    |
 * | leader           | `ucxl://leader:slurp@<cluster>:election/current`               |
 *
 * Ids are 32 bytes: 64 hex digits everywhere else, 52 characters of base32 inside an address, where
 * a name has at most 63.
 * @module
 */
import { base32 } from 'multiformats/bases/base32';
import type { Epoch, PeerId } from '../base/brands.ts';
import { fromHex, toBase32, toHex } from '../base/bytes.ts';
import { field } from '../base/codec.ts';
import { assert } from '../base/errors.ts';
import type { Address } from './address.ts';
import { keyAgent, selfAgent } from './agents.ts';
import { makeAddress } from './parse.ts';

/** What stands at a fixed address. Ids are lower-case hex. */
export type FixedAddress =
  /** The agent holds only 20 of the 32 bytes of the key id. */
  | { readonly record: 'certificate'; readonly cluster: string; readonly keyAgent: string }
  | { readonly record: 'proposal'; readonly cluster: string; readonly sessionId: string }
  | {
      readonly record: 'events';
      readonly cluster: string;
      readonly sessionId: string;
      readonly author: PeerId;
    }
  | { readonly record: 'result'; readonly cluster: string; readonly requestId: string }
  | { readonly record: 'membership'; readonly cluster: string; readonly epoch: Epoch }
  | { readonly record: 'registry'; readonly cluster: string; readonly agent: string }
  | { readonly record: 'leader'; readonly cluster: string };

/** @param keyId 64 hex digits. Every builder throws INVALID_ADDRESS for a bad cluster name. */
export const certificateAddress = (cluster: string, keyId: string): Address =>
  fixed(keyAgent(keyId), 'group', cluster, 'key', 'public');

/** @param sessionId 64 hex digits. */
export const proposalAddress = (cluster: string, sessionId: string): Address =>
  fixed('mpc', 'session', cluster, idToName(sessionId), 'proposal');

/** @param sessionId 64 hex digits. */
export const eventsAddress = (cluster: string, sessionId: string, author: PeerId): Address =>
  fixed('mpc', 'session', cluster, idToName(sessionId), `events/${author}`);

/** @param requestId 64 hex digits. */
export const resultAddress = (cluster: string, requestId: string): Address =>
  fixed('mpc', 'sign', cluster, idToName(requestId), 'result');

export const membershipAddress = (cluster: string, epoch: number): Address =>
  fixed('roster', 'chain', cluster, 'membership', String(epoch));

export const registryAddress = (cluster: string, peer: PeerId): Address =>
  fixed(selfAgent(peer), 'node', cluster, 'registry', 'self');

export const leaderAddress = (cluster: string): Address =>
  fixed('leader', 'slurp', cluster, 'election', 'current');

/** @returns undefined for an address that no protocol of ours has taken. */
export function recogniseFixed(address: Address): FixedAddress | undefined {
  const { agent, role, project: cluster, task, path } = address;
  const id = nameToId(task);
  switch (`${agentClass(agent)}:${role}`) {
    case 'g-:group':
      if (task !== 'key' || path !== 'public') return undefined;
      return { record: 'certificate', cluster, keyAgent: agent };
    case 'n-:node':
      if (task !== 'registry' || path !== 'self') return undefined;
      return { record: 'registry', cluster, agent };
    case 'roster:chain':
      if (task !== 'membership' || !/^(?:0|[1-9][0-9]{0,8})$/.test(path)) return undefined;
      return { record: 'membership', cluster, epoch: Number(path) as Epoch };
    case 'leader:slurp':
      if (task !== 'election' || path !== 'current') return undefined;
      return { record: 'leader', cluster };
    case 'mpc:sign':
      if (id === undefined || path !== 'result') return undefined;
      return { record: 'result', cluster, requestId: id };
    case 'mpc:session':
      return id === undefined ? undefined : sessionRecord(cluster, id, path);
    default:
      return undefined;
  }
}

function sessionRecord(cluster: string, sessionId: string, path: string): FixedAddress | undefined {
  if (path === 'proposal') return { record: 'proposal', cluster, sessionId };
  const [folder, name, ...more] = path.split('/');
  const author = field.peerId.safeParse(name);
  if (folder !== 'events' || more.length > 0 || !author.success) return undefined;
  return { record: 'events', cluster, sessionId, author: author.data };
}

/** The prefix of an agent that is made of a hash, else the agent itself. */
const agentClass = (agent: string): string => /^([gn]-)[a-z2-7]{32}$/.exec(agent)?.[1] ?? agent;

const fixed = (agent: string, role: string, project: string, task: string, path: string): Address =>
  makeAddress({ agent, role, project, task, path });

/** Hex of 32 bytes -> 52 characters of base32. */
function idToName(id: string): string {
  const bytes = fromHex(id);
  assert(bytes?.length === 32, `an id has 64 hex digits, got ${JSON.stringify(id)}`);
  return toBase32(bytes);
}

/** The reverse; undefined unless the name is what {@link idToName} makes of an id. */
function nameToId(name: string): string | undefined {
  // 52 characters hold 260 bits, an id 256: the last character carries one bit.
  return /^[a-z2-7]{51}[aq]$/.test(name) ? toHex(base32.baseDecode(name)) : undefined;
}
