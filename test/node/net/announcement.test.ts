/** Announcements: what is believed, and for how long. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ClusterId, Epoch, PeerId } from '../../../src/base/brands.ts';
import { encode } from '../../../src/base/codec.ts';
import { LIMITS } from '../../../src/base/limits.ts';
import {
  type Announcement,
  AnnouncementBook,
  boundedResources,
  openAnnouncement,
  sealAnnouncement,
} from '../../../src/node/net/announcement.ts';
import { testSigner } from '../../support/world.ts';

const CLUSTER = 'a1'.repeat(32) as ClusterId;
const OTHER = 'b2'.repeat(32) as ClusterId;
const ada = await testSigner('ada');
const ben = await testSigner('ben');

const announcement = (extra: Partial<Announcement> = {}): Announcement => ({
  v: 1,
  peerId: ada.peerId,
  boot: 1,
  seq: 1,
  run: new Uint8Array(8).fill(1),
  addrs: ['/ip4/192.168.1.7/tcp/4750'],
  role: 'persistent',
  partyReady: true,
  draining: false,
  capabilities: { suites: ['ed25519'], protocols: [] },
  load: 0,
  rosterEpoch: 3 as Epoch,
  configHash: '',
  version: '0.1.0',
  ...extra,
});

describe('an announcement', () => {
  it('survives sealing and opening', () => {
    const sealed = sealAnnouncement(CLUSTER, ada, announcement({ name: 'host-a' }));
    expect(openAnnouncement(CLUSTER, sealed)).toEqual(announcement({ name: 'host-a' }));
  });

  it('may say what its host has to spare; one that does not is as good (R100)', () => {
    const resources = { freeMemory: 0.25, cpus: 4, load1: 1.5 };
    const open = (value: Announcement) =>
      openAnnouncement(CLUSTER, sealAnnouncement(CLUSTER, ada, value));
    expect(open(announcement({ resources })).resources).toEqual(resources);
    expect(open(announcement({ resources: { freeMemory: 1, cpus: 1, load1: 0 } })).load).toBe(0);
    expect(open(announcement()).resources).toBeUndefined();
  });

  it('bounds what the operating system says, so that others accept it', () => {
    const reading = fc.oneof(fc.double(), fc.constantFrom(-1, 0, Number.NaN, Infinity, -Infinity));
    fc.assert(
      fc.property(reading, reading, reading, (freeMemory, cpus, load1) => {
        const resources = boundedResources({ freeMemory, cpus, load1 });
        const sealed = sealAnnouncement(CLUSTER, ada, announcement({ resources }));
        expect(openAnnouncement(CLUSTER, sealed).resources).toEqual(resources);
      }),
      { numRuns: 200 },
    );
    const plain = { freeMemory: 0.5, cpus: 8, load1: 0.75 };
    expect(boundedResources(plain)).toEqual(plain);
  });

  it('is refused when somebody else signed it, for another cluster, or with a bit flipped (R8)', () => {
    const forged = sealAnnouncement(CLUSTER, ben, announcement());
    expect(() => openAnnouncement(CLUSTER, forged)).toThrow(/announces/);
    const foreign = sealAnnouncement(OTHER, ada, announcement());
    expect(() => openAnnouncement(CLUSTER, foreign)).toThrow(/signature/);
    const sealed = sealAnnouncement(CLUSTER, ada, announcement());
    fc.assert(
      fc.property(fc.nat(sealed.length * 8 - 1), (bit) => {
        const altered = new Uint8Array(sealed);
        altered[bit >> 3] = (altered[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        expect(() => openAnnouncement(CLUSTER, altered)).toThrow();
      }),
      { numRuns: 300 },
    );
  });

  it('is refused when it does not keep to the schema, also under a good signature', () => {
    const seal = (value: object) => ada.seal(`bzzz/${CLUSTER}/announce/1`, encode(value));
    const bad = [
      { ...announcement(), seq: -1 },
      { ...announcement(), extra: 1 },
      { ...announcement(), addrs: Array(LIMITS.addressesPerPeer + 1).fill('/ip4/1.2.3.4/tcp/1') },
      { ...announcement(), role: 'king' },
      { ...announcement(), resources: { freeMemory: 1.1, cpus: 1, load1: 0 } },
      { ...announcement(), resources: { freeMemory: -0.1, cpus: 1, load1: 0 } },
      { ...announcement(), resources: { freeMemory: 0.5, cpus: 0, load1: 0 } },
      { ...announcement(), resources: { freeMemory: 0.5, cpus: 1.5, load1: 0 } },
      { ...announcement(), resources: { freeMemory: 0.5, cpus: 1, load1: -1 } },
      { ...announcement(), resources: { freeMemory: 0.5, cpus: 1 } },
      { ...announcement(), resources: { freeMemory: 0.5, cpus: 1, load1: 0, x: 1 } },
      { ...announcement(), name: 'x'.repeat(LIMITS.nameBytes + 1) },
    ];
    for (const value of bad) expect(() => openAnnouncement(CLUSTER, seal(value))).toThrow();
  });

  it('is refused when it is too large, on both sides', () => {
    const words = Array(32).fill('x'.repeat(64));
    const large = announcement({
      capabilities: { suites: words, protocols: words },
      addrs: Array(16).fill(`/dns/${'a'.repeat(60)}/tcp/4750`),
    });
    expect(() => sealAnnouncement(CLUSTER, ada, large)).toThrow(/bytes/);
    const sealed = ada.seal(`bzzz/${CLUSTER}/announce/1`, encode(large));
    expect(() => openAnnouncement(CLUSTER, sealed)).toThrow(/bytes/);
  });
});

describe('the announcement book', () => {
  const MAX = LIMITS.announceAgeMs;
  type Said = Partial<Announcement> & { readonly ageMs?: number; readonly own?: boolean };

  function bookOf() {
    const book = new AnnouncementBook();
    const verdict = ({ ageMs = 0, own = false, ...said }: Said, now = 0) => {
      const word = { announcement: announcement(said), sealed: new Uint8Array([1]), ageMs, own };
      return book.take(word, now);
    };
    const take = (said: Said, now = 0): boolean => verdict(said, now).isNew;
    return { book, take, verdict, held: () => book.get(ada.peerId)?.announcement };
  }
  const runOf = (id: number): Uint8Array => new Uint8Array(8).fill(id);

  it('ages by the reader alone, from the receipt of a higher number (R8, R24)', () => {
    const { book, take } = bookOf();
    expect(take({ seq: 5 })).toBe(true);
    expect(book.isFresh(ada.peerId, MAX - 1)).toBe(true);
    expect(book.isFresh(ada.peerId, MAX)).toBe(false);
    expect(take({ seq: 6 }, MAX)).toBe(true);
    expect(book.isFresh(ada.peerId, 2 * MAX - 1)).toBe(true);
  });

  it('grows no younger by a replay or an older word', () => {
    const { book, take, held } = bookOf();
    take({ boot: 2, seq: 5, run: runOf(2) });
    expect(take({ boot: 2, seq: 5, run: runOf(2) }, 1_000)).toBe(false);
    expect(take({ boot: 2, seq: 4, run: runOf(2) }, 1_000)).toBe(false);
    expect(take({ boot: 1, seq: 99, run: runOf(1) }, 1_000)).toBe(false);
    expect(book.isFresh(ada.peerId, MAX)).toBe(false);
    expect(held()?.seq).toBe(5);
  });

  it('takes a restart for newer, whatever its sequence number, and for no copy', () => {
    const { verdict } = bookOf();
    verdict({ boot: 1, seq: 900, run: runOf(1) });
    expect(verdict({ boot: 2, seq: 1, run: runOf(2) }, 1)).toEqual({ isNew: true, isCopy: false });
    const late = verdict({ boot: 1, seq: 901, run: runOf(1) }, 1);
    expect(late).toEqual({ isNew: false, isCopy: false });
  });

  it('believes that second-hand news is old, never that it is younger', () => {
    const { book, take } = bookOf();
    take({ ageMs: MAX - 5_000 }, 10_000);
    expect(book.isFresh(ada.peerId, 14_999)).toBe(true);
    expect(book.isFresh(ada.peerId, 15_000)).toBe(false);
    const other = bookOf();
    other.take({ ageMs: -1e9 }, 10_000);
    expect(other.book.isFresh(ada.peerId, 10_000 + MAX)).toBe(false);
  });

  it('hears both of two runs with one boot counter, and the one that is left at once', () => {
    const { book, verdict, held } = bookOf();
    verdict({ boot: 3, seq: 1, run: runOf(1) });
    const both = { isNew: true, isCopy: true };
    expect(verdict({ boot: 3, seq: 40, run: runOf(2), draining: true }, 1)).toEqual(both);
    expect(verdict({ boot: 3, seq: 2, run: runOf(1) }, 2)).toEqual(both);
    expect(held()).toMatchObject({ seq: 2, draining: false });
    expect(verdict({ boot: 3, seq: 40, run: runOf(2) }, MAX)).toEqual({ ...both, isNew: false });
    expect(book.isFresh(ada.peerId, MAX + 2)).toBe(false);
  });

  it('hears a peer whose disk went back from itself alone, and from then on by gossip', () => {
    const { take, verdict, held } = bookOf();
    take({ boot: 9, seq: 7, run: runOf(9) });
    const back = { boot: 4, run: runOf(4) };
    expect(verdict({ ...back, seq: 1 })).toEqual({ isNew: false, isCopy: false });
    expect(verdict({ ...back, seq: 1, own: true })).toEqual({ isNew: true, isCopy: true });
    expect(take({ ...back, seq: 2 })).toBe(true);
    expect(take({ boot: 9, seq: 7, run: runOf(9) })).toBe(false);
    expect(held()).toMatchObject({ boot: 4, seq: 2 });
  });

  it('remembers a few runs of a peer, not all', () => {
    const { take } = bookOf();
    for (let id = 1; id <= 5; id++) take({ boot: 1, seq: 10, run: runOf(id) });
    expect(take({ boot: 1, seq: 10, run: runOf(2) })).toBe(false);
    expect(take({ boot: 1, seq: 10, run: runOf(1) })).toBe(true);
  });

  it('holds the newest word of each peer after any order of arrival', () => {
    const word = fc.record({ boot: fc.nat(3), seq: fc.nat(20) });
    fc.assert(
      fc.property(fc.array(word, { minLength: 1, maxLength: 30 }), (words) => {
        const { take, held } = bookOf();
        for (const w of words) take({ ...w, run: runOf(w.boot) });
        const rank = (w: { boot: number; seq: number }): number => w.boot * 1_000 + w.seq;
        const last = held();
        expect(last && rank(last)).toBe(Math.max(...words.map(rank)));
      }),
    );
  });

  it('forgets who left the roster', () => {
    const { book, take } = bookOf();
    take({});
    book.keep((peer: PeerId) => peer !== ada.peerId);
    expect(book.get(ada.peerId)).toBeUndefined();
  });
});
