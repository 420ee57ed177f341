/**
 * The one catalogue of errors. A code is stable: scripts, tests and peers match on it, never on the
 * text.
 *
 * `exit` is the exit code of the command line, `http` the status of the control API, `hint` the
 * line that tells an operator what to do when the thrower has nothing better to say.
 * @module
 */

interface ErrorKind {
  readonly exit: number;
  readonly http: number;
  readonly hint: string;
}

const kind = (exit: number, http: number, hint: string): ErrorKind => ({ exit, http, hint });

/** Every error code of the project. Exit codes follow docs/cli.md. */
export const ERRORS = {
  // -- 1: anything else
  INTERNAL: kind(1, 500, 'report this with the output of `bzzz health` and the log'),
  DISK_FAILED: kind(1, 500, 'check free space, permissions and mount of the data directory'),
  STORE_LOCKED: kind(1, 409, 'another daemon uses this data directory; stop it or give another'),
  SCHEMA_TOO_NEW: kind(1, 500, 'this data directory was written by a newer bzzz; upgrade bzzz'),
  SESSION_FAILED: kind(1, 502, 'see `bzzz session show ID` for the reason'),
  ROSTER_FORK: kind(1, 500, 'two rosters disagree; compare `bzzz roster` on both hosts'),
  KEYSTORE_LOCKED: kind(1, 500, 'check the passphrase file and the key file of this node'),
  SHARE_CORRUPT: kind(1, 500, 'the stored share was altered; restore it from a backup'),
  BUSY: kind(1, 503, 'this node runs as many sessions as it may; try again in a moment'),
  DRAINING: kind(1, 503, 'this node is stopping; ask another one'),
  NOT_LEADER: kind(1, 503, 'another host leads; `bzzz leader` names it'),
  LEADERSHIP_LOST: kind(1, 503, 'the change may have been made; `bzzz roster` tells'),
  STALE_EPOCH: kind(1, 409, 'the key has newer shares; ask again'),
  STALE_TERM: kind(1, 409, 'a newer leader was elected; nothing to do'),
  UNSUPPORTED_RUNTIME: kind(1, 500, 'run `npm ci` in the checkout, which brings the right Node'),
  // -- 2: usage
  BAD_USAGE: kind(2, 400, 'see `bzzz help`'),
  BAD_CONFIG: kind(2, 400, 'correct the setting; `bzzz config show --origin` tells its source'),
  BAD_REQUEST: kind(2, 400, 'compare the request with /openapi.json'),
  BAD_MESSAGE: kind(2, 400, 'the bytes are not what the protocol allows'),
  INVALID_ADDRESS: kind(2, 400, 'see docs/addresses.md for the grammar'),
  INVALID_COMPOSITION: kind(2, 400, 'give positive counts that add up to the number of parties'),
  INVALID_THRESHOLD: kind(2, 400, 'give 2 <= threshold <= parties'),
  UNSUPPORTED_MEDIA: kind(2, 415, 'send application/json'),
  UNSUPPORTED_SUITE: kind(2, 400, 'use ed25519, secp256k1-tr, secp256k1, p256 or ristretto255'),
  NOT_SUPPORTED: kind(2, 501, 'this version does not have it yet; see CHANGELOG.md'),
  TOO_LARGE: kind(2, 413, 'make the input smaller; for a large file, sign its digest'),
  LOOSE_PERMISSIONS: kind(2, 400, 'chmod 600 the file and 700 its directory'),
  PATH_TOO_LONG: kind(2, 400, 'a socket path has at most 107 bytes; set BZZZ_CONTROL_SOCKET'),
  INVALID_INVITATION: kind(2, 400, 'copy the whole string that `bzzz invite` printed'),
  // -- 3: daemon
  DAEMON_UNREACHABLE: kind(3, 503, 'start it with `bzzz daemon`, or name its socket with --socket'),
  NOT_INITIALISED: kind(3, 503, 'run `bzzz init --cluster NAME` or `bzzz join STRING` first'),
  // -- 4: not found
  NOT_FOUND: kind(4, 404, 'check the spelling; `bzzz key ls` and `bzzz session ls` list names'),
  TEMPORAL_OUT_OF_RANGE: kind(4, 404, 'ask for a version that exists'),
  // -- 5: too few
  INSUFFICIENT_PARTIES: kind(5, 503, 'start more members, or ask for fewer parties'),
  INSUFFICIENT_PERSISTENT_PARTIES: kind(5, 503, 'start more persistent members, or ask for fewer'),
  NO_QUORUM: kind(5, 503, 'wait for more members, or ask for a lower acknowledgement'),
  NO_LEADER: kind(5, 503, 'start more voters; `bzzz roster` lists them'),
  // -- 6: time
  TIMEOUT: kind(6, 504, 'try again; `bzzz peers` shows who is connected'),
  PEER_UNREACHABLE: kind(6, 504, 'see `bzzz peers`'),
  SESSION_EXPIRED: kind(6, 504, 'see `bzzz session show ID` for who was silent'),
  // -- 7: refused
  REFUSED_BY_POLICY: kind(
    7,
    403,
    'ask from a host the key allows; `bzzz key show NAME` lists them',
  ),
  NOT_A_MEMBER: kind(7, 403, 'join the cluster first'),
  NOT_A_VOTER: kind(7, 403, 'run the command on a voter; `bzzz roster` lists them'),
  REMOVED_FROM_ROSTER: kind(7, 403, 'ask for a new invitation'),
  RECOVERY_UNCONFIRMED: kind(
    7,
    403,
    'to follow: `bzzz roster recover --voters P,...` on this host',
  ),
  INVITATION_EXPIRED: kind(7, 403, 'ask for a new invitation'),
  INVITATION_USED: kind(7, 403, 'ask for a new invitation; each admits one host'),
  INVITATION_REVOKED: kind(7, 403, 'ask for a new invitation'),
  INVITATION_FOREIGN: kind(7, 403, 'the invitation is for another cluster'),
  WRONG_PASSPHRASE: kind(7, 403, 'check the passphrase file'),
  UNAUTHORISED: kind(7, 403, 'use the socket as the user who runs the daemon'),
  // -- 8: conflict
  CONFLICT: kind(8, 409, 'choose another name'),
  ALREADY_INITIALISED: kind(8, 409, 'use another data directory for another cluster'),
  CANCELLED: kind(1, 409, 'the session was cancelled by its proposer'),
  // -- 130
  INTERRUPTED: kind(130, 499, ''),
} as const satisfies Record<string, ErrorKind>;

/** A stable error code. */
export type ErrorCode = keyof typeof ERRORS;

/** Plain data that helps a script: numbers, names, lists. Never secrets. */
export type ErrorDetails = Readonly<Record<string, unknown>>;

/** What crosses the wire and the control socket in place of a stack. */
export interface ErrorShape {
  readonly code: ErrorCode;
  readonly message: string;
  readonly why?: string;
  readonly try?: string;
  readonly details?: ErrorDetails;
}

/** The only error class that leaves a component. */
export class BzzzError extends Error {
  override readonly name = 'BzzzError';
  readonly code: ErrorCode;
  readonly why: string | undefined;
  readonly hint: string;
  readonly details: ErrorDetails;

  /**
   * @param message names the input that is wrong, in one line.
   * @param options.why what was found or expected; `hint` replaces the catalogue's line.
   */
  constructor(
    code: ErrorCode,
    message: string,
    options: { why?: string; hint?: string; details?: ErrorDetails; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.code = code;
    this.why = options.why;
    this.hint = options.hint ?? ERRORS[code].hint;
    this.details = options.details ?? {};
  }

  get exit(): number {
    return ERRORS[this.code].exit;
  }

  get http(): number {
    return ERRORS[this.code].http;
  }

  toShape(): ErrorShape {
    return {
      code: this.code,
      message: this.message,
      ...(this.why === undefined ? {} : { why: this.why }),
      ...(this.hint === '' ? {} : { try: this.hint }),
      ...(Object.keys(this.details).length === 0 ? {} : { details: this.details }),
    };
  }

  /** Rebuilds an error that came over a wire; an unknown code becomes INTERNAL. */
  static fromShape(shape: Omit<ErrorShape, 'code'> & { readonly code: string }): BzzzError {
    const code = Object.hasOwn(ERRORS, shape.code) ? (shape.code as ErrorCode) : 'INTERNAL';
    return new BzzzError(code, shape.message, {
      ...(shape.why === undefined ? {} : { why: shape.why }),
      ...(shape.try === undefined ? {} : { hint: shape.try }),
      ...(shape.details === undefined ? {} : { details: shape.details }),
    });
  }
}

/** Wraps whatever was thrown; a `BzzzError` passes unchanged. */
export function toBzzzError(thrown: unknown, code: ErrorCode = 'INTERNAL'): BzzzError {
  if (thrown instanceof BzzzError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new BzzzError(code, message, { cause: thrown });
}

/** Whether something from outside was refused, and not a fault of this node. */
export const isBadMessage = (thrown: unknown): thrown is BzzzError =>
  thrown instanceof BzzzError && thrown.code === 'BAD_MESSAGE';

/** Throws INTERNAL: a state that the program's own logic rules out. Stays on in production. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new BzzzError('INTERNAL', `assertion failed: ${message}`);
}
