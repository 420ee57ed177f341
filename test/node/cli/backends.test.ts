/** Commands about backends and figures: documents, tables, exit codes, what reaches the node. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BzzzError } from '../../../src/base/errors.ts';
import { BACKEND, type FakeNode, METRICS } from '../control/fake-services.ts';
import { Harness } from '../control/harness.ts';
import { inProcess, type Ran } from './harness.ts';

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

const run = (...args: readonly string[]): Promise<Ran> =>
  inProcess(args, { home: h.dir, env: { BZZZ_CONTROL_SOCKET: h.path } });
const json = async (...args: readonly string[]): Promise<unknown> => {
  const ran = await run(...args, '--json');
  expect(ran.code, ran.stderr).toBe(0);
  return JSON.parse(ran.stdout);
};

describe('backend', () => {
  it('show prints what is chosen and who answers', async () => {
    expect(await json('backend', 'show')).toEqual([BACKEND]);
    h.node.set('backends', () => [
      { ...BACKEND, backend: 'real', percent: 30, active: 'mock', isolated: true },
    ]);
    expect((await run('backend', 'show')).stdout).toBe(
      'COMPONENT  BACKEND  SHARE  ACTIVE  ISOLATED  BEFORE\n' +
        'dht        real     30 %   mock    yes       mock\n',
    );
  });

  it('set takes every name of a backend, and a share', async () => {
    for (const word of ['local', 'mock', 'dht', 'real', 'hybrid']) {
      await json('backend', 'set', 'dht', word);
    }
    await json('backend', 'set', 'dht', 'dht', '--percent', '30');
    expect(h.node.calls.map(([name, ...args]) => [name, ...args])).toEqual(
      [
        ['mock', 100],
        ['mock', 100],
        ['real', 100],
        ['real', 100],
        ['hybrid', 100],
        ['real', 30],
      ].map(([backend, percent]) => ['setBackend', 'dht', { backend, percent }]),
    );
  });

  it('rollback names a component, or none; isolate names one', async () => {
    expect(await json('backend', 'rollback')).toEqual(BACKEND);
    await json('backend', 'rollback', 'discovery');
    expect(await json('isolate', 'dht')).toMatchObject({ isolated: true });
    expect(h.node.calls).toEqual([
      ['rollbackBackend'],
      ['rollbackBackend', 'discovery'],
      ['isolate', 'dht'],
    ]);
  });

  it('fails with the exit codes of the catalogue', async () => {
    expect((await run('backend', 'set', 'dht', 'paper')).code).toBe(2);
    expect((await run('backend', 'set', 'dht', 'real', '--percent', '101')).code).toBe(2);
    expect((await run('backend', 'set', 'dht', 'real', '--percent', 'many')).code).toBe(2);
    expect((await run('backend', 'set', 'dhd', 'real')).code).toBe(4);
    h.node.set('rollbackBackend', () => {
      throw new BzzzError('CONFLICT', 'there is no earlier backend to go back to');
    });
    expect((await run('backend', 'rollback')).code).toBe(8);
  });
});

describe('metrics', () => {
  it('prints the documented names', async () => {
    expect(await json('metrics')).toEqual([METRICS]);
    const { stdout } = await run('metrics');
    expect(stdout).toMatch(/^component +dht$/m);
    for (const [name, value] of Object.entries(METRICS)) {
      expect(stdout).toMatch(new RegExp(`^${name} +${String(value).replace('.', '\\.')}$`, 'm'));
    }
  });
});
