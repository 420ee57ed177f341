import { describe, expect, test } from 'vitest';
import { utf8Bytes } from '../../src/base/bytes.ts';
import { contentCid } from '../../src/base/codec.ts';
import { parseConcrete } from '../../src/ucxl/parse.ts';
import type { Copy } from '../../src/ucxl/records.ts';
import { selectCopy } from '../../src/ucxl/select.ts';
import { certificateKind, errorOf, PROPOSAL_TIME, resultKind } from './support.ts';

const copyOf = (text: string, time: string | null = PROPOSAL_TIME): Copy => ({
  writer: null,
  type: 'text/plain',
  time,
  expires: null,
  pin: contentCid(utf8Bytes(text)).toString(),
  bytes: utf8Bytes(text),
});
const record = copyOf('record');
const second = copyOf('second');
const at = (temporal: string, query = '') =>
  parseConcrete(`ucxl://a:b@c:d/${temporal === '' ? '' : `${temporal}/`}x${query}`);

describe('a self-proving record is its only version, number 1 (R79)', () => {
  test.each([
    ['latest', '', ''],
    ['latest, written out', '*^', ''],
    ['history', '*~', ''],
    ['version 1', '*~1', ''],
    ['0 back', '~~0', ''],
    ['0 forward', '^^0', ''],
    ['0 back of version 1', '~~0', '?base=*~1'],
    ['0 forward of its pin', '^^0', `?base=*=${record.pin}`],
    ['as of its own instant', '*@20260101T000000Z', ''],
    ['as of later', '*@20270101T000000Z', ''],
    ['its pin', `*=${record.pin}`, ''],
    ['flags for heads', '', '?siblings&stale'],
  ])('%s', (_what, temporal, query) => {
    expect(selectCopy(at(temporal, query), [record], certificateKind)).toEqual({
      copy: record,
      version: 1,
    });
  });

  test.each([
    ['version 2', '*~2', '', 'TEMPORAL_OUT_OF_RANGE'],
    ['1 back', '~~1', '', 'TEMPORAL_OUT_OF_RANGE'],
    ['1 forward', '^^1', '', 'TEMPORAL_OUT_OF_RANGE'],
    ['1 back of a version that is not there', '~~1', '?base=*~2', 'TEMPORAL_OUT_OF_RANGE'],
    ['0 back of a version that is not there', '~~0', '?base=*~2', 'TEMPORAL_OUT_OF_RANGE'],
    ['0 forward of other bytes', '^^0', `?base=*=${second.pin}`, 'TEMPORAL_OUT_OF_RANGE'],
    ['as of the millisecond before', '*@20251231T235959.999Z', '', 'TEMPORAL_OUT_OF_RANGE'],
    ['the pin of other bytes', `*=${second.pin}`, '', 'NOT_FOUND'],
    ['a base that nothing counts from', '', '?base=*~1', 'INVALID_ADDRESS'],
    ['a base beside a version', '*~1', '?base=*~1', 'INVALID_ADDRESS'],
  ])('%s is an error', async (_what, temporal, query, code) => {
    const address = at(temporal, query);
    const error = await errorOf(() => selectCopy(address, [record], certificateKind));
    expect(error.code).toBe(code);
    if (code === 'TEMPORAL_OUT_OF_RANGE') expect(error.details).toEqual({ first: 1, last: 1 });
  });

  test('as of an instant needs a record with a time', async () => {
    const timeless = copyOf('record', null);
    const address = at('*@20270101T000000Z');
    const error = await errorOf(() => selectCopy(address, [timeless], certificateKind));
    expect(error.code).toBe('TEMPORAL_OUT_OF_RANGE');
  });
});

describe('candidates are told apart by their pins and have no versions', () => {
  test.each([
    ['latest: the first', '', record],
    ['0 back: the first', '~~0', record],
    ['a pin: that one', `*=${second.pin}`, second],
  ])('%s', (_what, temporal, copy) => {
    const selected = selectCopy(at(temporal), [record, second], resultKind);
    expect(selected).toEqual({ copy, version: null });
  });

  test.each([
    ['*~', ''],
    ['*~1', ''],
    ['~~1', ''],
    ['^^1', ''],
    ['~~0', '?base=*~1'],
    ['*@20270101T000000Z', ''],
  ])('%s%s is out of range', async (temporal, query) => {
    const address = at(temporal, query);
    const error = await errorOf(() => selectCopy(address, [record, second], resultKind));
    expect(error.code).toBe('TEMPORAL_OUT_OF_RANGE');
    expect(error.hint).toMatch(/pin/);
  });
});
