/**
 * Reads server-sent events from text as it arrives
 * (https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream). Pure.
 * @module
 */

/** One event; `id` is the last one seen, as a client repeats it to resume. */
export interface SseEvent {
  readonly id: string | undefined;
  readonly event: string;
  readonly data: string;
}

/** An event that the daemon sends is far smaller. */
const MAX_BUFFER = 4_194_304;

/** Feed it chunks of text; it gives the events that are complete. */
export class SseParser {
  #rest = '';
  #id: string | undefined;

  /** @throws RangeError when one event grows without end. */
  push(chunk: string): SseEvent[] {
    this.#rest += chunk;
    const blocks = this.#rest.split('\n\n');
    this.#rest = blocks.pop() ?? '';
    if (this.#rest.length > MAX_BUFFER) throw new RangeError('event too large');
    return blocks.flatMap((block) => this.#read(block));
  }

  #read(block: string): SseEvent[] {
    let event = 'message';
    const data: string[] = [];
    for (const line of block.split('\n')) {
      const colon = line.indexOf(':');
      if (colon === 0) continue;
      const name = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
      if (name === 'id') this.#id = value;
      else if (name === 'event') event = value;
      else if (name === 'data') data.push(value);
    }
    return data.length === 0 ? [] : [{ id: this.#id, event, data: data.join('\n') }];
  }
}
