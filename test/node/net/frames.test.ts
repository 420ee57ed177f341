/** Frames over arbitrary cuts of a byte stream, and what breaks them. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeFrame, FrameDecoder } from '../../../src/node/net/frames.ts';

const LIMIT = 1_000;

describe('the frame decoder', () => {
  it('returns what was framed, however the bytes are cut', () => {
    const frames = fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 12 });
    const cuts = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(frames, cuts, (sent, sizes) => {
        const bytes = Buffer.concat(sent.map(encodeFrame));
        const decoder = new FrameDecoder(LIMIT);
        const got: Uint8Array[] = [];
        for (let at = 0, i = 0; at < bytes.length; i++) {
          const size = sizes[i % sizes.length] ?? 1;
          got.push(...decoder.push(new Uint8Array(bytes.subarray(at, at + size))));
          at += size;
        }
        expect(got.map((b) => Buffer.from(b).toString('hex'))).toEqual(
          sent.map((b) => Buffer.from(b).toString('hex')),
        );
        expect(decoder.partial).toBe(false);
      }),
    );
  });

  it('keeps copies: a buffer that is used again changes no frame', () => {
    const decoder = new FrameDecoder(LIMIT);
    const chunk = encodeFrame(Uint8Array.of(1, 2, 3));
    const [frame] = decoder.push(chunk);
    chunk.fill(9);
    expect(frame).toEqual(Uint8Array.of(1, 2, 3));
  });

  it('refuses a header that claims more than the limit, before any of it arrives', () => {
    const decoder = new FrameDecoder(LIMIT);
    expect(() => decoder.push(Uint8Array.of(0xff, 0xff, 0xff, 0xff))).toThrow(/at most 1000/);
  });

  it('takes a frame of exactly the limit', () => {
    expect(new FrameDecoder(LIMIT).push(encodeFrame(new Uint8Array(LIMIT)))).toHaveLength(1);
  });

  it('says that a frame has begun', () => {
    const decoder = new FrameDecoder(LIMIT);
    decoder.push(Uint8Array.of(0, 0));
    expect(decoder.partial).toBe(true);
  });
});
