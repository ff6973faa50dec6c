'use strict';

// Runs test files: mocha's own command line needs a parser that the newest Node.js does not load.
//
//     node mocha.js FILE …

const Mocha = require('mocha');

const mocha = new Mocha({ reporter: 'dot', timeout: 180000 });
process.argv.slice(2).forEach((file) => mocha.addFile(file));
const run = mocha.run((failures) => {
  process.exitCode = failures > 0 ? 1 : 0;
});
// What the driver has met stands in no message.
run.on('fail', (test, { code, cause }) => {
  if (cause !== undefined) {
    console.log(`\n${new Date().toISOString()} ${test.fullTitle()}: ${code}: ${cause}`);
  }
});
