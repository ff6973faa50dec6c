// Calls of the service.
import { settings } from './settings.js';

/** Longer than anything a scenario asks for may take. */
const PATIENCE_MS = 30_000;

/** One call, and its whole answer. A body that is no text is sent as JSON. */
export async function call(method, path, { token, body, headers = {}, patience = PATIENCE_MS } = {}) {
  const isText = body === undefined || typeof body === 'string';
  const response = await fetch(settings.baseUrl + path, {
    method,
    headers: {
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...headers,
    },
    body: isText ? body : JSON.stringify(body),
    redirect: 'manual',
    signal: AbortSignal.timeout(patience),
  });
  const { status, headers: answered } = response;
  return { asked: `${method} ${path}`, status, headers: answered, text: await response.text() };
}
