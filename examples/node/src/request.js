'use strict';

const { PassThrough } = require('stream');

const rawBody = require('raw-body');

const { ApiError } = require('./envelope');

function bad(payload, message, details) {
  return new ApiError(400, payload, message, details);
}

/** What arrives, as a stream that a save may destroy: with the request itself the way of the answer would end. */
function arriving(request) {
  const body = new PassThrough();
  const lost = () => body.destroy(new Error('the body did not arrive whole'));
  request.once('aborted', lost);
  request.once('error', lost);
  body.once('close', () => {
    request.unpipe(body);
    request.resume();
  });
  return request.pipe(body);
}

/** What callers send, parsed once. */
function requests(config) {
  const bytes = async (ctx, limit) => {
    try {
      return await rawBody(ctx.req, { limit, length: ctx.request.length });
    } catch (error) {
      if (error.status === 413) {
        // What still comes is read and thrown away: a caller that is still writing would not see the answer.
        ctx.req.resume();
        throw new ApiError(413, 'bodyTooLarge', `the body is longer than ${limit} bytes`);
      }
      throw bad('invalidBody', 'the body did not arrive whole');
    }
  };

  return {
    /** A JSON object with no other keys than these. */
    async body(ctx, keys) {
      const sent = await bytes(ctx, config.bodyLimit);
      let parsed;
      try {
        parsed = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(sent));
      } catch (error) {
        // Not the parser's own words: they quote the body, which may hold codes.
        throw bad('invalidBody', 'the body is not JSON');
      }
      if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
        throw bad('invalidBody', 'the body is no JSON object');
      }
      if (!Object.keys(parsed).every((key) => keys.includes(key))) {
        throw bad('invalidBody', `the body has a key that is none of ${keys.join(', ')}`);
      }
      return parsed;
    },

    /** A CSV file: a stream, if its length is known and within the limit. */
    async csv(ctx) {
      const type = ctx.get('content-type').split(';')[0].trim().toLowerCase();
      if (!['', 'text/csv', 'text/plain'].includes(type)) {
        throw bad('invalidBody', 'the body must be CSV: Content-Type: text/csv');
      }
      if (ctx.request.length === undefined) {
        return bytes(ctx, Math.min(config.uploadLimit, config.bodyLimit));
      }
      if (ctx.request.length > config.uploadLimit) {
        throw new ApiError(413, 'bodyTooLarge', `the body is longer than ${config.uploadLimit} bytes`);
      }
      return arriving(ctx.req);
    },

    /** A part of the path. */
    inPath(ctx, name) {
      const value = ctx.params[name];
      // The router leaves as it is what it cannot decode.
      if (/%[0-9a-f]{2}/i.test(value) && !ctx.path.includes(encodeURIComponent(value))) {
        throw bad('invalid_argument', `${name}: is not UTF-8`, { field: name });
      }
      // The manager checks it, too, but not before the rest of the request is looked at.
      if (Buffer.byteLength(value) > 256 || /[\0-\x1f\x7f-\x9f]/.test(value)) {
        throw bad('invalid_argument', `${name}: must be at most 256 bytes without control characters`, { field: name });
      }
      return value;
    },

    /** A parameter of the query; an empty one is as none. */
    inQuery(ctx, name) {
      const values = [].concat(ctx.query[name] || []).filter((value) => value !== '');
      if (values.length > 1) {
        throw bad('invalid_argument', `${name}: is given twice`, { field: name });
      }
      return values[0];
    },

    type(name) {
      if (!config.types.includes(name)) {
        throw bad('invalidType', `the type must be one of ${config.types.join(', ')}`);
      }
      return name;
    },

    count(number) {
      if (!Number.isInteger(number) || number < 1 || number > 100000) {
        throw bad('invalidCount', 'the count must be a whole number from 1 to 100000');
      }
      return number;
    },
  };
}

module.exports = { bad, requests };
