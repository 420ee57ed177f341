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
  const sealed = new Uint8Array([1]);
  const MAX = LIMITS.announceAgeMs;

  it('ages by the reader alone, from the receipt of a higher number (R8, R24)', () => {
    const book = new AnnouncementBook();
    expect(book.take(announcement({ seq: 5 }), sealed, 0)).toBe('new');
    expect(book.isFresh(ada.peerId, MAX - 1)).toBe(true);
    expect(book.isFresh(ada.peerId, MAX)).toBe(false);
    expect(book.take(announcement({ seq: 6 }), sealed, MAX)).toBe('new');
    expect(book.isFresh(ada.peerId, 2 * MAX - 1)).toBe(true);
  });

  it('grows no younger by a replay or an older word', () => {
    const book = new AnnouncementBook();
    book.take(announcement({ boot: 2, seq: 5 }), sealed, 0);
    expect(book.take(announcement({ boot: 2, seq: 5 }), sealed, 1_000)).toBe('old');
    expect(book.take(announcement({ boot: 2, seq: 4 }), sealed, 1_000)).toBe('old');
    expect(book.take(announcement({ boot: 1, seq: 99 }), sealed, 1_000)).toBe('old');
    expect(book.isFresh(ada.peerId, MAX)).toBe(false);
    expect(book.get(ada.peerId)?.announcement.seq).toBe(5);
  });

  it('takes a restart for newer, whatever its sequence number', () => {
    const book = new AnnouncementBook();
    book.take(announcement({ boot: 1, seq: 900 }), sealed, 0);
    expect(book.take(announcement({ boot: 2, seq: 1 }), sealed, 1)).toBe('new');
  });

  it('believes that second-hand news is old, never that it is younger', () => {
    const book = new AnnouncementBook();
    book.take(announcement(), sealed, 10_000, MAX - 5_000);
    expect(book.isFresh(ada.peerId, 14_999)).toBe(true);
    expect(book.isFresh(ada.peerId, 15_000)).toBe(false);
    const other = new AnnouncementBook();
    other.take(announcement(), sealed, 10_000, -1e9);
    expect(other.isFresh(ada.peerId, 10_000 + MAX)).toBe(false);
  });

  it('notices two runs with one boot counter', () => {
    const book = new AnnouncementBook();
    book.take(announcement({ boot: 3, seq: 1, run: new Uint8Array(8).fill(1) }), sealed, 0);
    const twin = announcement({ boot: 3, seq: 1, run: new Uint8Array(8).fill(2) });
    expect(book.take(twin, sealed, 1)).toBe('two-runs');
    expect(book.take({ ...twin, seq: 9 }, sealed, 1)).toBe('two-runs');
  });

  it('holds the newest word of each peer after any order of arrival', () => {
    const word = fc.record({ boot: fc.nat(3), seq: fc.nat(20) });
    fc.assert(
      fc.property(fc.array(word, { minLength: 1, maxLength: 30 }), (words) => {
        const book = new AnnouncementBook();
        for (const w of words) book.take(announcement(w), sealed, 0);
        const rank = (w: { boot: number; seq: number }): number => w.boot * 1_000 + w.seq;
        const held = book.get(ada.peerId)?.announcement;
        expect(held && rank(held)).toBe(Math.max(...words.map(rank)));
      }),
    );
  });

  it('forgets who left the roster', () => {
    const book = new AnnouncementBook();
    book.take(announcement(), sealed, 0);
    book.keep((peer: PeerId) => peer !== ada.peerId);
    expect(book.get(ada.peerId)).toBeUndefined();
  });
});
