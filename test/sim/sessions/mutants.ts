/**
 * Ways to break the session machines on purpose, one rule each; see ../mutants.ts. The replacements
 * are never type-checked, so they may keep what they need where it does not belong.
 */
import type { Edit } from '../mutants.ts';
import type { Invariant } from '../violation.ts';

export interface SessionMutant {
  readonly name: string;
  readonly edits: readonly Edit[];
  /** Of these one must be found broken. */
  readonly expects: readonly Invariant[];
}

const COMMIT = 'const { nonces, commitment } = deps.suite.commit(start.share, deps.random);';
const keeping = (name: string): string =>
  `const { nonces, commitment } = ((state.vault.kept ??= {})[${name}] ??=
    deps.suite.commit(start.share, deps.random));`;

export const SESSION_MUTANTS: readonly SessionMutant[] = [
  {
    name: 'a retry uses the same nonce',
    edits: [
      {
        file: 'src/mpc/signing/commit.ts',
        snippet: COMMIT,
        replacement: keeping('slot.driver'),
      },
    ],
    expects: ['N1', 'N2'],
  },
  {
    name: 'two drivers are served with one commitment',
    edits: [
      {
        file: 'src/mpc/signing/commit.ts',
        snippet: COMMIT,
        replacement: keeping('slot.counter'),
      },
    ],
    expects: ['N1', 'N2'],
  },
  {
    name: 'nobody compares echoes',
    edits: [
      {
        file: 'src/mpc/keygen/machine.ts',
        snippet: "state.phase === 'echo' && disagreeing(draft).length === 0",
        replacement: "state.phase === 'echo'",
      },
    ],
    expects: ['K4', 'S5'],
  },
  {
    name: 'a certificate is made of n-1 statements',
    edits: [
      {
        file: 'src/mpc/keygen/machine.ts',
        snippet: 'state.statements.size === seatsOf(draft).length',
        replacement: 'state.statements.size >= Math.max(2, seatsOf(draft).length - 1)',
      },
      {
        file: 'src/mpc/keys/certificate-link.ts',
        snippet: 'raw.statements.length !== seats.length',
        replacement: 'raw.statements.length < seats.length - 1',
      },
      {
        file: 'src/mpc/keys/certificate-link.ts',
        snippet: 'author !== seats[i]',
        replacement: '!seats.includes(author)',
      },
    ],
    expects: ['K4'],
  },
  {
    name: 'the old epoch is dropped before the new one is certified',
    edits: [
      {
        file: 'src/mpc/party/dealt-session.ts',
        snippet: '    this.#attestation = attestation;\n  }',
        replacement:
          '    this.#attestation = attestation;\n    await this.host.deps.keystore.dropActive(attestation.keyId);\n  }',
      },
    ],
    expects: ['K2', 'K4'],
  },
  {
    name: 'two changes of one epoch are agreed to',
    edits: [
      {
        file: 'src/mpc/party/registry.ts',
        snippet: '    requireUnlocked(this.live(), proposal, this.deps.roster());\n',
        replacement: '',
      },
    ],
    expects: ['K2', 'K4'],
  },
  {
    name: 'a repair takes any sum for the share',
    edits: [
      {
        file: 'test/support/toy-dkg.ts',
        snippet: "throw bad('toy repair');",
        replacement: '{}',
      },
      {
        file: 'src/mpc/party/repair-session.ts',
        snippet: 'return expected !== undefined && equalBytes(point, expected);',
        replacement: 'return true;',
      },
    ],
    expects: ['K2'],
  },
  {
    name: 'silence is blamed',
    edits: [
      {
        file: 'src/mpc/signing/drive.ts',
        snippet: '    state.silent.add(peer);\n',
        replacement: "    state.culprits.set(peer, 'badShare');\n",
      },
    ],
    expects: ['S5'],
  },
  {
    name: 'a share is attested before it is on the disk',
    edits: [
      {
        file: 'src/mpc/keygen/attest.ts',
        snippet: '  draft.effects.push(\n    share === undefined\n',
        replacement: '  attest(draft);\n  draft.effects.push(\n    share === undefined\n',
      },
    ],
    expects: ['K1'],
  },
  {
    name: 'a refusal is said before it is on the disk',
    edits: [
      {
        file: 'src/mpc/keygen/refusal.ts',
        snippet: "  effects.push({ type: 'store', name: 'refusal', refusal });",
        replacement: `  sendAll(draft, pack('refusal', refusal));
  effects.push({ type: 'store', name: 'refusal', refusal });`,
      },
    ],
    expects: ['K4'],
  },
  {
    name: 'a party that attested refuses at its deadline',
    edits: [
      {
        file: 'src/mpc/keygen/refusal.ts',
        snippet: "    case 'attested':\n    case 'certifying':\n",
        replacement: "    case 'certifying':\n",
      },
    ],
    expects: ['K2', 'K4'],
  },
  {
    name: "an attested share is wiped for another's refusal",
    edits: [
      {
        file: 'src/mpc/keygen/refusal.ts',
        snippet: "if (!state.attested) draft.effects.push({ type: 'wipe' });",
        replacement: "draft.effects.push({ type: 'wipe' });",
      },
    ],
    expects: ['K2', 'K4'],
  },
  {
    name: 'nobody ends a session that others run',
    edits: [
      {
        file: 'src/mpc/party/watchdog.ts',
        snippet: '} else if (now >= deadline) {',
        replacement: '} else if (now < 0) {',
      },
    ],
    expects: ['S1'],
  },
  {
    name: 'nobody takes over from a driver that died',
    edits: [
      {
        file: 'src/mpc/signing/machine.ts',
        snippet: "else if (name === 'takeover') onTakeover(context);",
        replacement: "else if (name === 'takeover') return;",
      },
    ],
    expects: ['S3'],
  },
];
