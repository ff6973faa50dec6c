'use strict';

const assert = require('assert');
const fs = require('fs');
const net = require('net');
const path = require('path');

const { CodeService, CodeServiceError } = require('code-service');
const { POOL, closeAll, list, options, rejected, service, stocked } = require('./support');

const VECTORS = process.env.CODE_SERVICE_TEST_VECTORS;
const KINDS = JSON.parse(fs.readFileSync(path.join(VECTORS, 'errors.json'), 'utf8'));

/** Checks that it is one of ours, as the table of all faces says, and returns it. */
function ours(error, code) {
  assert(error instanceof CodeServiceError && error instanceof Error, error);
  assert.strictEqual(error.name, 'CodeServiceError');
  assert.strictEqual(error.code, code, error.message);
  const kind = KINDS.find((known) => known.code === code);
  assert(kind.faces === undefined || kind.faces.includes('node'));
  assert.strictEqual(error.retryable, kind.retryable);
  return error;
}

describe('errors', () => {
  afterEach(closeAll);

  it('not_enough_codes says how many', async () => {
    const codes = await stocked(2);
    const error = ours(await rejected(codes.reserve({ ...POOL, count: 3 })), 'not_enough_codes');
    assert.deepStrictEqual([error.wanted, error.available], [3, 2]);
  });

  it('reservation_mismatch and reservation_expired', async () => {
    const codes = await stocked(5);
    const wish = { ...POOL, count: 2, reserveId: 'mine' };
    const { codes: mine } = await codes.reserve(wish);
    ours(await rejected(codes.reserve({ ...wish, count: 3 })), 'reservation_mismatch');
    await codes.release({ campaignId: 'summer', codes: mine });
    ours(await rejected(codes.reserve(wish)), 'reservation_expired');
  });

  it('name the place where the call was made', async () => {
    const codes = await stocked(1);
    async function whoeverCalls() {
      await codes.reserve({ ...POOL, count: 2 });
    }
    const error = await rejected(whoeverCalls());
    assert(error.stack.startsWith('CodeServiceError: not enough codes'), error.stack);
    assert(error.stack.includes('whoeverCalls'), error.stack);
  });

  it('are thrown for every argument that is wrong, with its name', async () => {
    const codes = await service();
    const settle = { campaignId: 'summer', codes: ['A'] };
    const cases = [
      ['reserve', { ...POOL }, 'count'],
      ['reserve', { ...POOL, count: 0 }, 'count'],
      ['reserve', { ...POOL, count: 1.5 }, 'count'],
      ['reserve', { ...POOL, count: NaN }, 'count'],
      ['reserve', { ...POOL, count: Infinity }, 'count'],
      ['reserve', { ...POOL, count: 2 ** 53 }, 'count'],
      ['reserve', { ...POOL, count: 2 ** 32 + 1 }, 'count'],
      ['reserve', { ...POOL, count: -1 }, 'count'],
      ['reserve', { ...POOL, count: '1' }, 'count'],
      ['reserve', { ...POOL, count: 100001 }, 'count'],
      ['reserve', { type: 'tm', count: 1 }, 'campaignId'],
      ['reserve', { ...POOL, campaignId: 7, count: 1 }, 'campaignId'],
      ['reserve', { ...POOL, campaignId: '', count: 1 }, 'campaignId'],
      ['reserve', { ...POOL, campaignId: '\ud800', count: 1 }, 'campaignId'],
      ['reserve', { ...POOL, campaignId: 'a\nb', count: 1 }, 'campaignId'],
      ['reserve', { ...POOL, type: 'x'.repeat(65), count: 1 }, 'type'],
      ['reserve', { ...POOL, count: 1, partial: 'yes' }, 'partial'],
      ['reserve', { ...POOL, count: 1, reserveId: '' }, 'reserveId'],
      ['reserve', { ...POOL, count: 1, reserveId: {} }, 'reserveId'],
      ['reserve', { ...POOL, count: 1, reserveID: 'misspelt' }, 'reserveID'],
      ['reserve', { ...POOL, count: 1, signal: {} }, 'signal'],
      ['reserve', undefined, 'arguments'],
      ['reserve', null, 'arguments'],
      ['reserve', 'summer', 'arguments'],
      ['reserve', [], 'arguments'],
      ['recover', {}, 'reserveId'],
      ['reservation', { reserveId: 1 }, 'reserveId'],
      ['assign', { ...settle, codes: [] }, 'codes'],
      ['assign', { ...settle, codes: 'A' }, 'codes'],
      ['assign', { ...settle, codes: ['A', 7] }, 'codes[1]'],
      ['assign', { ...settle, codes: ['A', ''] }, 'codes[1]'],
      // eslint-disable-next-line no-sparse-arrays
      ['release', { ...settle, codes: ['A', , 'B'] }, 'codes[1]'],
      ['release', { ...settle, codes: ['\udc00'] }, 'codes[0]'],
      ['count', { campaignId: 'summer' }, 'type'],
      ['find', { campaignId: 'summer' }, 'code'],
      ['find', { campaignId: 'summer', code: '' }, 'code'],
      ['find', { campaignId: 'summer', code: 'x'.repeat(1e7) }, 'code'],
      ['reserve', { ...POOL, count: 1, reserveId: 'ä'.repeat(1e7) }, 'reserveId'],
      ['assign', { campaignId: 'summer', codes: new Array(2 ** 32 - 1) }, 'codes[0]'],
      ['assign', { campaignId: 'summer', codes: ['A', 'x'.repeat(1e7)] }, 'codes[1]'],
      ['release', { campaignId: 'summer', codes: list(100000).concat('') }, 'codes[100000]'],
      ['count', { ...POOL, constructor: 1 }, 'constructor'],
      ['count', JSON.parse('{"campaignId":"summer","type":"tm","__proto__":1}'), '__proto__'],
      ['save', { ...POOL }, 'codes'],
      ['save', { ...POOL, codes: 7 }, 'codes'],
      ['save', { ...POOL, codes: 'A,B' }, 'codes'],
      ['save', { ...POOL, codes: {} }, 'codes'],
      // eslint-disable-next-line no-new-wrappers
      ['save', { ...POOL, codes: new String('ABC') }, 'codes'],
      ['save', { ...POOL, codes: { [Symbol.iterator]: () => ({}) } }, 'codes'],
      ['save', { ...POOL, codes: { [Symbol.iterator]: () => ({ next() {} }) } }, 'codes'],
      ['save', { ...POOL, codes: { [Symbol.asyncIterator]: () => ({ next: async () => null }) } }, 'codes'],
      ['save', { ...POOL, codes: ['A', 7] }, 'codes[1]'],
      ['save', { ...POOL, codes: ['A'], progress: 1 }, 'progress'],
    ];
    for (const [method, args, argument] of cases) {
      const error = ours(await rejected(codes[method](args)), 'invalid_argument');
      assert.strictEqual(error.argument, argument, `${method} ${error.message}`);
      assert(error.message.startsWith(argument), error.message);
    }
    for (const [name, value] of [['status', 'gone'], ['after', ''], ['type', ''], ['reserveId', '']]) {
      const exported = codes.export({ campaignId: 'summer', [name]: value }).next();
      assert.strictEqual(ours(await rejected(exported), 'invalid_argument').argument, name);
    }
  });

  it('tell of a panic, which harms nothing else', async function panics() {
    const codes = await stocked(1);
    for (const method of ['panic', 'panicAtOnce']) {
      const [answer, counts] = await Promise.all([codes._calls.begin(method, {}).answer, codes.count(POOL)]);
      if (answer.error.message.includes('no method')) {
        // An addon as it is released.
        this.skip();
      }
      ours(new CodeServiceError(answer.error), 'internal');
      assert.strictEqual(answer.error.message, 'the operation panicked');
      assert.deepStrictEqual([counts.available, (await codes.count(POOL)).available], [1, 1]);
    }
  });

  it('never repeat a code', async () => {
    const codes = await service();
    const error = await rejected(codes.assign({ campaignId: 'summer', codes: [`SECRET${'X'.repeat(300)}`] }));
    assert(!`${error.stack}${JSON.stringify(error)}`.includes('SECRET'));
  });

  it('come soon when nobody is there, or answers', async () => {
    const sockets = [];
    const silent = net.createServer((socket) => sockets.push(socket));
    await new Promise((resolve) => silent.listen(0, '127.0.0.1', resolve));
    for (const port of [9, silent.address().port]) {
      const uri = `mongodb://127.0.0.1:${port}/x?replicaSet=rs0`;
      const start = Date.now();
      ours(await rejected(CodeService.connect({ uri, serverSelectionTimeoutMS: 300 })), 'unavailable');
      assert(Date.now() - start < 4500);
    }
    sockets.forEach((socket) => socket.destroy());
    silent.close();
  });

  it('tell what is wrong with the options', async () => {
    for (const [wrong, argument] of [
      [undefined, 'arguments'],
      [{}, 'uri'],
      [{ uri: 7 }, 'uri'],
      [{ uri: 'nonsense' }, 'uri'],
      [options({ reservationTtlMS: 1 }), 'reservationTtlMS'],
      [options({ patienceMS: 1 }), 'patienceMS'],
      [options({ collection: '' }), 'collection'],
      [options({ colection: 'codes' }), 'colection'],
    ]) {
      const error = ours(await rejected(CodeService.connect(wrong)), 'invalid_argument');
      assert.strictEqual(error.argument, argument, error.message);
    }
    assert.throws(() => new CodeService(), TypeError);
  });
});
