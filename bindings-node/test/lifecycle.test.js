'use strict';

const assert = require('assert');
const { spawnSync } = require('child_process');
const { EventEmitter } = require('events');
const fs = require('fs');
const path = require('path');
const { Worker } = require('worker_threads');

const { CodeService } = require('code-service');
const { POOL, closeAll, list, options, rejected, service, stocked } = require('./support');

/** Runs a script of its own process, which has 20 seconds. */
function run(script, ...args) {
  const done = spawnSync(process.execPath, ['-e', script, require.resolve('code-service'), ...args], {
    encoding: 'utf8',
    timeout: 20000,
  });
  assert.strictEqual(done.signal, null, `it did not end: ${done.stdout}${done.stderr}`);
  assert.strictEqual(done.status, 0, done.stderr);
  return done.stdout;
}

function threads() {
  return fs.readdirSync('/proc/self/task').length;
}

function files() {
  return fs.readdirSync('/proc/self/fd').length;
}

/** Of the event loop, with timers and what native code has; Node.js 12 does not tell. */
function handles() {
  return process.report === undefined ? 0 : process.report.getReport().libuv.length;
}

describe('a service', () => {
  afterEach(closeAll);

  it('can be closed twice, and answers closed from then on', async () => {
    const codes = await stocked(1);
    await Promise.all([codes.close(), codes.close()]);
    await codes.close();
    for (const call of [
      codes.count(POOL),
      codes.save({ ...POOL, codes: ['A'] }),
      codes.ensureIndexes(),
      codes.export({ campaignId: 'summer' }).next(),
    ]) {
      assert.strictEqual((await rejected(call)).code, 'closed');
    }
  });

  it('lets calls end before it closes', async () => {
    const codes = await stocked(100);
    const calls = Array.from({ length: 100 }, () => codes.reserve({ ...POOL, count: 1 }));
    await codes.close();
    assert.strictEqual(new Set((await Promise.all(calls)).map(({ codes: [code] }) => code)).size, 100);
  });

  it('keeps the process alive while a call is under way, and not after that', () => {
    const said = run(
      `const { CodeService } = require(process.argv[1]);
       CodeService.connect({ uri: process.argv[2] })
         .then((service) => service.ensureIndexes())
         .then(() => console.log('done'));`,
      options().uri,
    );
    assert.strictEqual(said, 'done\n');
  });

  it('may be left open by a process that exits in the middle of its calls', () => {
    run(
      `const { CodeService } = require(process.argv[1]);
       CodeService.connect({ uri: process.argv[2] }).then((service) => {
         for (let n = 0; n < 100; n += 1) service.count({ campaignId: 'c', type: 'tm' }).catch(() => {});
         setTimeout(() => process.exit(0), 5);
       });`,
      options().uri,
    );
  });

  it('leaves nothing behind when it is closed, however often', async function cycles() {
    this.timeout(600000);
    const { uri } = options();
    const cycle = async () => {
      const codes = await CodeService.connect({ uri });
      await codes.count(POOL);
      await codes.close();
    };
    for (let n = 0; n < 20; n += 1) {
      await cycle();
    }
    const [threadsBefore, filesBefore] = [threads(), files()];
    const handlesBefore = handles();
    for (let n = 0; n < 1000; n += 1) {
      await cycle();
    }
    assert(threads() <= threadsBefore + 2, `${threads()} threads, ${threadsBefore} before`);
    assert(files() <= filesBefore + 2, `${files()} files, ${filesBefore} before`);
    assert(handles() <= handlesBefore + 2, `${handles()} handles, ${handlesBefore} before`);
  });

  it('works in worker threads, and survives their end', async () => {
    const { uri } = options();
    const script = `
      const { parentPort, workerData } = require('worker_threads');
      const { CodeService } = require(workerData.module);
      CodeService.connect({ uri: workerData.uri }).then(async (service) => {
        await service.ensureIndexes();
        parentPort.postMessage(await service.count({ campaignId: 'summer', type: 'tm' }));
        for (let n = 0; n < 100; n += 1) service.count({ campaignId: 'summer', type: 'tm' }).catch(() => {});
        if (workerData.exits) process.exit(0);
      });`;
    const module = require.resolve('code-service');
    for (const exits of [false, true, true]) {
      const worker = new Worker(script, { eval: true, workerData: { uri, module, exits } });
      const answer = await new Promise((resolve, reject) => {
        worker.on('message', resolve);
        worker.on('error', reject);
      });
      assert.deepStrictEqual(answer, { available: 0, reserved: 0, assigned: 0 });
      await worker.terminate();
    }
    const codes = await service();
    assert.deepStrictEqual(await codes.count(POOL), { available: 0, reserved: 0, assigned: 0 });
  });

  it('works in a worker thread alone, and the process lives on after that', () => {
    const said = run(
      `const { Worker } = require('worker_threads');
       const script = "const [module, uri] = require('worker_threads').workerData; const { CodeService } = require(module);" +
         "CodeService.connect({ uri }).then(async (service) => { await service.ensureIndexes();" +
         "service.count({ campaignId: 'summer', type: 'tm' }).catch(() => {}); process.exit(0); });";
       const once = () => new Promise((resolve, reject) => {
         const worker = new Worker(script, { eval: true, workerData: process.argv.slice(1) });
         worker.on('error', reject);
         worker.on('exit', resolve);
       });
       (async () => {
         for (let n = 0; n < 3; n += 1) await once();
         // For as long as what the last one left may take.
         setTimeout(() => console.log('alive'), 1000);
       })();`,
      options().uri,
    );
    assert.strictEqual(said, 'alive\n');
  });

  (typeof AbortController === 'undefined' ? it.skip : it)('forgets a call whose signal fires', async () => {
    const codes = await stocked(10);
    const controller = new AbortController();
    const aborted = codes.reserve({ ...POOL, count: 5, signal: controller.signal });
    controller.abort();
    assert.strictEqual((await rejected(aborted)).name, 'AbortError');
    const late = codes.reserve({ ...POOL, count: 1, signal: controller.signal });
    assert.strictEqual((await rejected(late)).name, 'AbortError');
    // What it had claimed comes back by itself.
    const start = Date.now();
    while ((await codes.count(POOL)).available !== 10) {
      assert(Date.now() - start < 10000);
    }
  });

  (typeof AbortController === 'undefined' ? it.skip : it)('gives back what aborted calls have claimed before it closes', async () => {
    const { uri } = options();
    const codes = await CodeService.connect({ uri });
    await codes.ensureIndexes();
    await codes.save({ ...POOL, codes: list(2000) });
    for (let round = 0; round < 10; round += 1) {
      const other = await CodeService.connect({ uri });
      const controller = new AbortController();
      const { signal } = controller;
      const calls = Array.from({ length: 100 }, () => other.reserve({ ...POOL, count: 3, signal }).catch(() => null));
      // In the middle of it, sooner or later.
      for (let turns = 0; turns < round * 40; turns += 1) {
        await new Promise((resolve) => setImmediate(resolve));
      }
      controller.abort();
      await other.close();
      const told = (await Promise.all(calls)).filter((call) => call !== null);
      assert.strictEqual((await codes.count(POOL)).available, 2000 - 3 * told.length);
      for (const { codes: held, reserveId } of told) {
        await codes.release({ campaignId: 'summer', codes: held, reserveId });
      }
    }
    await codes.close();
  }).timeout(180000);

  it('takes a signal that is none, and answers all the same', async () => {
    const codes = await stocked(10);
    const signal = {
      aborted: false,
      addEventListener() {},
      removeEventListener() {
        throw new Error('not a signal');
      },
    };
    const both = [codes.reserve({ ...POOL, count: 1, signal }), codes.reserve({ ...POOL, count: 1 })];
    assert.strictEqual((await Promise.all(both)).length, 2);
  });

  it('holds a reservation for as long as it is told, up to ten years', async () => {
    const ninety = 90 * 24 * 3600 * 1000;
    const codes = await stocked(1, { reservationTtlMS: ninety });
    const { reserved, expires } = await codes.reserve({ ...POOL, count: 1 });
    assert.strictEqual(expires - reserved, ninety);
  });

  it('closes though an export was begun and never ended', async () => {
    const codes = await stocked(2500);
    const exported = codes.export({ campaignId: 'summer' });
    await exported.next();
    await codes.close();
    for (let left = 999; left > 0; left -= 1) {
      await exported.next();
    }
    assert.strictEqual((await rejected(exported.next())).code, 'closed');
  });

  it('closes soon though several exports go on', async () => {
    const codes = await stocked(20000);
    const all = async () => {
      let seen = 0;
      for await (const { code } of codes.export({ campaignId: 'summer' })) {
        seen += code.length > 0 ? 1 : 0;
      }
      return seen;
    };
    const exports = Array.from({ length: 4 }, () => rejected(all()));
    await codes.count(POOL);
    await codes.close();
    // Each was in the middle of its codes.
    assert.deepStrictEqual((await Promise.all(exports)).map(({ code }) => code), Array(4).fill('closed'));
  });

  it('gives back what aborted calls had reserved before it closes, however many codes', async () => {
    const given = options();
    const first = await CodeService.connect(given);
    await first.ensureIndexes();
    await first.save({ ...POOL, codes: list(60000) });
    await first.close();
    for (let round = 0; round < 12; round += 1) {
      const codes = await CodeService.connect(given);
      const signal = Object.assign(new EventEmitter(), { aborted: false });
      signal.addEventListener = signal.on;
      signal.removeEventListener = signal.removeListener;
      const reserved = codes.reserve({ ...POOL, count: 20000, signal }).catch(({ name }) => name);
      // At another moment each time.
      await new Promise((resolve) => setTimeout(resolve, 150 + 100 * round));
      signal.aborted = true;
      signal.emit('abort');
      const answer = await reserved;
      await codes.close();
      const next = await CodeService.connect(given);
      const held = answer === 'AbortError' ? 0 : 20000;
      assert.strictEqual((await next.count(POOL)).reserved, held, `round ${round}`);
      if (held > 0) {
        await next.release({ campaignId: 'summer', codes: answer.codes });
      }
      await next.close();
    }
  });

  it('gives what a worker thread was saving up when that ends', async () => {
    const { uri } = options();
    const script = `
      const { parentPort, workerData } = require('worker_threads');
      const { CodeService } = require(workerData.module);
      CodeService.connect({ uri: workerData.uri }).then(async (service) => {
        await service.ensureIndexes();
        async function* stalled() {
          yield Buffer.from('A1\\nABC-12');
          parentPort.postMessage('stalled');
          await new Promise(() => {});
        }
        await service.save({ campaignId: 'summer', type: 'tm', codes: stalled() });
      });`;
    const before = files();
    for (let n = 0; n < 5; n += 1) {
      const worker = new Worker(script, { eval: true, workerData: { uri, module: require.resolve('code-service') } });
      await new Promise((resolve, reject) => {
        worker.on('message', resolve);
        worker.on('error', reject);
      });
      await worker.terminate();
    }
    const start = Date.now();
    while (files() > before + 2) {
      assert(Date.now() - start < 10000, `${files()} files, ${before} before`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const connected = await CodeService.connect({ uri });
    assert.strictEqual(await connected.find({ campaignId: 'summer', code: 'ABC-12' }), null);
    await connected.close();
  });
});
