'use strict';

const { checked, line, rules } = require('./arguments');
const { invalid } = require('./error');

const TAKES = {
  uri: 'line?',
  mongo: 'object?',
  database: 'line?',
  collection: 'line?',
  reservationTtlMS: 'time?',
  serverSelectionTimeoutMS: 'time?',
  patienceMS: 'time?',
  sweepIntervalMS: 'time?',
};

/** The object that `titan.mongo` of a configuration is. */
const MONGO = {
  uri: 'line?',
  port: 'anything?',
  hostUrls: 'texts?',
  username: 'line?',
  password: 'line?',
  options: 'object?',
};

/** Of its options, those that mean something here, and what they are called in a connection string. */
const OPTIONS = {
  replicaSet: 'replicaSet',
  authSource: 'authSource',
  readPreference: 'readPreference',
  ssl: 'tls',
  tls: 'tls',
  poolSize: 'maxPoolSize',
  maxPoolSize: 'maxPoolSize',
  connectTimeoutMS: 'connectTimeoutMS',
  serverSelectionTimeoutMS: 'serverSelectionTimeoutMS',
};
const [TAKES_RULES, MONGO_RULES] = [TAKES, MONGO].map(rules);
const READ_PREFERENCES = ['primary', 'primaryPreferred', 'secondary', 'secondaryPreferred', 'nearest'];

/** The options of `connect` as the addon takes them, and what to call the connection string: it may be made of parts. */
function connection(options) {
  const { mongo, ...rest } = checked('connect', options, TAKES_RULES);
  if (mongo === undefined) {
    if (rest.uri === undefined) {
      throw invalid('uri', 'is missing');
    }
    return { how: rest, name: 'uri' };
  }
  if (rest.uri !== undefined) {
    throw invalid('mongo', 'says the same as uri: leave one of them out');
  }
  return { how: { ...legacy(checked('mongo', mongo, MONGO_RULES, 'mongo.')), ...rest }, name: 'mongo' };
}

/** What the parts of a connection string make. */
function legacy({ uri, port = 27017, hostUrls = [], username, password, options = {} }) {
  const dbName = plain('mongo.options.dbName', options.dbName);
  if (uri !== undefined) {
    const [, path] = /^[^?]*:\/\/[^/?]*\/?([^?]*)/.exec(uri) || [];
    return path || dbName === '' ? { uri } : { uri, database: dbName };
  }
  if (hostUrls.length === 0) {
    throw invalid('mongo.hostUrls', 'is missing, and mongo.uri, too');
  }
  if (username !== undefined && password === undefined) {
    throw invalid('mongo.password', 'is missing, and mongo.username is not');
  }
  // A colon inside brackets belongs to an IPv6 address.
  const hosts = hostUrls.map((host) => (/:[^\]]*$/.test(host) ? host : `${host}:${plain('mongo.port', port)}`));
  const user = username === undefined ? '' : `${encodeURIComponent(username)}:${encodeURIComponent(password)}@`;
  const found = new Map();
  for (const name of Object.keys(OPTIONS)) {
    const value = plain(`mongo.options.${name}`, options[name]);
    if (value !== '' && value !== 'false') {
      found.set(OPTIONS[name], encodeURIComponent(name === 'readPreference' ? readPreference(value) : value));
    }
  }
  const query = Array.from(found, ([name, value]) => `${name}=${value}`).join('&');
  return { uri: `mongodb://${user}${hosts.join(',')}/${encodeURIComponent(dbName)}?${query}` };
}

/** A text, number or truth value as text; nothing as an empty one. */
function plain(name, value) {
  if (value === undefined || value === null) {
    return '';
  }
  if (typeof value !== 'number' && typeof value !== 'boolean') {
    line(name, value);
  }
  return String(value);
}

/** Configurations write `NEAREST`, connection strings `nearest`. */
function readPreference(name) {
  return READ_PREFERENCES.find((known) => known.toLowerCase() === name.toLowerCase()) || name;
}

module.exports = { MONGO, TAKES, connection };
