/**
 * One line of a peer list: where a node may knock to find the others.
 * @module
 */
import { isIPv4, isIPv6 } from 'node:net';
import { multiaddr } from '@multiformats/multiaddr';
import type { PeerId } from '../src/base/brands.ts';
import { BzzzError } from '../src/base/errors.ts';

/**
 * An address to begin with. Without `peerId` whoever answers there is taken for what Noise proves
 * it to be, and the roster decides whether that is a member.
 */
export interface Entrance {
  /** TCP multiaddr without a peer id. */
  readonly addr: string;
  readonly peerId?: PeerId;
}

/** The port that `bzzz daemon` listens on unless told otherwise. */
export const DEFAULT_PORT = 4_750;

const HOSTS = ['ip4', 'ip6', 'dns', 'dns4', 'dns6'];
const HOST_NAME =
  /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*\.?$/i;

/**
 * Reads `/ip4/192.168.1.7/tcp/4750/p2p/12D3KooW...`, `host.lan:4750`, `[fd00::7]:4750`, or a bare
 * host name or address (port 4750).
 * @throws BAD_CONFIG naming the text.
 */
export function parseEntrance(text: string): Entrance {
  const trimmed = text.trim();
  return trimmed.startsWith('/') ? parseMultiaddr(trimmed) : parseHostPort(trimmed);
}

function parseMultiaddr(text: string): Entrance {
  try {
    const [host, tcp, p2p, ...rest] = multiaddr(text).getComponents();
    const isTcp = host !== undefined && HOSTS.includes(host.name) && tcp?.name === 'tcp';
    if (!isTcp || rest.length > 0 || Number(tcp.value) < 1)
      throw new Error('not /<host>/tcp/<port>');
    const addr = `/${host.name}/${host.value}/tcp/${tcp.value}`;
    if (p2p === undefined) return { addr };
    if (p2p.name !== 'p2p' || !/^12D3KooW/.test(p2p.value ?? '')) throw new Error('no peer id');
    return { addr, peerId: p2p.value as PeerId };
  } catch (cause) {
    throw bad(text, cause);
  }
}

function parseHostPort(text: string): Entrance {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(text);
  const v6 = match?.[1] ?? (isIPv6(text) ? text : undefined);
  const host = v6 ?? match?.[2] ?? '';
  const port = match?.[3] === undefined ? DEFAULT_PORT : Number(match[3]);
  const valid = v6 === undefined ? isIPv4(host) || isName(host) : isIPv6(host);
  if (!valid || port < 1 || port > 65_535) throw bad(text);
  const kind = v6 !== undefined ? 'ip6' : isIPv4(host) ? 'ip4' : 'dns';
  return { addr: `/${kind}/${host}/tcp/${port}` };
}

/** Not a mistyped address: `300.1.1.1` is no host name. */
const isName = (host: string): boolean => HOST_NAME.test(host) && !/^[\d.]+$/.test(host);

const bad = (text: string, cause?: unknown): BzzzError =>
  new BzzzError('BAD_CONFIG', `not the address of a peer: ${JSON.stringify(text.slice(0, 200))}`, {
    why: 'expected a multiaddr such as /ip4/192.168.1.7/tcp/4750, or host:port',
    hint: 'copy the address from `bzzz status` on that host',
    ...(cause === undefined ? {} : { cause }),
  });
