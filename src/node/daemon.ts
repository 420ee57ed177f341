/**
 * The process: reads what lies on the disk, runs the node behind its control socket, and ends on a
 * signal: the first one drains, the second one forces.
 * @module
 */
import { BzzzError, toBzzzError } from '../base/errors.ts';
import type { Logger } from '../base/ports.ts';
import { Reloading } from './backends-reload.ts';
import { programVersion } from './cli/version.ts';
import type { Config, Effective } from './config.ts';
import { plannedButSet } from './config.ts';
import { createControlServer } from './control/server.ts';
import { prepareDataDir } from './datadir.ts';
import { loadGenesis, loadInvitation } from './datadir-cluster.ts';
import { EventLog } from './events.ts';
import { loadIdentity } from './identity.ts';
import { createLogger } from './log.ts';
import { Node, type NodeFiles } from './node.ts';
import { nodeServices } from './node-services.ts';
import { systemClock, systemRandom } from './system.ts';

const SIGNALS = ['SIGTERM', 'SIGINT'] as const;
/** An orderly stop takes at most so long; then the process ends all the same. */
const STOP_MS = 4_800;

/**
 * Runs until a signal or the control socket ends it.
 * @param reload reads the configuration again, for SIGHUP.
 * @throws NOT_INITIALISED before `init` or `join`; what {@link Node.open} throws; BAD_CONFIG when
 * the port is taken.
 */
export async function runDaemon(
  effective: Effective,
  reload: () => Promise<Effective>,
): Promise<void> {
  const { config } = effective;
  const log = createLogger({ level: config.logLevel, format: config.logFormat });
  dieOnUnhandled(log);
  const files = await loadFiles(config);
  const clock = systemClock;
  const events = new EventLog(clock);
  const version = programVersion();
  const end = endSignal(log);
  const node = await Node.open(files, {
    ...{ effective, version, clock, random: systemRandom, log, events },
  });
  const reloading = new Reloading(effective, reload, node);
  reloading.listen();
  const control = createControlServer(
    { socketPath: config.controlSocket, version },
    {
      services: nodeServices(node, () => reloading.effective, end.now),
      clock,
      log: log.child({ component: 'control' }),
    },
  );
  try {
    await control.start();
    await node.start();
    for (const setting of plannedButSet(effective)) {
      log.warn({ setting }, 'this setting has no effect in this version');
    }
    log.info({ peerId: node.roster.self, addresses: node.network.addresses() }, 'started');
    await end.asked;
    log.info({}, 'stopping');
  } finally {
    const forced = setTimeout(() => process.exit(1), STOP_MS);
    await node.stop(end.forced);
    await control.stop();
    clearTimeout(forced);
    log.info({}, 'stopped');
  }
}

async function loadFiles(config: Config): Promise<NodeFiles> {
  const paths = await prepareDataDir(config.dataDir);
  const [key, genesis] = [await loadIdentity(paths), await loadGenesis(paths)];
  if (key === undefined || genesis === undefined) {
    throw new BzzzError('NOT_INITIALISED', `${paths.dir} is not set up yet`);
  }
  return { paths, key, genesis, invitation: await loadInvitation(paths) };
}

interface End {
  readonly asked: Promise<void>;
  /** As a signal would. */
  readonly now: () => void;
  /** Whether somebody lost patience. */
  readonly forced: () => boolean;
}

function endSignal(log: Logger): End {
  let count = 0;
  let resolve = (): void => {};
  const asked = new Promise<void>((done) => {
    resolve = done;
  });
  const now = (): void => {
    count++;
    resolve();
    if (count > 1) {
      log.warn({}, 'forced to stop');
      process.exit(1);
    }
  };
  for (const signal of SIGNALS) process.on(signal, now);
  return { asked, now, forced: () => count > 1 };
}

/**
 * The stream muxer answers frames that arrive on a connection that this side has just closed, and
 * throws from within an event listener that its answer cannot be written. Nothing of ours is in
 * doubt then, and a peer could end the process by its timing.
 */
const isLateWrite = (thrown: unknown): boolean =>
  thrown instanceof Error && thrown.name === 'StreamStateError';

/** P4: what nobody handled leaves the node in a state that nobody designed. */
function dieOnUnhandled(log: Logger): void {
  const die = (thrown: unknown): void => {
    const stack = thrown instanceof Error ? thrown.stack : undefined;
    const { code, message } = toBzzzError(thrown);
    if (isLateWrite(thrown)) {
      log.warn({ stack }, `a write to a connection that is closed: ${message}`);
      return;
    }
    log.error({ code, stack }, `unhandled: ${message}`);
    process.exit(1);
  };
  process.on('unhandledRejection', die);
  process.on('uncaughtException', die);
}
