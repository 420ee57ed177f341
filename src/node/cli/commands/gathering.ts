/**
 * What an operator sees of a key that waits for its parties, and `session join`.
 * @module
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { toBzzzError } from '../../../base/errors.ts';
import type { ControlClient } from '../../control/client.ts';
import type { GatheringDocument, JoinedDocument } from '../../services.ts';
import type { Context } from '../context.ts';
import { fields } from '../text.ts';

const FIRST_LOOK_MS = 400;
const LOOK_MS = 2_000;

/** On stderr, also without a terminal: the command does not end before somebody acts on it. */
function tell(context: Context, { name, reason, need, have, token }: GatheringDocument): void {
  const hosts = need - have === 1 ? '1 more host' : `${need - have} more hosts`;
  context.io.err.write(
    `key ${name} waits for its parties, ${have} of ${need} are there: ${reason}\n` +
      `run this on ${hosts} before the time is over:\nbzzz session join ${token}\n`,
  );
}

/**
 * Runs the request for a key, and says once what to do if it waits for its parties. With `--json`
 * it says nothing: the event `session.gathering` does.
 */
export async function whileGathering<T>(
  context: Context,
  client: ControlClient,
  name: string,
  request: Promise<T>,
): Promise<T> {
  if (context.json) return request;
  const over = new AbortController();
  const watch = watchFor(context, client, name, over.signal);
  try {
    return await request;
  } finally {
    over.abort();
    await watch;
  }
}

/** Looks now and then; does not reject. */
async function watchFor(
  context: Context,
  client: ControlClient,
  name: string,
  over: AbortSignal,
): Promise<void> {
  let pause = FIRST_LOOK_MS;
  try {
    while (!over.aborted) {
      await sleep(pause, undefined, { signal: over });
      const all = await client.call<GatheringDocument[]>('GET', '/v1/sessions/gatherings');
      const mine = all.find((gathering) => gathering.name === name);
      if (mine !== undefined && !over.aborted) {
        tell(context, mine);
        return;
      }
      pause = LOOK_MS;
    }
  } catch (thrown) {
    // Once the request has ended, so has the pause.
    if (over.aborted) return;
    context.chatter(`whether key ${name} waits is not known: ${toBzzzError(thrown).message}`);
  }
}

/** `session join TOKEN`. */
export async function joinSession(context: Context, token: string): Promise<void> {
  const client = await context.client({ patient: true });
  const joined = await client.call<JoinedDocument>('POST', '/v1/sessions/join', {
    json: { token },
    timeoutMs: context.answerMs(0),
  });
  context.result(joined, (j) =>
    fields([
      ['joined', `key ${j.name}, ${j.suite}, ${j.threshold} of ${j.need}`],
      ['made by', context.id(j.proposer)],
      ['parties there', `${j.have} of ${j.need}`],
      ['next', `bzzz key show ${j.name}`],
    ]),
  );
}
