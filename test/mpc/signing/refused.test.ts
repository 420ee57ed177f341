/** Strangers, garbage and replays: refused, and nobody is blamed for them (S2, S5). */
import { describe, expect, it } from 'vitest';
import type { SessionId } from '../../../src/base/brands.ts';
import { utf8Bytes } from '../../../src/base/bytes.ts';
import { encode } from '../../../src/base/codec.ts';
import { signingDomain } from '../../../src/mpc/signing/messages.ts';
import { scalarBytes } from '../../support/toy-suite.ts';
import { CLUSTER, Net, peer, toySigner } from './net.ts';

const message = utf8Bytes('not everybody is welcome');
const ALL = [1, 2, 3, 4, 5].map(peer);

function session(proposer = peer(1), threshold = 3) {
  const net = new Net({ threshold, n: 5 });
  const sealed = net.proposal(proposer, message);
  net.beginAll(sealed, message);
  return { net, sid: sealed.sid };
}

describe('what is refused without blame', () => {
  /** Feeds an envelope to a running machine that hears nothing else. */
  function refused(make: (net: Net, sid: SessionId) => Uint8Array, from = peer(1)): void {
    const { net, sid } = session();
    net.wire = () => [];
    net.run(1);
    const before = net.machine(peer(3), sid).state;
    net.inject(from, peer(3), sid, make(net, sid));
    const { state, ignored } = net.machine(peer(3), sid);
    expect(state).toBe(before);
    expect(ignored).toHaveLength(1);
    expect(net.named()).toEqual([]);
  }

  const commitment = { boot: 1, counter: 1, holderBoot: 1, hiding: scalarBytes(1n) };
  const request = { kind: 'commitRequest', boot: 1, counter: 1 } as const;

  it('bytes that are no envelope, and too many of them', () => {
    refused(() => utf8Bytes('garbage'));
    refused(() => new Uint8Array(65_537));
  });

  it('`__proto__` as a driver, and nothing of the prototype changes', () => {
    refused((_, sid) =>
      toySigner(peer(1)).seal(
        signingDomain(CLUSTER),
        encode({
          v: 1,
          sid,
          kind: 'commitment',
          driver: '__proto__',
          binding: scalarBytes(1n),
          ...commitment,
        }),
      ),
    );
    expect(Object.keys(Object.prototype)).toEqual([]);
  });

  it('an unknown kind, an unknown field, another version', () => {
    const raw = (value: object) => (_: Net, sid: SessionId) =>
      toySigner(peer(1)).seal(signingDomain(CLUSTER), encode({ v: 1, sid, ...value }));
    refused(raw({ kind: 'hello' }));
    refused(raw({ ...request, index: 3 }));
    refused(raw({ ...request, v: 2 }));
    refused(raw({ ...request, counter: 0 }));
  });

  it('a message of another session or another cluster', () => {
    refused((net) => net.seal(peer(1), 'c'.repeat(64) as SessionId, request));
    refused((_, sid) =>
      toySigner(peer(1)).seal(
        signingDomain('d'.repeat(64) as typeof CLUSTER),
        encode({ v: 1, sid, ...request }),
      ),
    );
  });

  it('a message of a stranger, or brought by another than its author', () => {
    refused((net, sid) => net.seal(peer(9), sid, request), peer(9));
    refused((net, sid) => net.seal(peer(1), sid, request), peer(2));
  });

  it('a commitment nobody asked for, a share of a holder outside the signer set', () => {
    refused((net, sid) =>
      net.seal(peer(1), sid, {
        kind: 'commitment',
        driver: peer(3),
        binding: scalarBytes(1n),
        ...commitment,
      }),
    );
  });

  it('everything of one session, replayed into another of the same request', () => {
    const { net, sid } = session();
    net.run();
    const again = net.proposal(peer(1), message, { salt: 1, fresh: true });
    net.wire = () => [];
    net.beginAll(again, message, 0);
    const from = net.now;
    net.run(from);
    const before = ALL.map((one) => net.machine(one, again.sid).state);
    const replayed = net.sent.filter((one) => one.sid === sid);
    expect(replayed.length).toBeGreaterThan(15);
    for (const one of replayed) net.inject(one.from, one.to, again.sid, one.envelope);
    expect(ALL.map((one) => net.machine(one, again.sid).state)).toEqual(before);
    expect(net.named()).toEqual([]);
    expect(net.toy.violations).toEqual([]);
  });
});
