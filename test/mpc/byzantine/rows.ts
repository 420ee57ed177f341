/** What a malicious participant may try, and where it cannot: the table that the tests fill. */

export const ROWS = {
  rogue: "rogue key, another party's proof replayed",
  threshold: 'raising the threshold',
  identifiers: 'identifier 0, q, i+q, duplicates, over n, __proto__',
  badShare: 'a bad share',
  twoTales: 'telling different parties different things',
  split: 'splitting a refresh or reshare (some commit, some do not)',
  partOfRoster: 'refreshing with part of the roster',
  changedKey: 'changing the key while resharing',
  malformed: 'identity, off-curve, small-subgroup, non-canonical points and scalars',
  ros: 'concurrent-session forgery (ROS)',
  swapped: 'swapping the message, foreign identifiers in the signer set',
  wrongShare: 'a wrong signature share',
  replay: 'replay across sessions, late messages for ended ones',
  hashing: 'ambiguous hashing',
  purpose: 'using a key for another purpose',
  twoSessions: 'two sessions at once on one (key, epoch, protocol)',
  output: 'a wrong final output',
} as const;
export type Row = keyof typeof ROWS;

/** `pooled` is signing in one exchange, with commitments from ahead. */
export const PROTOCOLS = ['keygen', 'refresh', 'reshare', 'signing', 'pooled'] as const;
export type Protocol = (typeof PROTOCOLS)[number];

export const SIZES = [3, 5] as const;
export type Size = (typeof SIZES)[number];

const noDealing = { signing: 'nothing is dealt', pooled: 'nothing is dealt' };
const noSigning = (why: string) => ({ keygen: why, refresh: why, reshare: why });

/** Cells that cannot occur, with the reason. */
export const EXCUSED: { readonly [R in Row]?: { readonly [P in Protocol]?: string } } = {
  rogue: noDealing,
  badShare: { signing: 'see: a wrong signature share', pooled: 'see: a wrong signature share' },
  split: {
    keygen: 'there is no old epoch to be split from; see: different things',
    signing: 'no epoch changes',
    pooled: 'no epoch changes',
  },
  partOfRoster: {
    signing: 'any threshold-many holders may sign',
    pooled: 'any threshold-many holders may sign',
  },
  changedKey: { keygen: 'there is no key yet', ...noDealing },
  ros: noSigning('nothing is signed'),
  swapped: noSigning('there is no message, and no set of signers'),
  wrongShare: noSigning('nothing is signed; see: a bad share'),
  purpose: noSigning('the key is used for no purpose; its own is bound in the proposal'),
  twoSessions: {
    keygen: 'every session makes a key of its own',
    signing: 'sessions may run side by side: a commitment serves one package of one session',
    pooled: 'sessions may run side by side: a commitment serves one package of one session',
  },
};

type Run = (size: Size) => void;
const cases = new Map<string, Run>();

const cellOf = (row: Row, protocol: Protocol): string => `${row}/${protocol}`;

/** Says how a row is tried in some protocols. */
export function attack(
  row: Row,
  protocols: readonly Protocol[],
  run: (protocol: Protocol, size: Size) => void,
): void {
  for (const protocol of protocols) {
    const cell = cellOf(row, protocol);
    if (cases.has(cell)) throw new Error(`${cell} is tried twice`);
    cases.set(cell, (size) => run(protocol, size));
  }
}

/** What is known of one cell. */
export const triedAt = (row: Row, protocol: Protocol): Run | undefined =>
  cases.get(cellOf(row, protocol));
