import { describe, expect, test } from 'vitest';
import { BzzzError } from '../../src/base/errors.ts';
import { format, series, seriesId } from '../../src/ucxl/address.ts';
import { makeAddress, parse, parseConcrete, parseSeries } from '../../src/ucxl/parse.ts';

const PIN = 'bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku';
const base = 'ucxl://a:b@c:d';

function refusal(fn: () => unknown): BzzzError {
  try {
    fn();
  } catch (thrown) {
    if (thrown instanceof BzzzError) return thrown;
    throw thrown;
  }
  throw new Error('nothing was thrown');
}

describe('concrete addresses (R78)', () => {
  test('every part is found', () => {
    expect(
      parse(`ucxl://n-4fzx:architect@lab:v2/*~7/decisions/a.json?stale&base=*~3#top/1`),
    ).toEqual({
      form: 'concrete',
      agent: 'n-4fzx',
      role: 'architect',
      project: 'lab',
      task: 'v2',
      temporal: { form: 'version', n: 7 },
      path: 'decisions/a.json',
      query: { stale: true, base: { form: 'version', n: 3 } },
      fragment: 'top/1',
    });
  });

  test.each([
    ['no path', base, base],
    ['a trailing slash goes', `${base}/`, base],
    ['also after a path', `${base}/x/y/`, `${base}/x/y`],
    ['also after a temporal', `${base}/*~2/`, `${base}/*~2`],
    ['scheme and names go lower-case, the path keeps its case', 'UCXL://A:B@C:D/Xy', `${base}/Xy`],
    ['latest is omitted', `${base}/*^/x`, `${base}/x`],
    ['latest is omitted without a path', `${base}/*^`, base],
    ['%5E in latest', `${base}/*%5E/x`, `${base}/x`],
    ['%5E in forward', `${base}/%5E%5E1/x`, `${base}/^^1/x`],
    ['%5e and ^ mixed', `${base}/%5e^1/x`, `${base}/^^1/x`],
    ['history', `${base}/*~/x`, `${base}/*~/x`],
    ['version', `${base}/*~999999999/x`, `${base}/*~999999999/x`],
    ['back by 0', `${base}/~~0/x`, `${base}/~~0/x`],
    ['forward with a base', `${base}/^^1/x?base=*~3`, `${base}/^^1/x?base=*~3`],
    ['base by pin', `${base}/~~1/x?base=*=${PIN}`, `${base}/~~1/x?base=*=${PIN}`],
    ['as of', `${base}/*@20260730T120000Z/x`, `${base}/*@20260730T120000Z/x`],
    ['as of, lower case', `${base}/*@20260730t120000z/x`, `${base}/*@20260730T120000Z/x`],
    ['as of, ms', `${base}/*@20260730T120000.250Z/x`, `${base}/*@20260730T120000.250Z/x`],
    ['as of, no ms', `${base}/*@20260730T120000.000Z/x`, `${base}/*@20260730T120000Z/x`],
    ['as of, year 0', `${base}/*@00000101T000000Z`, `${base}/*@00000101T000000Z`],
    ['pin', `${base}/*=${PIN}/x`, `${base}/*=${PIN}/x`],
    ['the query is sorted', `${base}/x?stale&siblings`, `${base}/x?siblings&stale`],
    ['a flag may say true', `${base}?stale=true`, `${base}?stale`],
    ['a query after a slash', `${base}/?stale`, `${base}?stale`],
    ['the fragment stays', `${base}/x#a/b.c-d_E`, `${base}/x#a/b.c-d_E`],
    ['an empty fragment goes', `${base}/x#`, `${base}/x`],
    ['names of 63 characters', `ucxl://${'a'.repeat(63)}:b@c:d`, `ucxl://${'a'.repeat(63)}:b@c:d`],
    ['names that begin with a digit', 'ucxl://0_:1-@2:3', 'ucxl://0_:1-@2:3'],
    ['segments of 128', `${base}/${'x'.repeat(128)}`, `${base}/${'x'.repeat(128)}`],
    ['segments of dots', `${base}/.../.a/a.`, `${base}/.../.a/a.`],
    ['names that contain any', 'ucxl://many:anyone@c:d', 'ucxl://many:anyone@c:d'],
  ])('%s', (_what, text, canonical) => {
    const address = parse(text);
    expect(address.form).toBe('concrete');
    expect(format(address)).toBe(canonical);
    expect(parse(canonical)).toEqual(address);
  });

  test('1,024 bytes are accepted, one more is not', () => {
    const path = `${'x'.repeat(128)}/`.repeat(9).slice(0, 1_024 - base.length - 1);
    const longest = `${base}/${path}`;
    expect(longest.length).toBe(1_024);
    expect(format(parse(longest))).toBe(longest.replace(/\/$/, ''));
    expect(refusal(() => parse(`${longest.slice(0, -1)}xx`)).details).toMatchObject({
      part: 'address',
      position: 1_024,
    });
  });
});

describe('every violation names its part, position and what is allowed (R78)', () => {
  test.each([
    ['nothing at all', '', 'scheme', 0],
    ['another scheme', 'http://a:b@c:d', 'scheme', 0],
    ['one slash', 'ucxl:/a:b@c:d', 'scheme', 0],
    ['no task', 'ucxl://a:b@c', 'project', 12],
    ['no role', 'ucxl://a@b:c', 'agent', 8],
    ['an empty agent', 'ucxl://:b@c:d', 'agent', 7],
    ['an empty task', 'ucxl://a:b@c:', 'task', 13],
    ['an empty task before a path', 'ucxl://a:b@c:/x', 'task', 13],
    ['a name that begins with -', 'ucxl://-a:b@c:d/x', 'agent', 7],
    ['a name that begins with _', 'ucxl://a:_b@c:d/x', 'role', 9],
    ['a name of 64 characters', `ucxl://a:b@${'c'.repeat(64)}:d`, 'project', 11],
    ['a dot in a name', 'ucxl://a.b:b@c:d', 'agent', 8],
    ['a letter outside ASCII', 'ucxl://\u00e4:b@c:d', 'agent', 7],
    ['the Kelvin sign, which lower-cases to k', 'ucxl://\u212a:b@c:d', 'agent', 7],
    ['a percent-escape in a name', 'ucxl://a%5E:b@c:d', 'agent', 8],
    ['two @', 'ucxl://a:b@c:d@e', 'task', 14],
    ['version 0', `${base}/*~0/x`, 'temporal', 15],
    ['version 01', `${base}/*~01/x`, 'temporal', 15],
    ['version of ten digits', `${base}/*~1000000000/x`, 'temporal', 15],
    ['a negative version', `${base}/*~-1/x`, 'temporal', 15],
    ['back without a number', `${base}/~~/x`, 'temporal', 15],
    ['back 00', `${base}/~~00/x`, 'temporal', 15],
    ['forward without a number', `${base}/^^/x`, 'temporal', 15],
    ['one tilde', `${base}/~1/x`, 'temporal', 15],
    ['one caret', `${base}/^1/x`, 'temporal', 15],
    ['latest with a number', `${base}/*^1`, 'temporal', 15],
    ['as of without Z', `${base}/*@20260730T120000/x`, 'temporal', 15],
    ['as of 30 February', `${base}/*@20260230T120000Z/x`, 'temporal', 15],
    ['as of hour 24', `${base}/*@20260730T240000Z/x`, 'temporal', 15],
    ['as of second 60', `${base}/*@20260730T115960Z/x`, 'temporal', 15],
    ['as of with two digits of ms', `${base}/*@20260730T120000.25Z/x`, 'temporal', 15],
    [
      'a pin in another base',
      `${base}/*=QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPBdG`,
      'temporal',
      15,
    ],
    ['a pin of another codec', `${base}/*=${PIN.replace('bafkrei', 'bafyrei')}`, 'temporal', 15],
    ['a pin that is too short', `${base}/*=${PIN.slice(0, -1)}`, 'temporal', 15],
    [
      'a pin of another digest length',
      `${base}/*=${PIN.replace('bafkreih', 'bafkreiz')}`,
      'temporal',
      15,
    ],
    ['a pin with padding bits', `${base}/*=${PIN.slice(0, -1)}v`, 'temporal', 15],
    ['a pin in capitals', `${base}/*=${PIN.toUpperCase()}`, 'temporal', 15],
    ['a temporal behind the path', `${base}/x/~~1`, 'path', 17],
    ['two temporals', `${base}/*~1/*~2`, 'path', 19],
    ['..', `${base}/../x`, 'path', 15],
    ['.', `${base}/x/./y`, 'path', 17],
    ['an empty segment', `${base}//x`, 'path', 15],
    ['an empty segment in the middle', `${base}/x//y`, 'path', 17],
    ['two slashes at the end', `${base}/x//`, 'path', 17],
    ['a segment of 129', `${base}/${'x'.repeat(129)}`, 'path', 15],
    ['%5E in a path', `${base}/x%5E`, 'path', 16],
    ['%2F in a path', `${base}/x%2Fy`, 'path', 16],
    ['%7E for a tilde', `${base}/%7E%7E1/x`, 'path', 15],
    ['%2A for a star', `${base}/%2A~1/x`, 'path', 15],
    ['a star inside a segment', `${base}/x*`, 'path', 16],
    ['a star before a segment', `${base}/*x`, 'path', 15],
    ['three stars', `${base}/***`, 'path', 15],
    ['a space', `${base}/a b`, 'path', 16],
    ['a line break at the end', `${base}/x\n`, 'path', 16],
    ['a line break after a version', `${base}/*~1\n`, 'temporal', 15],
    ['a NUL', `${base}/\0`, 'path', 15],
    ['an empty query', `${base}?`, 'query', 15],
    ['an unknown parameter', `${base}?foo=1`, 'query', 15],
    ['a known parameter twice', `${base}?stale&stale`, 'query', 21],
    ['base twice', `${base}?base=*~1&base=*~2`, 'query', 24],
    ['a base that is relative', `${base}/~~1?base=~~1`, 'query', 24],
    ['a base of nothing', `${base}/~~1?base=`, 'query', 24],
    ['a flag with a value', `${base}?stale=no`, 'query', 15],
    ['a parameter in capitals', `${base}?STALE`, 'query', 15],
    ['__proto__ as a parameter', `${base}?__proto__=1`, 'query', 15],
    ['a question mark in the query', `${base}?stale?`, 'query', 15],
    ['a question mark in the fragment', `${base}#x?`, 'fragment', 16],
    ['two fragments', `${base}#a#b`, 'fragment', 16],
    ['a query in a pattern', 'ucxl://any:b@c:d?stale', 'query', 16],
    ['a fragment in a pattern', 'ucxl://any:b@c:d/x#y', 'fragment', 18],
    ['a slash behind a pattern', 'ucxl://any:b@c:d/x/', 'path', 18],
  ])('%s', (_what, text, part, position) => {
    const error = refusal(() => parse(text));
    expect(error.code).toBe('INVALID_ADDRESS');
    expect(error.details).toMatchObject({ part, position });
    expect(error.message).toContain(`${part} at position ${position}`);
    expect(error.why).toMatch(/^allowed here: .+/);
  });

  test('an error shows only the beginning of a long input, escaped', () => {
    const error = refusal(() => parse(`${base}/\u001b[2J${'x'.repeat(900)}`));
    expect(error.message).not.toContain('\u001b');
    expect(refusal(() => parse('y'.repeat(100_000))).message.length).toBeLessThan(200);
  });
});

describe('patterns', () => {
  test('the example of the grammar', () => {
    expect(parse('ucxl://any:reviewer@lab:any/**')).toEqual({
      form: 'pattern',
      agent: 'any',
      role: 'reviewer',
      project: 'lab',
      task: 'any',
      temporal: { form: 'latest' },
      path: '**',
    });
  });

  test.each([
    ['ANY in capitals', 'ucxl://ANY:b@c:d', 'ucxl://any:b@c:d'],
    ['a glob alone makes a pattern', `${base}/*`, `${base}/*`],
    ['a temporal before the glob', `${base}/*~3/**/x/*`, `${base}/*~3/**/x/*`],
    ['latest is omitted', `${base}/*^/*`, `${base}/*`],
  ])('%s', (_what, text, canonical) => {
    const pattern = parse(text);
    expect(pattern.form).toBe('pattern');
    expect(format(pattern)).toBe(canonical);
    expect(parse(canonical)).toEqual(pattern);
  });

  test.each([
    ['ucxl://any:b@c:d/x', 'agent', 7],
    ['ucxl://a:b@c:ANY/x', 'task', 13],
    [`${base}/*~1/x/**`, 'path', 21],
    [`${base}/*`, 'path', 15],
  ])('%s names no single thing', (text, part, position) => {
    expect(parse(text).form).toBe('pattern');
    const error = refusal(() => parseConcrete(text));
    expect(error.code).toBe('INVALID_ADDRESS');
    expect(error.details).toMatchObject({ part, position });
  });
});

describe('series', () => {
  test('what all versions of a thing share', () => {
    for (const text of [
      `${base}/*~3/x?stale#y`,
      `${base}/x/`,
      'UCXL://A:b@c:D/x',
      `${base}/*^/x`,
    ]) {
      expect(series(parse(text))).toBe(`${base}/x`);
    }
  });

  test('its id is SHA-256 behind the domain of series, in base32', () => {
    // printf 'ucxl/series/1\0ucxl://a:b@c:d/x' | sha256sum | xxd -r -p | base32 | tr A-Z a-z
    expect(seriesId(`${base}/x`)).toBe('zuw4n7zrbhfp4p5mr6dsygypj4tjygb24k43uighpipltcoi2urq');
    expect(seriesId(`${base}/x`)).toHaveLength(52);
  });

  test('only the canonical text of a series is read as one', () => {
    expect(parseSeries(`${base}/x`)).toEqual({ ...makeAddress(parseSeries(`${base}/x`)) });
    for (const text of [
      `${base}/x/`,
      `${base}/X?stale`,
      'ucxl://A:b@c:d/x',
      `${base}/*~1/x`,
      `${base}/*^/x`,
      `${base}/x#y`,
      'ucxl://any:b@c:d/x',
    ]) {
      expect(refusal(() => parseSeries(text)).code).toBe('INVALID_ADDRESS');
    }
  });

  test('an address made of names is checked; no name may hold another part', () => {
    const names = { agent: 'A', role: 'b', project: 'Lab', task: 'd', path: 'X/y' };
    expect(series(makeAddress(names))).toBe('ucxl://a:b@lab:d/X/y');
    for (const wrong of [
      { agent: 'any' },
      { agent: 'a:b@c:d/x?', role: 'y' },
      { task: 'd/x' },
      { task: 'd/*~1', path: 'x' },
      { path: '*~1/x' },
      { path: '*^' },
      { path: 'x/' },
      { path: '/x' },
      { path: 'x?stale' },
      { path: 'x#y' },
      { path: '**' },
      { project: '' },
    ]) {
      expect(refusal(() => makeAddress({ ...names, ...wrong })).code).toBe('INVALID_ADDRESS');
    }
  });
});
