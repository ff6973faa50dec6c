'use strict';

const prometheus = require('prom-client');

prometheus.collectDefaultMetrics();

const labelNames = ['path', 'method', 'status'];
const count = new prometheus.Counter({ name: 'http_request_count', help: 'Requests answered', labelNames });
const duration = new prometheus.Histogram({
  name: 'http_response_duration_seconds',
  help: 'How long the answers took',
  labelNames,
  buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
});

/** What a HEAD does is a GET's; of others that nobody serves there is no end. */
const METHODS = { GET: 'GET', HEAD: 'GET', POST: 'POST', PUT: 'PUT' };

/** The route's template, never the path itself: that has campaigns in it. */
function labels(ctx) {
  const status = ctx.status;
  const route = ctx._matchedRoute;
  if (route === undefined || status === 405) {
    return { path: 'unmatched', method: 'other', status };
  }
  const path = String(route).replace(/^\/v1(?=\/)/, '');
  return { path: path.startsWith('/dev/') ? '/dev/:endpoint' : path, method: METHODS[ctx.method] || 'other', status };
}

/** Counts and times requests, but for probes and scrapes. */
async function measured(ctx, next) {
  const start = process.hrtime();
  await next();
  const its = labels(ctx);
  if (its.path !== '/heartbeat' && its.path !== '/metrics') {
    const [seconds, nanoseconds] = process.hrtime(start);
    count.inc(its);
    duration.observe(its, seconds + nanoseconds / 1e9);
  }
}

module.exports = { measured, registry: prometheus.register };
