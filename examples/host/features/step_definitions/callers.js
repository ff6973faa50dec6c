// Who may call.
import assert from 'node:assert/strict';

import { Given, Then, When } from '@cucumber/cucumber';

import { dataOf, errorOf, said } from '../support/answers.js';
import { call } from '../support/client.js';

const CSV = { 'content-type': 'text/csv' };

/** Every call that only a supreme user may make, fine otherwise, and the status that it gets then. */
const CALLS = [
  ['GET', '/{campaign}/codes/count?type=tm', 200],
  ['GET', '/{campaign}/reserve?count=1&type=tm', 200],
  // Into no bucket: it shall not matter whether there is one.
  ['POST', '/{campaign}/codes', 404, { body: { fileKey: 'elsewhere' } }],
  ['PUT', '/{campaign}/codes?type=tm', 200, { body: 'B1\n', headers: CSV }],
  ['PUT', '/{campaign}/reservations/{campaign}', 201, { body: { type: 'tm', count: 1 } }],
  ['GET', '/{campaign}/reservations/{campaign}', 200],
  ['POST', '/{campaign}/assign', 200, { body: { codes: ['A1', 'A2', 'A3', 'A4'] } }],
  ['POST', '/{campaign}/release', 200, { body: { codes: ['A1', 'A2', 'A3', 'A4'] } }],
];

Given('a token for {string} who is {is_supreme}', async function (userId, isSupreme) {
  const data = dataOf(await call('POST', '/dev/token', { body: { userId, isSupreme } }));
  assert.deepEqual(Object.keys(data), ['token']);
  this.token = data.token;
});

When('{caller} tries every call about codes', async function (caller) {
  const token = await this.tokenOf(caller);
  // One after another: some need what others have made.
  for (const [method, path, status, options] of CALLS) {
    this.tried.push({ expected: status, answer: await this.ask(method, path, { ...options, token }) });
  }
});

When('{caller} asks {word} {path}', async function (caller, method, path) {
  this.answer = await this.ask(method, path, { token: await this.tokenOf(caller) });
});

When('{caller} sends the body {body} to {word} {path}', async function (caller, body, method, path) {
  this.answer = await this.ask(method, path, { body, token: await this.tokenOf(caller) });
});

Then('every call is let in', function () {
  for (const { expected, answer } of this.tried) {
    assert.equal(answer.status, expected, said(answer));
    if (expected === 404) {
      errorOf(answer, 404, 'invalidFileKey');
    }
  }
});

Then('every call is refused with {int} {string}', function (status, payload) {
  assert.equal(this.tried.length, CALLS.length);
  for (const { answer } of this.tried) {
    errorOf(answer, status, payload);
    if (status === 401) {
      assert.equal(answer.headers.get('www-authenticate'), 'Bearer', said(answer));
    }
  }
});

Then('the claims are those of {string}, who is {is_supreme}', function (id, isSupreme) {
  const claims = dataOf(this.answer);
  assert.deepEqual(claims.user, { id });
  assert.equal(claims.isSupreme, isSupreme);
});

Then('the data is exactly {body}', function (expected) {
  assert.deepEqual(dataOf(this.answer), JSON.parse(expected));
});
