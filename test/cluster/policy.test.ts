/** Rules of keys on real daemons: an operator's word, and a program's. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cluster, until } from '../support/cluster.ts';

let cluster: Cluster;
let program: string;

interface Session {
  readonly sessionId: string;
  readonly approval?: { readonly state: string; readonly messageSize: number };
}

beforeAll(async () => {
  cluster = await Cluster.start(3);
  program = join(cluster.home, 'policy.sh');
  const script = '#!/bin/sh\ngrep -q 6f6b || { echo "only ok is ok" >&2; exit 1; }\n';
  writeFileSync(program, script, { mode: 0o700 });
  const common = ['--threshold', '2', '--parties', '3', '--purpose', 'payments'];
  await cluster.founder.json(['key', 'create', 'asked', ...common, '--policy', 'approve']);
  await cluster.founder.json(['key', 'create', 'judged', ...common, '--max-message', '16']);
});
afterAll(() => cluster?.stop());

const waiting = (i: number): Promise<Session> =>
  until(`node ${i} is asked`, async () => {
    const all = await cluster.node(i).get<Session[]>('/v1/sessions');
    return all.find(({ approval }) => approval?.state === 'waiting');
  });

describe('policy on real daemons', () => {
  it('approve: one operator’s yes, by the prefix that the table shows, makes the signature', async () => {
    const answer = cluster.founder.json<{ signers: string[] }>([
      ...['sign', 'asked', '--message', '100 to Ann'],
    ]);
    const { sessionId } = await waiting(1);
    const { stdout } = await cluster.node(1).cli(['session', 'ls']);
    expect(stdout).toContain(`bzzz session approve ${sessionId.slice(0, 16)}`);
    expect(stdout).toContain('for "payments"');
    await cluster.node(1).json(['session', 'approve', sessionId.slice(0, 16)]);
    expect((await answer).signers).toEqual([cluster.founder.peerId, cluster.node(1).peerId].sort());
  });

  it('deny: the requester reads the reasons, and exits with 7', async () => {
    const answer = cluster.founder.cli(['sign', 'asked', '--message', '100 to Ben', '--json']);
    for (const i of [1, 2]) {
      const { sessionId } = await waiting(i);
      await cluster.node(i).json(['session', 'deny', sessionId, '--reason', `Ben is off ${i}`]);
    }
    const { code, stdout } = await answer;
    expect(code).toBe(7);
    const { error } = JSON.parse(stdout);
    expect(error).toMatchObject({ code: 'REFUSED_BY_POLICY', details: { rule: 'approval' } });
    expect(JSON.stringify(error.details.refused)).toContain('denied by an operator: Ben is off 2');
  });

  it('a program on a holder: its no is that holder’s, and a size over the limit goes nowhere', async () => {
    const judge = cluster.node(1);
    await judge.kill('SIGTERM');
    judge.setEnv({ BZZZ_POLICY_PROGRAM: program });
    await judge.start();
    await cluster.meshed();
    const sign = (text: string) =>
      cluster.founder.json<{ signers: string[] }>(['sign', 'judged', '--message', text]);
    const without = [cluster.founder.peerId, cluster.node(2).peerId].sort();
    expect((await sign('not so good')).signers).toEqual(without);
    expect((await sign('ok')).signers).toHaveLength(2);
    const { code, stderr } = await cluster.founder.cli([
      ...['sign', 'judged', '--message', 'x'.repeat(17)],
    ]);
    expect([code, stderr]).toEqual([7, expect.stringContaining('takes 16')]);
  });
});
