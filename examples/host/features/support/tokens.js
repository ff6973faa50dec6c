// Tokens: given, signed here, or made by the service for development; and bad ones.
import { createHmac, createPrivateKey, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';

import { said } from './answers.js';
import { call } from './client.js';
import { settings } from './settings.js';

const now = () => Math.floor(Date.now() / 1000);
const encoded = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
const content = (alg, claims) => `${encoded({ alg, typ: 'JWT' })}.${encoded(claims)}`;

/** The claims of a good token with some changed; those that are undefined are missing. */
function claims(changes = {}) {
  return { user: { id: 'features' }, isSupreme: true, iss: settings.issuer, exp: now() + 3600, ...changes };
}

function signed(claims, key = ourKey(), bits = 256) {
  const text = content(`RS${bits}`, claims);
  return `${text}.${sign(`RSA-SHA${bits}`, Buffer.from(text), key).toString('base64url')}`;
}

function withSecret(claims, secret) {
  const text = content('HS256', claims);
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
}

function ourKey() {
  return createPrivateKey(readFileSync(settings.privateKeyFile));
}

const anotherKey = () => generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;

const made = new Map();

/** A token of the service itself, which it makes only where it is told to. */
async function fromService(isSupreme) {
  if (!made.has(isSupreme)) {
    const answer = await call('POST', '/dev/token', { body: { userId: 'features', isSupreme } });
    if (answer.status !== 200) {
      throw new Error(
        'no token: set SUPREME_TOKEN and USER_TOKEN, or JWT_PRIVATE_KEY_FILE, or let the service make some for ' +
          `development (${said(answer)})`,
      );
    }
    made.set(isSupreme, JSON.parse(answer.text).data.token);
  }
  return made.get(isSupreme);
}

async function token(given, isSupreme) {
  if (given) {
    return given;
  }
  return settings.privateKeyFile ? signed(claims({ isSupreme })) : fromService(isSupreme);
}

export const supreme = () => token(settings.tokens.supreme, true);
export const user = () => token(settings.tokens.user, false);

/** Tokens by what is special about them. */
const SPECIAL = {
  // Anybody can make these.
  'is garbage': () => 'garbage',
  'is empty': () => '',
  'is not signed': () => `${content('none', claims())}.`,
  'is signed by another key': () => signed(claims(), anotherKey()),
  'is signed with a shared secret': () => withSecret(claims(), 'secret'),
  'was made supreme after signing': async () => {
    const [header, payload, signature] = (await user()).split('.');
    const before = JSON.parse(Buffer.from(payload, 'base64url'));
    return `${header}.${encoded({ ...before, isSupreme: true })}.${signature}`;
  },

  // These take the right key.
  'is signed with the public key as a secret': () => {
    const publicKey = createPublicKey(ourKey()).export({ type: 'spki', format: 'pem' });
    return withSecret(claims(), publicKey);
  },
  'is signed by another RSA algorithm': () => signed(claims(), ourKey(), 512),
  'expired an hour ago': () => signed(claims({ exp: now() - 3600 })),
  'expired a second ago': () => signed(claims({ exp: now() - 1 })),
  'never expires': () => signed(claims({ exp: undefined })),
  'is not valid yet': () => signed(claims({ nbf: now() + 3600 })),
  'is of another issuer': () => signed(claims({ iss: 'somebody' })),
  'is of no issuer': () => signed(claims({ iss: undefined })),
  'says isSupreme "true"': () => signed(claims({ isSupreme: 'true' })),
  'says isSupreme 1': () => signed(claims({ isSupreme: 1 })),
  'does not speak of supreme': () => signed(claims({ isSupreme: undefined })),
  'is for another audience': () => signed(claims({ aud: 'somebody' })),
};

export async function special(what) {
  if (SPECIAL[what] === undefined) {
    throw new Error(`no token is known that ${what}`);
  }
  return SPECIAL[what]();
}
