/** Parties that run the real machine and change what it says on the way out. */
import type { PeerId } from '../../../src/base/brands.ts';
import {
  openMessage,
  type Payloads,
  pack,
  type SignedKind,
  sealMessage,
  unpack,
} from '../../../src/mpc/keygen/messages.ts';
import { CLUSTER, type Network, type Node } from './network.ts';

/** What a packet says. */
export const said = <K extends SignedKind>(node: Node, kind: K, packet: Uint8Array) =>
  openMessage(CLUSTER, node.deps.open, kind, unpack(packet).body);

/** A packet, signed by a node. */
export const say = <K extends SignedKind>(node: Node, kind: K, payload: Payloads[K]): Uint8Array =>
  pack(kind, sealMessage(CLUSTER, node.deps.signer, kind, payload));

/** Changes one kind of message of one node; `to` is the receiver's place among the nodes, from 1. */
export function lie<K extends SignedKind>(
  net: Network,
  liar: Node,
  kind: K,
  change: (payload: Payloads[K], to: number) => Payloads[K] | undefined,
): void {
  liar.twist = (to, packet) => {
    if (unpack(packet).kind !== kind) return [packet];
    const place = net.nodes.findIndex(({ peerId }) => peerId === to) + 1;
    const changed = change(said(liar, kind, packet).payload, place);
    return changed === undefined ? [] : [say(liar, kind, changed)];
  };
}

/** Tells a certificate exists to `friend` alone, and to the others that it never attested. */
export function tellTwoTales(net: Network, liar: Node, friend: Node): readonly Node[] {
  const deaf = (to: PeerId, packet: Uint8Array): boolean =>
    to !== friend.peerId && ['statement', 'certificate'].includes(unpack(packet).kind);
  liar.twist = (to, packet) => (deaf(to, packet) ? [] : [packet]);
  friend.twist = (_to, packet) => (unpack(packet).kind === 'certificate' ? [] : [packet]);
  net.start().settle();
  const payload = { v: 1 as const, sid: net.sealed.sid, reason: 'restarted' as const };
  const refused = net.nodes.filter((node) => node !== liar && node !== friend);
  for (const { peerId } of refused) {
    net.send(liar.peerId, peerId, say(liar, 'refusal', { ...payload, complaint: null }));
  }
  net.settle();
  return refused;
}

/** What {@link tellTwoTales} kept from everybody comes to them after all. */
export function bringCertificate(net: Network, friend: Node): void {
  friend.twist = undefined;
  for (const { peerId } of net.nodes) {
    if (peerId === friend.peerId) continue;
    net.send(friend.peerId, peerId, pack('certificate', friend.disk.certificate!));
  }
  net.run();
}

/** Another last bit. */
export const flip = (bytes: Uint8Array): Uint8Array =>
  bytes.with(bytes.length - 1, (bytes.at(-1) ?? 0) ^ 1);
