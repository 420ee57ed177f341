import { defineConfig } from 'vitest/config';

const project = (name: string, include: string[], extra: object = {}) => ({
  test: { name, include, pool: 'forks' as const, ...extra },
});

export default defineConfig({
  test: {
    projects: [
      project(
        'unit',
        ['test/{base,roster,dht,ucxl,election,mpc,node,bootstrap,structure}/**/*.test.ts'],
        {
          testTimeout: 30_000,
        },
      ),
      project('sim', ['test/sim/**/*.test.ts'], { testTimeout: 60_000 }),
      project('cluster', ['test/cluster/**/*.test.ts'], {
        testTimeout: 300_000,
        hookTimeout: 180_000,
        fileParallelism: false,
      }),
      project('lan', ['test/lan/**/*.test.ts'], {
        testTimeout: 300_000,
        hookTimeout: 180_000,
        fileParallelism: false,
      }),
    ],
  },
});
