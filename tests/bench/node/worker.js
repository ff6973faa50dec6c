// The addon's side of a line: speaks as `bench worker` does.
//
//     node worker.js URI WORK
//
// Connects, says `ready`, waits for the end of its input, works, and prints what it measured, as JSON.
'use strict';

const fs = require('fs');
const { monitorEventLoopDelay, performance } = require('perf_hooks');

const { CodeService } = require('code-service');

const POOL = { campaignId: 'bench', type: 'tm' };

/** Calls again and again with so many callers. */
async function reserve(service, { callers, count, until }) {
  const { campaignId, type } = POOL;
  const start = performance.now();
  const elapsed = () => (performance.now() - start) / 1e3;
  let begun = 0;
  let done = 0;
  const took = [];
  const over = () => (until.Calls === undefined ? elapsed() >= until.Seconds : begun >= until.Calls);
  const caller = async () => {
    while (!over()) {
      begun += 1;
      const before = performance.now();
      const { codes } = await service.reserve({ campaignId, type, count });
      took.push((performance.now() - before) * 1e3);
      done += codes.length;
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  const seconds = elapsed();
  took.sort((a, b) => a - b);
  const quantile = (part) => Math.round(took[Math.floor(took.length * part)] || 0);
  return { done, seconds, p50: quantile(0.5), p99: quantile(0.99) };
}

async function save(service, lines) {
  const start = process.hrtime.bigint();
  const report = await service.save({ ...POOL, codes: lines });
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  if (report.rejected > 0) throw new Error(`${report.rejected} rows were rejected`);
  return { done: report.in, seconds, p50: 0, p99: 0 };
}

/** Every call whose arguments or answer hold as many codes as there may be. */
async function lists(service, { count }) {
  const start = process.hrtime.bigint();
  const wish = { ...POOL, count, reserveId: 'lists' };
  const { codes, reserveId } = await service.reserve(wish);
  await service.reserve(wish);
  await service.reservation({ reserveId });
  const settle = { campaignId: POOL.campaignId, codes };
  const { lost } = await service.assign({ ...settle, reserveId: 'another' });
  if (lost.length !== count) throw new Error(`${lost.length} codes are lost`);
  await service.release({ ...settle, reserveId });
  await service.save({ ...POOL, codes });
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  return { done: count, seconds, p50: 0, p99: 0 };
}

/** Does what it is asked for. */
function carryOut(service, work, lines) {
  if (work.Import) return save(service, lines);
  return work.Lists ? lists(service, work.Lists) : reserve(service, work.Reserve);
}

async function main(uri, text) {
  const work = JSON.parse(text);
  const service = await CodeService.connect({ uri });
  // As a service that runs has its connections open.
  await Promise.all(Array.from({ length: 16 }, () => service.count({ campaignId: 'warm', type: 'tm' })));
  const lines = work.Import && fs.readFileSync(work.Import.file);
  const before = process.memoryUsage().rss;
  console.log('ready');
  fs.readFileSync(0);

  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  // It looks now and then: what begins with its first look, or ends with its last, it would not see.
  const looks = () => new Promise((resolve) => setTimeout(resolve, 50));
  await looks();
  const report = await carryOut(service, work, lines);
  await looks();
  delay.disable();
  await service.close();
  const memory = Math.max(0, process.memoryUsage().rss - before) / 2 ** 20;
  console.log(JSON.stringify({ ...report, memory, blocked: delay.max / 1e6 }));
}

main(...process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exit(1);
});
