import { createReadStream } from 'fs';
import { CodeService, CodeServiceError, ErrorCode, Reservation, StoredCode } from 'code-service';

async function everything(): Promise<void> {
  const service: CodeService = await CodeService.connect({
    uri: 'mongodb://localhost/demo?replicaSet=rs0',
    database: 'other',
    collection: 'codes',
    reservationTtlMS: 3600000,
    serverSelectionTimeoutMS: 5000,
    patienceMS: 20000,
    sweepIntervalMS: 10000,
  });
  await CodeService.connect({
    mongo: { hostUrls: ['a', 'b'], username: 'me', password: 'secret', options: { dbName: 'prod', keepAlive: true } },
  });
  await service.ensureIndexes();
  const problems: string[] = (await service.verifyIndexes()).map(({ message }) => message);

  const pool = { campaignId: 'summer', type: 'tm' };
  await service.save({ ...pool, codes: ['A', 'B'] });
  await service.save({ ...pool, codes: Buffer.from('A\nB\n') });
  await service.save({ ...pool, codes: new Set(['A']) });
  await service.save({ ...pool, codes: createReadStream('codes.csv') });
  async function* more(): AsyncGenerator<string> {
    yield 'C';
  }
  const saved = await service.save({ ...pool, codes: more(), progress: (so) => console.log(so.in, so.inserted) });
  const reason: string | undefined = saved.rejections[0]?.reason;

  const controller = new AbortController();
  const reservation: Reservation = await service.reserve({
    ...pool,
    count: 2,
    partial: true,
    reserveId: 'order-1',
    signal: controller.signal,
  });
  const until: number = reservation.expires.getTime();
  const { codes, reserveId } = reservation;
  const { lost }: { lost: string[] } = await service.assign({ campaignId: 'summer', codes, reserveId });
  await service.release({ campaignId: 'summer', codes: lost });
  const held = (await service.recover({ reserveId }))?.codes.map(({ status }) => status);
  await service.reservation({ reserveId });
  const free: number = (await service.count(pool)).available;
  const found: StoredCode | null = await service.find({ campaignId: 'summer', code: 'A' });
  for await (const { code, saved: when } of service.export({ campaignId: 'summer', status: 'available' })) {
    console.log(code, when?.getTime());
  }
  await service.close();
  console.log(problems, reason, until, held, free, found);
}

function wasIt(error: unknown): ErrorCode | undefined {
  if (error instanceof CodeServiceError) {
    const details: [boolean, string?, number?] = [error.retryable, error.reserveId, error.available];
    console.log(error.stack, details);
    return error.code;
  }
  return undefined;
}

everything().catch(wasIt);
