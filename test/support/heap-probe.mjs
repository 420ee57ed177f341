/**
 * Preloaded into a daemon by tests. SIGUSR2 has it collect its garbage and write what it uses
 * then to the file `heap` beside its data directory; with HEAP_SNAPSHOT a snapshot as well.
 */
import { renameSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString, writeHeapSnapshot } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc');
const file = `${process.env.BZZZ_DATA_DIR}/../heap`;

process.on('SIGUSR2', async () => {
  gc();
  // What finalizers let go of is garbage only now.
  await sleep(50);
  gc();
  const { rss, heapUsed, external, arrayBuffers } = process.memoryUsage();
  if (process.env.HEAP_SNAPSHOT !== undefined) {
    writeHeapSnapshot(`${process.env.HEAP_SNAPSHOT}/${process.pid}-${Date.now()}.heapsnapshot`);
  }
  writeFileSync(`${file}.new`, JSON.stringify({ rss, heapUsed, external, arrayBuffers }));
  renameSync(`${file}.new`, file);
});
