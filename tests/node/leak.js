'use strict';

// Reserves again and again, and prints how the memory of the process went, as JSON in MiB: all that is resident, and what
// of it is JavaScript's.
//
//     node --expose-gc leak.js URI RESERVES

const { CodeService } = require('code-service');

const CALLERS = 256;
/** How often the memory is looked at. Each time a campaign of its own is reserved empty. */
const LOOKS = 20;

async function main(uri, reserves) {
  const service = await CodeService.connect({ uri });
  await service.ensureIndexes();
  const each = Math.ceil(reserves / LOOKS);
  let reserved = 0;
  const resident = [];
  const heap = [];
  for (let look = 1; look <= LOOKS; look += 1) {
    const pool = { campaignId: `campaign-${look}`, type: 'tm' };
    const codes = function* lines() {
      for (let number = 0; number < each; number += 1) yield `CODE${number}`;
    };
    await service.save({ ...pool, codes: codes() });
    let begun = 0;
    const caller = async () => {
      while (begun < each) {
        begun += 1;
        const { codes: taken } = await service.reserve({ ...pool, count: 1 });
        reserved += taken.length;
      }
    };
    await Promise.all(Array.from({ length: CALLERS }, caller));
    global.gc();
    const memory = process.memoryUsage();
    resident.push(Math.round(memory.rss / 2 ** 20));
    heap.push(Math.round(memory.heapTotal / 2 ** 20));
  }
  await service.close();
  console.log(JSON.stringify({ reserved, resident, heap }));
}

main(process.argv[2], Number(process.argv[3])).catch((error) => {
  console.error(error);
  process.exit(1);
});
