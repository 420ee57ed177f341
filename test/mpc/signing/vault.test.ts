/** The nonce vault: a pair for one slot, once (N1, N2). */
import { describe, expect, it } from 'vitest';
import { type CommittedNonces, NonceVault } from '../../../src/mpc/signing/vault.ts';
import { peer } from './net.ts';

function make() {
  const wiped: unknown[] = [];
  const vault = new NonceVault((nonces) => void wiped.push(nonces));
  const entry = (driver: number, counter: number, boot = 1): CommittedNonces => ({
    slot: { driver: peer(driver), boot, counter },
    nonces: { secret: 'nonces' },
    commitment: { index: 1, hiding: new Uint8Array(32), binding: new Uint8Array(32) },
    envelope: Uint8Array.of(driver, counter),
  });
  return { vault, wiped, entry };
}

describe('the nonce vault', () => {
  it('gives a pair away once', () => {
    const { vault, entry } = make();
    const one = entry(1, 1);
    vault.put(one);
    expect(vault.take(one.slot)).toBe(one);
    expect(vault.take(one.slot)).toBeUndefined();
    expect(vault.commitmentFor(one.slot)).toBeUndefined();
  });

  it('gives it for its own slot only: driver, run and attempt', () => {
    const { vault, entry } = make();
    vault.put(entry(1, 2, 5));
    for (const { slot } of [entry(2, 2, 5), entry(1, 1, 5), entry(1, 3, 5), entry(1, 2, 4)]) {
      expect(vault.take(slot)).toBeUndefined();
    }
    expect(vault.take(entry(1, 2, 5).slot)).toBeDefined();
  });

  it('never opens a slot again, whether it was used, replaced or wiped', () => {
    const { vault, entry } = make();
    const [used, later] = [entry(1, 1), entry(1, 2)];
    expect(vault.isOpen(used.slot)).toBe(true);
    vault.put(used);
    vault.take(used.slot);
    expect(vault.isOpen(used.slot)).toBe(false);
    vault.put(later);
    vault.wipe();
    expect(vault.isOpen(used.slot)).toBe(false);
    expect(vault.isOpen(later.slot)).toBe(false);
    // A later run of the driver begins again, an earlier one is over.
    expect(vault.isOpen(entry(1, 1, 2).slot)).toBe(true);
    expect(vault.isOpen(entry(1, 9, 0).slot)).toBe(false);
    expect(vault.isOpen(entry(2, 1).slot)).toBe(true);
  });

  it('keeps one pair per driver and wipes the one before', () => {
    const { vault, wiped, entry } = make();
    const [one, two, other] = [entry(1, 1), entry(1, 2), entry(2, 1)];
    for (const each of [one, other, two]) vault.put(each);
    expect(wiped).toEqual([one.nonces]);
    expect(vault.take(one.slot)).toBeUndefined();
    vault.wipe();
    expect(wiped).toHaveLength(3);
    expect(vault.take(two.slot)).toBeUndefined();
  });
});
