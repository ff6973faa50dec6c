'use strict';

// Reserves again and again, and prints how the memory of the process went, as JSON in MiB.
//
//     node --expose-gc leak.js URI RESERVES

const { CodeService } = require('code-service');

const CALLERS = 256;
const POOL = { campaignId: 'summer', type: 'tm' };
/** How often the memory is looked at. */
const LOOKS = 20;

async function main(uri, reserves) {
  const service = await CodeService.connect({ uri });
  await service.ensureIndexes();
  const codes = Array.from({ length: 20000 }, (_, number) => `CODE${number}`);
  await service.save({ ...POOL, codes });

  let begun = 0;
  let taken = [];
  const caller = async (until) => {
    while (begun < until) {
      begun += 1;
      const reservation = await service.reserve({ ...POOL, count: 1 });
      taken.push(...reservation.codes);
      if (taken.length >= 1000) {
        const back = taken;
        taken = [];
        await service.release({ campaignId: POOL.campaignId, codes: back });
      }
    }
  };
  const memory = [];
  for (let look = 1; look <= LOOKS; look += 1) {
    const until = Math.ceil((reserves * look) / LOOKS);
    await Promise.all(Array.from({ length: CALLERS }, () => caller(until)));
    global.gc();
    memory.push(Math.round(process.memoryUsage().rss / 2 ** 20));
  }
  await service.close();
  console.log(JSON.stringify({ begun, memory }));
}

main(process.argv[2], Number(process.argv[3])).catch((error) => {
  console.error(error);
  process.exit(1);
});
