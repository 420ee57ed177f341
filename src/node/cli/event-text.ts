/**
 * An event of the node as one line. Pure.
 * @module
 */
import type { ControlEvent } from '../control/client.ts';
import { cutMiddle, visible } from './text.ts';

/** What the kinds of the election, of jobs and of backends mean, for somebody who reads along. */
const MEANING: Readonly<Record<string, string>> = {
  'leader.elected': 'this node leads',
  'leader.changed': 'there is a leader',
  'leader.lost': 'the leader is lost',
  'leader.deposed': 'this node leads no more',
  'election.refused': 'an act of an old term was refused',
  'election.equivocation': 'a voter voted twice in one term',
  'job.assigned': 'a job was given out',
  'job.adopted': 'a job of a lost host was taken over',
  'job.done': 'a job is done',
  'job.failed': 'a job failed',
  'session.gathering': 'a key waits for parties that discovery does not find',
  'backend.switched': 'another backend serves it from here on',
  'backend.fallback': 'the network is given up for now',
  'backend.recovery': 'the network is used again',
  'backend.replayed': 'the network has what was written meanwhile',
  'backend.queue_full': 'a write waits in the journal alone',
  dead_letter: 'a record that the others refuse',
  'config.reloaded': 'the configuration was read again',
  'config.refused': 'the configuration is bad, and nothing changed',
  'state.transferred': 'the job table came from the leader before',
};

const PEER_ID = /^12D3KooW[1-9A-HJ-NP-Za-km-z]{38,56}$/;

/**
 * `TIME KIND key=value ...`, with the meaning in brackets where the kind is no everyday word; with
 * `json` the document as it came.
 * @param options.full does not cut peer ids.
 */
export function eventLine(
  event: ControlEvent,
  options: { readonly json: boolean; readonly full: boolean },
): string {
  const fallback: Record<string, unknown> = { kind: event.event };
  const document = { ...fallback, ...(event.data as Record<string, unknown>) };
  if (options.json) return `${JSON.stringify(document)}\n`;
  if (event.event === 'lagged') return `... ${document.missed} events were lost\n`;
  const kind = String(document.kind);
  const meaning = Object.hasOwn(MEANING, kind) ? `(${MEANING[kind]})` : '';
  const data = Object.entries((document.data ?? {}) as Record<string, unknown>).map(
    ([name, value]) => `${name}=${valueText(value, options.full)}`,
  );
  const words = [document.time, kind, meaning, ...data].filter((word) => word !== '');
  return `${visible(words.join(' '))}\n`;
}

function valueText(value: unknown, full: boolean): string {
  if (typeof value === 'string') return !full && PEER_ID.test(value) ? cutMiddle(value) : value;
  const isPlainList = Array.isArray(value) && value.every((item) => typeof item !== 'object');
  if (isPlainList) return value.map((item) => valueText(item, full)).join(',');
  return JSON.stringify(value);
}
