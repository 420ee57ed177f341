import { encode as encodeCbor } from '@ipld/dag-cbor';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { BzzzError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import type { Signer } from '../../src/base/ports.ts';
import { type Chain, createChain, extendChain } from '../../src/roster/chain.ts';
import { type ExchangeOutcome, runExchange } from '../../src/roster/exchange-driver.ts';
import { decodeMessage, helloOf } from '../../src/roster/exchange-wire.ts';
import {
  ada,
  admit,
  ben,
  bytesOf,
  chainWith,
  cyd,
  dov,
  entriesOf,
  entryAfter,
  epoch,
  eve,
  genesisOf,
  openNode,
  refusalOf,
  remove,
  streamPair,
  type TestNode,
  type TestStream,
} from './support.ts';

const nodeAt = (signer: Signer, chain: Chain, length?: number): Promise<TestNode> =>
  openNode(signer, { entries: bytesOf(chain).slice(0, length) });

/** Both ends of an exchange at once. */
async function meet(a: TestNode, b: TestNode, streams = streamPair()) {
  const run = (me: TestNode, other: TestNode, stream: TestStream) =>
    runExchange(stream, {
      roster: me.roster,
      clock: me.clock,
      remote: other.signer.peerId,
    }).finally(() => setTimeout(() => stream.close(), 5));
  return Promise.allSettled([run(a, b, streams[0]), run(b, a, streams[1])]);
}

async function outcomes(a: TestNode, b: TestNode): Promise<ExchangeOutcome[]> {
  const results = await meet(a, b);
  return results.map((result) => {
    if (result.status === 'rejected') throw result.reason;
    return result.value;
  });
}

const codes = (results: readonly PromiseSettledResult<unknown>[]): string[] =>
  results.map((r) => (r.status === 'rejected' ? (r.reason as BzzzError).code : 'ok'));

/** Frames by hand against one real end. */
function against(node: TestNode, remote: Signer, timeoutMs?: number) {
  const [mine, theirs] = streamPair(8);
  const { roster, clock } = node;
  const options = { roster, clock, remote: remote.peerId };
  const result = runExchange(theirs, timeoutMs === undefined ? options : { ...options, timeoutMs });
  result.catch(() => {});
  return {
    result,
    stream: mine,
    say: (message: object) => mine.write(encodeCbor({ v: 1, ...message })),
    hear: async () => decodeMessage(await mine.read()),
  };
}

const long = chainWith([
  admit(ben),
  admit(cyd),
  ...Array.from({ length: 150 }, (_, i) => (i % 2 === 0 ? admit(dov) : remove(dov))),
]);

describe('the exchange', () => {
  test('between equal rosters judges both members and sends no entry', async () => {
    const chain = chainWith([admit(ben)]);
    const a = await nodeAt(ada, chain);
    const b = await nodeAt(ben, chain);
    const streams = streamPair();
    const results = await meet(a, b, streams);
    expect(codes(results)).toEqual(['ok', 'ok']);
    expect(results[0]).toMatchObject({
      value: { standing: 'member', judgedAs: 'member', epoch: 1 },
    });
    const kinds = streams.flatMap((s) => s.written.map((frame) => decodeMessage(frame).type));
    expect(kinds.sort()).toEqual(['done', 'done', 'hello', 'hello']);
  });

  test.each([
    [0, 'answers'],
    [1, 'opens'],
    [2, 'answers'],
    [63, 'opens'],
    [64, 'answers'],
    [65, 'opens'],
    [151, 'answers'],
  ])('a member that was away since epoch %i is a member at once when it %s', async (at, part) => {
    const current = await nodeAt(ada, long);
    const away = await nodeAt(cyd, long, at);
    const pair = part === 'answers' ? ([current, away] as const) : ([away, current] as const);
    const [first, second] = await outcomes(...pair);
    expect([first!.standing, second!.standing]).toEqual(['member', 'member']);
    expect([first!.judgedAs, second!.judgedAs]).toEqual(['member', 'member']);
    expect(away.roster.view.head).toEqual(current.roster.view.head);
  });

  test('a member admitted while both of two others were away is learnt from the newer one', async () => {
    const ahead = await nodeAt(ben, long, 4);
    const behind = await nodeAt(cyd, long, 2);
    const [a, b] = await outcomes(ahead, behind);
    expect([a!.standing, b!.standing]).toEqual(['member', 'member']);
    expect(behind.roster.view.epoch).toBe(4);
  });

  test('sends what is missing, not the whole chain again', async () => {
    const streams = streamPair();
    const results = await meet(await nodeAt(ada, long), await nodeAt(cyd, long, 140), streams);
    expect(codes(results)).toEqual(['ok', 'ok']);
    const sent = streams[0].written
      .map((frame) => decodeMessage(frame))
      .flatMap((message) => (message.type === 'entries' ? message.entries : []));
    // From the newest sample that both have: at most as much again as is missing.
    expect(sent.length).toBeGreaterThanOrEqual(12);
    expect(sent.length).toBeLessThan(26);
  });

  test('between two branches begins near where they part', async () => {
    const base = extendChain(createChain(genesisOf()), entriesOf(long).slice(0, 140)).chain;
    const rival = extendChain(base, [entryAfter(base, admit(eve))]).chain;
    const streams = streamPair();
    const results = await meet(await nodeAt(ada, long), await nodeAt(cyd, rival), streams);
    expect(codes(results)).toEqual(['ROSTER_FORK', 'ROSTER_FORK']);
    const sent = streams
      .flatMap((stream) => stream.written.map((frame) => decodeMessage(frame)))
      .flatMap((message) => (message.type === 'entries' ? message.entries : []));
    expect(sent.length).toBeLessThan(60);
  });

  test('gives a stranger the chain, and calls it a stranger', async () => {
    const member = await nodeAt(ada, long);
    const stranger = await openNode(eve);
    const [a, b] = await outcomes(member, stranger);
    expect([a!.standing, b!.judgedAs, b!.standing]).toEqual(['stranger', 'stranger', 'member']);
    expect(stranger.roster.view.epoch).toBe(long.view.epoch);
  });

  test('tells a removed member by the entry that removed it', async () => {
    const chain = chainWith([admit(ben), admit(cyd), remove(ben), admit(dov)]);
    const member = await nodeAt(cyd, chain);
    const removed = await nodeAt(ben, chain, 2);
    const streams = streamPair();
    const results = await meet(member, removed, streams);
    expect(results).toMatchObject([
      { value: { standing: 'removed', judgedAs: 'member' } },
      { value: { standing: 'member', judgedAs: 'removed' } },
    ]);
    expect(removed.roster.standing).toBe('removed');
    const done = streams[0].written.map(decodeMessage).find((m) => m.type === 'done');
    expect(done).toMatchObject({ removal: bytesOf(chain)[2] });
  });

  test('a removal that came after the hello still reaches the removed member', async () => {
    const base = chainWith([admit(ben)]);
    const removed = await nodeAt(ben, base);
    const talk = against(removed, ada);
    await talk.stream.write(helloOf(base));
    expect((await talk.hear()).type).toBe('hello');
    expect((await talk.hear()).type).toBe('done');
    const removal = entryAfter(base, remove(ben)).bytes;
    await talk.say({ type: 'done', standing: 'removed', removal });
    expect(await talk.result).toMatchObject({ judgedAs: 'removed', epoch: 2 });
    expect(removed.roster.standing).toBe('removed');
  });

  test('a node judges nobody before its chain has reached the checkpoint', async () => {
    const checkpoint = { epoch: epoch(4), head: long.links[3]!.entry.hash };
    const joining = await openNode(eve, { checkpoint });
    const stale = await nodeAt(ben, long, 2);
    const [first] = await outcomes(joining, stale);
    expect([first!.standing, joining.roster.view.epoch]).toEqual(['stranger', 2]);
    const [second] = await outcomes(joining, await nodeAt(ada, long));
    expect(second!.standing).toBe('member');
  });

  test('any two prefixes of one chain end equal', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(80), fc.nat(80), async (x, y) => {
        const a = await nodeAt(ben, long, x);
        const b = await nodeAt(cyd, long, y);
        const [one, other] = await outcomes(a, b);
        expect(toHex(a.roster.view.head)).toBe(toHex(b.roster.view.head));
        expect(a.roster.view.epoch).toBe(Math.max(x, y));
        const isMember = (s: Signer) => a.roster.view.standing(s.peerId);
        expect([one!.standing, other!.standing]).toEqual([isMember(cyd), isMember(ben)]);
      }),
      { numRuns: 8 },
    );
  });
});

describe('forks', () => {
  const base = extendChain(createChain(genesisOf()), entriesOf(long).slice(0, 20)).chain;
  const grow = (from: Chain, count: number, first: Signer): Chain => {
    let chain = extendChain(from, [entryAfter(from, admit(first))]).chain;
    for (let i = 1; i < count; i++) {
      const change = i % 2 === 1 ? remove(first) : admit(first);
      chain = extendChain(chain, [entryAfter(chain, change)]).chain;
    }
    return chain;
  };

  test.each([
    [1, 1],
    [1, 5],
    [7, 2],
    [30, 90],
  ])('E8 of %i and %i entries are reported on both sides with both hashes', async (m, n) => {
    const left = grow(base, m, eve);
    const right = grow(base, n, dov);
    const a = await nodeAt(ben, left);
    const b = await nodeAt(cyd, right);
    const results = await meet(a, b);
    expect(codes(results)).toEqual(['ROSTER_FORK', 'ROSTER_FORK']);
    const hashes = [left, right].map((chain) => toHex(chain.links[20]!.entry.hash));
    for (const result of results) {
      const { details } = (result as PromiseRejectedResult).reason as BzzzError;
      expect(details.epoch).toBe(21);
      expect([details.ours, details.theirs].sort()).toEqual(hashes.toSorted());
    }
    expect(a.roster.view.head).toEqual(left.view.head);
    expect(b.roster.view.head).toEqual(right.view.head);
  });

  test('E8 are told with the entry that proves them, to a peer that did not ask', async () => {
    const left = grow(base, 1, eve);
    const right = grow(base, 1, dov);
    const finder = against(await nodeAt(ben, left), ada);
    await finder.stream.write(helloOf(right));
    expect((await finder.hear()).type).toBe('hello');
    expect(await finder.hear()).toMatchObject({ type: 'want', from: 21 });
    await finder.say({ type: 'entries', entries: [bytesOf(right)[20]] });
    expect((await refusalOf(finder.result)).code).toBe('ROSTER_FORK');
    const refuse = await finder.hear();
    expect(refuse).toMatchObject({ type: 'refuse', evidence: bytesOf(left)[20] });

    const told = against(await nodeAt(cyd, right), ada);
    await told.stream.write(helloOf(right));
    await told.stream.write(encodeCbor(refuse));
    const error = await refusalOf(told.result);
    expect([error.code, error.details.epoch]).toEqual(['ROSTER_FORK', 21]);
  });

  test('are not believed without the entry that proves them', async () => {
    const node = await nodeAt(ben, base);
    const error = { code: 'ROSTER_FORK', message: 'two entries of epoch 3' };
    const forged = entryAfter(chainWith([admit(ben)]), admit(eve), { by: [eve] }).bytes;
    for (const extra of [{}, { evidence: forged }, { evidence: bytesOf(base)[1] }]) {
      const talk = against(node, ada);
      await talk.stream.write(helloOf(base));
      await talk.say({ type: 'refuse', error, ...extra });
      const outcome = await refusalOf(talk.result);
      expect(outcome.code).toBe('BAD_MESSAGE');
      expect(outcome.message).toContain('broke off');
    }
  });
});

describe('a peer that does not keep the protocol', () => {
  const chain = chainWith([admit(ben), admit(cyd)]);
  const fake = (n: number) => ({
    type: 'hello',
    clusterId: chain.view.clusterId,
    epoch: n,
    head: new Uint8Array(32).fill(9),
    samples: [{ epoch: 2, hash: chain.view.head }],
  });

  // What is certified stays, whoever brought it.
  const LEARNT = 'a head that its entries do not lead to';

  test.each<[string, (talk: ReturnType<typeof against>) => Promise<unknown>]>([
    ['garbage', (t) => t.stream.write(new Uint8Array(50).fill(0xfe))],
    ['an oversized frame', (t) => t.stream.write(new Uint8Array(LIMITS.rosterFrameBytes + 1))],
    ['an empty frame', (t) => t.stream.write(new Uint8Array(0))],
    ['an unknown message', (t) => t.say({ type: 'sing' })],
    ['done before hello', (t) => t.say({ type: 'done', standing: 'member' })],
    ['want before hello', (t) => t.say({ type: 'want', from: 1 })],
    ['entries nobody asked for', (t) => t.say({ type: 'entries', entries: [...bytesOf(chain)] })],
    ['another cluster', (t) => t.stream.write(helloOf(createChain(genesisOf('other'))))],
    [
      'an entry after it was done, although certified',
      async (t) => {
        await t.stream.write(helloOf(chain));
        await t.say({ type: 'entries', entries: [entryAfter(chain, admit(eve)).bytes] });
      },
    ],
    [
      'a known entry after it was done',
      async (t) => {
        await t.stream.write(helloOf(chain));
        await t.say({ type: 'entries', entries: [bytesOf(chain)[1]] });
      },
    ],
    [
      'two hellos',
      async (t) => {
        await t.stream.write(helloOf(chain));
        await t.stream.write(helloOf(chain));
      },
    ],
    [
      'two dones',
      async (t) => {
        await t.say(fake(5));
        await t.say({ type: 'done', standing: 'member' });
        await t.say({ type: 'done', standing: 'member' });
      },
    ],
    [
      'want after done',
      async (t) => {
        await t.say(fake(5));
        await t.say({ type: 'done', standing: 'member' });
        await t.say({ type: 'want', from: 1 });
      },
    ],
    [
      'entries it announced and does not have',
      async (t) => {
        await t.say(fake(5));
        await t.say({ type: 'entries', entries: [] });
      },
    ],
    [
      LEARNT,
      async (t) => {
        const next = entryAfter(chain, admit(eve)).bytes;
        await t.say(fake(3));
        await t.say({ type: 'entries', entries: [next] });
      },
    ],
    [
      'the wrong entries',
      async (t) => {
        await t.say(fake(5));
        await t.say({ type: 'entries', entries: [...bytesOf(chain)] });
      },
    ],
    [
      'an entry that nobody certified',
      async (t) => {
        const forged = entryAfter(chain, admit(eve), { by: [eve] }).bytes;
        await t.say(fake(3));
        await t.say({ type: 'entries', entries: [forged] });
      },
    ],
    [
      'more entries than one frame may have',
      async (t) => {
        await t.say(fake(500));
        await t.say({ type: 'entries', entries: [...bytesOf(long)].slice(2, 2 + 65) });
      },
    ],
  ])('%s: the exchange ends, and nothing uncertified is learnt', async (what, misbehave) => {
    const node = await nodeAt(ben, chain);
    const talk = against(node, ada);
    await misbehave(talk);
    const error = await refusalOf(talk.result);
    expect(error.code).toBe('BAD_MESSAGE');
    if (what === 'another cluster') expect(error.message).toContain('another cluster');
    const learnt = what === LEARNT ? 'member' : 'stranger';
    expect(node.roster.view.standing(eve.peerId)).toBe(learnt);
    // It was told why before the stream is closed.
    const heard = talk.stream;
    let last = decodeMessage(await heard.read());
    while (last.type !== 'refuse') last = decodeMessage(await heard.read());
    expect(last.error.code).toBe('BAD_MESSAGE');
  });

  test('asking without end is cut off', async () => {
    const node = await nodeAt(ben, chain);
    const talk = against(node, ada);
    await talk.stream.write(helloOf(chain));
    const drain = (async () => {
      for (;;) if ((await talk.hear()).type === 'refuse') return;
    })();
    let asked = 0;
    const flood = (async () => {
      for (; asked < LIMITS.rosterRounds + 50; asked++) await talk.say({ type: 'want', from: 1 });
    })();
    expect((await refusalOf(talk.result)).code).toBe('BAD_MESSAGE');
    await drain;
    talk.stream.close();
    await flood.catch(() => {});
    expect(asked).toBeLessThan(LIMITS.rosterRounds + 50);
  });

  test('asking without reading: what waits for it is bounded', async () => {
    const node = await nodeAt(ben, chain);
    const talk = against(node, ada);
    let accepted = 0;
    const flood = (async () => {
      await talk.stream.write(helloOf(chain));
      for (; accepted < 500; accepted++) await talk.say({ type: 'want', from: 1 });
    })();
    flood.catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 50));
    // 8 frames fit into the pipe each way, 4 into the outbox, a few are in hand.
    expect(accepted).toBeLessThan(40);
    node.clock.advance(LIMITS.strangerMs);
    expect((await refusalOf(talk.result)).code).toBe('TIMEOUT');
    talk.stream.close();
  });

  test('silence ends with the time that was given', async () => {
    const node = await nodeAt(ben, chain);
    const talk = against(node, ada, 2_000);
    await talk.hear();
    node.clock.advance(1_999);
    await talk.stream.write(helloOf(chain));
    expect((await talk.hear()).type).toBe('done');
    node.clock.advance(1);
    expect((await refusalOf(talk.result)).code).toBe('TIMEOUT');
  });

  test('a stream that closes ends it', async () => {
    const node = await nodeAt(ben, chain);
    const talk = against(node, ada);
    talk.stream.close();
    expect((await refusalOf(talk.result)).code).toBe('PEER_UNREACHABLE');
  });

  test('a disk that fails is told to the caller, not to the peer', async () => {
    const node = await nodeAt(ben, chain, 1);
    node.roster.extend = () => Promise.reject(new BzzzError('DISK_FAILED', 'EIO /secret/path'));
    const talk = against(node, ada);
    await talk.stream.write(helloOf(chain));
    await talk.hear();
    await talk.hear();
    await talk.say({ type: 'entries', entries: [bytesOf(chain)[1]] });
    expect((await refusalOf(talk.result)).code).toBe('DISK_FAILED');
    const refuse = await talk.hear();
    expect(refuse.type).toBe('refuse');
    expect(JSON.stringify(refuse)).not.toContain('/secret/path');
  });
});
