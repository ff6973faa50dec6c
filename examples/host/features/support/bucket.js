// The bucket that the service reads: a local folder, or S3.
import { mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { settings } from './settings.js';

function inFolder(folder) {
  return {
    async put(key, content) {
      const file = path.join(folder, key);
      await mkdir(path.dirname(file), { recursive: true });
      await writeFile(file, content);
    },
    // With the folder of the campaign, which is the scenario's own.
    remove: (key) => rm(path.join(folder, key, '../..'), { recursive: true }),
  };
}

async function onS3(Bucket) {
  // Loaded only where it is used: it takes a while.
  const { DeleteObjectCommand, PutObjectCommand, S3Client } = await import('@aws-sdk/client-s3');
  // The deployments' names have dots, which no wildcard certificate covers: the bucket stays in the path.
  const client = new S3Client({ forcePathStyle: true });
  return {
    put: (Key, Body) => client.send(new PutObjectCommand({ Bucket, Key, Body })),
    remove: (Key) => client.send(new DeleteObjectCommand({ Bucket, Key })),
  };
}

let opened;

export async function bucket() {
  const { path: folder, name } = settings.bucket;
  opened ??= folder ? inFolder(folder) : await onS3(name);
  return opened;
}
