import { describe, expect, test } from 'vitest';
import { utf8Bytes } from '../../src/base/bytes.ts';
import { contentCid } from '../../src/base/codec.ts';
import { BzzzError } from '../../src/base/errors.ts';
import { type Address, series } from '../../src/ucxl/address.ts';
import { selfAgent } from '../../src/ucxl/agents.ts';
import {
  certificateAddress,
  proposalAddress,
  registryAddress,
  resultAddress,
} from '../../src/ucxl/fixed.ts';
import { parseConcrete } from '../../src/ucxl/parse.ts';
import { comparePins } from '../../src/ucxl/records.ts';
import {
  CLUSTER,
  certificateKind,
  errorOf,
  hashOf,
  PROPOSAL_TIME,
  rules,
  sealBody,
  sessionOf,
  signers,
  stranger,
  world,
} from './support.ts';

const [ada, bea, cyd] = [signers[0]!, signers[1]!, signers[2]!];
const own = selfAgent(ada.peerId);
const proposal = sealBody(bea, 'sign this');
const proposalAt = proposalAddress(CLUSTER, sessionOf(proposal));
const request = hashOf('request');
const resultAt = resultAddress(CLUSTER, request);
const resultBy = (author = ada) => sealBody(author, request);
const pinOf = (bytes: Uint8Array): string => contentCid(bytes).toString();
const readme = utf8Bytes('read me');

describe('self-proving records (R80, A3)', () => {
  test('what was published is resolved with everything that is known of it', async () => {
    const { resolver } = world();
    const published = await resolver.publish(proposalAt, proposal, { require: 'quorum' });
    expect(published).toEqual({
      address: series(proposalAt),
      version: 1,
      pin: pinOf(proposal),
      ack: 'quorum',
      holders: [ada.peerId],
      pending: 0,
    });
    expect(await resolver.resolve(`${published.address}#part`)).toEqual({
      address: series(proposalAt),
      version: 1,
      pin: pinOf(proposal),
      type: 'application/vnd.test.proposal',
      size: proposal.length,
      writer: bea.peerId,
      time: PROPOSAL_TIME,
      source: 'dht',
      stale: false,
      holders: [bea.peerId],
      bytes: proposal,
    });
  });

  test('options of the write and of the read reach the store', async () => {
    const { resolver, store } = world();
    await resolver.publish(proposalAt, proposal, { require: 'one', timeoutMs: 7 });
    expect(store.puts[0]?.options).toEqual({ require: 'one', timeoutMs: 7 });
    await resolver.resolve(proposalAt, { timeoutMs: 8 });
    await resolver.resolve(proposalAt, { fresh: true, merge: true });
    expect(store.gets.map((get) => get.options)).toEqual([{ timeoutMs: 8 }, { merge: true }]);
  });

  test('a body that its kind refuses never reaches the store', async () => {
    const { resolver, store } = world();
    const error = await errorOf(() => resolver.publish(proposalAt, sealBody(bea, 'other')));
    expect(error.code).toBe('BAD_MESSAGE');
    expect((await errorOf(() => resolver.publish(proposalAt, readme))).code).toBe('BAD_MESSAGE');
    expect(store.puts).toEqual([]);
  });

  test('an address at which no kind stands takes no record', async () => {
    const { resolver } = world();
    const error = await errorOf(() => resolver.publish('ucxl://a:b@c:d/x', proposal));
    expect(error.code).toBe('NOT_FOUND');
  });

  test('a write names no version, no query and no pattern', async () => {
    const { resolver } = world();
    for (const wrong of ['ucxl://a:b@c:d/*~1/x', 'ucxl://a:b@c:d/x?stale', 'ucxl://a:b@c:d/*']) {
      expect((await errorOf(() => resolver.publish(wrong, proposal))).code).toBe('INVALID_ADDRESS');
    }
  });

  test('what the store could not acknowledge is told, and read afterwards', async () => {
    const { resolver, store } = world();
    await errorOf(() => resolver.resolve(proposalAt));
    store.failure = new BzzzError('NO_QUORUM', 'one of three');
    const error = await errorOf(() =>
      resolver.publish(proposalAt, proposal, { require: 'quorum' }),
    );
    expect(error.code).toBe('NO_QUORUM');
    store.failure = undefined;
    expect((await resolver.resolve(proposalAt)).pin).toBe(pinOf(proposal));
  });

  test("the caller's bytes are its own: changing them changes nobody else's", async () => {
    const { resolver } = world();
    const body = new Uint8Array(proposal);
    await resolver.publish(proposalAt, body);
    body.fill(0);
    (await resolver.resolve(proposalAt)).bytes.fill(0);
    (await resolver.candidates(proposalAt))[0]!.bytes.fill(0);
    const read = await resolver.resolve(proposalAt);
    expect(read.source).toBe('cache');
    expect(read.bytes).toEqual(proposal);
  });
});

describe('candidates (S6)', () => {
  test('every author has one copy; the default pick is the smallest CID', async () => {
    const { resolver } = world();
    for (const author of [ada, bea, cyd]) {
      const published = await resolver.publish(resultAt, resultBy(author));
      expect(published).toMatchObject({ version: null, pin: pinOf(resultBy(author)) });
    }
    const copies = await resolver.candidates(resultAt);
    const smallest = [ada, bea, cyd].map((who) => pinOf(resultBy(who))).sort(comparePins);
    expect(copies.map((copy) => copy.pin)).toEqual(smallest);
    expect(new Set(copies.map((copy) => copy.writer)).size).toBe(3);
    const resolved = await resolver.resolve(resultAt);
    expect(resolved).toMatchObject({ pin: smallest[0], version: null, source: 'cache' });
  });

  test('each copy is found by its pin, and no other pin is', async () => {
    const { resolver } = world();
    for (const author of [ada, bea]) await resolver.publish(resultAt, resultBy(author));
    for (const author of [ada, bea]) {
      const text = series(resultAt).replace('/result', `/*=${pinOf(resultBy(author))}/result`);
      expect(await resolver.resolve(text)).toMatchObject({ writer: author.peerId, address: text });
    }
    const foreign = series(resultAt).replace('/result', `/*=${pinOf(readme)}/result`);
    expect((await errorOf(() => resolver.resolve(foreign))).code).toBe('NOT_FOUND');
  });

  test('a pin that a cached set lacks is looked for again', async () => {
    const { resolver, store } = world();
    await resolver.publish(resultAt, resultBy(ada));
    await resolver.resolve(resultAt);
    await world({}, store).resolver.publish(resultAt, resultBy(bea));
    const text = series(resultAt).replace('/result', `/*=${pinOf(resultBy(bea))}/result`);
    expect(await resolver.resolve(text)).toMatchObject({ writer: bea.peerId, source: 'dht' });
  });

  test('none is an answer, not an error', async () => {
    const { resolver } = world();
    expect(await resolver.candidates(resultAt)).toEqual([]);
    expect((await errorOf(() => resolver.resolve(resultAt))).code).toBe('NOT_FOUND');
  });

  test('one who was never a member cannot publish: nobody would store it', async () => {
    const { resolver, store } = world();
    const error = await errorOf(() => resolver.publish(resultAt, resultBy(stranger)));
    expect(error.code).toBe('BAD_MESSAGE');
    expect(store.puts).toEqual([]);
  });

  test('sets are merged over several holders unless the caller wants the first', async () => {
    const { resolver, store } = world();
    await resolver.candidates(resultAt, { merge: false });
    await resolver.candidates(resultAt);
    expect(store.gets.map((get) => get.options)).toEqual([{}, { merge: true }]);
  });
});

describe('content by its hash (R65)', () => {
  test('put answers the pinned address, and that address resolves', async () => {
    const { resolver } = world();
    const published = await resolver.putContent('ucxl://self:notes@lab:v1/readme#x', readme);
    const address = `ucxl://${own}:notes@lab:v1/*=${pinOf(readme)}/readme`;
    expect(published).toMatchObject({ address, version: null, pin: pinOf(readme), ack: 'quorum' });
    expect(await resolver.resolve(address)).toEqual({
      address,
      version: null,
      pin: pinOf(readme),
      type: 'application/octet-stream',
      size: readme.length,
      writer: null,
      time: null,
      source: 'dht',
      stale: false,
      holders: [bea.peerId],
      bytes: readme,
    });
  });

  test('0 bytes and 32 KiB are content, one byte more is TOO_LARGE', async () => {
    const { resolver } = world();
    for (const size of [0, 32_768]) {
      const { address } = await resolver.putContent('ucxl://shared:b@c:d', new Uint8Array(size));
      expect((await resolver.resolve(address)).size).toBe(size);
    }
    const error = await errorOf(() =>
      resolver.putContent('ucxl://shared:b@c:d', new Uint8Array(32_769)),
    );
    expect(error.code).toBe('TOO_LARGE');
    expect(error.http).toBe(413);
  });

  test('the right pin is accepted, the pin of other bytes is not', async () => {
    const { resolver, store } = world();
    const at = (pin: string) => `ucxl://shared:b@c:d/*=${pin}/x`;
    await resolver.putContent(at(pinOf(readme)), readme);
    const error = await errorOf(() => resolver.putContent(at(pinOf(proposal)), readme));
    expect(error.code).toBe('BAD_REQUEST');
    expect(error.details).toEqual({ given: pinOf(proposal), pin: pinOf(readme) });
    expect(store.puts).toHaveLength(1);
  });

  test.each([
    ['another agent', 'ucxl://alice:b@c:d/x', 'REFUSED_BY_POLICY'],
    ["another node's agent", `ucxl://${selfAgent(bea.peerId)}:b@c:d/x`, 'REFUSED_BY_POLICY'],
    ['any', 'ucxl://any:b@c:d/x', 'INVALID_ADDRESS'],
    ['a version', 'ucxl://shared:b@c:d/*~1/x', 'INVALID_ADDRESS'],
    ['a query', 'ucxl://shared:b@c:d/x?siblings', 'INVALID_ADDRESS'],
    ['a pattern', 'ucxl://shared:b@c:d/**', 'INVALID_ADDRESS'],
    ['the place of a result', series(resultAt), 'REFUSED_BY_POLICY'],
  ])('%s is not written to', async (_what, address, code) => {
    const { resolver, store } = world();
    expect((await errorOf(() => resolver.putContent(address, readme))).code).toBe(code);
    expect(store.puts).toEqual([]);
  });

  test('the place of a record takes no content, also under the own agent', async () => {
    const self = registryAddress(CLUSTER, ada.peerId);
    const kind = { ...certificateKind, matches: (at: Address) => series(at) === series(self) };
    const { resolver, store } = world({}, undefined, { ...rules, kinds: [kind] });
    const error = await errorOf(() => resolver.putContent(self, readme));
    expect(error.code).toBe('REFUSED_BY_POLICY');
    expect(error.message).toContain('certificate');
    expect(store.puts).toEqual([]);
  });

  test('a pinned address reads under whatever name: the bytes prove themselves', async () => {
    const { resolver } = world();
    await resolver.putContent('ucxl://shared:b@c:d/x', readme);
    const address = `ucxl://alice:b@c:d/*=${pinOf(readme)}/y/z`;
    expect(await resolver.resolve(address)).toMatchObject({ address, writer: null, bytes: readme });
  });
});

describe('what an address cannot mean in this version', () => {
  test('no kind and no pin: NOT_FOUND says that heads and versions do not exist yet', async () => {
    const { resolver, store } = world();
    for (const address of ['ucxl://a:b@c:d/x', 'ucxl://a:b@c:d/*~3/x', 'ucxl://a:b@c:d']) {
      const error = await errorOf(() => resolver.resolve(address));
      expect(error.code).toBe('NOT_FOUND');
      expect(error.why).toMatch(/mutable heads and their versions are not part of this version/);
    }
    expect(store.gets).toEqual([]);
  });

  test('a pattern names many things and is INVALID_ADDRESS', async () => {
    const { resolver } = world();
    for (const address of ['ucxl://any:b@c:d/x', 'ucxl://a:b@c:d/*', 'ucxl://a:b@c:d/**']) {
      expect((await errorOf(() => resolver.resolve(address))).code).toBe('INVALID_ADDRESS');
      expect((await errorOf(() => resolver.candidates(address))).code).toBe('INVALID_ADDRESS');
    }
  });

  test('text that is no address is INVALID_ADDRESS', async () => {
    const { resolver } = world();
    expect((await errorOf(() => resolver.resolve('readme'))).code).toBe('INVALID_ADDRESS');
  });

  test('a temporal in a parsed address counts', async () => {
    const { resolver } = world();
    await resolver.publish(proposalAt, proposal);
    const second = parseConcrete(series(proposalAt).replace('/proposal', '/*~2/proposal'));
    expect((await errorOf(() => resolver.resolve(second))).code).toBe('TEMPORAL_OUT_OF_RANGE');
  });
});

test('a certificate is found as the smaller of two proofs, by that pin only', async () => {
  const { resolver } = world();
  const at = certificateAddress(CLUSTER, hashOf('key'));
  const bodies = [sealBody(ada, 'one'), sealBody(bea, 'two')];
  for (const body of bodies) await resolver.publish(at, body);
  const [smaller, larger] = bodies.map(pinOf).sort(comparePins);
  expect((await resolver.resolve(at)).pin).toBe(smaller);
  const pinned = series(at).replace('/public', `/*=${larger}/public`);
  expect((await errorOf(() => resolver.resolve(pinned))).code).toBe('NOT_FOUND');
});
