// Assigning and releasing.
import assert from 'node:assert/strict';

import { Given, Then, When } from '@cucumber/cucumber';

import { dataOf } from '../support/answers.js';

const VERBS = { assigned: 'assign', released: 'release' };

/** What is told of codes that came; with a reserveId also those that were lost. */
function settled(answer, given, updated, lost) {
  const data = dataOf(answer);
  const expected = { count: { in: given, updated }, ...(lost && { lost }) };
  assert.deepEqual(data.lost ? { ...data, lost: [...data.lost].sort() } : data, expected);
}

for (const [participle, verb] of Object.entries(VERBS)) {
  const ask = (world, body) => world.ask('POST', `/{campaign}/${verb}`, { body });

  Given(`{codes} has/have been ${participle}`, async function (codes) {
    settled(await ask(this, { codes }), codes.length, codes.length);
  });

  When(`{codes} is/are ${participle}`, async function (codes) {
    this.answer = await ask(this, { codes });
  });

  When(`{codes} is/are ${participle} under the id {string}`, async function (codes, name) {
    this.answer = await ask(this, { codes, reserveId: this.reserveId(name) });
  });

  When(`{codes} is/are ${participle} under that reserveId`, async function (codes) {
    this.answer = await ask(this, { codes, reserveId: this.given.at(-1).reserveId });
  });
}

When('the body {body} is sent to {verb}', async function (body, verb) {
  this.answer = await this.ask('POST', `/{campaign}/${verb}`, { body });
});

Then('{int} code(s) came and {int} changed', function (given, updated) {
  settled(this.answer, given, updated);
});

Then('{int} code(s) came and {int} changed, and {codes} is/are lost', function (given, updated, lost) {
  settled(this.answer, given, updated, lost);
});

Then('{int} code(s) came and {int} changed, and none is lost', function (given, updated) {
  settled(this.answer, given, updated, []);
});
