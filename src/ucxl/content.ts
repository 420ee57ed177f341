/**
 * Content of any size under its pin. Up to 32 KiB it is one record, the bytes themselves. Larger
 * content is cut into pieces, and the record under its pin is the list of them: so the pin names
 * every byte, through the list.
 *
 * Small content that happens to be such a list is stored in one piece, behind a list of its own.
 * So whatever stands under a pin is read in one way, and `get` gives back what was put.
 * @module
 */
import { BzzzError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Added } from '../dht/blocks/blocks.ts';
import { asBlockList } from '../dht/blocks/list.ts';
import { meets } from '../dht/quorum.ts';
import type { PutOutcome } from '../dht/store.ts';

/** Where the pieces are; `Blocks` is one. */
export interface Pieces {
  add(source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<Added>;
  ensure(root: string, list?: Uint8Array): Promise<PutOutcome>;
  read(list: Uint8Array, signal?: AbortSignal): AsyncIterable<Uint8Array>;
  has(root: string): boolean;
  drop(root: string): Promise<void>;
}

/** Bytes to store, whole or as they come. */
export type Source = Uint8Array | AsyncIterable<Uint8Array>;

/** What is to be stored: in one record, or in pieces. */
export type Sized =
  | { readonly form: 'small'; readonly bytes: Uint8Array }
  | { readonly form: 'large'; readonly parts: AsyncIterable<Uint8Array> };

/** Reads as much of the source as it takes to tell. What it throws passes through. */
export async function sized(source: Source): Promise<Sized> {
  const parts = source instanceof Uint8Array ? once(source) : source[Symbol.asyncIterator]();
  const begun: Uint8Array[] = [];
  let length = 0;
  while (length <= LIMITS.contentBytes) {
    const { value, done } = await parts.next();
    if (done === true) {
      const bytes = new Uint8Array(Buffer.concat(begun));
      const isList = asBlockList(bytes) !== undefined;
      return isList ? { form: 'large', parts: once(bytes) } : { form: 'small', bytes };
    }
    // Copied: a stream may use its buffer again before the rest has come.
    begun.push(source instanceof Uint8Array ? value : new Uint8Array(value));
    length += value.length;
  }
  return { form: 'large', parts: behind(begun, parts) };
}

/** The outcome of a content whose list and pieces were both placed: what holds for both. */
export function both(list: PutOutcome, pieces: PutOutcome): PutOutcome {
  return {
    ack: meets(list.ack, pieces.ack) ? pieces.ack : list.ack,
    holders: list.holders.filter((peer) => pieces.holders.includes(peer)),
    pending: Math.max(list.pending, pieces.pending),
  };
}

/** All bytes of a stream of known size, in one buffer. @throws INTERNAL for another size. */
export async function gather(parts: AsyncIterable<Uint8Array>, size: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(size);
  let at = 0;
  for await (const part of parts) {
    if (at + part.length > size) throw new BzzzError('INTERNAL', `more than ${size} bytes came`);
    bytes.set(part, at);
    at += part.length;
  }
  if (at !== size) throw new BzzzError('INTERNAL', `${at} of ${size} bytes came`);
  return bytes;
}

/** One buffer as a stream. */
export async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

async function* behind(
  begun: Uint8Array[],
  rest: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  try {
    for (let part = begun.shift(); part !== undefined; part = begun.shift()) yield part;
    for (;;) {
      const { value, done } = await rest.next();
      if (done === true) return;
      yield value;
    }
  } finally {
    await rest.return?.();
  }
}
