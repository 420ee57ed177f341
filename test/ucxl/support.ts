/** Kinds with real signatures, a store in memory that can lie, and a resolver over both. */
import type { PeerId } from '../../src/base/brands.ts';
import { sha256, toHex, utf8Bytes } from '../../src/base/bytes.ts';
import { openEnvelope } from '../../src/base/envelope.ts';
import { BzzzError } from '../../src/base/errors.ts';
import type { Signer } from '../../src/base/ports.ts';
import type {
  Found,
  GetOptions,
  Namespace,
  PutOptions,
  PutOutcome,
  RecordStore,
} from '../../src/dht/store.ts';
import { recogniseFixed } from '../../src/ucxl/fixed.ts';
import type { RecordKind } from '../../src/ucxl/kinds.ts';
import { recordNamespaces } from '../../src/ucxl/namespaces.ts';
import type { RecordRules } from '../../src/ucxl/records.ts';
import { Resolver, type ResolverOptions } from '../../src/ucxl/resolver.ts';
import { quietLogger, type TestClock, testClock, testSigner } from '../support/world.ts';

export const CLUSTER = 'lab';
export const PROPOSAL_TIME = '2026-01-01T00:00:00.000Z';
const DOMAIN = 'bzzz/test-record/1';

/** A sealed body: what `author` says. */
export const sealBody = (author: Signer, text: string): Uint8Array =>
  author.seal(DOMAIN, utf8Bytes(text));

/** The session id that proves a proposal: its hash. */
export const sessionOf = (body: Uint8Array): string => toHex(sha256(body));

/** Self-proving, like a proposal: the address is the hash of the body. */
export const proposalKind: RecordKind = {
  name: 'proposal',
  copies: 'one',
  maxBytes: 8_192,
  matches: (address) => recogniseFixed(address)?.record === 'proposal',
  verify(address, bytes) {
    const { signer } = openEnvelope(DOMAIN, bytes);
    const fixed = recogniseFixed(address);
    if (fixed?.record !== 'proposal' || fixed.sessionId !== sessionOf(bytes)) {
      throw new BzzzError('BAD_MESSAGE', 'proposal of another session');
    }
    return { writer: signer, type: 'application/vnd.test.proposal', time: PROPOSAL_TIME };
  },
};

/** Valid in several bodies, like a certificate: whatever anybody signed. */
export const certificateKind: RecordKind = {
  name: 'certificate',
  copies: 'one',
  maxBytes: 131_072,
  matches: (address) => recogniseFixed(address)?.record === 'certificate',
  verify: (_address, bytes) => ({
    writer: openEnvelope(DOMAIN, bytes).signer,
    type: 'application/vnd.test.certificate',
  }),
};

/** One candidate an author, bound to the request in its payload. */
export const resultKind: RecordKind = {
  name: 'result',
  copies: 'perAuthor',
  maxBytes: 4_096,
  matches: (address) => recogniseFixed(address)?.record === 'result',
  verify(address, bytes) {
    const { signer, payload } = openEnvelope(DOMAIN, bytes);
    const fixed = recogniseFixed(address);
    const text = new TextDecoder().decode(payload);
    if (fixed?.record !== 'result' || !text.startsWith(fixed.requestId)) {
      throw new BzzzError('BAD_MESSAGE', 'result of another request');
    }
    return { writer: signer, type: 'application/vnd.test.result' };
  },
};

export const signers = await Promise.all(['ada', 'bea', 'cyd'].map(testSigner));
/** More authors than a candidate set has places. */
export const crowd = await Promise.all(
  Array.from({ length: 20 }, (_, i) => testSigner(`crowd${i}`)),
);
export const stranger = await testSigner('stranger');

const known = new Set<PeerId>([...signers, ...crowd].map((signer) => signer.peerId));

export const rules: RecordRules = {
  kinds: [proposalKind, certificateKind, resultKind],
  isKnown: (peer) => known.has(peer),
};

export const hashOf = (text: string): string => toHex(sha256(utf8Bytes(text)));

/** The namespace by its name. */
export function namespaceOf(name: string, ofRules: RecordRules = rules): Namespace {
  const found = recordNamespaces(ofRules).find((ns) => ns.name === name);
  if (found === undefined) throw new Error(`no namespace ${name}`);
  return found;
}

/** One honest store; `answer` makes it lie, `delay` makes it slow. */
export class MemoryStore implements RecordStore {
  readonly values = new Map<string, Uint8Array>();
  readonly gets: { readonly key: string; readonly options: GetOptions }[] = [];
  readonly puts: { readonly key: string; readonly options: PutOptions }[] = [];
  answer: ((key: string, honest: Uint8Array | undefined) => Uint8Array | undefined) | undefined;
  delay: Promise<void> | undefined;
  failure: BzzzError | undefined;
  /** What merging reads say of those that should hold the record. */
  majority = true;
  readonly #rules: RecordRules;

  constructor(ofRules: RecordRules = rules) {
    this.#rules = ofRules;
  }

  async put(
    namespace: string,
    suffix: string,
    value: Uint8Array,
    options: PutOptions = {},
  ): Promise<PutOutcome> {
    const key = `${namespace}/${suffix}`;
    this.puts.push({ key, options });
    const rule = namespaceOf(namespace, this.#rules);
    rule.validate(suffix, value);
    const before = this.values.get(key);
    this.values.set(key, before === undefined ? value : rule.merge(suffix, before, value));
    if (this.failure !== undefined) throw this.failure;
    return { ack: 'quorum', holders: [signers[0]!.peerId], pending: 0 };
  }

  async get(namespace: string, suffix: string, options: GetOptions = {}) {
    const key = `${namespace}/${suffix}`;
    this.gets.push({ key, options });
    const honest = this.values.get(key);
    if (this.delay !== undefined) await this.delay;
    if (this.failure !== undefined) throw this.failure;
    const value = this.answer === undefined ? honest : this.answer(key, honest);
    if (value === undefined) return undefined;
    const heard = options.merge === true ? { majority: this.majority } : {};
    return { value, source: 'dht', holders: [signers[1]!.peerId], ...heard } satisfies Found;
  }

  async provide(): Promise<never> {
    throw new Error('no resolver provides content');
  }

  findProviders(): never {
    throw new Error('no resolver looks for providers');
  }

  subscribe(): () => void {
    return () => {};
  }

  async probe(): Promise<never> {
    throw new Error('no resolver probes its store');
  }

  async close(): Promise<void> {}
}

export interface World {
  readonly store: MemoryStore;
  readonly clock: TestClock;
  readonly resolver: Resolver;
  readonly warnings: object[];
}

export function world(
  options: ResolverOptions = {},
  store = new MemoryStore(),
  ofRules: RecordRules = rules,
): World {
  const clock = testClock();
  const warnings: object[] = [];
  const logger = { ...quietLogger, warn: (fields: object) => void warnings.push(fields) };
  const self = signers[0]!.peerId;
  const resolver = new Resolver(options, { store, rules: ofRules, clock, logger, self });
  return { store, clock, resolver, warnings };
}

/** Runs `fn` and gives the BzzzError it throws; fails when it throws none. */
export async function errorOf(fn: () => unknown): Promise<BzzzError> {
  try {
    await fn();
  } catch (thrown) {
    if (thrown instanceof BzzzError) return thrown;
    throw thrown;
  }
  throw new Error('nothing was thrown');
}
