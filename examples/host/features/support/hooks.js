// What happens around the scenarios.
import { After, BeforeAll, setDefaultTimeout } from '@cucumber/cucumber';

import { bucket } from './bucket.js';
import { untilReady } from './readiness.js';
import { settings } from './settings.js';

const STEP_MS = 120_000;

setDefaultTimeout(STEP_MS);

BeforeAll({ timeout: settings.readyTimeout * 1000 + STEP_MS }, untilReady);

After(async function () {
  for (const key of this.files) {
    await (await bucket()).remove(key);
  }
});
