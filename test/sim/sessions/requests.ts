/** What clients ask the hosts for, and what they are answered. */
import { sha256, toHex, utf8Bytes } from '../../../src/base/bytes.ts';
import { toBzzzError } from '../../../src/base/errors.ts';
import type { KeyInfo } from '../../../src/mpc/types.ts';
import type { Host } from './host.ts';
import type { Process } from './process.ts';
import type { World } from './world.ts';

/** One request of one client. */
export interface Wish {
  readonly what: string;
  readonly host: Host;
  readonly process: Process;
  readonly askedAt: number;
  readonly key: KeyInfo | undefined;
  readonly message: Uint8Array | undefined;
  readonly fresh: boolean;
  readonly abort: AbortController;
  /** Hex, or the id of the new key. */
  answer: string | undefined;
  /** Code of the refusal or failure. */
  error: string | undefined;
}

export const messageOf = (n: number): Uint8Array => utf8Bytes(`message ${n}`);

/** A client asks for a signature; it hears of it in `wish`. */
export function askSignature(
  world: World,
  process: Process,
  key: KeyInfo,
  message: Uint8Array,
  fresh = false,
): Wish {
  const wish = newWish(process, `signature of ${key.name} by`, key, message, fresh);
  const { signal } = wish.abort;
  const request = { key: key.keyId, message, fresh, timeoutMs: world.plan.ttlMs };
  const work = process.party?.sign(request, signal).then((document) => {
    judge(world, wish, document.signature, document.signers);
    return document.signature;
  });
  return follow(world, wish, work);
}

/** A client asks for a key of the first `parties` hosts, or of those after them. */
export function askKey(
  world: World,
  process: Process,
  threshold: number,
  parties: readonly Host[],
): Wish {
  const name = `key-${world.unique()}`;
  const wish = newWish(process, `key ${name} from`, undefined, undefined, false);
  const request = {
    ...{ name, suite: 'ed25519', threshold, timeoutMs: world.plan.ttlMs },
    participants: parties.map(({ id }) => id),
  };
  const work = process.party?.createKey(request, wish.abort.signal).then(({ keyId }) => keyId);
  return follow(world, wish, work);
}

/** A client asks for new shares of a key: of the same holders, with the same threshold. */
export function askRefresh(world: World, process: Process, key: KeyInfo): Wish {
  const wish = newWish(process, `refresh of ${key.name} by`, undefined, undefined, false);
  const request = { key: key.keyId, timeoutMs: world.plan.ttlMs };
  const work = process.party?.changeKey(request, wish.abort.signal);
  return follow(
    world,
    wish,
    work?.then(({ keyId, epoch }) => `${keyId.slice(0, 8)} ${epoch}`),
  );
}

/** A client asks for a key to be handed to other parties, or for another threshold. */
export function askReshare(
  world: World,
  process: Process,
  key: KeyInfo,
  threshold: number,
  parties: readonly Host[],
): Wish {
  const to = `${threshold} of ${parties.map(({ name }) => name).join()}`;
  const wish = newWish(process, `reshare of ${key.name} to ${to} by`, undefined, undefined, false);
  const request = {
    ...{ key: key.keyId, threshold, timeoutMs: world.plan.ttlMs },
    participants: parties.map(({ id }) => id),
  };
  const work = process.party?.changeKey(request, wish.abort.signal);
  return follow(
    world,
    wish,
    work?.then(({ keyId, epoch }) => `${keyId.slice(0, 8)} ${epoch}`),
  );
}

/** A client asks for the share that a host has lost. */
export function askRepair(world: World, process: Process, key: KeyInfo, loser: Host): Wish {
  const what = `repair of ${key.name} on ${loser.name} by`;
  const wish = newWish(process, what, undefined, undefined, false);
  const request = { key: key.keyId, peer: loser.id, timeoutMs: world.plan.ttlMs };
  const work = process.party?.repairKey(request, wish.abort.signal);
  return follow(
    world,
    wish,
    work?.then(({ keyId }) => keyId.slice(0, 8)),
  );
}

function newWish(
  process: Process,
  what: string,
  key: KeyInfo | undefined,
  message: Uint8Array | undefined,
  fresh: boolean,
): Wish {
  const { host, world } = process;
  return {
    ...{ what: `${what} ${host.name}`, host, process, askedAt: world.now, key, message, fresh },
    abort: new AbortController(),
    ...{ answer: undefined, error: undefined },
  };
}

function follow(world: World, wish: Wish, work: Promise<string> | undefined): Wish {
  world.say(wish.host, `<- ${wish.what}`);
  world.wishes.push(wish);
  work?.then(
    (answer) => {
      wish.answer = answer;
      world.checker.stats.signatures += wish.key === undefined ? 0 : 1;
      world.say(wish.host, `-> ${wish.what}: ${answer.slice(0, 16)}`);
    },
    (thrown: unknown) => {
      const { code, message } = toBzzzError(thrown);
      wish.error = code;
      world.checker.stats.failures++;
      world.say(wish.host, `-> ${wish.what}: ${code} ${message}`);
      if (code === 'INTERNAL') world.caught(thrown);
    },
  );
  return wish;
}

/** What leaves as a signature is one: of this message, under this key, by its holders (S2). */
function judge(world: World, wish: Wish, signature: string, signers: readonly string[]): void {
  const { key, message } = wish;
  if (key === undefined || message === undefined) return;
  const suite = world.suites.get(key.suite);
  const bytes = new Uint8Array(Buffer.from(signature, 'hex'));
  const isSet = ({ parties, threshold }: KeyInfo): boolean => {
    const holders = signers.filter((peer) => parties.some(({ peerId }) => peerId === peer));
    return holders.length === threshold && signers.length === threshold;
  };
  const valid = suite?.verify(key.groupKey, message, bytes) === true;
  // The key may have changed hands since it was asked for.
  if (valid && (isSet(key) || world.checker.epochs(key.keyId).some(isSet))) return;
  const hash = toHex(sha256(message)).slice(0, 8);
  world.checker.fail('S2', `what is answered for ${hash} is no signature of key ${key.name}`);
}
