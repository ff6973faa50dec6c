// Probes, correlation ids, and requests that lead nowhere.
import assert from 'node:assert/strict';

import { Then, When } from '@cucumber/cucumber';

import { correlationHeader, dataOf, errorOf, isUuid, json, said, withCorrelation } from '../support/answers.js';

const MIB = 1024 * 1024;

When('{caller} asks {word} {path} with the correlation id {id}', async function (caller, method, path, id) {
  const token = await this.tokenOf(caller);
  this.answer = await this.ask(method, path, { token, headers: withCorrelation(id) });
});

When('a supreme user sends a body of {int} MiB to {word} {path}', async function (size, method, path) {
  const body = JSON.stringify({ codes: ['x'.repeat(size * MIB)] });
  this.answer = await this.ask(method, path, { body });
});

Then('the answer is {int}, without the envelope', function (status) {
  assert.equal(this.answer.status, status, said(this.answer));
  assert.doesNotMatch(this.answer.text, /"(meta|data|error)"/);
});

Then('the answer is a success in the envelope', function () {
  dataOf(this.answer);
});

Then('the answer carries the correlation id {id}', function (id) {
  assert.equal(correlationHeader(this.answer), id);
  assert.equal(json(this.answer).meta.correlationId, id);
});

Then('the header of the answer carries the correlation id {id}', function (id) {
  assert.equal(correlationHeader(this.answer), id);
});

Then('the answer carries a new correlation id', function () {
  const id = correlationHeader(this.answer);
  assert.ok(isUuid(id), `no UUID of version 4: ${id}`);
  assert.equal(json(this.answer).meta.correlationId, id);
});

Then('the answers carry different new correlation ids', function () {
  const ids = this.answers.map(correlationHeader);
  assert.ok(ids.length > 1 && ids.every(isUuid), `${ids}`);
  assert.equal(new Set(ids).size, ids.length);
});

Then('{methods} is/are among the methods that are named', function (methods) {
  const allowed = (this.answer.headers.get('allow') ?? '').split(',').map((method) => method.trim());
  for (const method of methods) {
    assert.ok(allowed.includes(method), `Allow: ${allowed}`);
  }
});

Then('each of these is answered under \\/v1:', async function (table) {
  for (const { method, path, body, answer: expected } of table.hashes()) {
    const type = body.startsWith('{') ? 'application/json' : 'text/csv';
    const sent = body && { body: this.expanded(body), headers: { 'content-type': type } };
    const answer = await this.ask(method, `/v1${path}`, sent || {});
    const [status, word] = expected.split(' ');
    assert.equal(answer.status, Number(status), said(answer));
    if (word) {
      errorOf(answer, answer.status, word);
    }
  }
});

Then('the answer is an OpenAPI document with these paths:', function (table) {
  assert.equal(this.answer.status, 200, said(this.answer));
  const { openapi, paths } = json(this.answer);
  assert.match(openapi, /^3\./);
  for (const [path] of table.raw()) {
    assert.ok(paths[path], `${path} is none of ${Object.keys(paths)}`);
  }
});
