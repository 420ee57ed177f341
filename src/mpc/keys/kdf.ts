/**
 * From a passphrase to the key-encryption key: argon2id (RFC 9106), on the runtime's thread pool.
 * @module
 */
import * as crypto from 'node:crypto';
import { BzzzError } from '../../base/errors.ts';
import { KEY_BYTES } from './sharefile.ts';

/** Parameters as they are stored beside the shares. */
export interface KdfParameters {
  readonly name: 'argon2id' | 'none';
  readonly salt: Uint8Array;
  readonly memoryKiB: number;
  readonly passes: number;
}

/** RFC 9106 §4, second recommended option: 64 MiB, 3 passes; one lane suits hosts of two cores. */
export const KDF = { name: 'argon2id', memoryKiB: 65_536, passes: 3 } as const;

/**
 * Derives 32 bytes; about half a second.
 * @throws UNSUPPORTED_RUNTIME when this Node has no argon2; KEYSTORE_LOCKED for stored parameters
 * weaker than {@link KDF}: somebody altered them.
 */
export async function deriveKek(passphrase: Uint8Array, kdf: KdfParameters): Promise<Uint8Array> {
  if (typeof crypto.argon2 !== 'function') {
    throw new BzzzError('UNSUPPORTED_RUNTIME', 'this Node has no argon2 for the passphrase file');
  }
  const weak = kdf.memoryKiB < KDF.memoryKiB || kdf.passes < KDF.passes || kdf.salt.length < 16;
  if (kdf.name !== 'argon2id' || weak) {
    throw new BzzzError('KEYSTORE_LOCKED', 'the stored passphrase parameters were weakened');
  }
  return new Promise((resolve, reject) => {
    crypto.argon2(
      'argon2id',
      {
        message: passphrase,
        nonce: kdf.salt,
        parallelism: 1,
        tagLength: KEY_BYTES,
        memory: kdf.memoryKiB,
        passes: kdf.passes,
      },
      (error, key) => {
        if (error === null) resolve(new Uint8Array(key.buffer, key.byteOffset, key.length));
        else reject(new BzzzError('INTERNAL', 'argon2id failed', { cause: error }));
      },
    );
  });
}
