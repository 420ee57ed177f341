/**
 * The party pool: who could hold a share right now. It is a view over announcements, nothing is
 * registered anywhere; roles come from the roster, an announcement being its author's word.
 * @module
 */
import type { PeerId } from '../base/brands.ts';
import type { Cancel } from '../base/ports.ts';
import type { Role, RosterView } from '../roster/types.ts';

/** What the node layer knows of one party, this node included. */
export interface AnnouncedParty {
  readonly peerId: PeerId;
  readonly role: Role;
  /** Keystore open, accepting sessions. */
  readonly ready: boolean;
  readonly draining: boolean;
  readonly suites: readonly string[];
  /** Heard of within `LIMITS.announceAgeMs` by this node's own clock. Always true for itself. */
  readonly fresh: boolean;
}

/** The announcements that a pool reads. */
export interface AnnouncementView {
  parties(): readonly AnnouncedParty[];
  /** Calls back after every change. */
  watch(listener: () => void): Cancel;
  /** Why the view cannot be trusted now, because discovery itself fails. */
  trouble(): string | undefined;
}

export interface PartyPool {
  /** Every announced member, in no particular order. */
  list(): readonly AnnouncedParty[];
  /** Members of a role that may get a share of a key of this suite now. @default persistent */
  eligible(suite: string, role?: Role): readonly AnnouncedParty[];
  watch(listener: () => void): Cancel;
  /**
   * Why members may be missing from it that are there: discovery itself fails. Undefined while it
   * works, also when it finds too few.
   */
  trouble(): string | undefined;
}

/** Why a party is passed over; undefined when it is eligible (R12). */
export function unfitness(
  party: AnnouncedParty,
  suite: string,
  role: Role = 'persistent',
): string | undefined {
  if (party.role !== role) return `role ${party.role}`;
  if (!party.fresh) return 'not heard of lately';
  if (party.draining) return 'draining';
  if (!party.ready) return 'not ready';
  if (!party.suites.includes(suite)) return `without suite ${suite}`;
  return undefined;
}

/** The pool over what the node layer hears; only members count, under the roster's role. */
export function createPool(view: AnnouncementView, roster: () => RosterView): PartyPool {
  const list = (): readonly AnnouncedParty[] => {
    const { members } = roster();
    return view.parties().flatMap((party) => {
      const member = members.get(party.peerId);
      return member === undefined ? [] : [{ ...party, role: member.role }];
    });
  };
  return {
    list,
    eligible: (suite, role) =>
      list().filter((party) => unfitness(party, suite, role) === undefined),
    watch: (listener) => view.watch(listener),
    trouble: () => view.trouble(),
  };
}

/** A pool over a list that its owner changes. */
export interface StaticPool extends PartyPool {
  set(parties: readonly AnnouncedParty[]): void;
  /** Says that it cannot be trusted, and why; undefined: it can again. */
  fail(trouble: string | undefined): void;
}

/** For installations, and tests, that know their parties beforehand. */
export function staticPool(initial: readonly AnnouncedParty[]): StaticPool {
  let parties = initial;
  let trouble: string | undefined;
  const listeners = new Set<() => void>();
  return {
    list: () => parties,
    eligible: (suite, role) =>
      parties.filter((party) => unfitness(party, suite, role) === undefined),
    watch(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    trouble: () => trouble,
    fail(why) {
      trouble = why;
    },
    set(next) {
      parties = next;
      for (const listener of listeners) listener();
    },
  };
}
