// The deployed service's reserve of one code, on the official Node.js driver: find ids that are available,
// update those of them that still are, read back by reserveId, and repeat for what is missing twice at most.
//
//     node reserve.js URI CALLERS SECONDS
//
// Prints the codes, the calls, how many of these came back with none, and the seconds, as JSON.
'use strict';

const crypto = require('crypto');
const { MongoClient } = require('mongodb');

const REPEATS = 2;
const TTL = 24 * 60 * 60 * 1000;

function available() {
  const expiry = new Date(Date.now() - TTL);
  return {
    'date.assigned': null,
    $or: [{ 'date.reserved': null }, { 'date.reserved': { $lte: expiry } }],
  };
}

async function reserve(collection, count) {
  const reserveId = crypto.randomUUID();
  let codes = [];
  for (let round = 0; round <= REPEATS && codes.length < count; round += 1) {
    const pool = { '_id.campaign_id': 'bench', type: 'tm', ...available() };
    const found = await collection
      .find(pool, { projection: { _id: 1 } })
      .limit(count - codes.length)
      .toArray();
    if (found.length === 0) break;
    await collection.updateMany(
      { _id: { $in: found.map((code) => code._id) }, ...available() },
      { $set: { 'date.reserved': new Date(), reserveId } },
    );
    codes = await collection.find({ reserveId }, { projection: { _id: 1 } }).toArray();
  }
  return codes.length;
}

async function main(uri, callers, seconds) {
  const client = await MongoClient.connect(uri, { maxPoolSize: 100 });
  const collection = client.db().collection('codes', { writeConcern: { w: 'majority', j: true } });
  await collection.countDocuments({ _id: 0 });
  const start = process.hrtime.bigint();
  const elapsed = () => Number(process.hrtime.bigint() - start) / 1e9;
  let codes = 0;
  let calls = 0;
  let short = 0;
  const caller = async () => {
    while (elapsed() < Number(seconds)) {
      const got = await reserve(collection, 1);
      calls += 1;
      codes += got;
      if (got < 1) short += 1;
    }
  };
  await Promise.all(Array.from({ length: Number(callers) }, caller));
  console.log(JSON.stringify({ codes, calls, short, seconds: elapsed() }));
  await client.close();
}

main(...process.argv.slice(2)).catch((error) => {
  console.error(error.message);
  process.exit(1);
});
