'use strict';

const { Native } = require('./lib/native');
const { CodeServiceError, closed } = require('./lib/error');
const { Calls, abortError, outcome } = require('./lib/calls');
const { TAKES, checked, rules } = require('./lib/arguments');
const { connection } = require('./lib/connection');
const { dated } = require('./lib/dates');
const { Feeder, discard } = require('./lib/rows');
const { turn } = require('./lib/turn');

const RULES = {};
for (const method of Object.keys(TAKES)) {
  RULES[method] = rules(TAKES[method]);
}

/** Made by `connect` alone. */
const KEY = Symbol('connect');

class CodeService {
  constructor(key, calls) {
    if (key !== KEY) {
      throw new TypeError('call CodeService.connect(options) instead of new CodeService()');
    }
    this._calls = calls;
    this._closed = undefined;
    Object.defineProperties(this, { _calls: { enumerable: false }, _closed: { enumerable: false } });
  }

  static async connect(options) {
    const { how, name } = connection(options);
    const calls = new Calls(Native);
    const connected = await calls.begin('connect', how).answer;
    if (connected.ok === undefined) {
      calls.drop();
    }
    if (connected.error && connected.error.argument === 'uri') {
      connected.error.argument = name;
      connected.error.message = connected.error.message.replace(/^uri:/, `${name}:`);
    }
    outcome(connected);
    return new CodeService(KEY, calls);
  }

  async save(args) {
    const calls = this._calls;
    let given;
    let feeder;
    let call;
    // What `progress` throws, or rejects its promise with, ends the save; it is told no more then.
    const failed = (error) => {
      call.failed = true;
      calls.fail(call.number, error);
    };
    const told = (report) => {
      if (report.taken) {
        feeder.taken();
        return;
      }
      try {
        if (!call.failed) {
          const { progress } = given;
          Promise.resolve(progress(report)).catch(failed);
        }
      } catch (error) {
        failed(error);
      }
    };
    try {
      given = this._checked('save', args);
      call = calls.open(given.signal, told);
    } catch (error) {
      discard(args && args.codes);
      throw error;
    }
    const { progress, signal, codes, ...rest } = given;
    feeder = new Feeder({
      begin: (csv) => calls.send(call.number, 'save', { ...rest, csv, progress: progress !== undefined }),
      push: (piece) => calls.push(call.number, piece),
      end: () => calls.endOfRows(call.number),
    });
    const fed = feeder.run(codes).catch((error) => calls.fail(call.number, error));
    const answer = await call.answer;
    feeder.stop();
    // The source is closed before the answer, unless it keeps its next item to itself: a save that has failed does
    // not wait for that.
    await Promise.race([fed, turn()]);
    return outcome(answer);
  }

  async reserve(args) {
    return dated(outcome(await this._answer('reserve', args)));
  }

  async recover(args) {
    return dated(outcome(await this._answer('recover', args)));
  }

  async reservation(args) {
    return dated(outcome(await this._answer('reservation', args)));
  }

  async assign(args) {
    return this._settle('assign', args);
  }

  async release(args) {
    return this._settle('release', args);
  }

  async count(args) {
    return outcome(await this._answer('count', args));
  }

  async find(args) {
    return dated(outcome(await this._answer('find', args)));
  }

  async *export(args) {
    const { signal, ...wish } = this._checked('export', args);
    const exported = this._calls.begin('export', wish, signal);
    try {
      outcome(await exported.answer);
      for (;;) {
        const page = outcome(await this._calls.begin('next', { export: exported.number }, signal).answer);
        if (page.length === 0) {
          return;
        }
        for (const code of page) {
          if (signal !== undefined && signal.aborted) {
            throw abortError();
          }
          yield dated(code);
        }
      }
    } finally {
      this._calls.forget(exported.number);
    }
  }

  async ensureIndexes(args = {}) {
    outcome(await this._answer('ensureIndexes', args));
  }

  async verifyIndexes(args = {}) {
    return outcome(await this._answer('verifyIndexes', args));
  }

  close() {
    if (this._closed === undefined) {
      this._closed = this._calls.close();
    }
    return this._closed;
  }

  _checked(method, args) {
    if (this._closed !== undefined) {
      throw closed();
    }
    return checked(method, args, RULES[method]);
  }

  async _settle(method, args) {
    const { signal, codes, ...rest } = this._checked(method, args);
    return outcome(await this._calls.beginWith(codes, method, rest, signal));
  }

  /** The answer of a call, for `outcome`. */
  _answer(method, args) {
    const given = this._checked(method, args);
    const { signal } = given;
    if (signal !== undefined) {
      delete given.signal;
    }
    return this._calls.begin(method, given, signal).answer;
  }
}

module.exports = { CodeService, CodeServiceError };
