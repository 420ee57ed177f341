import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

/** One kind of test. Groups run one after the other: real daemons need the cores for themselves. */
const project = (groupOrder: number, name: string, include: string[], extra: object = {}) => ({
  test: { name, include, pool: 'forks' as const, sequence: { groupOrder }, ...extra },
});

const PURE = 'base,roster,dht,ucxl,election,mpc,node,bootstrap,structure';
/** Nothing here takes long, unless the machine has other things to do. */
const patient = { testTimeout: 300_000, hookTimeout: 120_000 };
const daemons = { testTimeout: 600_000, hookTimeout: 600_000, fileParallelism: false };

export default defineConfig({
  test: {
    projects: [
      project(0, 'unit', [`test/{${PURE}}/**/*.test.ts`], patient),
      project(1, 'sim', ['test/sim/**/*.test.ts'], {
        ...patient,
        maxWorkers: availableParallelism(),
      }),
      project(2, 'cluster', ['test/cluster/**/*.test.ts'], daemons),
      project(3, 'lan', ['test/lan/**/*.test.ts'], daemons),
    ],
  },
});
