// Reserving, whose id the service makes.
import assert from 'node:assert/strict';

import { Given, Then, When } from '@cucumber/cucumber';

import { dataOf, isUuid } from '../support/answers.js';

const path = (count, type) => `/{campaign}/reserve?count=${count}&type=${type}`;

/** What a reserve gave, and nothing besides. */
function given(answer) {
  const data = dataOf(answer);
  assert.deepEqual(Object.keys(data).sort(), ['codes', 'reserveId']);
  assert.ok(Array.isArray(data.codes), 'codes is no list');
  assert.ok(isUuid(data.reserveId), `no UUID of version 4: ${data.reserveId}`);
  return data;
}

async function reserve(count, type) {
  this.answer = await this.ask('GET', path(count, type));
  this.given.push(given(this.answer));
}

Given('{int} {word} code(s) has/have been reserved', async function (count, type) {
  await reserve.call(this, count, type);
  assert.equal(this.given.at(-1).codes.length, count);
});

When('{int} {word} code(s) is/are reserved', reserve);

When(/^codes are reserved by "(.*)"$/, async function (query) {
  this.answer = await this.ask('GET', `/{campaign}/reserve${query}`);
});

When('{int} callers reserve {int} {word} codes each at the same time', async function (callers, count, type) {
  const answers = Array.from({ length: callers }, () => this.ask('GET', path(count, type)));
  this.given.push(...(await Promise.all(answers)).map(given));
});

Then('{int} of the codes {codes} is/are given, under a new reserveId', function (count, codes) {
  const last = this.given.at(-1);
  assert.equal(last.codes.length, count, JSON.stringify(last));
  assert.equal(new Set(last.codes).size, count, `a code is there twice: ${last.codes}`);
  assert.ok(
    last.codes.every((code) => codes.includes(code)),
    `${last.codes} are not all of ${codes}`,
  );
  for (const before of this.given.slice(0, -1)) {
    assert.notEqual(last.reserveId, before.reserveId);
  }
});

Then('no code is given', function () {
  assert.deepEqual(this.given.at(-1).codes, []);
});

Then('each of them is given {int} codes', function (count) {
  assert.deepEqual(
    this.given.map(({ codes }) => codes.length),
    this.given.map(() => count),
  );
});

Then('no code was given twice, and {int} were given', function (count) {
  const all = this.given.flatMap(({ codes }) => codes);
  assert.equal(all.length, count);
  assert.equal(new Set(all).size, count, 'a code was given twice');
  const saved = new Set(Object.values(this.codes).flat());
  assert.ok(
    all.every((code) => saved.has(code)),
    'a code was given that the campaign does not have',
  );
});

Then('no two reservations have the same reserveId', function () {
  assert.equal(new Set(this.given.map(({ reserveId }) => reserveId)).size, this.given.length);
});

Then('that reserveId holds exactly these codes', async function () {
  const { codes, reserveId } = this.given.at(-1);
  const found = dataOf(await this.ask('GET', `/{campaign}/reservations/${reserveId}`));
  const expected = codes.sort().map((code) => ({ code, status: 'reserved' }));
  assert.deepEqual(
    found.codes.sort((one, other) => (one.code < other.code ? -1 : 1)),
    expected,
  );
});
