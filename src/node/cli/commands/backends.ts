/**
 * Commands about backends and figures: backend, isolate, metrics.
 * @module
 */
import type { Command } from 'commander';
import type { BackendDocument, BackendMetrics } from '../../services.ts';
import type { Act } from '../command.ts';
import type { Context } from '../context.ts';
import { wholeNumber } from '../input.ts';
import { fields, table } from '../text.ts';

const shareText = (percent: number): string => (percent === 100 ? '' : `${percent} %`);

function showText(context: Context, all: readonly BackendDocument[]): string {
  return table(
    ['COMPONENT', 'BACKEND', 'SHARE', 'ACTIVE', 'ISOLATED', 'BEFORE'],
    all.map((b) => [
      b.component,
      b.backend,
      shareText(b.percent),
      b.active,
      b.isolated ? 'yes' : '',
      b.previous.map(({ backend, percent }) => `${backend}${shareText(percent)}`).join(' '),
    ]),
    context.tableWidth,
  );
}

async function show(context: Context): Promise<void> {
  const client = await context.client({ patient: true });
  const all = await client.call<BackendDocument[]>('GET', '/v1/backends');
  context.result(all, (list) => showText(context, list));
}

async function change(context: Context, path: string, json: unknown): Promise<void> {
  const client = await context.client({ patient: true });
  const call = json === undefined ? {} : { json };
  const done = await client.call<BackendDocument>('POST', `/v1/backends${path}`, call);
  context.result(done, (b) => showText(context, [b]));
}

const component = (name: string): string => encodeURIComponent(name);

async function metrics(context: Context): Promise<void> {
  const client = await context.client({ patient: true });
  const all = await client.call<BackendMetrics[]>('GET', '/v1/metrics');
  context.result(all, (list) =>
    list.map((one) => fields(Object.entries(one).map(([k, v]) => [k, String(v)]))).join('\n'),
  );
}

/** Adds them. */
export function addBackends(program: Command, act: Act): void {
  const backend = program.command('backend').description('which backend serves what');
  backend
    .command('show')
    .description('every component with backends')
    .action(act((context) => show(context)));
  backend
    .command('set')
    .description('choose a backend at run time: local (mock), dht (real) or hybrid')
    .argument('<component>', 'dht or discovery')
    .argument('<backend>')
    .option('--percent <share>', 'for this share of the keys; the others are local', '100')
    .action(
      act<{ percent: string }>((context, o, [name = '', word = '']) =>
        change(context, `/${component(name)}`, {
          backend: word,
          percent: wholeNumber('--percent', o.percent),
        }),
      ),
    );
  backend
    .command('rollback')
    .description('take the last change back')
    .argument('[component]', 'the one that was changed last when absent')
    .action(
      act((context, _o, [name]) =>
        change(context, '/rollback', name === undefined ? {} : { component: name }),
      ),
    );
  program
    .command('isolate')
    .description('serve a component locally until `backend set` or `backend rollback`')
    .argument('<component>', 'dht or discovery')
    .action(
      act((context, _o, [name = '']) => change(context, `/${component(name)}/isolate`, undefined)),
    );
  program
    .command('metrics')
    .description('requests, latencies, errors and fallbacks by backend')
    .action(act((context) => metrics(context)));
}
