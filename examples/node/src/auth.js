'use strict';

const jwt = require('jsonwebtoken');
const { ApiError } = require('./envelope');

/** Finds out who calls; `supreme` lets only supreme users pass. */
function auth({ publicKey, issuer, audience, allowAnon }) {
  const caller = (ctx) => {
    const { authorization: header } = ctx.headers;
    if (header === undefined) {
      if (!allowAnon) {
        throw new ApiError(401, 'unauthorized', 'send a token: Authorization: Bearer …');
      }
      return { user: { id: 'anonymous' }, isSupreme: false };
    }
    const [, token] = /^bearer (.*)$/i.exec(header) || [];
    try {
      const claims = jwt.verify(token.trim(), publicKey, { algorithms: ['RS256'], issuer, audience });
      if (typeof claims.exp !== 'number') {
        throw new Error('a token without an end');
      }
      return claims;
    } catch (error) {
      // Why a token is bad is nobody's business.
      throw new ApiError(401, 'unauthorized', 'the token is not valid');
    }
  };
  return {
    async known(ctx, next) {
      ctx.state.caller = caller(ctx);
      return next();
    },
    async supreme(ctx, next) {
      if (caller(ctx).isSupreme !== true) {
        throw new ApiError(403, 'supremeUserRequired', 'only a supreme user may do this');
      }
      return next();
    },
  };
}

/** A token for development. */
function token({ privateKey, issuer, audience }, userId, isSupreme) {
  const claims = { user: { id: userId }, isSupreme, ...(audience && { aud: audience }) };
  return jwt.sign(claims, privateKey, {
    algorithm: 'RS256',
    issuer,
    expiresIn: 3600,
  });
}

module.exports = { auth, token };
