// Metrics, as Prometheus reads them.
import assert from 'node:assert/strict';

import { Then, When } from '@cucumber/cucumber';

const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/;

/** The samples of a page: name, labels and value. */
function samples(text) {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return lines.map((line) => {
    const [, name, labels = '', value] = SAMPLE.exec(line) ?? assert.fail(`no sample: ${line}`);
    const pairs = [...labels.matchAll(/([a-zA-Z_][a-zA-Z0-9_]*)="([^"]*)"/g)].map(([, key, label]) => [key, label]);
    return { name, labels: Object.fromEntries(pairs), value: Number(value) };
  });
}

const fits = (labels) => (sample) => Object.entries(labels).every(([key, value]) => sample.labels[key] === value);

function valueOf(page, name, labels) {
  return samples(page).filter((sample) => sample.name === name).find(fits(labels))?.value ?? 0;
}

When(/^the metrics are read(?: again)?$/, async function () {
  const { text } = await this.ask('GET', '/metrics', { token: undefined });
  this.pages.push(text);
});

Then('it is text that Prometheus reads, with the metrics of the process', function () {
  assert.match(this.answer.headers.get('content-type'), /^text\/plain; version=0\.0\.4/);
  const names = samples(this.answer.text).map(({ name }) => name);
  for (const name of ['process_cpu_seconds_total', 'process_resident_memory_bytes', 'process_open_fds']) {
    assert.ok(names.includes(name), name);
  }
});

Then(
  '{string} of {string} was counted and timed once more with {int} and once more with {int}',
  function (method, path, one, other) {
    const [before, after] = this.pages;
    for (const status of [one, other]) {
      for (const name of ['http_request_count', 'http_response_duration_seconds_count']) {
        const labels = { method, path, status: String(status) };
        const more = valueOf(after, name, labels) - valueOf(before, name, labels);
        assert.equal(more, 1, `${name} of ${status}`);
      }
    }
  },
);

Then(/^the times are in the buckets (.*) and \+Inf$/, function (buckets) {
  const [, page] = this.pages;
  const labels = { method: 'GET', path: '/:campaignId/codes/count', status: '200' };
  const found = samples(page).filter((sample) => sample.name === 'http_response_duration_seconds_bucket');
  const bounds = found.filter(fits(labels)).map((sample) => sample.labels.le);
  assert.deepEqual(bounds, [...buckets.split(', '), '+Inf']);
});

Then('the name of the campaign is not in the metrics', function () {
  for (const page of this.pages) {
    assert.ok(!page.includes(this.campaigns.campaign));
  }
});

Then('there are fewer than {int} combinations of path, method and status', function (limit) {
  const counters = samples(this.pages.at(-1)).filter(({ name }) => name === 'http_request_count');
  assert.ok(counters.length > 0 && counters.length < limit, `${counters.length} combinations`);
});
