/**
 * Ways to break the machine on purpose, one rule each. Every snippet occurs exactly once in its
 * file; `expects` are the invariants of which one must be found broken.
 */
import type { Invariant } from './violation.ts';

export interface Edit {
  readonly file: string;
  readonly snippet: string;
  readonly replacement: string;
}

export interface Mutant {
  readonly name: string;
  readonly edits: readonly Edit[];
  /** With every check on. */
  readonly expects: readonly Invariant[];
  /** By what harms the cluster alone; see checker.ts. */
  readonly outcomes: readonly Invariant[];
}

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'nothing is durable',
    edits: [
      {
        file: 'src/election/turn.ts',
        snippet: "  turn.effects.push({ type: 'persist', hard });\n",
        replacement: '',
      },
    ],
    expects: ['E2', 'E3'],
    outcomes: ['E1', 'E2', 'E3'],
  },
  {
    name: 'the vote alone is not durable',
    edits: [
      {
        file: 'src/election/turn.ts',
        snippet: "turn.effects.push({ type: 'persist', hard });",
        replacement: "turn.effects.push({ type: 'persist', hard: { ...hard, votedFor: null } });",
      },
    ],
    expects: ['E3'],
    outcomes: ['E1', 'E3'],
  },
  {
    name: 'half of the voters are enough',
    edits: [
      {
        file: 'src/roster/entry.ts',
        snippet: 'Math.floor(voters / 2) + 1',
        replacement: 'Math.ceil(voters / 2)',
      },
    ],
    expects: ['E1'],
    outcomes: ['E1', 'E8'],
  },
  {
    name: 'acts of a lower term are accepted',
    edits: [
      {
        file: 'src/election/rules.ts',
        snippet: 'term < hard.term;',
        replacement: 'term < hard.term - hard.term;',
      },
    ],
    expects: ['E5'],
    outcomes: ['E5'],
  },
  {
    name: 'no pre-vote is asked for',
    edits: [
      {
        file: 'src/election/standing.ts',
        snippet: '  if (isAlone(turn)) {\n',
        replacement: '  if (isVoter(turn)) {\n',
      },
    ],
    expects: ['E7'],
    outcomes: ['E7'],
  },
  {
    name: 'a voter that has its leader grants pre-votes',
    edits: [
      {
        file: 'src/election/voting.ts',
        snippet: "  if (isLed(turn)) return 'led';\n",
        replacement: '',
      },
    ],
    expects: ['E4'],
    outcomes: ['E7'],
  },
  {
    name: 'votes go to candidates with an older roster',
    edits: [
      {
        file: 'src/election/rules.ts',
        snippet: 'candidate.rosterTerm < elector.rosterTerm ||',
        replacement: 'candidate.rosterTerm < 0 &&',
      },
    ],
    expects: ['E8'],
    outcomes: ['E1', 'E8'],
  },
  {
    name: 'a voter signs two entries in one epoch and term',
    edits: [
      {
        file: 'src/election/rules.ts',
        snippet: 'accepted !== null && accepted.body.epoch === epoch && accepted.ballot >= ballot;',
        replacement:
          'accepted !== null && accepted.body.epoch === epoch && accepted.ballot > ballot;',
      },
    ],
    expects: ['E8'],
    outcomes: ['E8'],
  },
  {
    name: 'a new leader forgets what its electors signed',
    edits: [
      {
        file: 'src/election/standing.ts',
        snippet: '  return equalBytes(accepted.body.prev, roster.head) ? accepted : null;',
        replacement: '  return equalBytes(accepted.body.prev, roster.head) ? null : accepted;',
      },
    ],
    expects: ['E8'],
    outcomes: ['E8'],
  },
  {
    name: 'of two inherited entries the one with the lower ballot is taken',
    edits: [
      {
        file: 'src/election/rules.ts',
        snippet: 'return y.ballot > x.ballot ? y : x;',
        replacement: 'return y.ballot > x.ballot ? x : y;',
      },
    ],
    expects: ['E8'],
    outcomes: ['E8'],
  },
  {
    name: 'a roster of a higher term leaves the term as it is',
    edits: [
      {
        file: 'src/election/machine.ts',
        snippet: "  if (term > turn.state.hard.term) adoptTerm(turn, term, 'quorum');\n",
        replacement: '',
      },
      {
        file: 'src/election/rules.ts',
        snippet: '(Math.max(hard.term, roster.term) + 1)',
        replacement: '(hard.term + Math.min(roster.term, 0) + 1)',
      },
    ],
    expects: ['E1'],
    outcomes: ['E1'],
  },
  {
    name: 'a leader without a majority goes on',
    edits: [
      {
        file: 'src/election/leading.ts',
        snippet: '> timing.timeoutMs) {',
        replacement: '> 1e9) {',
      },
    ],
    expects: ['E4'],
    outcomes: ['E4'],
  },
];
