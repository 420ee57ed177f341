/**
 * A node of its own process, for a test that kills it: `direct-victim.ts NAME ADDR PORT`, the chain
 * as hex lines on standard input. It holds a plain connection to PORT, which dies with it.
 */
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { fromHex } from '../../../src/base/bytes.ts';
import { genesisOf, Lab } from './support.ts';

const [name = '', addr = '', port = ''] = process.argv.slice(2);
const lines = (await text(process.stdin)).trim().split('\n');
const chain = lines.map((line) => fromHex(line) ?? new Uint8Array());
const lab = new Lab(await genesisOf('ada'));
const socket = connect(Number(port), '127.0.0.1', () => socket.write(name));
await lab.start(name, chain, { entrances: [{ addr }] });
