/**
 * Which keys may exist and what may stand under them: the one place where a key is taken apart and
 * a value is judged, used by the guard, by kad-dht's validators and after every read.
 *
 * A Kademlia key is the text `/ucxl/<namespace>/<suffix>`, or `/probe/<suffix>` for the probe.
 * Everything else is refused, `/pk/` and keys without two slashes included.
 * @module
 */
import { equalBytes, toBase32, utf8Bytes } from '../base/bytes.ts';
import { assert, BzzzError } from '../base/errors.ts';
import { PROBE, PROBE_LIFE_MS } from './probe.ts';
import type { Namespace } from './store.ts';

/** Why a write or an answer was refused; also the name of its counter. */
export const REFUSALS = ['key', 'namespace', 'size', 'invalid', 'quota'] as const;
export type Refusal = (typeof REFUSALS)[number];

/** The rules that hold for one key. */
export interface Rule {
  readonly namespace: Namespace;
  readonly suffix: string;
  /** Set where values die after this time; absent where they never do. */
  readonly lifeMs?: number;
}

/** All namespaces of a node. Values and keys may come from anybody. */
export interface Rules {
  /** The Kademlia key. @throws BAD_MESSAGE: unknown namespace or malformed suffix. */
  key(namespace: string, suffix: string): Uint8Array;
  /** @throws BAD_MESSAGE with `details.refusal` `key` or `namespace`. */
  of(key: Uint8Array): Rule;
  /** @throws BAD_MESSAGE with `details.refusal` unless `value` may stand under `key`. */
  check(key: Uint8Array, value: Uint8Array): Rule;
  /**
   * What stands after both valid values were seen.
   * @throws BAD_MESSAGE with `details.refusal` `size` when the union is too large.
   */
  merge(rule: Rule, a: Uint8Array, b: Uint8Array): Uint8Array;
  /** Like `merge`, but `a` alone when the union is too large: for values that others chose. */
  join(rule: Rule, a: Uint8Array, b: Uint8Array): Uint8Array;
  /** Whether `held` already contains all of `ours`: merging `ours` into it changes nothing. */
  covers(rule: Rule, held: Uint8Array, ours: Uint8Array): boolean;
}

const NAME = '[a-z][a-z0-9-]{0,15}';
const SUFFIX = '[A-Za-z0-9._~-]{1,128}';
const UCXL_KEY = new RegExp(`^/ucxl/(${NAME})/(${SUFFIX})$`);
const PROBE_KEY = new RegExp(`^/probe/(${SUFFIX})$`);
/** `/ucxl/` + name + `/` + suffix. */
const MAX_KEY_BYTES = 160;

/** @returns the rules for `namespaces` and the probe, which is always among them. */
export function createRules(namespaces: readonly Namespace[]): Rules {
  const byName = new Map<string, Namespace>([[PROBE.name, PROBE]]);
  for (const namespace of namespaces) {
    const { name } = namespace;
    if (name === PROBE.name) continue;
    assert(new RegExp(`^${NAME}$`).test(name), `namespace name ${name}`);
    assert(!byName.has(name), `namespace ${name} is there once`);
    byName.set(name, namespace);
  }
  const of = (key: Uint8Array): Rule => {
    const [name, suffix] = parseKey(key);
    const namespace = byName.get(name);
    if (namespace === undefined) throw refused('namespace', `unknown namespace ${name}`);
    return { namespace, suffix, ...(namespace === PROBE ? { lifeMs: PROBE_LIFE_MS } : {}) };
  };
  const merge = (rule: Rule, a: Uint8Array, b: Uint8Array): Uint8Array => {
    if (equalBytes(a, b)) return a;
    const merged = rule.namespace.merge(rule.suffix, a, b);
    assertSize(rule, merged);
    return merged;
  };
  const join = (rule: Rule, a: Uint8Array, b: Uint8Array): Uint8Array => {
    try {
      return merge(rule, a, b);
    } catch (thrown) {
      if (refusalOf(thrown) !== 'size') throw thrown;
      return a;
    }
  };
  return {
    key(namespace, suffix) {
      const key = utf8Bytes(
        namespace === PROBE.name ? `/probe/${suffix}` : `/ucxl/${namespace}/${suffix}`,
      );
      of(key);
      return key;
    },
    of,
    check(key, value) {
      const rule = of(key);
      assertSize(rule, value);
      try {
        rule.namespace.validate(rule.suffix, value);
      } catch (cause) {
        const why = cause instanceof Error ? cause.message : String(cause);
        throw refused('invalid', `record under ${nameOf(rule)}: ${why}`, cause);
      }
      return rule;
    },
    merge,
    join,
    covers: (rule, held, ours) =>
      equalBytes(ours, held) || equalBytes(join(rule, ours, held), held),
  };
}

/** `<namespace>/<suffix>`: the name of a record in logs, the journal and queues. */
export const nameOf = (rule: Rule): string => `${rule.namespace.name}/${rule.suffix}`;

/** An error for a value or key that the rules do not allow. */
export function refused(refusal: Refusal, message: string, cause?: unknown): BzzzError {
  return new BzzzError('BAD_MESSAGE', message, {
    details: { refusal },
    ...(cause === undefined ? {} : { cause }),
  });
}

/** Why `thrown` refused; undefined when it is another kind of failure. */
export function refusalOf(thrown: unknown): Refusal | undefined {
  if (!(thrown instanceof BzzzError)) return undefined;
  return REFUSALS.find((refusal) => refusal === thrown.details.refusal);
}

/** Where kad-dht keeps the record of `key`: `<prefix>/record/<base32 of the key>`. */
export const datastoreKey = (prefix: string, key: Uint8Array): string =>
  `${prefix}/record/${toBase32(key)}`;

function parseKey(key: Uint8Array): readonly [name: string, suffix: string] {
  if (key.length > MAX_KEY_BYTES) throw refused('key', `key of ${key.length} bytes`);
  // Latin-1 maps every byte to one character, so no two keys have one text.
  const text = Buffer.from(key).toString('latin1');
  const [, name, suffix] = UCXL_KEY.exec(text) ?? [];
  if (name !== undefined && suffix !== undefined && name !== PROBE.name) return [name, suffix];
  const [, probe] = PROBE_KEY.exec(text) ?? [];
  if (probe !== undefined) return [PROBE.name, probe];
  const ours = text.startsWith('/ucxl/') || text.startsWith('/probe/');
  if (!ours && /^\/[^/]+\/./.test(text)) throw refused('namespace', 'key of a foreign namespace');
  throw refused('key', 'malformed key');
}

function assertSize(rule: Rule, value: Uint8Array): void {
  const { maxBytes } = rule.namespace;
  if (value.length <= maxBytes) return;
  throw refused('size', `record under ${nameOf(rule)}: ${value.length} bytes, at most ${maxBytes}`);
}
