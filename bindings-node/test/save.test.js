'use strict';

const assert = require('assert');
const fs = require('fs');
const http = require('http');
const net = require('net');
const { PassThrough, Readable } = require('stream');

const { POOL, closeAll, list, rejected, service } = require('./support');

async function saved(codes) {
  const connected = await service();
  const report = await connected.save({ ...POOL, codes });
  const { available } = await connected.count(POOL);
  return { report, available };
}

/** A stream of these chunks. */
function streamed(chunks, options) {
  const left = [...chunks];
  return new Readable({
    ...options,
    read() {
      this.push(left.length > 0 ? left.shift() : null);
    },
  });
}

describe('what save takes', () => {
  afterEach(closeAll);
  const lines = `code\n${list(5000).join('\n')}\n`;

  it('an array', async () => {
    const { report, available } = await saved(list(5000));
    assert.deepStrictEqual([report.in, report.inserted, available], [5000, 5000, 5000]);
  });

  it('a Buffer of lines', async () => {
    const { report, available } = await saved(Buffer.from(lines));
    assert.deepStrictEqual([report.in, report.inserted, available], [5000, 5000, 5000]);
  });

  it('a Uint8Array of lines', async () => {
    assert.strictEqual((await saved(new Uint8Array(Buffer.from(lines)))).available, 5000);
  });

  it('an iterable of codes', async () => {
    assert.strictEqual((await saved(new Set(list(5000)))).available, 5000);
  });

  it('an async iterable of codes', async () => {
    async function* codes() {
      yield* list(5000);
    }
    assert.strictEqual((await saved(codes())).available, 5000);
  });

  it('a stream of bytes, wherever it is cut', async () => {
    const chunks = lines.match(/[^]{1,7}/g).map((chunk) => Buffer.from(chunk));
    assert.strictEqual((await saved(streamed(chunks))).available, 5000);
  });

  it('many small pieces of a file, each in the same memory', async () => {
    function* pieces() {
      const memory = Buffer.alloc(11);
      for (const code of list(50000)) {
        memory.write(`${code}\n`);
        yield memory;
      }
    }
    const { report, available } = await saved(pieces());
    assert.deepStrictEqual([report.in, available], [50000, 50000]);
  });

  it('pieces of a file that are there at once, and lets others have their turn', async () => {
    const codes = await service();
    let turns = 0;
    const count = setInterval(() => {
      turns += 1;
    }, 1);
    await codes.save({ ...POOL, codes: list(60000).map((code) => Buffer.from(`${code}\n`)) });
    let empty = 0;
    function* nothing() {
      const before = turns;
      while (turns < before + 3) {
        empty += 1;
        yield Buffer.alloc(0);
      }
      yield Buffer.from('LAST\n');
    }
    assert.strictEqual((await codes.save({ ...POOL, codes: nothing() })).inserted, 1);
    clearInterval(count);
    assert(empty > 0);
    assert.strictEqual((await codes.count(POOL)).available, 60001);
  });

  it('a stream of text', async () => {
    const stream = streamed([Buffer.from(lines)]);
    stream.setEncoding('utf8');
    assert.strictEqual((await saved(stream)).available, 5000);
  });

  it('a stream of codes', async () => {
    assert.strictEqual((await saved(streamed(list(5000), { objectMode: true }))).available, 5000);
  });

  it('nothing', async () => {
    for (const codes of [[], Buffer.alloc(0), new Set()]) {
      assert.strictEqual((await saved(codes)).report.in, 0);
    }
  });

  it('a code with a comma or a quote in a list, as it is', async () => {
    const connected = await service();
    const odd = ['a,b', '"quoted"', ' spaced '];
    await connected.save({ ...POOL, codes: odd });
    const { codes } = await connected.reserve({ ...POOL, count: 3 });
    assert.deepStrictEqual(codes.sort(), odd.sort());
  });

  it('more only when what came before is on its way', async () => {
    const connected = await service();
    let asked = 0;
    async function* codes() {
      for (; asked < 400000; asked += 1) {
        yield `CODE${asked}`;
        if (asked % 50000 === 0) {
          await connected.count(POOL);
        }
      }
    }
    let behind = 0;
    const progress = ({ in: rows }) => {
      behind = Math.max(behind, asked - rows);
    };
    const report = await connected.save({ ...POOL, codes: codes(), progress });
    assert.strictEqual(report.inserted, 400000);
    assert(behind < 100000, `${behind} rows were asked for ahead of the database`);
  });

  it('a callback, which is told how far it is', async () => {
    const connected = await service();
    const told = [];
    await connected.save({ ...POOL, codes: list(30000), progress: (progress) => told.push(progress) });
    assert(told.length > 1);
    assert.deepStrictEqual(told[told.length - 1], { in: 30000, inserted: 30000, updated: 0, rejected: 0 });
    assert(told.every(({ inserted }, place) => place === 0 || inserted >= told[place - 1].inserted));
  });

  it('and is rejected with what its source or its callback throws', async () => {
    const connected = await service();
    const reason = new Error('the file is gone');
    async function* broken() {
      yield* list(3000);
      throw reason;
    }
    assert.strictEqual(await rejected(connected.save({ ...POOL, codes: broken() })), reason);
    const progress = () => {
      throw reason;
    };
    assert.strictEqual(await rejected(connected.save({ ...POOL, codes: list(30000), progress })), reason);
    const late = async () => {
      throw reason;
    };
    assert.strictEqual(await rejected(connected.save({ ...POOL, codes: list(30000), progress: late })), reason);
  });

  it('and ends its source when the database refuses', async () => {
    const connected = await service();
    let ended = false;
    async function* codes() {
      try {
        for (let number = 0; ; number += 1) {
          yield `CODE${number}`;
        }
      } finally {
        ended = true;
      }
    }
    const error = await rejected(connected.save({ campaignId: '', type: 'tm', codes: codes() }));
    assert.strictEqual(error.argument, 'campaignId');
    assert(ended);
  });

  it('no part of a row that was cut off', async () => {
    const connected = await service();
    const reason = new Error('the caller has hung up');
    async function* broken() {
      yield Buffer.from('A1\nB2\nABC-12');
      throw reason;
    }
    assert.strictEqual(await rejected(connected.save({ ...POOL, codes: broken() })), reason);
    const controller = typeof AbortController === 'undefined' ? undefined : new AbortController();
    if (controller !== undefined) {
      async function* aborted() {
        yield Buffer.from('C3\nXYZ-12');
        controller.abort();
        await new Promise(() => {});
      }
      const error = await rejected(connected.save({ ...POOL, codes: aborted(), signal: controller.signal }));
      assert.strictEqual(error.name, 'AbortError', error);
    }
    for (const code of ['ABC-12', 'XYZ-12']) {
      assert.strictEqual(await connected.find({ campaignId: 'summer', code }), null);
    }
  });

  it('no part of a stream that was closed before its end', async () => {
    const connected = await service();
    const file = new PassThrough();
    file.write('A1\nB2\nABC-12');
    setImmediate(() => file.destroy());
    const dead = new PassThrough();
    dead.destroy();
    for (const source of [file, dead]) {
      const error = await rejected(connected.save({ ...POOL, codes: source }));
      assert.strictEqual(error.code, 'ERR_STREAM_PREMATURE_CLOSE');
    }
    assert.strictEqual(await connected.find({ campaignId: 'summer', code: 'ABC-12' }), null);
  });

  it('no part of a request whose client has hung up', async () => {
    const connected = await service();
    let server;
    const answer = new Promise((resolve) => {
      server = http.createServer((request) => resolve(rejected(connected.save({ ...POOL, codes: request }))));
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    const socket = net.connect(server.address().port, '127.0.0.1');
    socket.write('PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nA1\nB2\nABC-12', () => socket.destroy());
    assert((await answer) instanceof Error);
    await new Promise((resolve) => server.close(resolve));
    assert.strictEqual(await connected.find({ campaignId: 'summer', code: 'ABC-12' }), null);
  });

  it('whatever its source throws, nothing too', async () => {
    const connected = await service();
    for (const thrown of [undefined, null, 'boom', 0]) {
      const sources = [
        (async function* source() {
          yield 'A';
          throw thrown;
        })(),
        { [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(thrown) }) },
      ];
      for (const codes of sources) {
        let outcome = 'resolved';
        await connected.save({ ...POOL, codes }).catch((error) => {
          outcome = error;
        });
        assert.strictEqual(outcome, thrown);
      }
    }
  });

  it('before the service closes, if it was called before that', async () => {
    const connected = await service();
    const saved = connected.save({ ...POOL, codes: list(5000) });
    await connected.close();
    assert.strictEqual((await saved).inserted, 5000);
  });

  (typeof AbortController === 'undefined' ? it.skip : it)('nothing once its signal has fired, though the source says nothing', async () => {
    const connected = await service();
    const stalled = { [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}) }) };
    const controller = new AbortController();
    const saved = connected.save({ ...POOL, codes: stalled, signal: controller.signal });
    setImmediate(() => controller.abort());
    assert.strictEqual((await rejected(saved)).name, 'AbortError');
  });

  (typeof AbortController === 'undefined' ? it.skip : it)('no stream that says nothing, once its signal has fired', async () => {
    const connected = await service();
    const stream = new Readable({ read() {} });
    const controller = new AbortController();
    const saved = connected.save({ ...POOL, codes: stream, signal: controller.signal });
    stream.push('A1\n');
    setImmediate(() => controller.abort());
    assert.strictEqual((await rejected(saved)).name, 'AbortError');
    assert(stream.destroyed);
  });

  it('nothing that only looks like a stream', async () => {
    const connected = await service();
    for (const codes of [{ destroy() {} }, { pipe() {}, destroy() {} }, null, 7]) {
      const error = await rejected(connected.save({ campaignId: 7, type: 'tm', codes }));
      assert.strictEqual(error.argument, 'campaignId');
    }
  });

  it('a stream only to close it, if the other arguments are wrong', async () => {
    const connected = await service();
    const stream = fs.createReadStream('/there/is/no/such/file');
    const error = await rejected(connected.save({ campaignId: 7, type: 'tm', codes: stream }));
    assert.strictEqual(error.argument, 'campaignId');
    assert(stream.destroyed);
  });
});
