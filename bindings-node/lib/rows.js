'use strict';

const { isStringObject, isUint8Array } = require('util').types;

const { invalid } = require('./error');
const { text } = require('./arguments');
const { turn } = require('./turn');

/** How many codes cross the border at once. */
const CODES = 2000;
/** And how many bytes. */
const BYTES = 64 * 1024;
/** How many pieces may be ahead of what the database has taken. */
const AHEAD = 8;

/** The items of what `save` was given: codes, or pieces of a CSV file. */
function iterator(source) {
  if (isUint8Array(source)) {
    return [source][Symbol.iterator]();
  }
  for (const kind of [Symbol.asyncIterator, Symbol.iterator]) {
    // A text is no list of its characters.
    if (typeof source === 'object' && source !== null && !isStringObject(source) && typeof source[kind] === 'function') {
      const items = source[kind]();
      if (typeof items === 'object' && items !== null && typeof items.next === 'function') {
        return items;
      }
    }
  }
  throw invalid('codes', 'must be an array, a Buffer, an iterable or a stream');
}

/** What an iterator has answered. */
function given(item) {
  if (typeof item !== 'object' || item === null) {
    throw invalid('codes', 'its iterator answers with something that is no object');
  }
  return item;
}

/**
 * Whether a stream was closed before its end. Node.js 12 does not tell those who iterate it, and so half a row would
 * be a code.
 */
function isCutOff(source) {
  if (typeof source.pipe !== 'function') {
    return false;
  }
  const { readableEnded = (source._readableState || {}).endEmitted } = source;
  return readableEnded === false;
}

/** As newer versions of Node.js say it. */
function cutOff() {
  const error = new Error('the stream was closed before its end');
  error.code = 'ERR_STREAM_PREMATURE_CLOSE';
  return error;
}

/** A stream of text that was told its encoding: its strings are pieces of a file, not codes. */
function isText(source) {
  return typeof source.readableObjectMode === 'boolean' && !source.readableObjectMode;
}

/** Lets go of a source that nobody will read. Says whether it is a stream, which can be told so. */
function discard(source) {
  try {
    if (typeof source.pipe === 'function' && typeof source.destroy === 'function') {
      // Without a listener an error of a stream ends the process.
      source.on('error', () => {});
      source.destroy();
      return true;
    }
  } catch (error) {
    // Something that only looks like one.
  }
  return false;
}

/** Hands the rows of a `save` over, as it takes them. */
class Feeder {
  /** `save` is told when to begin, and gets the pieces. */
  constructor(save) {
    this.save = save;
    this.ahead = 0;
    this.wake = undefined;
    this.stopped = false;
    this.source = undefined;
    this.items = undefined;
  }

  /** The save has taken a piece. */
  taken() {
    this.ahead -= 1;
    this.go();
  }

  /** Nothing more is needed: closes the source, if it is not at its end. */
  stop() {
    this.stopped = true;
    this.go();
    const { items, source } = this;
    this.items = undefined;
    // A stream at once: its iterator would wait for the item that it has been asked for.
    if (items !== undefined && !discard(source) && typeof items.return === 'function') {
      // Its own errors come too late to matter.
      Promise.resolve()
        .then(() => items.return())
        .catch(() => {});
    }
  }

  go() {
    if (this.wake !== undefined) {
      this.wake();
      this.wake = undefined;
    }
  }

  async run(source) {
    const items = iterator(source);
    this.items = items;
    this.source = source;
    const first = given(await items.next());
    if (this.stopped) {
      return;
    }
    // The first item tells what it is: codes are strings, a file is bytes.
    const csv = isUint8Array(source) || isText(source) || (!first.done && isUint8Array(first.value));
    this.save.begin(csv);
    await (csv ? this.feedBytes(first) : this.feedCodes(first));
    if (!this.stopped) {
      this.items = undefined;
      if (isCutOff(source)) {
        throw cutOff();
      }
      this.save.end();
    }
  }

  async feedCodes(first) {
    let list = [];
    let row = 0;
    for (let item = first; !item.done && !this.stopped; item = given(await this.items.next())) {
      list.push(text(`codes[${row}]`, item.value));
      row += 1;
      if (list.length === CODES) {
        await this.push(JSON.stringify(list));
        list = [];
        // A list has no pauses of its own: others want their turn.
        await turn();
      }
      if (this.stopped) {
        return;
      }
    }
    if (list.length > 0) {
      await this.push(JSON.stringify(list));
    }
  }

  async feedBytes(first) {
    let place = 0;
    let [small, size] = [[], 0];
    const flush = async () => {
      const together = Buffer.concat(small, size);
      [small, size] = [[], 0];
      await this.push(together);
    };
    try {
      for (let item = first; !item.done && !this.stopped; item = given(await this.items.next())) {
        const bytes = typeof item.value === 'string' ? Buffer.from(item.value) : item.value;
        if (!isUint8Array(bytes)) {
          throw invalid(`codes[${place}]`, 'must be a Buffer, as the one before');
        }
        place += 1;
        if (place % CODES === 0) {
          // A source that is always ready has no pauses of its own.
          await turn();
        }
        if (bytes.length > 0 && bytes.length < BYTES) {
          // Small ones cross together. A copy: its owner may fill it again.
          small.push(Buffer.from(bytes));
          size += bytes.length;
        }
        if (size >= BYTES || bytes.length >= BYTES) {
          await flush();
        }
        for (let start = 0; bytes.length >= BYTES && start < bytes.length; start += BYTES) {
          await this.push(bytes.subarray(start, start + BYTES));
        }
        if (this.stopped) {
          return;
        }
      }
    } finally {
      // Also what came before its source failed.
      await flush();
    }
  }

  async push(piece) {
    if (piece.length === 0) {
      return;
    }
    while (this.ahead >= AHEAD && !this.stopped) {
      await new Promise((resolve) => {
        this.wake = resolve;
      });
    }
    if (!this.stopped) {
      this.ahead += 1;
      this.save.push(piece);
    }
  }
}

module.exports = { Feeder, discard };
