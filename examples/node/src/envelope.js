'use strict';

const crypto = require('crypto');

const CORRELATION = 'x-titan-correlation-id';

/** An error as it is sent; `details` stand beside the fields that every error has. */
class ApiError extends Error {
  constructor(status, payload, message, details = {}) {
    super(message);
    Object.assign(this, { status, payload, details });
  }
}

/** Statuses of what the manager can be rejected with. */
const STATUSES = {
  invalid_argument: 400,
  not_enough_codes: 409,
  reservation_mismatch: 422,
  reservation_expired: 410,
  unavailable: 503,
  outcome_unknown: 503,
  closed: 503,
};

function uuid() {
  const bytes = crypto.randomBytes(16);
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

function correlationOf(ctx) {
  const given = ctx.get(CORRELATION);
  return /^[\x21-\x7e]{1,128}$/.test(given) ? given : uuid();
}

function asApiError(error) {
  if (error instanceof ApiError) {
    return error;
  }
  if (error.name === 'CodeServiceError' && STATUSES[error.code] !== undefined) {
    const { argument, wanted, available, reserveId } = error;
    return new ApiError(STATUSES[error.code], error.code, error.message, {
      field: argument,
      wanted,
      available,
      reserveId,
    });
  }
  return new ApiError(500, 'internalServerError', 'the service failed');
}

/** Puts what routes answer, and what they throw, into the envelope. */
async function envelope(ctx, next) {
  const correlationId = correlationOf(ctx);
  ctx.set(CORRELATION, correlationId);
  try {
    await next();
    if (!ctx.state.plain && ctx.state.data === undefined) {
      if (ctx.status === 404) {
        throw new ApiError(404, 'notFound', 'there is no such path');
      }
      throw new ApiError(405, 'methodNotAllowed', 'this path does not know the method');
    }
  } catch (thrown) {
    const error = asApiError(thrown);
    if (error.status >= 500) {
      ctx.app.emit('error', thrown, ctx);
    }
    const { status, payload, message, details } = error;
    ctx.status = status;
    ctx.state.error = { ...details, status, message, payload };
    if (status === 503) {
      ctx.set('retry-after', '1');
    }
    if (status === 401) {
      ctx.set('www-authenticate', 'Bearer');
    }
  }
  if (ctx.state.plain) {
    return;
  }
  const meta = { timestamp: new Date().toISOString(), correlationId };
  ctx.body = ctx.state.error ? { error: ctx.state.error, meta } : { data: ctx.state.data, meta };
  // Koa names a character set, which JSON does not have.
  ctx.set('content-type', 'application/json');
}

module.exports = { ApiError, envelope };
