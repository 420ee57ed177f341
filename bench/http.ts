/** Requests on connections that stay open, to unix sockets and loopback ports, for measuring. */
import { Agent, request } from 'node:http';

/** Where a server listens. */
export type Place =
  | { readonly socketPath: string }
  | { readonly host: string; readonly port: number };

export interface Answer {
  /** HTTP status. */
  readonly status: number;
  readonly body: unknown;
  /** `performance.now()` when the whole answer was there. */
  readonly at: number;
}

const agent = new Agent({ keepAlive: true });

/**
 * Sends one request. Any status is an answer; rejects when the connection ends without one or
 * after `timeoutMs`.
 */
export function call(
  place: Place,
  method: 'GET' | 'POST',
  path: string,
  json?: unknown,
  timeoutMs = 15_000,
): Promise<Answer> {
  return new Promise((done, fail) => {
    const body = json === undefined ? undefined : JSON.stringify(json);
    const outgoing = request(
      {
        // One by one: whoever has a socket may have other fields too.
        ...('socketPath' in place
          ? { socketPath: place.socketPath }
          : { host: place.host, port: place.port }),
        agent,
        path,
        method,
        signal: AbortSignal.timeout(timeoutMs),
        headers: body === undefined ? {} : { 'content-type': 'application/json' },
      },
      (response) => {
        let text = '';
        response.on('data', (chunk) => (text += chunk));
        response.once('error', fail);
        response.once('end', () => {
          const at = performance.now();
          const parsed: unknown = text === '' ? undefined : JSON.parse(text);
          done({ status: response.statusCode ?? 0, body: parsed, at });
        });
      },
    );
    outgoing.once('error', fail);
    outgoing.end(body);
  });
}
