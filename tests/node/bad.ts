import { CodeService, CodeServiceError, Reservation } from 'code-service';

async function nothing(service: CodeService, reservation: Reservation, error: CodeServiceError): Promise<void> {
  new CodeService(); // wrong
  await CodeService.connect(); // wrong
  await CodeService.connect({ uri: 7 }); // wrong
  await CodeService.connect({ uri: 'x', colection: 'codes' }); // wrong
  await service.reserve({ campaignId: 'summer', type: 'tm' }); // wrong
  await service.reserve({ campaignId: 'summer', type: 'tm', count: '1' }); // wrong
  await service.reserve({ campaignId: 'summer', type: 'tm', count: 1, reserveID: 'misspelt' }); // wrong
  await service.save({ campaignId: 'summer', type: 'tm', codes: [1, 2] }); // wrong
  await service.save({ campaignId: 'summer', codes: ['A'] }); // wrong
  await service.save({ campaignId: 'summer', type: 'tm', codes: 'A,B' }); // wrong
  new CodeServiceError('x'); // wrong
  await service.assign({ campaignId: 'summer', codes: 'A' }); // wrong
  await service.release(['A']); // wrong
  await service.find({ campaignId: 'summer' }); // wrong
  service.export({ campaignId: 'summer', status: 'gone' }); // wrong
  (await service.recover({ reserveId: 'x' })).codes; // wrong
  (await service.find({ campaignId: 'summer', code: 'A' })).saved.getTime(); // wrong
  const text: string = reservation.expires; // wrong
  reservation.codes.push(1); // wrong
  error.code === 'no_such_word'; // wrong
  error.retryable = true; // wrong
}
nothing;
