import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compareText, toHex, utf8Bytes } from '../../src/base/bytes.ts';
import { contentCid, encode } from '../../src/base/codec.ts';
import { BzzzError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { type Address, series, seriesId } from '../../src/ucxl/address.ts';
import { certificateAddress, proposalAddress, resultAddress } from '../../src/ucxl/fixed.ts';
import { recordNamespaces } from '../../src/ucxl/namespaces.ts';
import {
  type Candidate,
  comparePins,
  decodeCandidates,
  encodeCandidates,
  encodeOne,
  openCandidates,
} from '../../src/ucxl/records.ts';
import {
  CLUSTER,
  certificateKind,
  crowd,
  hashOf,
  namespaceOf,
  proposalKind,
  rules,
  sealBody,
  sessionOf,
  signers,
  stranger,
} from './support.ts';

const one = namespaceOf('i');
const perAuthor = namespaceOf('c');
const content = namespaceOf('m');
const suffixOf = (address: Address): string => seriesId(series(address));
const [ada, bea] = [signers[0]!, signers[1]!];

const proposal = sealBody(ada, 'sign this');
const proposalAt = proposalAddress(CLUSTER, sessionOf(proposal));
const request = hashOf('request');
const resultAt = resultAddress(CLUSTER, request);
const resultOf = (author = ada, text = ''): Candidate => ({
  author: author.peerId,
  body: sealBody(author, request + text),
});
const candidates = (...list: Candidate[]): Uint8Array => encodeCandidates(series(resultAt), list);

describe('what stores refuse (A3, DHT: foreign namespace, wrong key, bad signature, size)', () => {
  const good = encodeOne(series(proposalAt), proposal);
  const other = sealBody(bea, 'another');
  const otherAt = proposalAddress(CLUSTER, sessionOf(other));

  test('valid values pass', () => {
    one.validate(suffixOf(proposalAt), good);
    perAuthor.validate(suffixOf(resultAt), candidates(resultOf(ada), resultOf(bea)));
    content.validate(contentCid(utf8Bytes('x')).toString(), utf8Bytes('x'));
    content.validate(contentCid(new Uint8Array()).toString(), new Uint8Array());
  });

  const at = suffixOf(proposalAt);
  const text = series(proposalAt);
  test.each<[string, string, Uint8Array, RegExp]>([
    ["another key's valid record", suffixOf(otherAt), good, /another series/],
    ["another record under this key's series", at, encodeOne(text, other), /another session/],
    ['a record that nobody signed', at, encodeOne(text, utf8Bytes('x')), /envelope/],
    ['one flipped bit', at, flipped(good), /./],
    ['no CBOR', at, utf8Bytes('rubbish'), /not DAG-CBOR/],
    ['nothing', at, new Uint8Array(), /not DAG-CBOR/],
    ['a longer form of the same CBOR', at, indefinite(good), /not DAG-CBOR/],
    ['bytes behind the value', at, Uint8Array.from([...good, 0]), /not DAG-CBOR/],
    ['an unknown field', at, encode({ v: 1, series: text, body: proposal, x: 1 }), /x/],
    ['another version', at, encode({ v: 2, series: text, body: proposal }), /v:/],
    ['a missing body', at, encode({ v: 1, series: text }), /body/],
    ['a body of text', at, encode({ v: 1, series: text, body: 'x' }), /body/],
    ['a candidate set', at, candidates(resultOf()), /record/],
    ['more than a stored value may be', at, new Uint8Array(one.maxBytes + 1), /at most/],
    [
      'more than its kind may be',
      at,
      encodeOne(text, new Uint8Array(proposalKind.maxBytes + 1)),
      /at most 8192/,
    ],
  ])('%s', (_what, suffix, value, reason) => {
    refuses(() => one.validate(suffix, value), reason);
  });

  test.each([
    ['a series in capitals', text.replace('mpc', 'MPC')],
    ['a series with a temporal', text.replace('/proposal', '/*~1/proposal')],
    ['a series with latest written out', text.replace('/proposal', '/*^/proposal')],
    ['a series with a query', `${text}?stale`],
    ['a series with a slash behind it', `${text}/`],
    ['a pattern', text.replace('mpc', 'any')],
    ['no address', 'x'],
    ['an address at which no kind stands', 'ucxl://a:b@c:d/x'],
    ['an address at which candidates stand', series(resultAt)],
  ])('%s, under its own hash', (_what, wrong) => {
    refuses(() => one.validate(seriesId(wrong), encodeOne(wrong, proposal)), /./);
  });

  test('a valid body in the namespace of the other form', () => {
    const { author, body } = resultOf();
    const inOne = encodeOne(series(resultAt), body);
    refuses(() => one.validate(suffixOf(resultAt), inOne), /no record of this form/);
    const keyAt = certificateAddress(CLUSTER, hashOf('key'));
    const inSet = encodeCandidates(series(keyAt), [{ author, body }]);
    refuses(() => perAuthor.validate(suffixOf(keyAt), inSet), /no record of this form/);
  });

  test('a record at which two kinds stand, rather than a guess between them', () => {
    const twice = { ...certificateKind, name: 'twice', matches: proposalKind.matches };
    const ns = namespaceOf('i', { ...rules, kinds: [...rules.kinds, twice] });
    refuses(() => ns.validate(at, good), /proposal and twice both claim/);
  });

  test('whatever a kind throws becomes a refusal', () => {
    const broken = {
      ...proposalKind,
      verify: () => {
        throw new TypeError('x is undefined');
      },
    };
    const ns = namespaceOf('i', { ...rules, kinds: [broken] });
    refuses(() => ns.validate(at, good), /x is undefined/);
  });

  test('a record of every allowed size fits its namespace', () => {
    const longest = `ucxl://a:b@c:d/${'x'.repeat(128)}/`.padEnd(1_024, 'y');
    const body = new Uint8Array(LIMITS.recordBytes);
    expect(encodeOne(longest, body).length).toBeLessThanOrEqual(one.maxBytes);
    const full = Array.from({ length: LIMITS.candidates }, () => ({
      author: ada.peerId,
      body: new Uint8Array(LIMITS.candidateBytes),
    }));
    expect(encodeCandidates(longest, full).length).toBeLessThanOrEqual(perAuthor.maxBytes);
  });
});

describe('candidate sets', () => {
  const at = suffixOf(resultAt);
  const inOrder = [resultOf(ada), resultOf(bea)].sort((a, b) => compareText(a.author, b.author));
  const raw = (list: readonly unknown[]): Uint8Array =>
    encode({ v: 1, series: series(resultAt), candidates: list });

  test.each<[string, Uint8Array, RegExp]>([
    [
      'in the name of another',
      raw([{ ...resultOf(ada), author: bea.peerId }]),
      /signed by another/,
    ],
    ['of one who was never a member', candidates(resultOf(stranger)), /never a member/],
    [
      'of another request',
      raw([{ author: ada.peerId, body: sealBody(ada, 'x') }]),
      /another request/,
    ],
    [
      'one bad among good ones',
      candidates(resultOf(ada), { ...resultOf(bea), body: proposal }),
      /./,
    ],
    ['not sorted', raw([...inOrder].reverse()), /sorted by author/],
    ['two of one author', raw([resultOf(ada), resultOf(ada, 'again')]), /sorted by author/],
    ['none at all', raw([]), /candidates/],
    ['one too many', candidates(...crowd.slice(0, 17).map((who) => resultOf(who))), /candidates/],
    ['a body over the limit', candidates(resultOf(ada, 'x'.repeat(4_096))), /4096/],
    ['a field too many', raw([{ ...resultOf(ada), x: 1 }]), /x/],
    ['__proto__ as an author', raw([{ ...resultOf(ada), author: '__proto__' }]), /peer id/],
  ])('%s: refused', (_what, value, reason) => {
    refuses(() => perAuthor.validate(at, value), reason);
  });

  test('another request of the same cluster does not take the set over', () => {
    const foreign = seriesId(series(resultAddress(CLUSTER, hashOf('other request'))));
    refuses(() => perAuthor.validate(foreign, candidates(resultOf())), /another series/);
  });

  test('copies come by rising CID bytes, whoever signed them', () => {
    const copies = openCandidates(
      rules,
      at,
      candidates(...crowd.slice(0, 16).map((w) => resultOf(w))),
    );
    expect(copies).toHaveLength(16);
    for (const [i, copy] of copies.entries()) {
      expect(copy.pin).toBe(contentCid(copy.bytes).toString());
      if (i > 0) expect(comparePins(copies[i - 1]!.pin, copy.pin)).toBeLessThan(0);
    }
  });

  test('the order is of bytes: base32 text would order digits before letters', () => {
    const pins = Array.from({ length: 40 }, (_, i) => contentCid(utf8Bytes(`${i}`)));
    const byBytes = [...pins].sort((a, b) => compareText(toHex(a.bytes), toHex(b.bytes)));
    const ours = pins.map((pin) => pin.toString()).sort(comparePins);
    expect(ours).toEqual(byBytes.map((pin) => pin.toString()));
    expect(ours).not.toEqual([...ours].sort(compareText));
  });
});

describe('content', () => {
  test.each<[string, string, Uint8Array]>([
    ['other bytes', contentCid(utf8Bytes('x')).toString(), utf8Bytes('y')],
    [
      'the hash in another text form',
      contentCid(utf8Bytes('x')).toString().toUpperCase(),
      utf8Bytes('x'),
    ],
    ['no hash', 'x', utf8Bytes('x')],
    ['32 KiB and one', contentCid(new Uint8Array(32_769)).toString(), new Uint8Array(32_769)],
  ])('%s: refused', (_what, suffix, value) => {
    refuses(() => content.validate(suffix, value), /./);
  });

  test('32 KiB pass', () => {
    const value = new Uint8Array(32_768);
    content.validate(contentCid(value).toString(), value);
  });
});

describe('merge is commutative, associative and idempotent (A5)', () => {
  const keyAt = certificateAddress(CLUSTER, hashOf('key'));
  const bodies = Array.from({ length: 12 }, (_, i) => sealBody(ada, `certificate ${i}`));
  const aCertificate = fc.constantFrom(...bodies).map((body) => encodeOne(series(keyAt), body));
  const twoEach = crowd.flatMap((who) => [resultOf(who), resultOf(who, 'again')]);
  const aSet = fc
    .uniqueArray(fc.constantFrom(...twoEach), {
      minLength: 1,
      maxLength: 16,
      selector: (candidate) => candidate.author,
    })
    .map((list) => candidates(...list));

  const laws = (ns: typeof one, at: string, values: fc.Arbitrary<Uint8Array>) =>
    fc.assert(
      fc.property(values, values, values, (a, b, c) => {
        const merge = (x: Uint8Array, y: Uint8Array) => ns.merge(at, x, y);
        expect(toHex(merge(a, b))).toBe(toHex(merge(b, a)));
        expect(toHex(merge(merge(a, b), c))).toBe(toHex(merge(a, merge(b, c))));
        expect(toHex(merge(a, a))).toBe(toHex(a));
        expect(toHex(merge(merge(a, b), b))).toBe(toHex(merge(a, b)));
      }),
      { numRuns: 60 },
    );

  test('self-proving records: the body with the smaller CID stands', () => {
    laws(one, suffixOf(keyAt), aCertificate);
    const smallest = bodies.toSorted((a, b) =>
      comparePins(contentCid(a).toString(), contentCid(b).toString()),
    )[0]!;
    const merged = bodies
      .map((body) => encodeOne(series(keyAt), body))
      .reduce((a, b) => one.merge('', a, b));
    expect(toHex(merged)).toBe(toHex(encodeOne(series(keyAt), smallest)));
  });

  test('candidate sets, also over the limit', () => {
    laws(perAuthor, suffixOf(resultAt), aSet);
  });

  test('the union keeps every author, and of each the smaller CID', () => {
    const [first, again] = [resultOf(ada), resultOf(ada, 'again')];
    const smaller = comparePins(pinOf(first), pinOf(again)) < 0 ? first : again;
    const merged = perAuthor.merge(
      suffixOf(resultAt),
      candidates(first),
      candidates(again, resultOf(bea)),
    );
    expect(toHex(merged)).toBe(toHex(candidates(smaller, resultOf(bea))));
  });

  test('a merged set over the limit is full, valid and the same in any order', () => {
    const sets = crowd.map((who) => candidates(resultOf(who)));
    const merged = sets.reduce((a, b) => perAuthor.merge('', a, b));
    expect(decodeCandidates(merged).candidates).toHaveLength(LIMITS.candidates);
    perAuthor.validate(suffixOf(resultAt), merged);
    const reversed = sets.toReversed().reduce((a, b) => perAuthor.merge('', a, b));
    expect(toHex(reversed)).toBe(toHex(merged));
  });
});

test('there are four namespaces', () => {
  expect(recordNamespaces(rules).map((ns) => ns.name)).toEqual(['i', 'c', 'm', 'h']);
});

const pinOf = (candidate: Candidate): string => contentCid(candidate.body).toString();

function refuses(fn: () => void, reason: RegExp): void {
  let thrown: unknown;
  try {
    fn();
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(BzzzError);
  expect((thrown as BzzzError).code).toBe('BAD_MESSAGE');
  expect((thrown as BzzzError).message).toMatch(reason);
}

function flipped(value: Uint8Array): Uint8Array {
  const copy = new Uint8Array(value);
  copy[copy.length - 20]! ^= 1;
  return copy;
}

/** The same map with an indefinite length (RFC 8949 §3.2.2), which DAG-CBOR does not allow. */
function indefinite(value: Uint8Array): Uint8Array {
  return Uint8Array.from([0xbf, ...value.subarray(1), 0xff]);
}
