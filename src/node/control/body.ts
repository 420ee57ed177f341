/**
 * Reads the body of a request, bounded.
 * @module
 */
import type { IncomingMessage } from 'node:http';
import { BzzzError } from '../../base/errors.ts';

/**
 * @returns all bytes of the body.
 * @throws TOO_LARGE at once when the declared length is over `maxBytes`, or as soon as more have
 *   come; INTERRUPTED when the client goes away in between.
 */
export async function readBody(incoming: IncomingMessage, maxBytes: number): Promise<Uint8Array> {
  const declared = Number(incoming.headers['content-length'] ?? 0);
  if (declared > maxBytes) throw tooLarge(maxBytes);
  const chunks: Buffer[] = [];
  let length = 0;
  return new Promise((done, fail) => {
    const stop = (): void => {
      incoming.off('data', take).off('end', finish).off('error', broken).off('close', broken);
    };
    const take = (chunk: Buffer): void => {
      length += chunk.length;
      chunks.push(chunk);
      if (length <= maxBytes) return;
      stop();
      incoming.pause();
      fail(tooLarge(maxBytes));
    };
    const finish = (): void => {
      stop();
      done(new Uint8Array(Buffer.concat(chunks)));
    };
    const broken = (): void => {
      stop();
      fail(new BzzzError('INTERRUPTED', 'the client went away'));
    };
    incoming.on('data', take).on('end', finish).on('error', broken).on('close', broken);
  });
}

const tooLarge = (maxBytes: number): BzzzError =>
  new BzzzError('TOO_LARGE', `the body is larger than ${maxBytes} bytes`);
