'use strict';

const assert = require('assert');

const { POOL, closeAll, list, rejected, service, stocked } = require('./support');

describe('the methods', () => {
  afterEach(closeAll);

  it('save reports what was new, what was known and what is no code', async () => {
    const codes = await service();
    const report = await codes.save({ ...POOL, codes: ['A', 'A', '', 'B'] });
    assert.deepStrictEqual(report, {
      in: 4,
      inserted: 2,
      updated: 1,
      rejected: 1,
      rejections: [{ row: 3, reason: 'is empty' }],
    });
  });

  it('reserve answers codes and an id', async () => {
    const codes = await stocked(10);
    const reservation = await codes.reserve({ ...POOL, count: 3 });
    assert.strictEqual(new Set(reservation.codes).size, 3);
    assert(/^[0-9a-f-]{36}$/.test(reservation.reserveId));
    assert.strictEqual(reservation.replayed, false);
    assert(reservation.reserved instanceof Date);
    assert.strictEqual(reservation.expires - reservation.reserved, 24 * 3600 * 1000);
    assert.deepStrictEqual(await codes.count(POOL), { available: 7, reserved: 3, assigned: 0 });
  });

  it('reserve under an own id gives the same codes again', async () => {
    const codes = await stocked(10);
    const wish = { ...POOL, count: 2, reserveId: 'order-1' };
    const [first, again] = [await codes.reserve(wish), await codes.reserve(wish)];
    assert.deepStrictEqual(again.codes.sort(), first.codes.sort());
    assert.deepStrictEqual([first.replayed, again.replayed], [false, true]);
    assert.strictEqual(again.reserveId, 'order-1');
  });

  it('reserve sees an id that is not listed with the other arguments', async () => {
    const codes = await stocked(10);
    const wish = Object.defineProperty({ ...POOL, count: 3 }, 'reserveId', { value: 'mine' });
    assert.strictEqual((await codes.reserve(wish)).reserveId, 'mine');
  });

  it('an export ends as soon as it is aborted', async () => {
    const codes = await stocked(10);
    const signal = { aborted: false, addEventListener() {}, removeEventListener() {} };
    const exported = codes.export({ campaignId: 'summer', signal });
    await exported.next();
    signal.aborted = true;
    assert.strictEqual((await rejected(exported.next())).name, 'AbortError');
  });

  it('reserve with partial takes what is there', async () => {
    const codes = await stocked(2);
    const reservation = await codes.reserve({ ...POOL, count: 5, partial: true });
    assert.deepStrictEqual(reservation.codes.sort(), list(2));
  });

  it('recover and reservation show what is held', async () => {
    const codes = await stocked(3);
    const { reserveId } = await codes.reserve({ ...POOL, count: 2, reserveId: 'order-2' });
    for (const state of [await codes.recover({ reserveId }), await codes.reservation({ reserveId })]) {
      assert.strictEqual(state.campaignId, 'summer');
      assert.strictEqual(state.type, 'tm');
      assert.deepStrictEqual(state.codes.map(({ status }) => status), ['reserved', 'reserved']);
      assert(state.expires > state.reserved && state.codes[0].reserved instanceof Date);
    }
    assert.strictEqual(await codes.recover({ reserveId: 'never' }), null);
    assert.strictEqual(await codes.reservation({ reserveId: 'never' }), null);
  });

  it('assign and release say what they changed and what was lost', async () => {
    const codes = await stocked(5);
    const mine = await codes.reserve({ ...POOL, count: 2 });
    const other = await codes.reserve({ ...POOL, count: 1 });
    const both = [...mine.codes, ...other.codes];
    const assigned = await codes.assign({ campaignId: 'summer', codes: both, reserveId: mine.reserveId });
    assert.deepStrictEqual(assigned, { in: 3, updated: 2, lost: other.codes });
    const released = await codes.release({ campaignId: 'summer', codes: both });
    assert.deepStrictEqual(released, { in: 3, updated: 1, lost: [] });
    assert.deepStrictEqual(await codes.count(POOL), { available: 3, reserved: 0, assigned: 2 });
  });

  it('as many codes as can be reserved at once, all the way', async () => {
    const all = list(100000);
    const codes = await stocked(all.length);
    const wish = { ...POOL, count: all.length, reserveId: 'all' };
    const [held, replayed] = [await codes.reserve(wish), await codes.reserve(wish)];
    assert.deepStrictEqual(held.codes.sort(), all);
    assert.deepStrictEqual(replayed.codes.sort(), all);
    const state = await codes.reservation({ reserveId: 'all' });
    assert.deepStrictEqual(state.codes.map(({ code }) => code).sort(), all);
    assert(state.codes.every(({ reserved }) => reserved instanceof Date && reserved.getTime() === held.reserved.getTime()));
    const settle = { campaignId: 'summer', codes: all };
    const lost = await codes.assign({ ...settle, reserveId: 'another' });
    assert.deepStrictEqual([lost.updated, lost.lost], [0, all]);
    const [half, rest] = [all.slice(0, 50000), all.slice(50000)];
    const both = [codes.assign({ ...settle, codes: half, reserveId: 'all' }), codes.release({ ...settle, codes: rest })];
    assert.deepStrictEqual((await Promise.all(both)).map(({ updated }) => updated), [50000, 50000]);
    assert.deepStrictEqual(await codes.count(POOL), { available: 50000, reserved: 0, assigned: 50000 });
  }).timeout(180000);

  it('find tells all about a code', async () => {
    const codes = await stocked(1);
    const found = await codes.find({ campaignId: 'summer', code: 'CODE000000' });
    assert(found.saved instanceof Date);
    assert.deepStrictEqual(found, {
      code: 'CODE000000',
      type: 'tm',
      status: 'available',
      saved: found.saved,
      reserved: null,
      assigned: null,
      reserveId: null,
    });
    assert.strictEqual(await codes.find({ campaignId: 'summer', code: 'none' }), null);
  });

  it('export gives all codes in order, page after page', async () => {
    const codes = await stocked(2500);
    const exported = [];
    for await (const { code } of codes.export({ campaignId: 'summer' })) {
      exported.push(code);
    }
    assert.deepStrictEqual(exported, list(2500));
    const rest = [];
    for await (const { code } of codes.export({ campaignId: 'summer', after: 'CODE002497' })) {
      rest.push(code);
    }
    assert.deepStrictEqual(rest, ['CODE002498', 'CODE002499']);
  });

  it('export gives the codes of one reserveId', async () => {
    const codes = await stocked(10);
    const reserved = await codes.reserve({ campaignId: 'summer', type: 'tm', count: 3 });
    const exported = [];
    for await (const { code } of codes.export({ campaignId: 'summer', reserveId: reserved.reserveId })) {
      exported.push(code);
    }
    assert.deepStrictEqual(exported, reserved.codes.sort());
  });

  it('an export that is left early leaves nothing behind', async () => {
    const codes = await stocked(2500);
    for await (const { code } of codes.export({ campaignId: 'summer' })) {
      assert.strictEqual(code, 'CODE000000');
      break;
    }
    await codes.close();
  });

  it('verifyIndexes finds nothing wrong with those that ensureIndexes has made', async () => {
    const codes = await service();
    assert.deepStrictEqual(await codes.verifyIndexes(), []);
  });
});
