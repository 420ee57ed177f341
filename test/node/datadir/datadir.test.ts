/** The data directory: private under any umask, whole after a crash, loose modes refused. */
import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { BzzzError } from '../../../src/base/errors.ts';
import {
  checkPrivateDir,
  prepareDataDir,
  readPrivateFile,
  removePrivateFile,
  writePrivateFile,
} from '../../../src/node/datadir.ts';
import { foundCluster, loadGenesis } from '../../../src/node/datadir-cluster.ts';
import { ensureIdentity, peerIdOf } from '../../../src/node/identity.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'bzzz-dir-'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

const refusal = (work: Promise<unknown>): Promise<BzzzError> =>
  work.then(
    () => expect.unreachable('was accepted'),
    (thrown: BzzzError) => thrown,
  );
const modeOf = async (path: string): Promise<number> => (await stat(path)).mode & 0o777;
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe('the directory', () => {
  it.each([0o000, 0o077, 0o277])('is 0700 and its files 0600 under umask %o', async (umask) => {
    const before = process.umask(umask);
    try {
      const paths = await prepareDataDir(join(root, 'a'));
      await writePrivateFile(paths.config, bytes('x'), 'create');
      expect(await modeOf(paths.dir)).toBe(0o700);
      expect(await modeOf(paths.config)).toBe(0o600);
    } finally {
      process.umask(before);
    }
  });

  it.each([0o750, 0o701, 0o770, 0o755])(
    'with mode %o is refused and left as it is',
    async (mode) => {
      const dir = join(root, 'loose');
      await mkdir(dir);
      await chmod(dir, mode);
      const error = await refusal(prepareDataDir(dir));
      expect(error).toMatchObject({ code: 'LOOSE_PERMISSIONS', exit: 2, hint: `chmod 700 ${dir}` });
      expect(error.why).toContain(mode.toString(8));
      expect(await modeOf(dir)).toBe(mode);
    },
  );

  it('that is a link or a file is refused', async () => {
    await mkdir(join(root, 'real'), { mode: 0o700 });
    await symlink(join(root, 'real'), join(root, 'link'));
    expect(await refusal(prepareDataDir(join(root, 'link')))).toMatchObject({
      code: 'DISK_FAILED',
    });
    await writeFile(join(root, 'file'), '');
    expect(await refusal(prepareDataDir(join(root, 'file')))).toMatchObject({
      code: 'DISK_FAILED',
    });
  });

  it('of another user is refused', async ({ skip }) => {
    if (process.getuid?.() !== 0) {
      console.warn('skipped: only root can give a directory away');
      skip();
    }
    const { chown } = await import('node:fs/promises');
    const dir = join(root, 'theirs');
    await mkdir(dir, { mode: 0o700 });
    await chown(dir, 65_534, 65_534);
    expect(await refusal(checkPrivateDir(dir))).toMatchObject({ code: 'LOOSE_PERMISSIONS' });
  });
});

describe('private files', () => {
  it.each([0o640, 0o604, 0o660, 0o644])('with mode %o are refused', async (mode) => {
    const path = join(root, 'f');
    await writeFile(path, 'secret');
    await chmod(path, mode);
    const error = await refusal(readPrivateFile(path, 100));
    expect(error).toMatchObject({ code: 'LOOSE_PERMISSIONS', hint: `chmod 600 ${path}` });
    expect(error.message).not.toContain('secret');
  });

  it('that are links, directories or too large are refused; a missing one is none', async () => {
    await writeFile(join(root, 'f'), 'x'.repeat(11), { mode: 0o600 });
    await symlink(join(root, 'f'), join(root, 'link'));
    await mkdir(join(root, 'd'), { mode: 0o700 });
    expect((await refusal(readPrivateFile(join(root, 'link'), 100))).code).toBe(
      'LOOSE_PERMISSIONS',
    );
    expect((await refusal(readPrivateFile(join(root, 'd'), 100))).code).toBe('DISK_FAILED');
    expect((await refusal(readPrivateFile(join(root, 'f'), 10))).code).toBe('TOO_LARGE');
    expect(await readPrivateFile(join(root, 'none'), 10)).toBeUndefined();
  });

  it('are created once, replaced whole, and leave nothing beside them', async () => {
    const path = join(root, 'f');
    await writePrivateFile(path, bytes('one'), 'create');
    expect(await refusal(writePrivateFile(path, bytes('two'), 'create'))).toMatchObject({
      code: 'CONFLICT',
    });
    expect(await readFile(path, 'utf8')).toBe('one');
    await writePrivateFile(path, bytes('two'), 'replace');
    expect(await readFile(path, 'utf8')).toBe('two');
    expect(await readdir(root)).toEqual(['f']);
    await removePrivateFile(path);
    await removePrivateFile(path);
    expect(await readdir(root)).toEqual([]);
  });

  it('one of many concurrent creators wins, and its content is whole', async () => {
    const path = join(root, 'f');
    const texts = Array.from({ length: 8 }, (_, i) => String(i).repeat(1_000));
    const done = await Promise.allSettled(
      texts.map((t) => writePrivateFile(path, bytes(t), 'create')),
    );
    const winners = texts.filter((_, i) => done[i]?.status === 'fulfilled');
    expect(winners).toHaveLength(1);
    expect(await readFile(path, 'utf8')).toBe(winners[0]);
    expect(await readdir(root)).toEqual(['f']);
  });

  it('temporary files of a crashed run do not stand in the way', async () => {
    const path = join(root, 'f');
    for (let i = 0; i < 100; i++) await writeFile(`${path}.${process.pid}-${i}.tmp`, 'half');
    await writePrivateFile(path, bytes('whole'), 'create');
    expect(await readFile(path, 'utf8')).toBe('whole');
  });
});

describe('the cluster of a directory', () => {
  it('is founded once; the same name again changes nothing, another is refused', async () => {
    const paths = await prepareDataDir(join(root, 'n'));
    const founder = peerIdOf(await ensureIdentity(paths));
    const founding = { cluster: 'lab', founder, founderName: 'host1' };
    const first = await foundCluster(paths, founding);
    const second = await foundCluster(paths, founding);
    expect([first.created, second.created]).toEqual([true, false]);
    expect(second.genesis.clusterId).toBe(first.genesis.clusterId);
    expect(first.genesis).toMatchObject({ name: 'lab', founder, founderName: 'host1' });
    const other = await refusal(foundCluster(paths, { ...founding, cluster: 'home' }));
    expect(other).toMatchObject({ code: 'ALREADY_INITIALISED', exit: 8 });
    expect((await loadGenesis(paths))?.clusterId).toBe(first.genesis.clusterId);
  });

  it('with an altered genesis is refused', async () => {
    const paths = await prepareDataDir(join(root, 'n'));
    const founder = peerIdOf(await ensureIdentity(paths));
    await foundCluster(paths, { cluster: 'lab', founder, founderName: 'h' });
    await writePrivateFile(paths.genesis, bytes('garbage'), 'replace');
    expect(await refusal(loadGenesis(paths))).toMatchObject({ code: 'BAD_MESSAGE' });
  });
});
