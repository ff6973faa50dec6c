'use strict';

const assert = require('assert');
const fs = require('fs');
const path = require('path');

const { closeAll, rejected, service } = require('./support');

const VECTORS = process.env.CODE_SERVICE_TEST_VECTORS;
const CASES = JSON.parse(fs.readFileSync(path.join(VECTORS, 'calls.json'), 'utf8'));

/** Of an answer what the table speaks of; codes come in no order. */
function shown(answer, expected) {
  if (Array.isArray(expected)) {
    const sorted = [...answer].sort((a, b) => ((a.code || a) < (b.code || b) ? -1 : 1));
    return sorted.map((item, place) => shown(item, expected[place]));
  }
  if (typeof expected === 'object' && expected !== null && answer !== null) {
    return Object.keys(expected).reduce((all, name) => ({ ...all, [name]: shown(answer[name], expected[name]) }), {});
  }
  return answer;
}

describe('the calls of all faces', () => {
  afterEach(closeAll);

  for (const { name, steps } of CASES) {
    it(name, async () => {
      const codes = await service();
      for (const { call, args, answers, error } of steps) {
        const { file, ...rest } = args;
        const given = file === undefined ? rest : { ...rest, codes: Buffer.from(file) };
        if (error === undefined) {
          assert.deepStrictEqual(shown(await codes[call](given), answers), answers, `${call} ${JSON.stringify(rest)}`);
        } else {
          assert.deepStrictEqual(shown(await rejected(codes[call](given)), error), error);
        }
      }
    });
  }
});
