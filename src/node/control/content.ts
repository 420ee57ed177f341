/**
 * Content of any size over the control socket: its bytes as they come, in neither direction whole
 * in memory.
 * @module
 */
import type { IncomingMessage } from 'node:http';
import { BzzzError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import { contentTooLarge } from '../../base/too-large.ts';

/**
 * The body of a request, to be read once. A reader that takes its time makes the client wait.
 * @throws (while it is read) TOO_LARGE over `LIMITS.chunkedBytes`; INTERRUPTED.
 */
export async function* bodyParts(incoming: IncomingMessage): AsyncGenerator<Uint8Array> {
  const declared = Number(incoming.headers['content-length'] ?? 0);
  if (declared > LIMITS.chunkedBytes) throw contentTooLarge();
  let length = 0;
  try {
    // Not destroyed when the reader stops: the answer that says why goes over the same socket.
    for await (const part of incoming.iterator({ destroyOnReturn: false })) {
      length += part.length;
      if (length > LIMITS.chunkedBytes) throw contentTooLarge();
      yield part;
    }
  } catch (thrown) {
    if (thrown instanceof BzzzError) throw thrown;
    throw new BzzzError('INTERRUPTED', 'the client went away', { cause: thrown });
  }
  if (!incoming.complete) throw new BzzzError('INTERRUPTED', 'the client went away');
}

/**
 * A response body that takes the next part when the client has room for it. The first part is
 * there already, so that what is not to be had is an error and no broken answer.
 * @throws what the source throws before its first part.
 */
export async function bodyOfParts(
  source: AsyncIterable<Uint8Array>,
): Promise<ReadableStream<Uint8Array>> {
  const parts = source[Symbol.asyncIterator]();
  let next: IteratorResult<Uint8Array> | undefined = await parts.next();
  return new ReadableStream(
    {
      async pull(controller) {
        const { value, done } = next ?? (await parts.next());
        next = undefined;
        if (done === true) controller.close();
        else controller.enqueue(value);
      },
      async cancel() {
        await parts.return?.();
      },
    },
    { highWaterMark: 0 },
  );
}
