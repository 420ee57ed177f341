import { describe, expect, test } from 'vitest';
import { utf8Bytes } from '../../src/base/bytes.ts';
import { BzzzError } from '../../src/base/errors.ts';
import { proposalAddress, resultAddress } from '../../src/ucxl/fixed.ts';
import { CLUSTER, errorOf, hashOf, sealBody, sessionOf, signers, world } from './support.ts';

const [ada, bea] = [signers[0]!, signers[1]!];
const proposal = sealBody(ada, 'sign this');
const proposalAt = proposalAddress(CLUSTER, sessionOf(proposal));
const request = hashOf('request');
const resultAt = resultAddress(CLUSTER, request);

describe('the cache of the resolver (R82)', () => {
  test('an immutable record is read once and never expires', async () => {
    const { resolver, store, clock } = world();
    await resolver.publish(proposalAt, proposal);
    expect((await resolver.resolve(proposalAt)).source).toBe('dht');
    clock.advance(365 * 86_400_000);
    store.failure = new BzzzError('TIMEOUT', 'offline');
    const read = await resolver.resolve(proposalAt);
    expect(read.source).toBe('cache');
    expect(read.holders).toEqual([bea.peerId]);
    expect(read.bytes).toEqual(proposal);
    expect(store.gets).toHaveLength(1);
    expect(resolver.counters).toEqual({ hits: 1, misses: 1, refused: 0 });
  });

  test('content is kept like a record', async () => {
    const { resolver, store } = world();
    const { address } = await resolver.putContent('ucxl://shared:b@c:d', utf8Bytes('x'));
    await resolver.resolve(address);
    expect((await resolver.resolve(address)).source).toBe('cache');
    expect(store.gets).toHaveLength(1);
  });

  test('switched off, or with room for nothing, every read asks the store', async () => {
    for (const options of [{ cacheEnabled: false }, { cacheMaxBytes: 0 }]) {
      const { resolver, store } = world(options);
      await errorOf(() => resolver.resolve(proposalAt));
      await resolver.publish(proposalAt, proposal);
      for (let i = 0; i < 3; i++) {
        expect((await resolver.resolve(proposalAt)).source).toBe('dht');
      }
      expect(store.gets).toHaveLength(4);
    }
  });

  test('a candidate set lives for its time, because it may grow', async () => {
    const { resolver, store, clock } = world({ cacheTtlMs: 1_000 });
    await resolver.publish(resultAt, sealBody(ada, request));
    expect(await resolver.candidates(resultAt)).toHaveLength(1);
    await world({}, store).resolver.publish(resultAt, sealBody(bea, request));
    clock.advance(999);
    expect(await resolver.candidates(resultAt)).toHaveLength(1);
    clock.advance(1);
    expect(await resolver.candidates(resultAt)).toHaveLength(2);
  });

  test('fresh asks the store although the cache has an answer, and renews it', async () => {
    const { resolver, store } = world();
    await resolver.publish(resultAt, sealBody(ada, request));
    await resolver.candidates(resultAt);
    await world({}, store).resolver.publish(resultAt, sealBody(bea, request));
    expect(await resolver.candidates(resultAt, { fresh: true })).toHaveLength(2);
    expect((await resolver.resolve(resultAt)).source).toBe('cache');
    expect(await resolver.candidates(resultAt)).toHaveLength(2);
  });

  test('a set that was not merged is not kept for those who want all of it', async () => {
    const { resolver, store } = world();
    await resolver.publish(resultAt, sealBody(ada, request));
    await resolver.candidates(resultAt, { merge: false });
    await resolver.candidates(resultAt);
    expect(store.gets).toHaveLength(2);
  });

  test('"nothing there" is believed for 5 s', async () => {
    const { resolver, store, clock } = world();
    await errorOf(() => resolver.resolve(proposalAt));
    await world({}, store).resolver.publish(proposalAt, proposal);
    clock.advance(4_999);
    expect((await errorOf(() => resolver.resolve(proposalAt))).code).toBe('NOT_FOUND');
    expect(store.gets).toHaveLength(1);
    clock.advance(1);
    expect((await resolver.resolve(proposalAt)).pin).toBeTruthy();
  });

  test('a node reads its own writes at once, also after "nothing there" (A2)', async () => {
    const { resolver } = world();
    await errorOf(() => resolver.resolve(proposalAt));
    await resolver.publish(proposalAt, proposal);
    expect((await resolver.resolve(proposalAt)).bytes).toEqual(proposal);
    await resolver.publish(resultAt, sealBody(ada, request));
    expect(await resolver.candidates(resultAt)).toHaveLength(1);
    await resolver.publish(resultAt, sealBody(bea, request));
    expect(await resolver.candidates(resultAt)).toHaveLength(2);
  });

  test('a failed read is not kept', async () => {
    const { resolver, store } = world();
    await resolver.publish(proposalAt, proposal);
    store.failure = new BzzzError('TIMEOUT', 'slow');
    expect((await errorOf(() => resolver.resolve(proposalAt))).code).toBe('TIMEOUT');
    store.failure = undefined;
    expect((await resolver.resolve(proposalAt)).bytes).toEqual(proposal);
  });
});

describe('single flight', () => {
  test('identical reads at once are one read, and all get its answer', async () => {
    const { resolver, store } = world({ cacheEnabled: false });
    await resolver.publish(proposalAt, proposal);
    const release = hold(store);
    const reads = Array.from({ length: 20 }, () => resolver.resolve(proposalAt));
    release();
    const answers = await Promise.all(reads);
    expect(store.gets).toHaveLength(1);
    answers[0]!.bytes.fill(0);
    expect(answers[19]!.bytes).toEqual(proposal);
  });

  test('they also share a failure, and the next read starts anew', async () => {
    const { resolver, store } = world();
    store.failure = new BzzzError('TIMEOUT', 'slow');
    const reads = [1, 2, 3].map(() => errorOf(() => resolver.resolve(proposalAt)));
    expect((await Promise.all(reads)).map((error) => error.code)).toEqual(Array(3).fill('TIMEOUT'));
    expect(store.gets).toHaveLength(1);
    await errorOf(() => resolver.resolve(proposalAt));
    expect(store.gets).toHaveLength(2);
  });

  test('a patient reader does not inherit the time-out of a hasty one', async () => {
    const { resolver, store } = world();
    await resolver.publish(proposalAt, proposal);
    const release = hold(store);
    const reads = [resolver.resolve(proposalAt, { timeoutMs: 10 }), resolver.resolve(proposalAt)];
    release();
    await Promise.all(reads);
    expect(store.gets.map((get) => get.options)).toEqual([{ timeoutMs: 10 }, {}]);
  });

  test('what a read found before a write went by is not kept after it', async () => {
    const { resolver, store } = world();
    const release = hold(store);
    const early = errorOf(() => resolver.resolve(proposalAt));
    await resolver.publish(proposalAt, proposal);
    const late = resolver.resolve(proposalAt);
    release();
    expect((await early).code).toBe('NOT_FOUND');
    expect((await late).bytes).toEqual(proposal);
    expect((await resolver.resolve(proposalAt)).bytes).toEqual(proposal);
  });

  test('a read that ends after a later one does not undo what that one kept', async () => {
    const { resolver, store } = world();
    const releaseEarly = hold(store);
    const early = errorOf(() => resolver.resolve(proposalAt));
    await resolver.publish(proposalAt, proposal);
    store.delay = undefined;
    await resolver.resolve(proposalAt);
    releaseEarly();
    await early;
    expect((await resolver.resolve(proposalAt)).source).toBe('cache');
  });
});

/** Holds reads of the store, as they stand now, until the returned function is called. */
function hold(store: { delay: Promise<void> | undefined }): () => void {
  const { promise, resolve } = Promise.withResolvers<void>();
  store.delay = promise;
  return resolve;
}
