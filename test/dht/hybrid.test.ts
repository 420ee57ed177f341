/** The hybrid store over a network whose faults are chosen; every time is the test clock's. */
import { describe, expect, it } from 'vitest';
import { BzzzError } from '../../src/base/errors.ts';
import type { KeyValue } from '../../src/base/ports.ts';
import { MAX_ATTEMPTS } from '../../src/dht/replayer.ts';
import { memoryKeyValue } from '../support/world.ts';
import { type Lab, lab, OTHERS, SELF, settle } from './hybrid-support.ts';
import { content, seqOf, sequence } from './support.ts';

const LOCAL = { ack: 'local', holders: [SELF], pending: 4 };
const QUORUM = { ack: 'quorum', holders: [SELF, ...OTHERS], pending: 0 };
const CID = 'bafkreifzjut3te7nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e';

const put = (at: Lab, text: string, options = {}) => {
  const { suffix, value } = content(text);
  return at.store.put('c', suffix, value, options);
};
const nameOf = (text: string): string => `c/${content(text).suffix}`;
/** Three failures in a row. */
async function breakIt(at: Lab, mode: 'down' | 'silent' | 'dead' = 'down'): Promise<void> {
  at.network.mode = 'down';
  for (let i = 0; i < 3; i++) await put(at, `break ${at.clock.now()} ${i}`);
  at.network.mode = mode;
}
const names = (at: Lab) => at.events.map(({ type }) => type);

describe('while the network answers, the hybrid store', () => {
  it('goes to it with every write, and answers reads from the disk first', async () => {
    const at = await lab();
    expect(await put(at, 'a', { require: 'quorum' })).toEqual(QUORUM);
    expect(at.network.held.has(nameOf('a'))).toBe(true);
    const found = await at.store.get('c', content('a').suffix);
    expect(found).toMatchObject({ source: 'local', holders: [SELF] });
    at.network.held.set(nameOf('b'), content('b').value);
    const far = await at.store.get('c', content('b').suffix);
    expect(far).toEqual({ value: content('b').value, source: 'dht', holders: OTHERS });
    const { arms } = at.store.counts();
    expect(arms?.count('real').requests).toBe(2);
    expect(arms?.count('mock').requests).toBe(1);
  });

  it('merges what both have, and names everybody whose copy was seen', async () => {
    const at = await lab();
    await at.store.put('u', 's', Uint8Array.of(1));
    at.network.held.set('u/s', Uint8Array.of(2, 3));
    const found = await at.store.get('u', 's', { merge: true });
    const holders = [SELF, ...OTHERS];
    expect(found).toEqual({ value: Uint8Array.of(1, 2, 3), source: 'dht', holders });
    const own = await at.store.get('u', 's', { merge: true, localOnly: true });
    expect(own).toMatchObject({ value: Uint8Array.of(1), source: 'local' });
  });

  it('gives a call its own time, apart from the breaker', async () => {
    const at = await lab();
    at.network.mode = 'dead';
    const waiting = put(at, 'a', { timeoutMs: 500 });
    await at.turn(700);
    expect(at.store.status.fallenBack).toBe(false);
    await at.turn(100);
    expect(await waiting).toEqual(LOCAL);
    expect(at.store.status).toMatchObject({ fallenBack: false, queued: 1 });
    // Its replay began at once and hangs as well; the next one comes through.
    at.network.mode = 'up';
    await at.turn(6_000);
    expect(at.store.status.queued).toBe(0);
    expect(at.network.held.has(nameOf('a'))).toBe(true);
    await at.store.close();
  });

  it('passes a refusal on, as the backends below do', async () => {
    const at = await lab();
    const { suffix } = content('a');
    const wrong = at.store.put('c', suffix, content('b').value);
    await expect(wrong).rejects.toMatchObject({ code: 'BAD_MESSAGE' });
    at.network.refused.add(nameOf('a'));
    await expect(put(at, 'a')).rejects.toMatchObject({ code: 'BAD_MESSAGE' });
    expect(at.store.status).toMatchObject({ fallenBack: false, queued: 0 });
  });
});

describe('when the network fails, the hybrid store', () => {
  it('falls back after as many failures as it was told, and says so once', async () => {
    const at = await lab({ thresholdErrors: 5 });
    at.network.mode = 'down';
    for (let i = 0; i < 4; i++) await put(at, `${i}`);
    expect(at.store.status.fallenBack).toBe(false);
    await put(at, '4');
    await settle();
    expect(at.store.status).toMatchObject({ fallenBack: true, reason: 'nobody answered' });
    expect(names(at)).toEqual(['fallback']);
    expect(at.store.health).toMatchObject({ backend: 'hybrid', status: 'degraded' });
    await at.store.close();
  });

  it('answers from the disk at once, and claims no copy that was not read back (A7)', async () => {
    const at = await lab();
    await breakIt(at, 'dead');
    const before = at.network.puts.length;
    const started = at.clock.now();
    expect(await put(at, 'a')).toEqual(LOCAL);
    const strict = put(at, 'b', { require: 'one' });
    await expect(strict).rejects.toMatchObject({ code: 'NO_QUORUM', exit: 5 });
    expect(await at.store.get('c', content('b').suffix)).toMatchObject({ source: 'local' });
    const merged = await at.store.get('c', content('a').suffix, { merge: true });
    expect(merged).toMatchObject({ source: 'local', majority: false });
    expect(at.clock.now()).toBe(started);
    expect(at.network.puts.length).toBe(before);
    await at.store.close();
  });

  it('asks the network for what the disk does not have, and not for long', async () => {
    const at = await lab();
    await breakIt(at, 'dead');
    const missing = at.store.get('c', content('nowhere').suffix);
    await at.turn(1_000, 100);
    expect(await missing).toBeUndefined();
    // The breaker is open still, but who answers is believed.
    at.network.mode = 'up';
    at.network.held.set(`c/${content('there').suffix}`, content('there').value);
    expect(at.store.status.fallenBack).toBe(true);
    const found = await at.store.get('c', content('there').suffix);
    expect(found?.value).toEqual(content('there').value);
    await at.store.close();
  });

  it('frees the calls that wait for it long before their time is up', async () => {
    const at = await lab();
    at.network.mode = 'dead';
    const puts = [1, 2, 3, 4].map((i) => put(at, `waiting ${i}`, { timeoutMs: 60_000 }));
    const get = at.store.get('c', content('nowhere').suffix, { timeoutMs: 60_000 });
    await settle();
    const started = at.clock.now();
    await breakIt(at);
    await at.turn(20, 20);
    expect(await Promise.all(puts)).toEqual([LOCAL, LOCAL, LOCAL, LOCAL]);
    expect(await get).toBeUndefined();
    await settle();
    expect(at.clock.now() - started).toBe(20);
    expect(at.events).toContainEqual({ type: 'fallback', ms: 20, reason: 'nobody answered' });
    // The three that broke it ended on the network, whose own backlog has them.
    expect(at.store.status.queued).toBe(4);
    await at.store.close();
  });

  it('notices by probing when nobody calls', async () => {
    const at = await lab();
    at.network.mode = 'down';
    await at.turn(30_000, 1_000);
    expect(at.store.status.fallenBack).toBe(false);
    await at.turn(2_000);
    expect(at.store.status.fallenBack).toBe(true);
    await at.store.close();
  });

  it('tries the network again behind a stop in the middle of a probe', async () => {
    const at = await lab();
    await breakIt(at, 'silent');
    // The backoff is over: the network is being asked, and the switch goes to another backend.
    await at.turn(1_500);
    await at.store.stop();
    at.network.mode = 'up';
    await at.turn(5_000);
    expect(at.store.status.fallenBack).toBe(true);
    await at.store.start();
    await at.turn(1_500);
    expect(at.store.status.fallenBack).toBe(false);
    expect(await put(at, 'after')).toEqual(QUORUM);
  });

  it('counts a probe that never ends as one that failed', async () => {
    const at = await lab();
    await breakIt(at, 'dead');
    await at.turn(10_000);
    expect(at.store.status.fallenBack).toBe(true);
    at.network.mode = 'up';
    await at.turn(5_000);
    expect(at.store.status.fallenBack).toBe(false);
    await at.store.close();
  });

  it('does not fall back for a disk of its own that is full, when the others answer', async () => {
    const at = await lab();
    const { probe } = at.network;
    at.network.probe = async () => ({ ...(await probe.call(at.network)), status: 'degraded' });
    await at.turn(120_000, 1_000);
    expect(at.store.status.fallenBack).toBe(false);
    await at.store.close();
  });
});

describe('when the network is back, the hybrid store', () => {
  it('replays every key in the order of its writes, once, with all that was written', async () => {
    const at = await lab();
    await breakIt(at);
    at.network.puts.length = 0;
    for (const seq of [1, 2, 3]) await at.store.put('n', 'x', sequence('x', seq));
    await at.store.put('n', 'y', sequence('y', 7));
    await at.store.put('u', 's', Uint8Array.of(1));
    await at.store.put('u', 's', Uint8Array.of(2));
    at.network.mode = 'up';
    await at.turn(5_000);
    expect(at.store.status).toMatchObject({ fallenBack: false, queued: 0 });
    const replayed = at.network.puts.filter(({ name }) => !name.startsWith('c/'));
    expect(replayed.map(({ name }) => name)).toEqual(['n/x', 'n/y', 'u/s']);
    expect(seqOf(at.network.held.get('n/x')!)).toBe(3);
    expect(at.network.held.get('u/s')).toEqual(Uint8Array.of(1, 2));
    expect(names(at)).toEqual(['fallback', 'recovery', 'replayed']);
    expect(at.store.counts()).toMatchObject({ fallbacks: 1, recoveries: 1 });
    await at.store.close();
  });

  it('puts a new write of a waiting key with what waits, after its replay', async () => {
    const at = await lab();
    await breakIt(at);
    await at.store.put('u', 's', Uint8Array.of(1));
    at.network.mode = 'up';
    at.network.latencyMs = 400;
    await at.turn(1_500);
    expect(at.store.status.fallenBack).toBe(false);
    at.network.puts.length = 0;
    await settle();
    const writing = at.store.put('u', 's', Uint8Array.of(2));
    await at.turn(1_000);
    expect(await writing).toEqual(QUORUM);
    expect(at.network.overlaps).toBe(0);
    expect(at.network.held.get('u/s')).toEqual(Uint8Array.of(1, 2));
    expect(at.store.status.queued).toBe(0);
    await at.store.close();
  });

  it('does not forget a write that came while its key was replayed', async () => {
    const at = await lab();
    await breakIt(at);
    await at.store.put('u', 's', Uint8Array.of(1));
    at.network.mode = 'up';
    at.network.latencyMs = 600;
    await at.turn(1_700);
    expect(at.network.puts.at(-1)?.name).toBe('u/s');
    // Its time is up before the replay ends, so it is only queued.
    const hasty = at.store.put('u', 's', Uint8Array.of(2), { timeoutMs: 50 });
    await at.turn(400);
    expect(await hasty).toEqual(LOCAL);
    await at.turn(5_000);
    expect(at.network.held.get('u/s')).toEqual(Uint8Array.of(1, 2));
    expect(at.store.status.queued).toBe(0);
    await at.store.close();
  });

  it('does not begin a put whose caller was answered from the disk meanwhile', async () => {
    const at = await lab();
    await breakIt(at);
    await at.store.put('u', 's', Uint8Array.of(1));
    at.network.mode = 'up';
    at.network.latencyMs = 600;
    await at.turn(1_700);
    // It waits for the replay of its key; then the network fails.
    const waiting = at.store.put('u', 's', Uint8Array.of(2));
    await settle();
    const begun = at.network.puts.length;
    await breakIt(at);
    await at.turn(1_000);
    expect(await waiting).toEqual(LOCAL);
    expect(at.network.puts.slice(begun).filter(({ name }) => name === 'u/s')).toEqual([]);
    expect(at.network.trespasses).toBe(0);
    at.network.mode = 'up';
    await at.turn(8_000);
    expect(at.network.held.get('u/s')).toEqual(Uint8Array.of(1, 2));
    await at.store.close();
  });

  it('replays what an earlier run left (A7)', async () => {
    const first = await lab();
    await breakIt(first, 'dead');
    for (const text of ['a', 'b']) await put(first, text);
    await first.store.provide(CID);
    const second = await lab({}, first.map);
    await second.turn(100);
    expect([...second.network.held.keys()]).toEqual([nameOf('a'), nameOf('b')]);
    expect(second.network.providers.get(CID)).toEqual([SELF]);
    expect(second.store.status.queued).toBe(0);
    const third = await lab({}, first.map);
    await third.turn(100);
    expect(third.network.puts).toEqual([]);
    await Promise.all([second, third].map(({ store }) => store.close()));
  });
});

describe('the queue', () => {
  it('is bounded, says what it dropped, and the journal makes up for it (P3)', async () => {
    const at = await lab({ queueLimit: 4 });
    await breakIt(at);
    for (let i = 0; i < 20; i++) expect(await put(at, `${i}`)).toEqual(LOCAL);
    expect(at.store.status).toMatchObject({ queued: 4, dropped: 16 });
    expect(at.events.filter(({ type }) => type === 'queue_full')).toHaveLength(16);
    const after = await lab({ queueLimit: 4 }, at.map);
    await after.turn(2_000);
    for (let i = 0; i < 20; i++) expect(after.network.held.has(nameOf(`${i}`))).toBe(true);
    expect(after.store.status.queued).toBe(0);
    // The mark is gone: nothing is looked through a second time.
    after.network.puts.length = 0;
    await after.turn(100);
    expect(after.network.puts).toEqual([]);
    await Promise.all([at, after].map(({ store }) => store.close()));
  });

  it('of a damaged entry looks through the journal instead', async () => {
    const first = await lab();
    await breakIt(first, 'dead');
    await put(first, 'a');
    const [key] = [...first.map.keys()].filter((name) => name.includes('queue!q'));
    first.map.set(key!, Uint8Array.of(1, 2, 3));
    const second = await lab({}, first.map);
    await second.turn(1_000);
    expect(second.network.held.has(nameOf('a'))).toBe(true);
    await Promise.all([first, second].map(({ store }) => store.close()));
  });

  it('that the disk refuses leaves the write journalled, and it is replayed (P5)', async () => {
    const map = new Map<string, Uint8Array>();
    let full = false;
    const wrap = (inner: KeyValue, path: string): KeyValue => ({
      ...inner,
      put: (key, value, options) =>
        full && path.includes('queue')
          ? Promise.reject(new BzzzError('DISK_FAILED', 'no space left'))
          : inner.put(key, value, options),
      sub: (name) => wrap(inner.sub(name), `${path}/${name}`),
    });
    const at = await lab({}, map, wrap(memoryKeyValue(map), ''));
    await breakIt(at);
    full = true;
    expect(await put(at, 'a')).toEqual(LOCAL);
    expect(names(at)).toEqual(['fallback', 'queue_full']);
    full = false;
    at.network.mode = 'up';
    await at.turn(5_000);
    expect(at.network.held.has(nameOf('a'))).toBe(true);
    await at.store.close();
  });
});

describe('a record that the network will not have', () => {
  it('is a dead letter at once when the rules refuse it, listed, kept, and dropped', async () => {
    const at = await lab();
    await breakIt(at);
    for (const text of ['bad', 'good']) await put(at, text);
    at.network.refused.add(nameOf('bad'));
    at.network.mode = 'up';
    await at.turn(3_000);
    expect(at.network.held.has(nameOf('good'))).toBe(true);
    const letter = {
      ...{ kind: 'put', name: nameOf('bad'), code: 'BAD_MESSAGE', reason: 'not for us' },
      attempts: 0,
    };
    expect(at.store.deadLetters()).toMatchObject([letter]);
    expect(at.events).toContainEqual({
      type: 'dead_letter',
      letter: expect.objectContaining(letter),
    });
    // It is no loss: the journal has it, and an operator may try again.
    expect(await at.store.get('c', content('bad').suffix)).toBeDefined();
    const again = await lab({}, at.map);
    again.network.refused.add(nameOf('bad'));
    const [kept] = again.store.deadLetters();
    expect(kept).toMatchObject(letter);
    expect(await again.store.retryDeadLetter(kept!.id)).toBe(true);
    await again.turn(100);
    expect(again.store.deadLetters()).toHaveLength(1);
    again.network.refused.clear();
    expect(await again.store.retryDeadLetter(again.store.deadLetters()[0]!.id)).toBe(true);
    await again.turn(100);
    expect(again.store.deadLetters()).toEqual([]);
    expect(again.network.held.has(nameOf('bad'))).toBe(true);
    expect(await again.store.dropDeadLetter('d000000000099')).toBe(false);
    await Promise.all([at, again].map(({ store }) => store.close()));
  });

  it('is one after enough attempts when the holders answer and do not keep it', async () => {
    const at = await lab();
    await breakIt(at);
    await put(at, 'lost');
    at.network.forgotten.add(nameOf('lost'));
    at.network.mode = 'up';
    await at.turn(400_000, 1_000);
    expect(at.store.deadLetters()).toMatchObject([
      { name: nameOf('lost'), code: 'NO_QUORUM', attempts: MAX_ATTEMPTS },
    ]);
    expect(at.network.puts.filter(({ name }) => name === nameOf('lost'))).toHaveLength(
      MAX_ATTEMPTS,
    );
    const [letter] = at.store.deadLetters();
    expect(await at.store.dropDeadLetter(letter!.id)).toBe(true);
    expect(at.store.deadLetters()).toEqual([]);
    expect(at.store.status.queued).toBe(0);
    await at.store.close();
  });

  it('is not blamed for a network that fails', async () => {
    const at = await lab();
    await breakIt(at);
    await put(at, 'patient');
    for (let i = 0; i < 20; i++) {
      at.network.mode = 'up';
      at.network.latencyMs = 400;
      await at.turn(2_600, 200);
      await breakIt(at);
    }
    expect(at.store.deadLetters()).toEqual([]);
    at.network.mode = 'up';
    await at.turn(10_000);
    expect(at.network.held.has(nameOf('patient'))).toBe(true);
    await at.store.close();
  });

  it('is kept in bounded numbers, the oldest going first', async () => {
    const at = await lab({ letterLimit: 3 });
    await breakIt(at);
    for (let i = 0; i < 5; i++) {
      await put(at, `${i}`);
      at.network.refused.add(nameOf(`${i}`));
    }
    at.network.mode = 'up';
    await at.turn(3_000);
    expect(at.store.deadLetters()).toHaveLength(3);
    expect(at.events.filter(({ type }) => type === 'dead_letter')).toHaveLength(5);
    await at.store.close();
  });
});

it('100 failures: fallback within 100 ms of detection, recovery within 5 s of health', async () => {
  const at = await lab();
  at.network.latencyMs = 20;
  const recoveries: number[] = [];
  for (let round = 0; round < 100; round++) {
    const mode = (['down', 'silent', 'dead'] as const)[round % 3]!;
    await breakIt(at, mode);
    expect(at.store.status.fallenBack).toBe(true);
    expect(await put(at, `round ${round}`)).toEqual(LOCAL);
    // Health comes at any moment of the wait, also while a probe hangs.
    await at.turn(137 + ((round * 617) % 7_000), 137);
    expect(at.store.status.fallenBack).toBe(true);
    at.network.mode = 'up';
    const healthy = at.clock.now();
    while (at.store.status.fallenBack) await at.turn(50, 50);
    recoveries.push(at.clock.now() - healthy);
    await at.turn(200);
    expect(at.store.status.queued).toBe(0);
    expect(at.network.held.has(nameOf(`round ${round}`))).toBe(true);
  }
  const fallbacks = at.events.flatMap((event) => (event.type === 'fallback' ? [event.ms] : []));
  expect(fallbacks).toHaveLength(100);
  expect(Math.max(...fallbacks)).toBeLessThanOrEqual(100);
  expect(Math.max(...recoveries)).toBeLessThanOrEqual(5_000);
  expect(at.store.counts()).toMatchObject({ fallbacks: 100, recoveries: 100 });
  await at.store.close();
});
