// Waits until the service takes requests: after a deployment it may take a moment.
import { setTimeout as sleep } from 'node:timers/promises';

import { call } from './client.js';
import { settings } from './settings.js';

/** How long one question may take, and how long is waited between two. */
const PATIENCE_MS = 5_000;
const PAUSE_MS = 250;

/** What is wrong with this path; undefined if nothing is. */
async function problem(path, isFine) {
  try {
    const { status } = await call('GET', path, { patience: PATIENCE_MS });
    return isFine(status) ? undefined : `GET ${path} answers ${status}`;
  } catch (error) {
    return `GET ${path}: ${error.cause?.code ?? error.cause?.message ?? error.message}`;
  }
}

async function notReady() {
  // A service without /ready says with its heartbeat that it is.
  return (
    (await problem('/heartbeat', (status) => status === 200)) ??
    (await problem('/ready', (status) => status === 200 || status === 404))
  );
}

/** Fails with a sentence that says what was wrong last. */
export async function untilReady() {
  const deadline = Date.now() + settings.readyTimeout * 1000;
  for (;;) {
    const wrong = await notReady();
    if (wrong === undefined) {
      return;
    }
    if (Date.now() + PAUSE_MS > deadline) {
      throw new Error(`${settings.baseUrl} is not ready after ${settings.readyTimeout} s: ${wrong}`);
    }
    await sleep(PAUSE_MS);
  }
}
