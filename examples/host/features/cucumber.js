// The profiles. What the settings rule out is left out, and said.
import { leftOut, settings } from './support/settings.js';

const without = leftOut.map(({ tag }) => `not ${tag}`);
for (const { tag, why } of leftOut) {
  console.error(`left out: ${tag.padEnd(14)} ${why}`);
}

const profile = (...tags) => ({
  paths: ['*.feature'],
  import: ['support/*.js', 'step_definitions/*.js'],
  tags: [...tags, ...without].join(' and '),
  format: ['progress', `junit:${settings.reports}/junit.xml`, `html:${settings.reports}/report.html`],
  formatOptions: { junit: { suiteName: 'code-service' } },
  // What fails twice is no accident of the network.
  retry: 1,
});

export default profile('not @expiry');

/** What is safe beside real traffic, after a deployment. */
const postDeploy = profile('@post-deploy');
export { postDeploy as 'post-deploy' };

/** On a service whose reservations expire within seconds. */
export const expiry = profile('@expiry');
