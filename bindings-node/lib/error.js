'use strict';

/** What every call is rejected with, see `index.d.ts`. */
class CodeServiceError extends Error {
  constructor(failure) {
    super(failure.message);
    this.code = failure.code;
    this.retryable = failure.retryable === true;
    for (const name of ['reserveId', 'argument', 'wanted', 'available', 'cause']) {
      if (failure[name] !== undefined) {
        this[name] = failure[name];
      }
    }
  }
}
// On the prototype, so that printing an error does not list it.
Object.defineProperty(CodeServiceError.prototype, 'name', {
  value: 'CodeServiceError',
  configurable: true,
  writable: true,
});

function invalid(argument, reason) {
  return new CodeServiceError({ code: 'invalid_argument', message: `${argument}: ${reason}`, argument });
}

function closed() {
  return new CodeServiceError({ code: 'closed', message: 'the service is closed: connect again' });
}

module.exports = { CodeServiceError, invalid, closed };
