import type { PeerId } from '../../src/base/brands.ts';
import { BzzzError } from '../../src/base/errors.ts';
import type { Signer } from '../../src/base/ports.ts';
import { type Invitation, parseInvitation } from '../../src/roster/invitation.ts';
import { InvitationBook } from '../../src/roster/invitation-book.ts';
import { type JoinDeps, JoinDesk } from '../../src/roster/join.ts';
import { decodeAnswer, encodeJoin } from '../../src/roster/join-wire.ts';
import { type TestClock, testRandom } from '../support/world.ts';
import type { PaperElection } from './certifier.ts';
import { ada, epoch, loggedLines, openNode, type TestNode } from './support.ts';

export const HOUR = 3_600_000;
export const addresses = [`/ip4/127.0.0.1/tcp/4750/p2p/${ada.peerId}`];

export interface Host extends TestNode {
  readonly desk: JoinDesk;
  readonly book: InvitationBook;
  readonly lines: string[];
}

/** Members that reach each other by function calls; `cut` hosts answer nobody. */
export class Net {
  readonly hosts = new Map<PeerId, Host>();
  readonly cut = new Set<PeerId>();
  /** Whom petitions were passed on to, in order. */
  readonly asked: PeerId[] = [];
  /** Which issuers were asked for an invitation. */
  readonly issuers: PeerId[] = [];
  readonly election: PaperElection | undefined;
  /** Called when a leader wants to hand over. */
  handOver: () => void = () => {};

  constructor(election?: PaperElection) {
    this.election = election;
  }

  reach(to: PeerId): Host {
    const other = this.hosts.get(to);
    if (other !== undefined && !this.cut.has(to)) return other;
    throw new BzzzError('PEER_UNREACHABLE', `${to} is not connected`);
  }

  async add(signer: Signer, clock?: TestClock, entries?: readonly Uint8Array[]): Promise<Host> {
    const { lines, logger } = loggedLines();
    const node = await openNode(signer, {
      logger,
      ...(clock === undefined ? {} : { clock }),
      ...(entries === undefined ? {} : { entries }),
    });
    const deps = { roster: node.roster, signer, clock: node.clock, logger };
    const book = new InvitationBook({
      ...deps,
      store: node.store.sub('invitations'),
      random: testRandom(signer.peerId),
    });
    const desk = new JoinDesk({
      ...deps,
      invitations: book,
      forward: async (to, petition) => {
        this.asked.push(to);
        return this.reach(to).desk.serveForwarded(petition, signer.peerId);
      },
      ...this.#electing(signer.peerId),
    });
    this.election?.attach(node.roster);
    const host = { ...node, desk, book, lines };
    this.hosts.set(signer.peerId, host);
    return host;
  }

  #electing(self: PeerId): Partial<JoinDeps> {
    const { election } = this;
    if (election === undefined) return {};
    return {
      leader: () => election.leader,
      handOver: async () => this.handOver(),
      askIssuer: async (issuer, query) => {
        this.issuers.push(issuer);
        return this.reach(issuer).desk.serveQuery(query, self);
      },
    };
  }
}

export const invite = async (host: Host, extra: object = {}): Promise<Invitation> => {
  const options = { role: 'persistent', noVoter: false, ttlMs: HOUR, addresses, ...extra } as const;
  return parseInvitation((await host.book.issue(options)).text);
};

export const ask = (
  invitation: Invitation,
  who: Signer,
  extra: { name?: string } = {},
): Uint8Array => encodeJoin(invitation, who, { have: epoch(0), ...extra });

/** The code of a refusal, or `ok`. */
export const verdict = (answer: Uint8Array): string => {
  const decoded = decodeAnswer(answer);
  return decoded.ok ? 'ok' : decoded.error.code;
};
