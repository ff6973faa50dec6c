// Campaigns, what is in them, and what an answer was.
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';

import { Given, Then, When } from '@cucumber/cucumber';

import { dataOf, errorOf } from '../support/answers.js';
import { settings } from '../support/settings.js';

/** How many seconds a scenario waits for the end of a reservation, at most. */
const LONGEST_TTL = 60;

const numbered = (count) => Array.from({ length: count }, (_, number) => `C${String(number).padStart(5, '0')}`);

Given('a/another campaign without codes', () => {});

Given('a campaign with the {word} codes {codes}', function (type, codes) {
  return this.save(type, codes);
});

Given('another campaign with the {word} codes {codes}', function (type, codes) {
  return this.save(type, codes, 'other campaign');
});

Given('a campaign with {int} {word} codes', function (count, type) {
  return this.save(type, numbered(count));
});

Given('it has the {word} codes {codes}, too', function (type, codes) {
  return this.save(type, codes);
});

When('the {word} codes are counted', async function (type) {
  this.answers.push((this.answer = await this.ask('GET', `/{campaign}/codes/count?type=${type}`)));
});

When('the {status} {word} codes are counted', async function (status, type) {
  this.answer = await this.ask('GET', `/{campaign}/codes/count?type=${type}&status=${status}`);
});

When(/^codes are counted by "(.*)"$/, async function (query) {
  this.answer = await this.ask('GET', `/{campaign}/codes/count${query}`);
});

When('reservations have expired', async () => {
  const ttl = settings.reservationTtl;
  if (ttl > LONGEST_TTL) {
    throw new Error(`RESERVATION_TTL says ${ttl} s: ask a service whose reservations expire within ${LONGEST_TTL} s`);
  }
  // The database's clock decides: a moment more.
  await sleep(ttl * 1000 + 200);
});

Then('the count is exactly {body}', function (expected) {
  assert.deepEqual(dataOf(this.answer), JSON.parse(expected));
});

Then(
  'the {campaign} has {int} available, {int} reserved and {int} assigned {word} codes',
  async function (campaign, available, reserved, assigned, type) {
    assert.deepEqual(await this.counts(type, campaign), { available, reserved, assigned });
  },
);

Then('the campaign has {int} assigned {word} codes', async function (assigned, type) {
  assert.deepEqual(await this.counts(type, 'campaign', 'assigned'), { assigned });
});

Then('the {word} codes of the campaign are exactly {codes}', async function (type, codes) {
  // More than there are: whatever is available comes.
  const data = dataOf(await this.ask('GET', `/{campaign}/reserve?count=100&type=${type}`));
  assert.deepEqual(data.codes.sort(), codes);
});

Then('it is refused with {int} {string}', function (status, payload) {
  this.error = errorOf(this.answer, status, payload);
});

Then('the refusal says {body}', function (expected) {
  for (const [field, value] of Object.entries(JSON.parse(expected))) {
    assert.deepEqual(this.error[field], value, `${field} of ${JSON.stringify(this.error)}`);
  }
});
