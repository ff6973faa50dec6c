// Uploads: from the bucket, and in the request.
import assert from 'node:assert/strict';

import { Given, Then, When } from '@cucumber/cucumber';

import { dataOf } from '../support/answers.js';
import { bucket } from '../support/bucket.js';

function upload(world, body) {
  return world.ask('POST', '/{campaign}/codes', { body: world.expanded(body) });
}

Given('the bucket holds its {word} file {file}', async function (type, content) {
  const key = this.expanded(`codes/{campaign}/${type}/features.csv`);
  await (await bucket()).put(key, content);
  this.files.push(key);
});

When('that file is uploaded', async function () {
  this.answer = await upload(this, JSON.stringify({ fileKey: this.files.at(-1) }));
});

When('an upload of the file key {string} is asked for', async function (fileKey) {
  this.answer = await upload(this, JSON.stringify({ fileKey }));
});

When('an upload is asked for with the body {body}', async function (body) {
  this.answer = await upload(this, body);
});

When('the {word} file {file} is sent', async function (type, content) {
  this.answer = await this.send(type, content);
});

When('the file {file} is sent without a type', async function (content) {
  this.answer = await this.ask('PUT', '/{campaign}/codes', { body: content, headers: { 'content-type': 'text/csv' } });
});

When('a {word} file of {int} codes is sent', async function (type, count) {
  const rows = Array.from({ length: count }, (_, number) => `C${number}\n`);
  this.answer = await this.send(type, rows.join(''));
});

Then('the upload counts {int} row(s): {int} inserted, {int} updated', function (rows, inserted, updated) {
  const { count, rejected = [] } = dataOf(this.answer);
  const all = { in: rows, inserted, updated, ...(rejected.length > 0 && { rejected: rejected.length }) };
  assert.deepEqual(count, all);
  assert.equal(rows, inserted + updated + rejected.length);
});

Then('the rows {int} and {int} are rejected, each with a reason', function (first, second) {
  const { rejected } = dataOf(this.answer);
  assert.deepEqual(
    rejected.map(({ row }) => row),
    [first, second],
  );
  for (const { reason } of rejected) {
    assert.ok(typeof reason === 'string' && reason !== '', JSON.stringify(rejected));
  }
});
