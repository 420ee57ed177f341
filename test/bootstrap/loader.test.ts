/** Peer lists: every form, and every way in which one source may fail. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parseEntrance } from '../../bootstrap/entrance.ts';
import { loadEntrances } from '../../bootstrap/loader.ts';
import { recordingLog } from '../node/net/support.ts';
import { testSigner } from '../support/world.ts';

const folder = mkdtempSync(join(tmpdir(), 'bzzz-bootstrap-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const { peerId } = await testSigner('ada');

const file = (text: string): string => {
  const path = join(folder, `list-${Math.random().toString(36).slice(2)}`);
  writeFileSync(path, text);
  return path;
};

async function load(options: {
  nodes?: readonly string[];
  text?: string;
  path?: string;
  srv?: (name: string) => Promise<readonly { name: string; port: number }[]>;
}) {
  const log: { level: string; message: string; fields: object }[] = [];
  const entrances = await loadEntrances(
    {
      nodes: options.nodes ?? [],
      file: options.text === undefined ? options.path : file(options.text),
    },
    { log: recordingLog(log), ...(options.srv === undefined ? {} : { resolveSrv: options.srv }) },
  );
  return { entrances, log };
}

describe('an entrance', () => {
  it.each([
    ['192.168.1.7:4751', '/ip4/192.168.1.7/tcp/4751'],
    ['192.168.1.7', '/ip4/192.168.1.7/tcp/4750'],
    ['host.lan:4750', '/dns/host.lan/tcp/4750'],
    ['host', '/dns/host/tcp/4750'],
    ['[fd00::7]:4750', '/ip6/fd00::7/tcp/4750'],
    ['fd00::7', '/ip6/fd00::7/tcp/4750'],
    [' /dns4/host.lan/tcp/4750 ', '/dns4/host.lan/tcp/4750'],
    ['/ip6/fd00::7/tcp/1', '/ip6/fd00::7/tcp/1'],
  ])('%s is %s, without a peer id', (text, addr) => {
    expect(parseEntrance(text)).toEqual({ addr });
  });

  it('keeps the peer id that a multiaddr names', () => {
    expect(parseEntrance(`/ip4/10.0.0.1/tcp/4750/p2p/${peerId}`)).toEqual({
      addr: '/ip4/10.0.0.1/tcp/4750',
      peerId,
    });
  });

  it.each([
    '',
    'host:0',
    'host:65536',
    'host:port',
    '300.1.1.1:4750',
    '[host]:1',
    'a b:1',
    '-x:1',
    '/ip4/10.0.0.1/udp/4750',
    '/ip4/10.0.0.1/tcp/0',
    '/ip4/10.0.0.1',
    '/ip4/10.0.0.1/tcp/4750/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N',
    '/unix/x',
  ])('%j is refused', (text) => {
    expect(() => parseEntrance(text)).toThrow(/not the address of a peer/);
  });
});

describe('the loader', () => {
  it('reads lines with comments and blanks, and says where a bad one stands', async () => {
    const { entrances, log } = await load({
      text: '# peers\n\nhost-a:4750   # the old one\n:bad:\r\n[fd00::7]:4750\n',
    });
    expect(entrances.map((e) => e.addr)).toEqual(['/dns/host-a/tcp/4750', '/ip6/fd00::7/tcp/4750']);
    expect(log.map((l) => l.fields)).toMatchObject([{ source: expect.stringMatching(/:4$/) }]);
  });

  it('reads a list whose first line is an IPv6 address in brackets', async () => {
    const { entrances } = await load({ text: '[fd00::7]:4750\nhost:1\n' });
    expect(entrances).toHaveLength(2);
  });

  it.each([
    ['["host-a:4750", "host-b"]'],
    ['{"peers": [{"address": "host-a:4750"}, "host-b:4750"]}'],
  ])('reads JSON: %s', async (text) => {
    const { entrances } = await load({ text });
    expect(entrances.map((e) => e.addr)).toEqual(['/dns/host-a/tcp/4750', '/dns/host-b/tcp/4750']);
  });

  it('joins an address and a peer id given apart', async () => {
    const { entrances } = await load({
      text: JSON.stringify([{ address: 'host-a:4750', peerId }]),
    });
    expect(entrances).toEqual([{ addr: '/dns/host-a/tcp/4750', peerId }]);
  });

  it('looks up SRV records', async () => {
    const asked: string[] = [];
    const { entrances } = await load({
      nodes: ['srv:lab.example'],
      srv: async (name) => {
        asked.push(name);
        return [{ name: 'a.lab.example.', port: 4751 }];
      },
    });
    expect(asked).toEqual(['_bzzz._tcp.lab.example']);
    expect(entrances).toEqual([{ addr: '/dns/a.lab.example/tcp/4751' }]);
  });

  it('goes on with the others when a source fails: file, DNS, JSON, size, an entry (R14)', async () => {
    const failing = [
      { path: join(folder, 'missing') },
      { path: folder },
      { text: '{"peers": 5}' },
      { text: '["unclosed"' },
      { text: 'x'.repeat(1_048_577) },
      { nodes: ['srv:lab.example'], srv: () => Promise.reject(new Error('ENOTFOUND')) },
      { nodes: [':::'] },
    ];
    for (const source of failing) {
      const { entrances, log } = await load({
        ...source,
        nodes: [...(source.nodes ?? []), 'good:4750'],
      });
      expect(entrances).toEqual([{ addr: '/dns/good/tcp/4750' }]);
      expect(log.length, JSON.stringify(source).slice(0, 80)).toBeGreaterThan(0);
      expect(log.every((l) => l.level === 'warn')).toBe(true);
    }
  });

  it('drops repetitions and is bounded', async () => {
    const many = Array.from({ length: 1_000 }, (_, i) => `h${i}`).join('\n');
    expect((await load({ text: many })).entrances).toHaveLength(256);
    expect((await load({ nodes: ['a', 'a:4750'] })).entrances).toHaveLength(1);
  });
});
