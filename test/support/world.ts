/** Stand-ins for the ports: a clock that tests turn, a memory store, throw-away identities. */
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys';
import type { Ed25519PrivateKey } from '@libp2p/interface';
import { millis } from '../../src/base/brands.ts';
import { sha256, utf8Bytes } from '../../src/base/bytes.ts';
import { createSigner } from '../../src/base/envelope.ts';
import type { Clock, KeyValue, Logger, Random, Signer } from '../../src/base/ports.ts';

export interface TestClock extends Clock {
  /** Moves both clocks on and fires what is due, in order. */
  advance(ms: number): void;
}

export function testClock(startWallMs = Date.UTC(2026, 0, 1)): TestClock {
  let now = 0;
  let nextId = 0;
  const timers = new Map<number, { at: number; fn: () => void }>();
  return {
    wallMs: () => startWallMs + now,
    now: () => millis(now),
    after(ms, fn) {
      const id = nextId++;
      timers.set(id, { at: now + ms, fn });
      return () => void timers.delete(id);
    },
    advance(ms) {
      const end = now + ms;
      for (;;) {
        const due = [...timers].filter(([, t]) => t.at <= end).sort((a, b) => a[1].at - b[1].at)[0];
        if (due === undefined) break;
        timers.delete(due[0]);
        now = Math.max(now, due[1].at);
        due[1].fn();
      }
      now = end;
    },
  };
}

export function memoryKeyValue(map: Map<string, Uint8Array> = new Map(), prefix = ''): KeyValue {
  return {
    get: async (key) => map.get(prefix + key),
    put: async (key, value) => void map.set(prefix + key, new Uint8Array(value)),
    del: async (key) => void map.delete(prefix + key),
    batch: async (ops) => {
      for (const op of ops) {
        if (op.type === 'put') map.set(prefix + op.key, new Uint8Array(op.value));
        else map.delete(prefix + op.key);
      }
    },
    async *entries(begin = '') {
      for (const key of [...map.keys()].filter((k) => k.startsWith(prefix + begin)).sort()) {
        const value = map.get(key);
        if (value !== undefined) yield [key.slice(prefix.length), value] as const;
      }
    },
    sub: (name) => memoryKeyValue(map, `${prefix}${name}!`),
  };
}

/** The same identity for the same name, on every run. */
export async function testKey(name: string): Promise<Ed25519PrivateKey> {
  return generateKeyPairFromSeed('Ed25519', sha256(utf8Bytes(`test identity ${name}`)));
}

export async function testSigner(name: string): Promise<Signer> {
  return createSigner(await testKey(name));
}

/** A reproducible generator (SHA-256 in counter mode); never for anything but tests. */
export function testRandom(seed: string): Random {
  let counter = 0;
  return {
    bytes(length) {
      const out = new Uint8Array(length);
      for (let at = 0; at < length; at += 32) {
        out.set(sha256(utf8Bytes(`${seed}/${counter++}`)).subarray(0, length - at), at);
      }
      return out;
    },
  };
}

export const quietLogger: Logger = {
  error: () => {},
  warn: () => {},
  info: () => {},
  debug: () => {},
  child: () => quietLogger,
};
