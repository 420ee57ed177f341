/**
 * What may stand in a log line: no secrets, no message contents, no bytes at all, nothing endless.
 * Pure.
 * @module
 */
import { BzzzError } from '../base/errors.ts';

const HIDDEN = '[hidden]';
const MAX_DEPTH = 6;
const MAX_ITEMS = 32;
const MAX_TEXT = 2_048;

/** Field names whose values are never logged, without regard to case, `_` and `-`. */
const SECRET_NAMES = new Set([
  'share',
  'shares',
  'message',
  'token',
  'invitation',
  'authorization',
  'cookie',
  'identitykey',
  'kek',
  'dek',
]);

/** ... and every name with one of these inside. */
const SECRET_PARTS =
  /secret|passphrase|password|seed|nonce|hiding|binding|privatekey|signingshare|subshare/;

const isSecret = (name: string): boolean => {
  const plain = name.toLowerCase().replaceAll(/[_-]/g, '');
  return SECRET_NAMES.has(plain) || SECRET_PARTS.test(plain);
};

/** An invitation carries a one-time secret wherever it is quoted. */
const scrub = (text: string): string => {
  const short = text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}...` : text;
  return short.replaceAll(/bzzz1[A-Za-z0-9_-]{16,}/g, '[invitation]');
};

/** A copy of `fields` fit for a log: plain JSON, bounded, secrets and bytes left out. */
export const redact = (fields: object): Record<string, unknown> =>
  record(fields, 0) as Record<string, unknown>;

/** A log message fit for a log. */
export const redactText = (text: string): string => scrub(text);

function value(v: unknown, depth: number): unknown {
  if (typeof v === 'string') return scrub(v);
  if (typeof v === 'bigint' || typeof v === 'symbol') return String(v);
  if (typeof v === 'function') return '[function]';
  if (typeof v !== 'object' || v === null) return v;
  // Key material is bytes, so no bytes are logged: whoever wants a hash in the log passes its hex.
  if (ArrayBuffer.isView(v)) return `[${v.byteLength} bytes]`;
  if (v instanceof ArrayBuffer) return `[${v.byteLength} bytes]`;
  if (v instanceof Error) return error(v, depth);
  if (v instanceof Date) return Number.isNaN(v.getTime()) ? 'invalid date' : v.toISOString();
  if (depth >= MAX_DEPTH) return '[deep]';
  if (Array.isArray(v)) return list(v, depth);
  if (v instanceof Map) return record(Object.fromEntries(v), depth);
  if (v instanceof Set) return list([...v], depth);
  return record(v, depth);
}

function list(items: readonly unknown[], depth: number): unknown[] {
  const shown = items.slice(0, MAX_ITEMS).map((item) => value(item, depth + 1));
  if (items.length > MAX_ITEMS) shown.push(`[${items.length - MAX_ITEMS} more]`);
  return shown;
}

function record(fields: object, depth: number): unknown {
  if (depth >= MAX_DEPTH) return '[deep]';
  const entries = Object.entries(fields).slice(0, MAX_ITEMS);
  return Object.fromEntries(
    entries.map(([name, v]) => [name, isSecret(name) ? HIDDEN : value(v, depth + 1)]),
  );
}

function error(e: Error, depth: number): unknown {
  const base = { name: e.name, message: scrub(e.message) };
  if (e instanceof BzzzError) {
    const { code, why, details } = e;
    return {
      ...base,
      code,
      ...(why === undefined ? {} : { why: scrub(why) }),
      ...cause(e, depth),
      ...(Object.keys(details).length === 0 ? {} : { details: value(details, depth + 1) }),
    };
  }
  return { ...base, stack: scrub(e.stack ?? ''), ...cause(e, depth) };
}

const cause = (e: Error, depth: number): object =>
  e.cause === undefined || depth >= MAX_DEPTH ? {} : { cause: value(e.cause, depth + 1) };
