'use strict';

// Only what JSON would not carry to the addon as it is: the rules of a text or a number are the core's.

const { invalid } = require('./error');

/** What the methods take, by name; ? can be left out. */
const TAKES = {
  save: { campaignId: 'text', type: 'text', codes: 'anything', progress: 'callback?', signal: 'signal?' },
  reserve: {
    campaignId: 'text',
    type: 'text',
    count: 'number',
    partial: 'flag?',
    reserveId: 'text?',
    signal: 'signal?',
  },
  recover: { reserveId: 'text', signal: 'signal?' },
  reservation: { reserveId: 'text', signal: 'signal?' },
  assign: { campaignId: 'text', codes: 'strings', reserveId: 'text?', signal: 'signal?' },
  release: { campaignId: 'text', codes: 'strings', reserveId: 'text?', signal: 'signal?' },
  count: { campaignId: 'text', type: 'text', signal: 'signal?' },
  find: { campaignId: 'text', code: 'text', signal: 'signal?' },
  export: {
    campaignId: 'text', type: 'text?', status: 'text?', reserveId: 'text?', after: 'text?', signal: 'signal?',
  },
  ensureIndexes: { signal: 'signal?' },
  verifyIndexes: { signal: 'signal?' },
};

/** Longer than any text may be that is no connection string: the core refuses it, whatever follows. */
const LONG = 257;
/** Few texts have any, and this is the faster look. */
const SURROGATE = /[\ud800-\udfff]/;
/** A surrogate without its partner: a string, but no text. */
const TORN = /\p{Surrogate}/u;
const MOST = 0xffffffff;

function isTorn(text) {
  return SURROGATE.test(text) && TORN.test(text);
}

/** So many of the strings, each a text. */
function texts(name, strings, start, end) {
  return strings.slice(start, end).map((text, place) => {
    const fits = text.length <= LONG && !isTorn(text);
    return fits ? text : kinds.text(`${name}[${start + place}]`, text);
  });
}

const kinds = {
  text(name, value) {
    if (typeof value !== 'string') {
      throw invalid(name, 'must be a string');
    }
    const text = value.length > LONG ? 'x'.repeat(LONG) : value;
    if (isTorn(text)) {
      throw invalid(name, 'must be valid Unicode');
    }
    return text;
  },

  /** A text of any length. */
  line(name, value) {
    kinds.text(name, value);
    if (isTorn(value)) {
      throw invalid(name, 'must be valid Unicode');
    }
    return value;
  },

  number(name, value) {
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > MOST) {
      throw invalid(name, 'must be a whole number');
    }
    return value;
  },

  /** Milliseconds: longer than a number of the core. */
  time(name, value) {
    if (!Number.isSafeInteger(value) || value < 0) {
      throw invalid(name, 'must be a whole number of milliseconds');
    }
    return value;
  },

  flag(name, value) {
    if (typeof value !== 'boolean') {
      throw invalid(name, 'must be true or false');
    }
    return value;
  },

  /** Strings, of which `texts` makes texts piece by piece: they may be too many to look into all of them at once. */
  strings(name, value) {
    if (!Array.isArray(value)) {
      throw invalid(name, 'must be an array of strings');
    }
    // A copy; made one by one, because an array may have billions of holes.
    const copy = [];
    for (let place = 0; place < value.length; place += 1) {
      const text = value[place];
      copy.push(typeof text === 'string' ? text : kinds.text(`${name}[${place}]`, text));
    }
    return copy;
  },

  texts(name, value) {
    const strings = kinds.strings(name, value);
    return texts(name, strings, 0, strings.length);
  },

  callback(name, value) {
    if (typeof value !== 'function') {
      throw invalid(name, 'must be a function');
    }
    return value;
  },

  signal(name, value) {
    const listens = (method) => typeof value[method] === 'function';
    if (typeof value !== 'object' || !listens('addEventListener') || !listens('removeEventListener')) {
      throw invalid(name, 'must be an AbortSignal');
    }
    return value;
  },

  object(name, value) {
    if (typeof value !== 'object' || Array.isArray(value)) {
      throw invalid(name, 'must be an object');
    }
    return value;
  },

  anything(name, value) {
    return value;
  },
};

/** What `checked` goes by, of names and kinds. */
function rules(takes) {
  const known = new Map();
  for (const name of Object.keys(takes)) {
    const kind = takes[name];
    known.set(name, { check: kinds[kind.replace('?', '')], optional: kind.endsWith('?') });
  }
  return known;
}

/**
 * Checks the one argument of a method against the names it knows; those that end with ? can be left out.
 * A name of its own that it does not know is refused: misspelt, a reserveId would be no error but a second reservation.
 */
function checked(method, given, known, prefix = '') {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw invalid('arguments', `${method} takes one object`);
  }
  const found = {};
  // What is there is found faster than what is not, so first only that.
  const own = Object.getOwnPropertyNames(given);
  for (const name of own) {
    const rule = known.get(name);
    const value = given[name];
    if (rule !== undefined && value !== undefined && value !== null) {
      found[name] = rule.check(prefix + name, value);
    }
  }
  const isPlain = Object.getPrototypeOf(given) === Object.prototype;
  for (const [name, { check, optional }] of known) {
    if (!(isPlain && optional) && found[name] === undefined) {
      const value = given[name];
      if (value !== undefined && value !== null) {
        // Of its class.
        found[name] = check(prefix + name, value);
      } else if (!optional) {
        throw invalid(prefix + name, 'is missing');
      }
    }
  }
  for (const name of own) {
    if (!known.has(name)) {
      throw invalid(prefix + name, `is no argument of ${method}`);
    }
  }
  return found;
}

module.exports = { TAKES, checked, rules, line: kinds.line, text: kinds.text, texts };
