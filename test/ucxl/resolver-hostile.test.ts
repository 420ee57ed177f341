import { describe, expect, test } from 'vitest';
import { utf8Bytes } from '../../src/base/bytes.ts';
import { encode } from '../../src/base/codec.ts';
import { series } from '../../src/ucxl/address.ts';
import { proposalAddress, resultAddress } from '../../src/ucxl/fixed.ts';
import { encodeCandidates, encodeOne } from '../../src/ucxl/records.ts';
import {
  CLUSTER,
  crowd,
  errorOf,
  hashOf,
  sealBody,
  sessionOf,
  signers,
  stranger,
  world,
} from './support.ts';

const [ada, bea] = [signers[0]!, signers[1]!];
const proposal = sealBody(ada, 'sign this');
const proposalAt = proposalAddress(CLUSTER, sessionOf(proposal));
const other = sealBody(ada, 'sign that');
const otherAt = proposalAddress(CLUSTER, sessionOf(other));
const request = hashOf('request');
const resultAt = resultAddress(CLUSTER, request);
const good = sealBody(ada, request);
const setOf = (...list: { author: string; body: Uint8Array }[]): Uint8Array =>
  encode({ v: 1, series: series(resultAt), candidates: list });

describe('a store that lies can withhold, never deceive (A3)', () => {
  test.each<[string, Uint8Array]>([
    ["another key's valid record", encodeOne(series(otherAt), other)],
    ["another record under this key's series", encodeOne(series(proposalAt), other)],
    ['an unsigned body', encodeOne(series(proposalAt), utf8Bytes('x'))],
    ['a truncated record', encodeOne(series(proposalAt), proposal).subarray(0, -1)],
    ['1 MiB of zeros', new Uint8Array(1_048_576)],
    ['the bare body', proposal],
    ['nothing', new Uint8Array()],
  ])('%s is no answer: logged, counted, not kept', async (_what, lie) => {
    const { resolver, store, warnings } = world();
    await resolver.publish(proposalAt, proposal);
    store.answer = () => lie;
    const error = await errorOf(() => resolver.resolve(proposalAt));
    expect(error.code).toBe('NOT_FOUND');
    expect(error.why).toMatch(/^a copy was found and refused: /);
    expect(await resolver.candidates(proposalAt)).toEqual([]);
    expect(warnings).toHaveLength(2);
    expect(resolver.counters.refused).toBe(2);
    store.answer = undefined;
    expect((await resolver.resolve(proposalAt)).bytes).toEqual(proposal);
  });

  test.each<[string, Uint8Array]>([
    ['a candidate in the name of another', setOf({ author: bea.peerId, body: good })],
    [
      'a candidate of a stranger',
      setOf({ author: stranger.peerId, body: sealBody(stranger, request) }),
    ],
    [
      'the result of another request',
      setOf({ author: ada.peerId, body: sealBody(ada, hashOf('other')) }),
    ],
    [
      'more candidates than there are places',
      encodeCandidates(
        series(resultAt),
        crowd.map((who) => ({ author: who.peerId, body: sealBody(who, request) })),
      ),
    ],
    ['two candidates of one author', setOf(...twice({ author: ada.peerId, body: good }))],
    ['a self-proving record', encodeOne(series(resultAt), good)],
  ])('%s is no candidate', async (_what, lie) => {
    const { resolver, store } = world();
    store.answer = () => lie;
    expect(await resolver.candidates(resultAt)).toEqual([]);
    expect((await errorOf(() => resolver.resolve(resultAt))).code).toBe('NOT_FOUND');
  });

  test('flipped content is refused on read (R65)', async () => {
    const { resolver, store } = world();
    const bytes = utf8Bytes('exactly these');
    const { address } = await resolver.putContent('ucxl://shared:b@c:d/x', bytes);
    store.answer = (_key, honest) => honest?.with(3, honest[3]! ^ 1);
    expect((await errorOf(() => resolver.resolve(address))).code).toBe('NOT_FOUND');
    store.answer = () => new Uint8Array(40_000);
    expect((await errorOf(() => resolver.resolve(address))).code).toBe('NOT_FOUND');
    store.answer = undefined;
    expect((await resolver.resolve(address)).bytes).toEqual(bytes);
  });

  test.each(['record', 'content'])('a store that reuses its buffer changes no %s', async (what) => {
    const { resolver, store } = world();
    const { address } = await (what === 'record'
      ? resolver.publish(proposalAt, proposal)
      : resolver.putContent('ucxl://shared:b@c:d', proposal));
    const buffer = new Uint8Array([...store.values.values()][0]!);
    store.answer = () => buffer;
    const read = await resolver.resolve(address);
    buffer.fill(0);
    expect(read.bytes).toEqual(proposal);
    expect(await resolver.resolve(address)).toMatchObject({ source: 'cache', bytes: proposal });
  });
});

function twice<T>(value: T): [T, T] {
  return [value, value];
}
