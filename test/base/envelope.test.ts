import { RecordEnvelope } from '@libp2p/peer-record';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { utf8Bytes } from '../../src/base/bytes.ts';
import { createSigner, openEnvelope } from '../../src/base/envelope.ts';
import { testKey, testSigner } from '../support/world.ts';

const payload = utf8Bytes('something to sign');

describe('signed envelope (libp2p RFC 0002)', () => {
  it('opens what it sealed and names the signer', async () => {
    const signer = await testSigner('a');
    const opened = openEnvelope('bzzz/test', signer.seal('bzzz/test', payload));
    expect(opened.signer).toBe(signer.peerId);
    expect(opened.payload).toEqual(payload);
  });

  it("is libp2p's: the library opens ours, and ours opens the library's", async () => {
    const key = await testKey('a');
    const ours = createSigner(key).seal('bzzz/test', payload);
    await expect(RecordEnvelope.openAndCertify(ours, 'bzzz/test')).resolves.toMatchObject({
      payload,
    });
    const record = {
      domain: 'bzzz/test',
      codec: utf8Bytes('/bzzz/dag-cbor'),
      marshal: () => payload,
      equals: () => false,
    };
    const theirs = (await RecordEnvelope.seal(record, key)).marshal();
    expect(openEnvelope('bzzz/test', theirs).payload).toEqual(payload);
    // Payloads over 127 bytes need a second length byte.
    const long = new Uint8Array(300).fill(7);
    const sealed = createSigner(key).seal('bzzz/test', long);
    await expect(RecordEnvelope.openAndCertify(sealed, 'bzzz/test')).resolves.toBeDefined();
  });

  it('is bound to its domain', async () => {
    const sealed = (await testSigner('a')).seal('bzzz/one', payload);
    expect(() => openEnvelope('bzzz/two', sealed)).toThrow(/not valid for this domain/);
  });

  it('refuses any changed byte and any garbage with BAD_MESSAGE, never another error', async () => {
    const sealed = (await testSigner('a')).seal('d', payload);
    fc.assert(
      fc.property(fc.nat(sealed.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const bad = new Uint8Array(sealed);
        bad[at] = (bad[at] ?? 0) ^ flip;
        expect(() => openEnvelope('d', bad)).toThrow(
          expect.objectContaining({ code: 'BAD_MESSAGE' }),
        );
      }),
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(() => openEnvelope('d', bytes)).toThrow(
          expect.objectContaining({ code: 'BAD_MESSAGE' }),
        );
      }),
    );
  });

  it('refuses appended bytes: one content has one envelope', async () => {
    const sealed = (await testSigner('a')).seal('d', payload);
    const longer = new Uint8Array([...sealed, 0x28, 0x01]);
    expect(() => openEnvelope('d', longer)).toThrow(/not canonical|malformed/);
  });
});
