'use strict';

const fs = require('fs');

/** A value of the environment, or of the file that NAME_FILE names. */
function secret(name) {
  const file = process.env[`${name}_FILE`];
  return file ? fs.readFileSync(file, 'utf8').trim() : process.env[name];
}

function number(name, otherwise) {
  const value = process.env[name];
  if (value === undefined) {
    return otherwise;
  }
  if (!/^\d+$/.test(value)) {
    throw new Error(`${name} must be a whole number`);
  }
  return Number(value);
}

const UNITS = { ms: 1, s: 1e3, m: 60e3, h: 3600e3, d: 24 * 3600e3 };

/** Milliseconds, written as `24h`. */
function duration(name, otherwise) {
  const [, amount, unit] = /^(\d+)(ms|s|m|h|d)$/.exec(process.env[name] || otherwise) || [];
  if (amount === undefined) {
    throw new Error(`${name} must be a duration with its unit, such as 24h, 90m or 1500ms`);
  }
  return Number(amount) * UNITS[unit];
}

function required(name) {
  const value = secret(name);
  if (!value) {
    throw new Error(`${name} is not set (nor ${name}_FILE)`);
  }
  return value;
}

/** The configuration of this process, from those variables of the deployed service that it knows. */
function load() {
  const isProd = process.env.NODE_ENV === 'prod';
  const privateKey = (secret('TITAN_JWT__PRIVATE_KEY') || '').replace(/\\n/g, '\n');
  if (isProd && privateKey !== '') {
    throw new Error('titan.jwt.privateKey is set, and prod must not be able to sign tokens');
  }
  return {
    port: number('TITAN_SERVICE__PORT', 8080),
    bodyLimit: number('TITAN_SERVICE__BODY_LIMIT', 16 * 1024 * 1024),
    uploadLimit: number('TITAN_SERVICE__UPLOAD_LIMIT', 1024 * 1024 * 1024),
    mongoUri: required('TITAN_MONGO__URI'),
    bucket: process.env.TITAN_AWS__CLIENTS__SCORING_BUCKET__LOCAL_PATH,
    types: ['tm', 'external'],
    reservationTtlMS: duration('TITAN_CODES__RESERVATION_TTL', '24h'),
    bareCodes: process.env.TITAN_REPLIES__RESERVE === 'array',
    devEndpoints: !isProd && process.env.TITAN_DEV_ENDPOINTS__ENABLED !== 'false',
    jwt: {
      publicKey: required('TITAN_JWT__PUBLIC_KEY').replace(/\\n/g, '\n'),
      privateKey,
      issuer: process.env.TITAN_JWT__ISSUER || 'titan-lib',
      audience: process.env.TITAN_JWT__AUDIENCE || undefined,
      allowAnon: process.env.TITAN_JWT__ALLOW_ANON !== 'false',
    },
  };
}

module.exports = { load };
