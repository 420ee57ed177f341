/** The merged address book. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PeerId } from '../../../src/base/brands.ts';
import { LIMITS } from '../../../src/base/limits.ts';
import { AddressBook, normalise, SOURCES } from '../../../src/node/net/address-book.ts';
import { testSigner } from '../../support/world.ts';

const ada = (await testSigner('ada')).peerId;
const ben = (await testSigner('ben')).peerId;
const A = '/ip4/192.168.1.7/tcp/4750';
const B = '/ip4/192.168.1.8/tcp/4750';

describe('the address book', () => {
  it('merges sources, without repetitions, newest first', () => {
    const book = new AddressBook();
    expect(book.sighted('mdns', ada, [A], 1)).toEqual([A]);
    expect(book.sighted('announce', ada, [`${A}/p2p/${ada}`, B], 2)).toEqual([B]);
    expect(book.sighted('dht', ada, [A], 3)).toEqual([]);
    expect(book.addrs(ada)).toEqual([A, B]);
    expect(book.sources(ada)).toEqual(['mdns', 'dht', 'announce']);
  });

  it('has enough in any one source (R10)', () => {
    const sighting = fc.record({
      source: fc.constantFrom(...SOURCES),
      port: fc.integer({ min: 1, max: 40 }),
    });
    fc.assert(
      fc.property(
        fc.array(sighting, { minLength: 1, maxLength: 40 }),
        fc.constantFrom(...SOURCES),
        (sightings, only) => {
          const all = new AddressBook();
          const one = new AddressBook();
          let last: string | undefined;
          for (const [i, { source, port }] of sightings.entries()) {
            const addr = `/ip4/10.0.0.1/tcp/${port}`;
            all.sighted(source, ada, [addr], i);
            if (source !== only) continue;
            one.sighted(source, ada, [addr], i);
            last = addr;
          }
          expect(all.addrs(ada).length).toBeGreaterThan(0);
          expect(one.addrs(ada)[0]).toBe(last);
          expect(all.sources(ada)).toEqual(
            SOURCES.filter((s) => sightings.some((seen) => seen.source === s)),
          );
        },
      ),
    );
  });

  it('keeps a bounded number of addresses, the newest', () => {
    const book = new AddressBook();
    for (let i = 1; i <= 100; i++) book.sighted('mdns', ada, [`/ip4/10.0.0.1/tcp/${i}`], i);
    expect(book.addrs(ada)).toHaveLength(LIMITS.addressesPerPeer);
    expect(book.addrs(ada)[0]).toBe('/ip4/10.0.0.1/tcp/100');
  });

  it('keeps members for ever and strangers within a bound, whatever mDNS is flooded with', () => {
    const book = new AddressBook();
    const isMember = (peer: PeerId): boolean => peer === ada;
    book.sighted('mdns', ada, [A], 0);
    for (let i = 0; i < 2_000; i++) {
      book.sighted('mdns', `stranger${i}` as PeerId, [B], i + 1);
      book.prune(isMember);
    }
    expect(book.peers().length).toBeLessThanOrEqual(257);
    expect(book.addrs(ada)).toEqual([A]);
  });

  it('takes TCP addresses of that peer and nothing else', () => {
    const refused = [
      'rubbish',
      '/ip4/0.0.0.0/tcp/4750',
      '/ip4/1.2.3.4/udp/4750',
      '/ip4/1.2.3.4/tcp/0',
      '/unix/tmp%2Fsocket',
      `/ip4/1.2.3.4/tcp/1/p2p/${ben}`,
      `/ip4/1.2.3.4/tcp/1/p2p/${ben}/p2p-circuit/p2p/${ada}`,
      '/ip4/1.2.3.4/tcp/1/ws',
      '',
    ];
    for (const addr of refused) expect(normalise(addr, ada), addr).toBeUndefined();
    expect(normalise('/dns4/host.lan/tcp/4750', ada)).toBe('/dns4/host.lan/tcp/4750');
    expect(normalise('/ip6/fd00::7/tcp/4750', ada)).toBe('/ip6/fd00::7/tcp/4750');
  });
});
