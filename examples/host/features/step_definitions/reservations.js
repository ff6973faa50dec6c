// Reservations under an id of the caller's own.
import assert from 'node:assert/strict';

import { Given, Then, When } from '@cucumber/cucumber';

import { dataOf, isMoment } from '../support/answers.js';
import { settings } from '../support/settings.js';

const FIELDS = ['codes', 'count', 'expires', 'reserveId', 'reserved', 'type'];

const sorted = (data) => ({ ...data, codes: [...data.codes].sort() });

/** A reservation, its codes in order. */
function reservation(answer, status) {
  const data = dataOf(answer, status);
  assert.deepEqual(Object.keys(data).sort(), FIELDS);
  return sorted(data);
}

/** Whether a reservation that is looked up is that one, and its codes have these statuses. */
function isLookedUp(answer, made, statuses) {
  const { codes, ...found } = dataOf(answer);
  const { codes: _, ...expected } = made;
  assert.deepEqual(found, expected);
  assert.deepEqual(Object.fromEntries(codes.map(({ code, status }) => [code, status])), statuses);
}

Given('{int} {word} code(s) has/have been reserved under the id {string}', async function (count, type, name) {
  const made = reservation(await this.reserveUnder(name, { type, count }), 201);
  assert.equal(made.codes.length, count);
  this.reservations.set(name, made);
});

When('{int} {word} code(s) is/are reserved under the id {string}', async function (count, type, name) {
  this.answer = await this.reserveUnder(name, { type, count });
});

When('{int} {word} codes, or fewer, are reserved under the id {string}', async function (count, type, name) {
  this.answer = await this.reserveUnder(name, { type, count, partial: true });
});

When('{int} {word} code of the other campaign is reserved under the id {string}', async function (count, type, name) {
  this.answer = await this.reserveUnder(name, { type, count }, 'other campaign');
});

When(
  '{int} callers reserve {int} {word} codes each under the id {string} at the same time',
  async function (callers, count, type, name) {
    const answers = Array.from({ length: callers }, () => this.reserveUnder(name, { type, count }));
    this.answers = await Promise.all(answers);
  },
);

When('a reservation is asked for with the body {body}', async function (body) {
  this.answer = await this.reserveUnder('order', body);
});

When('the reservation {string} is looked up', async function (name) {
  this.answer = await this.ask('GET', this.reservationPath(name));
});

When('the reservation {string} is looked up in the other campaign', async function (name) {
  this.answer = await this.ask('GET', this.reservationPath(name, 'other campaign'));
});

Then(
  'the reservation {string} is made: {int} of the {word} codes {codes}, until they expire',
  function (name, count, type, codes) {
    const made = reservation(this.answer, 201);
    assert.equal(made.reserveId, this.reserveId(name));
    assert.equal(made.type, type);
    assert.equal(made.count, count);
    assert.equal(new Set(made.codes).size, count, `not ${count} codes: ${made.codes}`);
    assert.ok(
      made.codes.every((code) => codes.includes(code)),
      `${made.codes} are not all of ${codes}`,
    );
    assert.ok(isMoment(made.reserved) && isMoment(made.expires), JSON.stringify(made));
    assert.equal((Date.parse(made.expires) - Date.parse(made.reserved)) / 1000, settings.reservationTtl);
  },
);

Then('the same reservation is given again: {string}', function (name) {
  assert.deepEqual(reservation(this.answer, 200), this.reservations.get(name));
});

Then('they are all given the same reservation, which one of them has made', function () {
  const statuses = this.answers.map(({ status }) => status).sort();
  assert.deepEqual(statuses, [...this.answers.slice(1).map(() => 200), 201]);
  const [first, ...others] = this.answers.map((answer) => reservation(answer, answer.status));
  for (const other of others) {
    assert.deepEqual(other, first);
  }
});

Then('it is the reservation {string}, with {codes} assigned and {codes} reserved', function (name, assigned, reserved) {
  const statuses = [...assigned.map((code) => [code, 'assigned']), ...reserved.map((code) => [code, 'reserved'])];
  isLookedUp(this.answer, this.reservations.get(name), Object.fromEntries(statuses));
});

Then('the id {string} still holds its codes', async function (name) {
  const made = this.reservations.get(name);
  const statuses = Object.fromEntries(made.codes.map((code) => [code, 'reserved']));
  isLookedUp(await this.ask('GET', this.reservationPath(name)), made, statuses);
});
