// The deployed service's save: one unordered bulk of upserts per 50,000 rows, on the official Node.js driver.
//
//     node import.js URI FILE
//
// FILE holds a code per line. Prints the rows, how many of them were new, and the seconds, as JSON.
'use strict';

const fs = require('fs');
const { MongoClient } = require('mongodb');

const ROWS_PER_BULK = 50000;

async function main(uri, file) {
  const codes = fs.readFileSync(file, 'utf8').split('\n').filter(Boolean);
  const client = await MongoClient.connect(uri);
  const collection = client.db().collection('codes');
  const start = process.hrtime.bigint();
  let inserted = 0;
  let updated = 0;
  for (let from = 0; from < codes.length; from += ROWS_PER_BULK) {
    const saved = new Date();
    const bulk = collection.initializeUnorderedBulkOp();
    for (const code of codes.slice(from, from + ROWS_PER_BULK)) {
      bulk
        .find({ _id: { campaign_id: 'bench', code } })
        .upsert()
        .updateOne({ $set: { type: 'tm', 'date.saved': saved } });
    }
    const result = await bulk.execute();
    inserted += result.nUpserted;
    updated += result.nMatched;
  }
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  await client.close();
  const rows = inserted + updated;
  if (rows !== codes.length) throw new Error(`${rows} of ${codes.length} rows were saved`);
  console.log(JSON.stringify({ rows, inserted, seconds }));
}

main(...process.argv.slice(2)).catch((error) => {
  console.error(error.message);
  process.exit(1);
});
