/** The switched components by name: what an operator asks for, what is told, what is refused. */
import { describe, expect, it } from 'vitest';
import { BackendMeter } from '../../../src/base/backend-meter.ts';
import { Switch } from '../../../src/base/switch.ts';
import { Backends } from '../../../src/node/backends.ts';
import { quietLogger } from '../../support/world.ts';

const NONE = { fallbacks: 0, recoveries: 0 };

function world() {
  const events: [string, unknown][] = [];
  const arm = { now: 'real' as 'mock' | 'real' };
  const one = (name: string) => ({
    choice: new Switch(name, { backend: 'hybrid', percent: 100 }),
    meter: new BackendMeter(name, () => NONE),
    get hybridArm() {
      return arm.now;
    },
  });
  const backends = new Backends({
    components: [one('dht'), one('discovery')],
    emit: (kind, data) => void events.push([kind, data]),
    log: quietLogger,
  });
  return { backends, events, arm };
}

const all = (backend: 'mock' | 'real' | 'hybrid') => ({ backend, percent: 100 });

describe('the backends of a node', () => {
  it('tell of each change as an event, with who asked for it', () => {
    const { backends, events } = world();
    backends.set('dht', { backend: 'real', percent: 30 }, 'configuration');
    backends.isolate('discovery');
    backends.rollback('dht');
    expect(events).toEqual([
      [
        'backend.switched',
        {
          ...{ component: 'dht', command: 'set', from: 'hybrid', to: 'real' },
          ...{ percent: 30, by: 'configuration' },
        },
      ],
      [
        'backend.switched',
        {
          ...{ component: 'discovery', command: 'isolate', from: 'hybrid', to: 'isolated' },
          ...{ percent: 100, by: 'operator' },
        },
      ],
      [
        'backend.switched',
        {
          ...{ component: 'dht', command: 'rollback', from: 'real', to: 'hybrid' },
          ...{ percent: 100, by: 'operator' },
        },
      ],
    ]);
    // What changes nothing is no event.
    backends.set('dht', all('hybrid'));
    expect(events).toHaveLength(3);
  });

  it('take back the last change of any of them when none is named', () => {
    const { backends } = world();
    backends.set('dht', all('mock'));
    backends.set('discovery', all('mock'));
    backends.set('dht', all('real'));
    expect(backends.rollback()).toMatchObject({ component: 'dht', backend: 'mock' });
    expect(backends.rollback()).toMatchObject({ component: 'discovery', backend: 'hybrid' });
    expect(backends.rollback()).toMatchObject({ component: 'dht', backend: 'hybrid' });
    expect(() => backends.rollback()).toThrow(expect.objectContaining({ code: 'CONFLICT' }));
  });

  it('say what is chosen and who answers', () => {
    const { backends, arm } = world();
    arm.now = 'mock';
    expect(backends.set('dht', { backend: 'real', percent: 40 })).toEqual({
      component: 'dht',
      backend: 'real',
      active: 'real',
      percent: 40,
      isolated: false,
      generation: 1,
      previous: [all('hybrid')],
    });
    expect(backends.isolate('dht')).toMatchObject({ backend: 'real', active: 'mock' });
    expect(backends.list().map((b) => [b.component, b.active])).toEqual([
      ['dht', 'mock'],
      ['discovery', 'mock'],
    ]);
    expect(backends.metrics().map((m) => m.component)).toEqual(['dht', 'discovery']);
  });

  it('refuse what is none of them, and name the ones there are', () => {
    const { backends } = world();
    for (const act of [
      () => backends.set('dhd', all('mock')),
      () => backends.isolate('dhd'),
      () => backends.rollback('dhd'),
    ]) {
      expect(act).toThrow(
        expect.objectContaining({ code: 'NOT_FOUND', hint: 'the components are: dht, discovery' }),
      );
    }
  });
});
