// What an answer must look like. Whoever takes data or an error out of one has its whole envelope checked.
import assert from 'node:assert/strict';

const CORRELATION = 'x-titan-correlation-id';
const UUID_V4 = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const RFC_3339_UTC = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/;

/** An answer for people, with as much of it as helps. */
export function said({ asked, status, text }) {
  return `${asked} answered ${status}: ${text.slice(0, 1000)}`;
}

export function isUuid(text) {
  return UUID_V4.test(text);
}

/** Whether it is a moment in UTC. */
export function isMoment(text) {
  return RFC_3339_UTC.test(text) && !Number.isNaN(Date.parse(text));
}

export function json(answer) {
  try {
    return JSON.parse(answer.text);
  } catch {
    return assert.fail(`no JSON: ${said(answer)}`);
  }
}

function envelope(answer, content) {
  const whole = json(answer);
  assert.deepEqual(Object.keys(whole).sort(), [content, 'meta'].sort(), said(answer));
  assert.match(answer.headers.get('content-type') ?? '', /^application\/json\b/, said(answer));
  assert.deepEqual(Object.keys(whole.meta).sort(), ['correlationId', 'timestamp'], said(answer));
  assert.ok(isMoment(whole.meta.timestamp), `no moment in UTC: ${said(answer)}`);
  assert.ok(whole.meta.correlationId, `no correlation id: ${said(answer)}`);
  assert.equal(answer.headers.get(CORRELATION), whole.meta.correlationId, 'header and envelope differ');
  return whole;
}

/** The data of a success. */
export function dataOf(answer, status = 200) {
  assert.equal(answer.status, status, said(answer));
  return envelope(answer, 'data').data;
}

/** The error of a refusal. */
export function errorOf(answer, status, payload) {
  assert.equal(answer.status, status, said(answer));
  const { error } = envelope(answer, 'error');
  assert.equal(error.payload, payload, said(answer));
  assert.equal(error.status, status, said(answer));
  assert.ok(typeof error.message === 'string' && error.message !== '', `no message: ${said(answer)}`);
  return error;
}

export function correlationHeader(answer) {
  return answer.headers.get(CORRELATION);
}

export function withCorrelation(id) {
  return { [CORRELATION]: id };
}
