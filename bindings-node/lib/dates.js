'use strict';

/** The times of an answer, or of an item of its list, as dates. */
function dated(answer) {
  // One whose list came in pieces has been here before it was put together.
  if (typeof answer === 'object' && answer !== null && !(answer.expires instanceof Date)) {
    // Each by its name, which is faster than a loop over them.
    if (typeof answer.saved === 'number') {
      answer.saved = new Date(answer.saved);
    }
    if (typeof answer.reserved === 'number') {
      answer.reserved = new Date(answer.reserved);
    }
    if (typeof answer.assigned === 'number') {
      answer.assigned = new Date(answer.assigned);
    }
    if (typeof answer.expires === 'number') {
      answer.expires = new Date(answer.expires);
    }
    if (Array.isArray(answer.codes)) {
      answer.codes.forEach(dated);
    }
  }
  return answer;
}

module.exports = { dated };
