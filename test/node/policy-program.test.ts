import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SessionId } from '../../src/base/brands.ts';
import type { PolicyQuestion } from '../../src/mpc/policy/policy-program.ts';
import { checkPolicyProgram, policyProgram } from '../../src/node/policy-program.ts';
import { steadyClock } from '../support/steady-clock.ts';

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'bzzz-policy-'));
});
afterAll(() => rm(dir, { recursive: true }));

const question: PolicyQuestion = {
  v: 1,
  sessionId: 'ab'.repeat(32) as SessionId,
  key: { keyId: 'cd'.repeat(32), name: 'release', suite: 'ed25519' },
  purpose: 'releases "quoted" $HOME',
  requester: 'ann',
  policy: 'auto',
  messageHash: 'ef'.repeat(32),
  messageSize: 65_536,
  message: '5a'.repeat(65_536),
};

let serial = 0;
async function program(body: string): Promise<string> {
  const path = join(dir, `policy-${++serial}`);
  await writeFile(path, `#!/bin/sh\n${body}\n`, { mode: 0o700 });
  return path;
}
const ask = async (body: string) => policyProgram(await program(body), steadyClock)(question);

describe('an external policy program', () => {
  it('reads the question as JSON, and says yes with exit code 0', async () => {
    const heard = join(dir, 'heard');
    expect(await ask(`cat > ${heard}`)).toEqual({ ok: true });
    expect(JSON.parse(await readFile(heard, 'utf8'))).toEqual(question);
  });

  it('says no with any other code; the first line of its errors is the reason', async () => {
    expect(await ask('echo "over the limit" >&2; echo more >&2; exit 1')).toEqual({
      ok: false,
      reason: 'over the limit',
    });
    expect(await ask('exit 3')).toEqual({ ok: false, reason: 'exit code 3' });
    expect(await ask('kill -9 $$')).toEqual({ ok: false, reason: 'it was ended by SIGKILL' });
  });

  it('has its reason cut to 200 bytes without control characters, however much it says', async () => {
    const verdict = await ask(
      'printf "\\033[2Jna\\303\\257ve" >&2; yes é | head -c 100000 | tr -d "\\n" >&2; exit 1',
    );
    if (verdict.ok) throw new Error('it said no');
    expect(verdict.reason.startsWith('[2Jnaïveé')).toBe(true);
    expect(Buffer.byteLength(verdict.reason)).toBeLessThanOrEqual(200);
  });

  it('runs with an empty environment and takes no part of ours', async () => {
    process.env.BZZZ_SECRET_CANARY = 'canary';
    const heard = join(dir, 'environment');
    expect(await ask(`env > ${heard}; pwd >> ${heard}`)).toEqual({ ok: true });
    const seen = await readFile(heard, 'utf8');
    delete process.env.BZZZ_SECRET_CANARY;
    expect(seen).not.toContain('canary');
    expect(seen.trim().split('\n').at(-1)).toBe('/');
  });

  it('may decide without reading: a closed pipe ends nothing', async () => {
    expect(await ask('exec 0<&-; exit 0')).toEqual({ ok: true });
  });

  it('is no after 2 s, and leaves no process behind', async () => {
    const pidFile = join(dir, 'pid');
    const startedAt = steadyClock.now();
    expect(await ask(`sleep 60 & echo $! > ${pidFile}; wait`)).toEqual({
      ok: false,
      reason: 'no answer within 2000 ms',
    });
    expect(steadyClock.now() - startedAt).toBeLessThan(2_900);
    const pid = Number(await readFile(pidFile, 'utf8'));
    await new Promise((resolve) => setTimeout(resolve, 100));
    const state = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '(sleep) gone');
    // A zombie that nobody has waited for is dead all the same.
    expect(state).toMatch(/\(sleep\) (gone|Z)/);
  });

  it('that is missing or cannot be run is a no', async () => {
    const missing = await policyProgram(join(dir, 'none'), steadyClock)(question);
    expect(missing).toMatchObject({ ok: false, reason: expect.stringContaining('cannot be run') });
  });

  it('is refused at the start when it is no program, or others can change it', async () => {
    const path = await program('exit 0');
    await expect(checkPolicyProgram(path)).resolves.toBeUndefined();
    await chmod(path, 0o722);
    await expect(checkPolicyProgram(path)).rejects.toMatchObject({ code: 'LOOSE_PERMISSIONS' });
    await chmod(path, 0o600);
    await expect(checkPolicyProgram(path)).rejects.toMatchObject({ code: 'BAD_CONFIG' });
    await expect(checkPolicyProgram(dir)).rejects.toMatchObject({ code: 'BAD_CONFIG' });
    await expect(checkPolicyProgram(join(dir, 'none'))).rejects.toMatchObject({
      code: 'BAD_CONFIG',
    });
  });
});
