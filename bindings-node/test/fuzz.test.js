'use strict';

const assert = require('assert');

const { CodeService, CodeServiceError } = require('code-service');
const { POOL, closeAll, options, stocked } = require('./support');

const SEED = Number(process.env.CODE_SERVICE_TEST_SEED || Date.now() % 2 ** 31);

/** Numbers from 0 to below 1, the same ones for the same seed. */
function random(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** What a source or a getter of the caller's throws, and nothing of ours. */
class TheirError extends Error {}

const thrower = new Proxy({}, {
  get() {
    throw new TheirError('a getter that throws');
  },
});

/** What may stand where something else should. */
const VALUES = [
  undefined, null, true, false, 0, -0, 1, -1, 1.5, NaN, Infinity, 2 ** 31, 2 ** 32, 2 ** 53, -(2 ** 53), '', 'summer', 'tm',
  'x'.repeat(300), '\0', '\ud800', 'a\udc00b', '💥', '__proto__', '{"$gt":""}', [], [1], ['A'], [['A']], ['A', null], new Array(3),
  {}, { $gt: '' }, { length: 2 }, { toString: null }, Object.create(null), () => {}, Symbol('s'), new Date(NaN),
  Buffer.from('A\nB\n'), Buffer.from([0xff, 0xfe, 0]), new Uint8Array(3), new Float64Array(2), new ArrayBuffer(8),
  new Map([['A', 'B']]), new Set(['A']), Promise.resolve('A'), /x/, new Error('x'), thrower, global,
  [Symbol.iterator], { [Symbol.iterator]: 7 }, { [Symbol.iterator]() { return {}; } },
  { [Symbol.asyncIterator]() { return { next: () => Promise.reject(new TheirError('a source that fails')) }; } },
];

const METHODS = [
  'save', 'reserve', 'recover', 'reservation', 'assign', 'release', 'count', 'find', 'export', 'ensureIndexes', 'verifyIndexes',
];
const NAMES = [
  'campaignId', 'type', 'count', 'codes', 'code', 'reserveId', 'partial', 'progress', 'signal', 'status', 'after', 'nonsense',
];

/** One call, to its end. */
async function call(codes, method, given) {
  if (method !== 'export') {
    return codes[method](given);
  }
  let seen = 0;
  for await (const { code } of codes.export(given)) {
    seen += code.length > 0 ? 1 : 0;
  }
  return seen;
}

describe('arguments of any kind', () => {
  afterEach(closeAll);

  it(`are answered or rejected, and the process lives (CODE_SERVICE_TEST_SEED=${SEED})`, async () => {
    const codes = await stocked(10);
    const next = random(SEED);
    const pick = (list) => list[Math.floor(next() * list.length)];
    for (let round = 0; round < 3000; round += 1) {
      const method = pick(METHODS);
      const fitting = { campaignId: 'summer', type: 'tm', count: 1, codes: ['A'], code: 'A', reserveId: `id-${round}` };
      const args = {};
      for (const name of NAMES) {
        if (next() < 0.5) {
          args[name] = next() < 0.6 && name in fitting ? fitting[name] : pick(VALUES);
        }
      }
      const given = next() < 0.05 ? pick(VALUES) : args;
      const what = `round ${round}: ${method}`;
      try {
        await call(codes, method, given);
      } catch (error) {
        assert(error instanceof CodeServiceError || error instanceof TheirError, `${what}: ${error && error.stack}`);
        assert(error.code !== 'internal', `${what}: ${error.message}`);
      }
    }
    const counts = await codes.count(POOL);
    assert(counts.available + counts.reserved + counts.assigned >= 10);
  });

  it(`are refused by connect, or taken (CODE_SERVICE_TEST_SEED=${SEED})`, async () => {
    const next = random(SEED);
    const pick = (list) => list[Math.floor(next() * list.length)];
    const names = ['uri', 'mongo', 'database', 'collection', 'reservationTtlMS', 'patienceMS', 'sweepIntervalMS', 'nonsense'];
    const parts = ['uri', 'port', 'hostUrls', 'username', 'password', 'options'];
    const some = (list, part) => {
      const given = {};
      list.filter(() => next() < part).forEach((name) => Object.assign(given, { [name]: pick(VALUES) }));
      return given;
    };
    for (let round = 0; round < 300; round += 1) {
      const given = some(names, 0.3);
      if (next() < 0.5) {
        Object.assign(given, options());
      } else if (next() < 0.5) {
        given.mongo = some(parts, 0.5);
      }
      // Where nobody listens, for ever is not waited.
      given.serverSelectionTimeoutMS = 20;
      try {
        const connected = await CodeService.connect(next() < 0.05 ? pick(VALUES) : given);
        await connected.close();
      } catch (error) {
        const what = `round ${round}: ${error && error.stack}`;
        assert(error instanceof CodeServiceError || error instanceof TheirError, what);
        assert(error.code !== 'internal', what);
      }
    }
  }).timeout(240000);
});
