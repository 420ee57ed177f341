/**
 * How an error leaves through the control API. Pure.
 * @module
 */
import type { BzzzError } from '../../base/errors.ts';

/** Where and when a request failed. */
export interface FailureContext {
  readonly path: string;
  readonly requestId: string;
  /** Wall clock in ms. */
  readonly wallMs: number;
  /** The routes of records speak UCXI: their codes carry the protocol and the status. */
  readonly ucxi: boolean;
}

/** `UCXL-404-NOT_FOUND` for the routes of records, `NOT_FOUND` elsewhere. */
const codeOf = (error: BzzzError, ucxi: boolean): string =>
  ucxi ? `UCXL-${error.http}-${error.code}` : error.code;

/** The catalogue's code inside what `codeOf` made. */
export const plainCode = (code: string): string => code.replace(/^UCXL-\d{3}-/, '');

/**
 * The document of a refused request. A cause is named by its message only: stacks and the details
 * of foreign errors stay in the log.
 */
export function failureDocument(error: BzzzError, at: FailureContext): { error: object } {
  const { why, try: hint, details } = error.toShape();
  const cause = error.cause instanceof Error ? error.cause.message : undefined;
  return {
    error: {
      code: codeOf(error, at.ucxi),
      message: error.message,
      ...(details === undefined ? {} : { details }),
      source: at.ucxi ? 'ucxl' : 'control',
      path: at.path,
      request_id: at.requestId,
      timestamp: new Date(at.wallMs).toISOString(),
      ...(cause === undefined || cause === error.message ? {} : { cause }),
      ...(why === undefined ? {} : { why }),
      ...(hint === undefined ? {} : { try: hint }),
    },
  };
}

/** The UCXI envelope of a result: `UCXL-200-OK` or `UCXL-201-CREATED`. */
export function ucxiDocument(
  data: unknown,
  status: number,
  at: Pick<FailureContext, 'requestId' | 'wallMs'>,
): { response: object } {
  return {
    response: {
      code: status === 201 ? 'UCXL-201-CREATED' : 'UCXL-200-OK',
      message: status === 201 ? 'created' : 'ok',
      data,
      request_id: at.requestId,
      timestamp: new Date(at.wallMs).toISOString(),
    },
  };
}
