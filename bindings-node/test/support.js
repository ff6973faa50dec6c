'use strict';

const assert = require('assert');

const { CodeService } = require('code-service');

/** Connection string of the server that whoever runs the tests has started, with %s for the database. */
const SERVER = process.env.CODE_SERVICE_TEST_URI;
let databases = 0;

/** Options to connect to a database that nobody has used. */
function options(more) {
  databases += 1;
  const name = `node_${process.pid}_${Date.now().toString(36)}_${databases}`;
  return Object.assign({ uri: SERVER.replace('%s', name) }, more);
}

const open = [];

/** A service on a fresh database with its indexes. */
async function service(more) {
  const connected = await CodeService.connect(options(more));
  open.push(connected);
  await connected.ensureIndexes();
  return connected;
}

/** Closes what `service` has opened. */
async function closeAll() {
  await Promise.all(open.splice(0).map((connected) => connected.close()));
}

/** `count` codes of the campaign `summer`. */
function list(count) {
  return Array.from({ length: count }, (_, number) => `CODE${String(number).padStart(6, '0')}`);
}

/** A service with so many codes. */
async function stocked(count, more) {
  const connected = await service(more);
  await connected.save({ campaignId: 'summer', type: 'tm', codes: list(count) });
  return connected;
}

/** The error that a promise is rejected with. */
async function rejected(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new assert.AssertionError({ message: 'it was not rejected' });
}

const POOL = { campaignId: 'summer', type: 'tm' };

module.exports = { POOL, closeAll, list, options, rejected, service, stocked };
