// What the environment says about the service and what is around it. README.md has the table.
const { env } = process;

function whole(name, otherwise) {
  const value = env[name] || String(otherwise);
  if (!/^[0-9]+$/.test(value)) {
    throw new Error(`${name} must be a whole number of seconds, and is ${JSON.stringify(value)}`);
  }
  return Number(value);
}

function truth(name) {
  const value = env[name] || 'true';
  if (!['true', 'false'].includes(value)) {
    throw new Error(`${name} must be true or false, and is ${JSON.stringify(value)}`);
  }
  return value === 'true';
}

export const settings = {
  baseUrl: (env.BASE_URL || 'http://localhost:8080').replace(/\/+$/, ''),
  readyTimeout: whole('READY_TIMEOUT', 60),
  reports: env.REPORTS || 'reports',
  tokens: { supreme: env.SUPREME_TOKEN, user: env.USER_TOKEN },
  privateKeyFile: env.JWT_PRIVATE_KEY_FILE,
  issuer: env.JWT_ISSUER || 'titan-lib',
  bucket: { path: env.BUCKET_PATH, name: env.BUCKET_NAME },
  devEndpoints: truth('DEV_ENDPOINTS'),
  allowAnon: truth('ALLOW_ANON'),
  reservationTtl: whole('RESERVATION_TTL', 24 * 60 * 60),
};

const hasBucket = settings.bucket.path || settings.bucket.name;

/** The tags of scenarios that make no sense with these settings. */
export const leftOut = [
  !hasBucket && { tag: '@bucket', why: 'neither BUCKET_PATH nor BUCKET_NAME is set' },
  !settings.privateKeyFile && { tag: '@signing', why: 'JWT_PRIVATE_KEY_FILE is not set' },
  settings.devEndpoints
    ? { tag: '@dev-off', why: 'DEV_ENDPOINTS is true' }
    : { tag: '@dev', why: 'DEV_ENDPOINTS is false' },
  settings.allowAnon
    ? { tag: '@anonymous-off', why: 'ALLOW_ANON is true' }
    : { tag: '@anonymous', why: 'ALLOW_ANON is false' },
].filter(Boolean);
