'use strict';

const fs = require('fs');
const path = require('path');

const Router = require('koa-router');

const { auth, token } = require('./auth');
const { ApiError } = require('./envelope');
const { registry } = require('./metrics');
const { bad, requests } = require('./request');

const STATUSES = ['available', 'reserved', 'assigned'];

/** An answer without the envelope. */
function plain(ctx, text, type = 'text/plain') {
  ctx.state.plain = true;
  ctx.type = type;
  ctx.body = text;
}

function answer(ctx, data, status = 200) {
  ctx.status = status;
  ctx.state.data = data;
}

/** The routes of the deployed service, and the uploads and reservations that came with the new one. */
function routes(config, manager, prefix) {
  const { known, supreme } = auth(config.jwt);
  const { body, csv, inPath, inQuery, type, count } = requests(config);
  const router = new Router({ prefix, strict: true, sensitive: true });
  const campaign = (ctx) => inPath(ctx, 'campaignId');

  router.get('/heartbeat', (ctx) => plain(ctx, 'OK'));
  router.get('/metrics', async (ctx) => plain(ctx, await registry.metrics(), registry.contentType));

  const given = async (ctx) => {
    const { codes, reserveId } = await body(ctx, ['codes', 'reserveId']);
    if (codes === undefined || codes === null) {
      throw bad('missingCodes', 'say which codes: {"codes":[…]}');
    }
    if (!Array.isArray(codes)) {
      throw bad('invalidCodesProp', 'codes must be a list of texts');
    }
    if (codes.length === 0) {
      throw bad('emptyCodes', 'codes is an empty list');
    }
    if (!codes.every((code) => typeof code === 'string')) {
      throw bad('invalidCodesProp', 'codes must be a list of texts');
    }
    return { codes, reserveId: reserveId === null ? undefined : reserveId };
  };

  router.post('/:campaignId/codes', supreme, async (ctx) => {
    const { fileKey } = await body(ctx, ['fileKey']);
    const parts = typeof fileKey === 'string' ? fileKey.split('/') : [];
    const names = parts.every((part) => part !== '' && part !== '.' && part !== '..' && !/[\0-\x1f\x7f]/.test(part));
    if (parts.length !== 4 || parts[0] !== 'codes' || parts[1] !== campaign(ctx) || !names) {
      const message = 'fileKey must be codes/{campaignId}/{type}/{file}, with the campaign of the path';
      throw new ApiError(404, 'invalidFileKey', message);
    }
    type(parts[2]);
    if (!config.bucket) {
      throw new ApiError(503, 'unavailable', 'no bucket is configured: PUT the file itself');
    }
    const file = path.join(config.bucket, ...parts);
    if (!fs.existsSync(file) || !fs.statSync(file).isFile()) {
      throw new ApiError(404, 'fileNotFound', 'the bucket has no such file');
    }
    answer(ctx, await manager.save(campaign(ctx), parts[2], fs.createReadStream(file)));
  });

  router.put('/:campaignId/codes', supreme, async (ctx) => {
    const name = inQuery(ctx, 'type');
    if (name === undefined) {
      throw bad('missingType', 'say of which type the codes are: ?type=');
    }
    answer(ctx, await manager.save(campaign(ctx), type(name), await csv(ctx)));
  });

  router.get('/:campaignId/reserve', supreme, async (ctx) => {
    const [number, name] = [inQuery(ctx, 'count'), inQuery(ctx, 'type')];
    if (number === undefined || name === undefined) {
      throw bad('missingCodeReserveParams', 'say how many codes of which type: count and type');
    }
    type(name);
    const wanted = count(/^\d+$/.test(number) ? Number(number) : NaN);
    const reservation = await manager.reserve(campaign(ctx), name, wanted);
    answer(ctx, config.bareCodes ? reservation.codes : reservation);
  });

  router.post('/:campaignId/assign', supreme, async (ctx) => {
    const { codes, reserveId } = await given(ctx);
    answer(ctx, await manager.assign(campaign(ctx), codes, reserveId));
  });

  router.post('/:campaignId/release', supreme, async (ctx) => {
    const { codes, reserveId } = await given(ctx);
    answer(ctx, await manager.release(campaign(ctx), codes, reserveId));
  });

  router.get('/:campaignId/codes/count', supreme, async (ctx) => {
    const [name, status] = [inQuery(ctx, 'type'), inQuery(ctx, 'status')];
    if (name === undefined) {
      throw bad('missingType', 'say which type to count: ?type=');
    }
    type(name);
    if (status !== undefined && !STATUSES.includes(status)) {
      throw bad('invalidStatus', `the status must be one of ${STATUSES.join(', ')}`);
    }
    answer(ctx, await manager.count(campaign(ctx), name, status));
  });

  router.put('/:campaignId/reservations/:reserveId', supreme, async (ctx) => {
    const wish = await body(ctx, ['type', 'count', 'partial']);
    const missing = (value) => value === undefined || value === null;
    if (missing(wish.count) || missing(wish.type)) {
      throw bad('missingCodeReserveParams', 'say how many codes of which type: count and type');
    }
    type(wish.type);
    count(wish.count);
    const id = inPath(ctx, 'reserveId');
    const { replayed, ...reservation } = await manager.reserveUnder(id, campaign(ctx), wish);
    answer(ctx, reservation, replayed ? 200 : 201);
  });

  const held = (find) => async (ctx) => {
    const found = await find(inPath(ctx, 'reserveId'), campaign(ctx));
    if (found === null) {
      throw new ApiError(404, 'not_found', 'no codes are reserved under this reserveId in this campaign');
    }
    answer(ctx, found);
  };
  router.get('/:campaignId/reservations/:reserveId', supreme, held(manager.reservation));
  router.post('/:campaignId/reservations/:reserveId/recover', supreme, held(manager.recover));

  if (config.devEndpoints) {
    router.get('/dev/auth', known, (ctx) => answer(ctx, ctx.state.caller));
    router.get('/dev/supremes', supreme, (ctx) => answer(ctx, { isSupreme: true }));
    router.get('/dev/internalServerError', known, () => {
      throw new Error('asked for');
    });
    router.post('/dev/token', async (ctx) => {
      if (config.jwt.privateKey === '') {
        throw new ApiError(404, 'notFound', 'no private key is configured');
      }
      const { userId, isSupreme } = await body(ctx, ['userId', 'isSupreme']);
      if (typeof userId !== 'string' || typeof isSupreme !== 'boolean') {
        throw bad('invalid_argument', 'say for whom: {"userId":"me","isSupreme":true}');
      }
      answer(ctx, { token: token(config.jwt, userId, isSupreme) });
    });
  }
  return router;
}

module.exports = { routes };
