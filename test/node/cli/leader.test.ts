/** Commands about leader, voters, recovery and jobs: documents, exit codes, confirmation, tables. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BzzzError } from '../../../src/base/errors.ts';
import { eventLine } from '../../../src/node/cli/event-text.ts';
import { table } from '../../../src/node/cli/text.ts';
import type { PeerDocument, StatusDocument } from '../../../src/node/services.ts';
import { type FakeNode, JOB, LEADER, PEER_A, PEER_B, TERMS } from '../control/fake-services.ts';
import { Harness } from '../control/harness.ts';
import { inProcess, type Options, type Ran, start } from './harness.ts';

let h: Harness;
let original: FakeNode;
beforeAll(async () => {
  h = await Harness.start();
  original = { ...h.node };
});
afterAll(() => h.stop());
beforeEach(() => {
  Object.assign(h.node, original);
  h.node.calls.length = 0;
});

const run = (args: readonly string[], options: Partial<Options> = {}): Promise<Ran> =>
  inProcess(args, { home: h.dir, env: { BZZZ_CONTROL_SOCKET: h.path }, ...options });

async function json(args: readonly string[]): Promise<unknown> {
  const ran = await run([...args, '--json']);
  expect(ran.code, ran.stderr).toBe(0);
  expect(ran.stderr).toBe('');
  expect(ran.stdout.trimEnd().split('\n')).toHaveLength(1);
  return JSON.parse(ran.stdout);
}

const CUT_A = `${PEER_A.slice(0, 8)}..${PEER_A.slice(-6)}`;
const CUT_B = `${PEER_B.slice(0, 8)}..${PEER_B.slice(-6)}`;
const TIME = '2026-01-01T00:00:00.000Z';

describe('leader', () => {
  it('prints the document, its contract first', async () => {
    const document = await json(['leader']);
    expect(document).toEqual(LEADER);
    expect(document).toMatchObject({
      peerId: PEER_A,
      term: 7,
      since: TIME,
      votes: [PEER_A, PEER_B],
    });
    expect((await run(['leader'])).stdout).toBe(
      `leader  ${PEER_A} (this node)\n` +
        `term    7\nsince   ${TIME}\nepoch   2\nvotes   ${CUT_A} ${CUT_B}\n`,
    );
    h.node.set('leader', () => ({ ...LEADER, self: false, votes: [] }));
    const other = (await run(['leader'])).stdout;
    expect(other).toMatch(new RegExp(`^leader  ${PEER_A}\n`));
    expect(other).toContain('votes   not seen\n');
  });

  it('exits 5 when nobody leads', async () => {
    h.node.set('leader', () => {
      const details = { have: 1, need: 2 };
      throw new BzzzError('NO_LEADER', 'nobody leads', { why: '1 of 3 voters is here', details });
    });
    const ran = await run(['leader', '--json']);
    expect(ran.code).toBe(5);
    expect(JSON.parse(ran.stdout).error).toMatchObject({
      code: 'NO_LEADER',
      details: { have: 1, need: 2 },
    });
    expect(ran.stderr).toMatch(/^error: nobody leads\nwhy: 1 of 3 voters is here \(NO_LEADER\)\n/);
  });

  it('--history is a table of terms', async () => {
    expect(await json(['leader', '--history'])).toEqual(TERMS);
    const lines = (await run(['leader', '--history'])).stdout.trimEnd().split('\n');
    expect(lines.map((line) => line.split(/ {2,}/))).toEqual([
      ['TERM', 'LEADER', 'SINCE', 'UNTIL', 'TRIGGER'],
      ['6', CUT_B, TIME, TIME, 'start'],
      ['7', CUT_A, TIME, 'now', 'closed'],
    ]);
  });

  it('transfer and step-down', async () => {
    expect(await json(['leader', 'transfer'])).toEqual({ peerId: PEER_B, term: 8 });
    expect(await json(['leader', 'transfer', 'shelf'])).toEqual({ peerId: PEER_B, term: 8 });
    expect(await json(['leader', 'step-down'])).toEqual({ term: 7 });
    expect(h.node.calls).toEqual([
      ['transferLeadership'],
      ['transferLeadership', PEER_B],
      ['stepDown'],
    ]);
    expect((await run(['leader', 'transfer'])).stdout).toBe(`leader  ${PEER_B}\nterm    8\n`);
    expect((await run(['leader', 'step-down'])).stdout).toBe('ended term  7\n');
    expect((await run(['leader', 'transfer', 'nobody'])).code).toBe(4);
  });
});

describe('roster', () => {
  it('promote, demote and remove take a name and print the epoch', async () => {
    expect(await json(['roster', 'promote', 'shelf'])).toEqual({ epoch: 3 });
    expect(await json(['roster', 'demote', CUT_B])).toEqual({ epoch: 4 });
    expect(await json(['roster', 'remove', 'shelf'])).toMatchObject({ epoch: 3 });
    expect(h.node.calls).toEqual([
      ['promoteMember', PEER_B],
      ['demoteMember', PEER_B],
      ['removeMember', PEER_B],
    ]);
    expect((await run(['roster', 'promote', 'shelf'])).stdout).toBe('promoted at epoch  3\n');
    expect((await run(['roster', 'demote', 'shelf'])).stdout).toBe('demoted at epoch  4\n');
  });

  it('a node that is no voter refuses with 7, a changed leader with 1', async () => {
    for (const [code, exit] of [
      ['NOT_A_VOTER', 7],
      ['LEADERSHIP_LOST', 1],
      ['NO_LEADER', 5],
    ] as const) {
      h.node.set('promoteMember', async () => {
        throw new BzzzError(code, 'm');
      });
      expect((await run(['roster', 'promote', 'shelf'])).code, code).toBe(exit);
    }
  });
});

describe('roster recover', () => {
  const args = ['roster', 'recover', '--voters', `shelf,${PEER_A}`];
  const voters = [PEER_B, PEER_A];

  it('takes the name of the cluster from --yes', async () => {
    expect(await json([...args, '--yes', 'lab'])).toEqual({
      state: 'done',
      epoch: 3,
      voters,
      waitingFor: [],
    });
    expect(h.node.calls).toEqual([['recoverRoster', voters]]);
  });

  it('asks at a terminal, and says what is at stake', async () => {
    const ran = await run(args, { terminal: true, input: ' lab \nmore\n' });
    expect(ran.code, ran.stderr).toBe(0);
    expect(ran.stderr).toContain(`The voters of cluster lab at epoch 2: ${CUT_A}\n`);
    expect(ran.stderr).toContain(`From here on: shelf, ${PEER_A}\n`);
    expect(ran.stderr).toMatch(/parts in two[\s\S]*Type the name of the cluster to go on: $/);
    expect(h.node.calls).toEqual([['recoverRoster', voters]]);
  });

  it.each([
    ['another name', { terminal: true, input: 'Lab\n' }, [], /"Lab" is not the name/],
    ['the end of the input', { terminal: true }, [], /"" is not the name/],
    ['an endless line', { terminal: true, input: 'lab'.repeat(1_000) }, [], /is not the name/],
    ['another --yes', {}, ['--yes', 'lap'], /"lap" is not the name/],
    ['an empty --yes', { terminal: true, input: 'lab\n' }, ['--yes', ''], /"" is not the name/],
    ['no terminal', { input: 'lab\n' }, [], /must be confirmed[\s\S]*no terminal[\s\S]*--yes CLU/],
  ] as [string, Partial<Options>, string[], RegExp][])(
    '%s changes nothing and is 2',
    async (_name, options, more, message) => {
      const ran = await run([...args, ...more], options);
      expect(ran.code).toBe(2);
      expect(ran.stderr).toMatch(message);
      expect(ran.stderr).toContain('(BAD_USAGE)');
      expect(ran.stdout).toBe('');
      expect(h.node.calls).toEqual([]);
    },
  );

  it('an open pipe is no terminal: the program says so and ends', async () => {
    const child = start(args, { home: h.dir, env: { BZZZ_CONTROL_SOCKET: h.path } });
    let stderr = '';
    child.stderr?.on('data', (chunk) => (stderr += chunk));
    expect(await new Promise((done) => child.once('close', done))).toBe(2);
    expect(stderr).toMatch(/must be confirmed/);
    expect(h.node.calls).toEqual([]);
  });

  it('says what to type on the other hosts, with whole ids', async () => {
    const command = `\n  bzzz roster recover --voters ${PEER_B},${PEER_A}\n`;
    const done = await run([...args, '--yes', 'lab']);
    expect(done.stdout).toContain('state  done\n');
    expect(done.stdout).toContain(`voter  ${PEER_B} shelf\n`);
    expect(done.stdout).toContain('Every other survivor');
    expect(done.stdout).toContain(command);
    h.node.set('recoverRoster', async (list) => ({
      ...{ state: 'waiting', epoch: 3, voters: list, waitingFor: [PEER_B] },
    }));
    const waiting = await run([...args, '--yes', 'lab']);
    expect(waiting).toMatchObject({ code: 0, stderr: '' });
    expect(waiting.stdout).toMatch(new RegExp(`^waiting for +${PEER_B} shelf$`, 'm'));
    expect(waiting.stdout).toMatch(
      /takes effect, by itself, when the same was typed on the hosts that it waits for/,
    );
    expect(waiting.stdout).toContain(command);
  });

  it('names from other hosts move no cursor in the question', async () => {
    const roster = h.node.roster();
    const [first] = roster.members;
    if (first === undefined) return expect.unreachable('no member');
    const members = [{ ...first, name: 'a\u001b[2J' }];
    h.node.set('roster', () => ({ ...roster, members }));
    const ran = await run(['roster', 'recover', '--voters', PEER_A], {
      terminal: true,
      input: 'lab\n',
    });
    expect(ran.code, ran.stderr).toBe(0);
    expect(ran.stderr + ran.stdout).not.toContain('\u001b');
  });
});

describe('jobs', () => {
  it('ls and submit', async () => {
    expect(await json(['job', 'ls'])).toEqual([JOB]);
    expect(await json(['job', 'submit', 'refresh', 'release'])).toEqual(JOB);
    await json(['job', 'submit', 'repair', 'release laptop', '--id', 'mine']);
    expect(h.node.calls).toEqual([
      ['submitJob', { kind: 'refresh', subject: 'release' }],
      ['submitJob', { kind: 'repair', subject: 'release laptop', id: 'mine' }],
    ]);
    const bad = await run(['job', 'submit', 'dance', 'x']);
    expect(bad).toMatchObject({ code: 2, stdout: '' });
    expect(bad.stderr).toContain('kind');
  });

  it('a job that ended says with what', async () => {
    h.node.set('submitJob', async () => ({
      ...JOB,
      ...{ state: 'done', endedAt: TIME, result: 'refreshed' },
    }));
    const { stdout } = await run(['job', 'submit', 'refresh', 'release']);
    expect(stdout).toMatch(/^result +refreshed$/m);
    expect(stdout).toMatch(new RegExp(`^ended +${TIME}$`, 'm'));
  });
});

describe('status and peers', () => {
  it('status shows leader, term, voters and every warning', async () => {
    const before = await h.node.status();
    const shown = async (change: Partial<StatusDocument>): Promise<string> => {
      h.node.set('status', async () => ({ ...before, ...change }));
      return (await run(['status'])).stdout;
    };
    const led = await shown({ voters: 3, warnings: [] });
    expect(led).toMatch(new RegExp(`^leader +${PEER_A} \\(this node\\)$`, 'm'));
    expect(led).toMatch(/^term +7$/m);
    expect(led).toMatch(/^voters +3$/m);
    expect(led).not.toContain('warning');
    const warnings = ['4 voters: one more failure is no better borne than with 3', 'no leader'];
    const lost = await shown({ leader: null, term: 9, voters: 4, warnings, ready: false });
    expect(lost).toMatch(/^leader +none$/m);
    expect(lost).toMatch(/^term +9$/m);
    for (const text of warnings) expect(lost).toContain(`warning  ${text}\n`);
    expect(await shown({ leader: { peerId: PEER_B, term: 7 } })).toMatch(
      new RegExp(`^leader +${PEER_B}$`, 'm'),
    );
  });

  it('peers shows voter, term and lag within 100 columns, whatever the names', async () => {
    const [peer] = h.node.peers();
    if (peer === undefined) return expect.unreachable('no peer');
    const wide: PeerDocument = {
      ...peer,
      name: 'n'.repeat(63),
      voter: true,
      ready: false,
      rttMs: 1_234.56,
      term: 123_456,
      lag: 1_000,
      addrs: [`/dns4/${'a'.repeat(200)}.lan/tcp/4750`],
    };
    const silent: PeerDocument = { ...peer, term: null, lag: null, rttMs: null, addrs: [] };
    h.node.set('peers', () => [wide, silent]);
    const { stdout } = await run(['peers']);
    const lines = stdout.trimEnd().split('\n');
    expect(lines[0]?.split(/ {2,}/)).toEqual([
      'PEER',
      'NAME',
      'ROLE',
      'VOTER',
      'STATE',
      'RTT',
      'TERM',
      'LAG',
      'ADDRESS',
    ]);
    for (const line of lines) expect(line.length, line).toBeLessThanOrEqual(100);
    expect(lines[1]).toMatch(
      new RegExp(
        `^${CUT_B} +n+\\.\\. +persistent +yes +connected +1234\\.6ms +123456 +1000 +/dns4`,
      ),
    );
    expect(lines[2]).toMatch(new RegExp(`^${CUT_B} +shelf +persistent +ready$`));
    const full = (await run(['peers', '--full'])).stdout;
    expect(full).toContain('mdns,announce');
    expect(full).toContain('n'.repeat(63));
  });

  it('--json is the documents as they are', async () => {
    expect(await json(['status'])).toEqual(await h.node.status());
    expect(await json(['peers'])).toEqual(h.node.peers());
  });
});

describe('tables', () => {
  it('the new ones are at most 100 wide', async () => {
    const long = 's'.repeat(1_024);
    h.node.set('jobs', () => [{ ...JOB, subject: long, id: long.slice(0, 63) }]);
    h.node.set('terms', () => TERMS.map((t) => ({ ...t, trigger: long })));
    const roster = h.node.roster();
    const members = roster.members.map((m) => ({ ...m, name: long.slice(0, 63) }));
    h.node.set('roster', () => ({ ...roster, members }));
    for (const args of [['job', 'ls'], ['leader', '--history'], ['roster']]) {
      const { stdout } = await run(args);
      const lines = stdout
        .slice(stdout.lastIndexOf('\n\n') + 1)
        .trimEnd()
        .split('\n');
      expect(lines.length).toBeGreaterThan(1);
      for (const line of lines) expect(line.length, line).toBeLessThanOrEqual(100);
    }
  });

  it('the first column gives way last', () => {
    const row = ['a'.repeat(30), 'b'.repeat(30), 'c'.repeat(30)];
    expect(table([], [row], 60)).toBe(`${row[0]}  ${'b'.repeat(11)}..  ${'c'.repeat(11)}..\n`);
    const narrow = table([], [row], 30).trimEnd();
    expect(narrow).toHaveLength(30);
    expect(table([], [['a'.repeat(90)]], 50).trimEnd()).toHaveLength(50);
  });
});

describe('events', () => {
  it('of elections and jobs read as sentences, with ids cut', async () => {
    const line = (kind: string, data: object, full = false): string =>
      eventLine({ event: kind, data: { id: 1, time: TIME, kind, data } }, { json: false, full });
    expect(line('leader.elected', { term: 7, trigger: 'closed', votes: [PEER_A, PEER_B] })).toBe(
      `${TIME} leader.elected (this node leads) term=7 trigger=closed votes=${CUT_A},${CUT_B}\n`,
    );
    expect(line('leader.changed', { leader: PEER_B, term: 8 }, true)).toBe(
      `${TIME} leader.changed (there is a leader) leader=${PEER_B} term=8\n`,
    );
    expect(line('election.refused', { from: PEER_B, reason: 'term 6 is over' })).toBe(
      `${TIME} election.refused (an act of an old term was refused)` +
        ` from=${CUT_B} reason=term 6 is over\n`,
    );
    expect(line('job.done', { job: { id: 'a' }, by: null })).toBe(
      `${TIME} job.done (a job is done) job={"id":"a"} by=null\n`,
    );
    expect(line('constructor', {})).toBe(`${TIME} constructor\n`);
  });

  it('reach the command, and --json leaves them as they came', async () => {
    h.node.events.emit('leader.lost', { leader: PEER_B, term: 7 });
    const human = await run(['events']);
    expect(human.stdout).toMatch(
      /^\S+Z leader\.lost \(the leader is lost\) leader=\S+\.\.\S+ term=7$/m,
    );
    const last = (await run(['events', '--json'])).stdout.trimEnd().split('\n').at(-1);
    expect(JSON.parse(last ?? '')).toMatchObject({
      kind: 'leader.lost',
      data: { leader: PEER_B, term: 7 },
    });
  });
});
