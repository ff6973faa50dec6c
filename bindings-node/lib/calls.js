'use strict';

const { texts } = require('./arguments');
const { dated } = require('./dates');
const { CodeServiceError, closed } = require('./error');
const { turn } = require('./turn');

/** How many codes cross the border at once. */
const CODES = 2000;
/** How many characters of calls, about. */
const BATCH = 64 * 1024;

/** What a call is rejected with that its AbortSignal has ended: as the platform's own. */
function abortError() {
  const error = new Error('the operation was aborted');
  error.name = 'AbortError';
  error.code = 'ABORT_ERR';
  return error;
}

/** The answer of a call that the addon could not be told of. */
function failed({ message }) {
  return { thrown: new CodeServiceError({ code: 'internal', message: `the addon has failed: ${message}` }) };
}

/** The calls that are under way on one native service. */
class Calls {
  constructor(Native) {
    this.waiting = new Map();
    this.last = 0;
    this.closing = false;
    // Calls that the addon has not been told of, a line each, and their numbers.
    this.lines = '';
    this.batch = [];
    this.flush = this.flush.bind(this);
    this.native = new Native((answers) => this.settle(JSON.parse(answers)));
    // What keeps the process alive while somebody waits: answers come from threads that Node.js knows nothing of.
    this.alive = setInterval(() => {}, 0x7fffffff);
    this.alive.unref();
  }

  /** Begins a call and returns what `open` does. */
  begin(method, args, signal) {
    const call = this.open(signal);
    this.send(call.number, method, args);
    return call;
  }

  /**
   * A call that is under way from here on: its number and its answer. The promise is always fulfilled; `outcome`
   * makes an answer or an error of it. Node.js 12 knows who waits for a promise that is fulfilled, for the stack, but
   * not who waits for one that is rejected.
   */
  open(signal, progress, isLast = false) {
    this.last = (this.last + 1) >>> 0;
    const number = this.last;
    if (this.native === null || (this.closing && !isLast)) {
      return { number, answer: Promise.resolve({ thrown: closed() }) };
    }
    if (signal !== undefined && signal.aborted) {
      return { number, answer: Promise.resolve({ thrown: abortError() }) };
    }
    const waiting = { resolve: undefined, progress, parts: undefined, sent: false, instead: undefined, end: undefined };
    const answer = new Promise((resolve) => {
      waiting.resolve = resolve;
    });
    if (signal !== undefined) {
      const abort = () => this.abort(number, abortError());
      signal.addEventListener('abort', abort);
      waiting.end = () => signal.removeEventListener('abort', abort);
      if (signal.aborted) {
        // While it listened.
        waiting.end();
        return { number, answer: Promise.resolve({ thrown: abortError() }) };
      }
    }
    if (this.waiting.size === 0) {
      this.alive.ref();
    }
    this.waiting.set(number, waiting);
    return { number, answer };
  }

  /** Hands an open call over, with those that begin in the same turn of the event loop. */
  send(number, method, args) {
    const waiting = this.waiting.get(number);
    // Or it has ended before it began.
    if (waiting !== undefined) {
      let line;
      try {
        line = `${number} ${method} ${JSON.stringify(args)}\n`;
      } catch (error) {
        this.finish(number, failed(error));
        return;
      }
      waiting.sent = true;
      if (this.batch.length === 0) {
        process.nextTick(this.flush);
      }
      this.batch.push(number);
      this.lines += line;
      // What belongs to a save follows at once.
      if (this.lines.length > BATCH || method === 'save') {
        this.flush();
      }
    }
  }

  /** Tells the addon of all calls that have begun: before whatever else it is told of them. */
  flush() {
    const { batch, lines } = this;
    if (batch.length === 0) {
      return;
    }
    this.batch = [];
    this.lines = '';
    try {
      this.native.begin(lines);
    } catch (error) {
      for (const number of batch) {
        try {
          this.native.abort(number);
        } catch (again) {
          // It is lost altogether.
        }
        this.finish(number, failed(error));
      }
    }
  }

  /** Begins a call with codes: in pieces, if they are too many for one turn of the event loop. */
  async beginWith(codes, method, args, signal) {
    if (codes.length <= CODES) {
      return this.begin(method, { ...args, codes: texts('codes', codes, 0, CODES) }, signal).answer;
    }
    const { number, answer } = this.open(signal);
    for (let start = 0; start < codes.length && this.waiting.has(number); start += CODES) {
      try {
        this.native.stackCodes(number, JSON.stringify(texts('codes', codes, start, start + CODES)));
      } catch (error) {
        this.abort(number, error);
        break;
      }
      await turn();
    }
    this.send(number, method, args);
    return answer;
  }

  /** Ends a call with this error, unless its answer is on its way already. */
  abort(number, error) {
    this.flush();
    const waiting = this.waiting.get(number);
    if (waiting !== undefined && (this.native.abort(number) || !waiting.sent)) {
      this.finish(number, { thrown: error });
    }
  }

  /** Whatever a call answers, it is rejected with this: the first that is said counts. */
  fail(number, error) {
    const waiting = this.waiting.get(number);
    if (waiting !== undefined && waiting.instead === undefined) {
      waiting.instead = { thrown: error };
      if (waiting.sent) {
        this.flush();
        this.native.endOfRows(number, true);
      } else {
        this.finish(number, waiting.instead);
      }
    }
  }

  /** Hands a piece of rows over: bytes of a file, or codes as JSON. */
  push(number, piece) {
    this.flush();
    if (typeof piece === 'string') {
      this.native.pushCodes(number, piece);
    } else {
      this.native.pushBytes(number, piece);
    }
  }

  endOfRows(number) {
    this.flush();
    this.native.endOfRows(number, false);
  }

  /** Lets go of what a call that has been answered has opened. */
  forget(number) {
    if (this.native !== null) {
      this.flush();
      this.native.abort(number);
    }
  }

  /** Takes what has ended. */
  settle(answers) {
    if (answers[answers.length - 1] === true) {
      answers.pop();
      // More wait, but others want their turn, too.
      setImmediate(() => this.native !== null && this.settle(JSON.parse(this.native.more())));
    }
    for (const answer of answers) {
      const waiting = this.waiting.get(answer.call);
      if (waiting === undefined) {
        // It was aborted.
      } else if (answer.part !== undefined) {
        waiting.parts = waiting.parts || [];
        waiting.parts.push(answer.part.map(dated));
      } else if (answer.progress !== undefined) {
        waiting.progress(answer.progress);
      } else {
        this.finish(answer.call, waiting.parts === undefined ? answer : whole(answer, waiting.parts));
      }
    }
  }

  finish(number, answer) {
    const waiting = this.waiting.get(number);
    // One that was aborted may have been answered before that.
    if (waiting === undefined) {
      return;
    }
    this.waiting.delete(number);
    if (this.waiting.size === 0) {
      this.alive.unref();
    }
    waiting.resolve(waiting.instead || answer);
    if (waiting.end !== undefined) {
      try {
        waiting.end();
      } catch (error) {
        // A signal that is not one: the call has its answer all the same.
      }
    }
  }

  /** Lets calls end, and closes. */
  async close() {
    this.closing = true;
    while (this.waiting.size > 0) {
      await new Promise((resolve) => {
        const [first] = this.waiting.values();
        const { end } = first;
        first.end = () => {
          resolve();
          return end && end();
        };
      });
    }
    const { number, answer } = this.open(undefined, undefined, true);
    this.send(number, 'close', {});
    await answer;
    this.drop();
  }

  drop() {
    this.native.endAll();
    this.native = null;
    clearInterval(this.alive);
  }
}

/** An answer with the parts of its list that came before it, the last ones first. */
function whole(answer, parts) {
  if (answer.ok !== undefined) {
    const list = answer.ok.codes === undefined ? 'lost' : 'codes';
    dated(answer.ok);
    answer.ok[list] = answer.ok[list].concat(...parts.reverse());
  }
  return answer;
}

/** The answer of a call, or its error, made here, where the stack is the caller's. */
function outcome(answer) {
  if ('thrown' in answer) {
    throw answer.thrown;
  }
  if (answer.error !== undefined) {
    throw new CodeServiceError(answer.error);
  }
  return answer.ok;
}

module.exports = { Calls, abortError, outcome };
