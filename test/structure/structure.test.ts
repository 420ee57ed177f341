/** What the tree itself must hold: direction of imports, sizes, banned calls, versions, manners. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = resolve(import.meta.dirname, '../..');
const LAYERS = ['base', 'roster', 'dht', 'ucxl', 'election', 'mpc', 'node', 'client', 'dashboard'];

function sources(folder: string): string[] {
  const path = join(root, folder);
  if (!existsSync(path)) return [];
  return readdirSync(path, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(folder, name));
}

const read = (file: string): string => readFileSync(join(root, file), 'utf8');

/** The code without comments and text, so that words in them do not count. */
const bare = (text: string): string =>
  text.replace(/\/\*[\s\S]*?\*\/|(?<![:'"`])\/\/.*$/gm, '').replace(/'(?:[^'\\\n]|\\.)*'/g, "''");

const all = [...sources('src'), ...sources('bootstrap')];

/** Shells may touch the world; everything else in these layers is a pure core. */
const isShell = (file: string): boolean =>
  /^src\/(node|client|dashboard)\//.test(file) ||
  file.startsWith('bootstrap/') ||
  /-shell\.ts$/.test(file) ||
  file === 'src/mpc/keys/keyfile.ts';

describe('the tree', () => {
  it('has sources to check', () => {
    expect(all.length).toBeGreaterThan(20);
  });

  it('imports one way: base <- roster <- dht <- ucxl <- election <- mpc <- node <- client', () => {
    const wrong: string[] = [];
    for (const file of sources('src')) {
      const layer = LAYERS.indexOf(file.split('/')[1] ?? '');
      expect(layer, `${file} stands outside the layers`).toBeGreaterThanOrEqual(0);
      for (const [, target] of read(file).matchAll(/(?:from|import\()\s*'(\.[^']+)'/g)) {
        const path = relative(root, resolve(root, dirname(file), target ?? ''));
        const other = LAYERS.indexOf(path.split('/')[1] ?? '');
        const inBootstrap = path.startsWith('bootstrap/') && layer >= LAYERS.indexOf('node');
        if (!inBootstrap && (other < 0 || other > layer)) wrong.push(`${file} -> ${path}`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it('imports only direct dependencies, and uses every one of them (R5)', () => {
    const manifest = JSON.parse(read('package.json'));
    const used = new Set<string>();
    for (const file of all) {
      for (const [, type, name] of read(file).matchAll(
        /(?:import|export)( type)?[^'";]*?from\s*'([^'.][^']*)'/g,
      )) {
        if (name === undefined || name.startsWith('node:')) continue;
        const parts = name.split('/');
        const pkg = name.startsWith('@') ? parts.slice(0, 2).join('/') : (parts[0] ?? '');
        used.add(pkg);
        const known = { ...manifest.dependencies, ...(type ? manifest.devDependencies : {}) };
        expect(Object.keys(known), `${file} imports ${name}`).toContain(pkg);
      }
      for (const [, name] of read(file).matchAll(/import\(\s*'([^'.][^']*)'\s*\)/g)) {
        const parts = (name ?? '').split('/');
        used.add(name?.startsWith('@') ? parts.slice(0, 2).join('/') : (parts[0] ?? ''));
      }
    }
    const direct = Object.keys(manifest.dependencies);
    expect(direct.filter((name) => !used.has(name))).toEqual([]);
    expect(direct.length).toBeLessThanOrEqual(25);
  });

  it('pins exact versions', () => {
    const manifest = JSON.parse(read('package.json'));
    for (const group of ['dependencies', 'devDependencies', 'optionalDependencies']) {
      for (const [name, version] of Object.entries(manifest[group])) {
        expect(version, name).toMatch(/^\d+\.\d+\.\d+$/);
      }
    }
  });

  it('keeps files at most 500 lines and lines at most 100 columns', () => {
    const long = all.filter((file) => read(file).split('\n').length > 501);
    expect(long).toEqual([]);
    const wide = all.flatMap((file) =>
      read(file)
        .split('\n')
        .flatMap((line, i) =>
          line.length > 100 && !/https?:/.test(line) ? [`${file}:${i + 1}`] : [],
        ),
    );
    expect(wide).toEqual([]);
  });

  it('keeps time, chance, environment and files out of the pure cores', () => {
    const banned =
      /\bDate\.now\b|\bnew Date\(\)|\bMath\.random\b|\bset(?:Timeout|Interval|Immediate)\b|\bprocess\.|\bperformance\.now\b|node:(?:fs|net|http|child_process|os)/;
    const found = all
      .filter((file) => !isShell(file))
      .flatMap((file) => {
        const hit =
          banned.exec(bare(read(file)).replace(/''/g, '')) ??
          banned.exec(
            read(file)
              .match(/from '[^']+'/g)
              ?.join('\n') ?? '',
          );
        return hit === null ? [] : [`${file}: ${hit[0]}`];
      });
    expect(found).toEqual([]);
  });

  it('leaves no unfinished mark, no any, no ignored type error, no console', () => {
    const found = [...all, ...sources('test')]
      .filter((file) => !file.includes('structure.test'))
      .flatMap((file) => {
        const text = read(file);
        const marks =
          /\b(?:TODO|FIXME|XXX|HACK)\b|\bas any\b|: any\b|@ts-(?:ignore|nocheck)|\b(?:it|test|describe)\.(?:only|todo)\b/;
        const hit = marks.exec(text) ?? (all.includes(file) ? /\bconsole\.\w+/.exec(text) : null);
        return hit === null ? [] : [`${file}: ${hit[0]}`];
      });
    expect(found).toEqual([]);
  });

  it('documents every exported function and class', () => {
    const undocumented = all.flatMap((file) => {
      const lines = read(file).split('\n');
      return lines.flatMap((line, i) =>
        /^export (?:async )?(?:function|class)\b/.test(line) &&
        lines[i - 1]?.trim() !== '*/' &&
        !lines[i - 1]?.endsWith('*/')
          ? [`${file}:${i + 1}`]
          : [],
      );
    });
    expect(undocumented).toEqual([]);
  });

  it('holds the minimum versions against known remote attacks, and has no floodsub', () => {
    const version = (name: string): number[] =>
      JSON.parse(read(`node_modules/${name}/package.json`))
        .version.split('.')
        .map(Number);
    const atLeast = (have: number[], want: number[]): boolean => {
      for (const [i, n] of want.entries()) {
        if ((have[i] ?? 0) !== n) return (have[i] ?? 0) > n;
      }
      return true;
    };
    expect(atLeast(version('@libp2p/gossipsub'), [15, 0, 23])).toBe(true);
    expect(atLeast(version('@libp2p/crypto'), [5, 1, 22])).toBe(true);
    expect(atLeast([15, 0, 22], [15, 0, 23])).toBe(false);
    const locked = Object.keys(JSON.parse(read('package-lock.json')).packages);
    expect(locked.filter((name) => /floodsub|@chainsafe\/libp2p-gossipsub/.test(name))).toEqual([]);
  });

  it('has documents whose relative links all lead somewhere', () => {
    const pages = readdirSync(root).filter((name) => name.endsWith('.md'));
    if (existsSync(join(root, 'docs'))) {
      pages.push(
        ...readdirSync(join(root, 'docs'))
          .filter((n) => n.endsWith('.md'))
          .map((n) => `docs/${n}`),
      );
    }
    const broken = pages.flatMap((page) =>
      [...read(page).matchAll(/\]\((?!https?:|#|mailto:)([^)#]+)/g)]
        .filter(([, link]) => !existsSync(resolve(root, dirname(page), link ?? '')))
        .map(([, link]) => `${page}: ${link}`),
    );
    expect(broken).toEqual([]);
  });
});
