// The words of the features that stand for values.
import { defineParameterType } from '@cucumber/cucumber';

const CODE = '(?:[A-Z]\\d|code)';

/** `A1, A2 and A3` */
defineParameterType({
  name: 'codes',
  regexp: new RegExp(`${CODE}(?:, ${CODE})*(?: and ${CODE})?`),
  transformer: (text) => text.split(/, | and /),
});

/** A body as it is sent. */
defineParameterType({ name: 'body', regexp: /\{.*/, transformer: (text) => text });

defineParameterType({ name: 'path', regexp: /\/\S*/, transformer: (text) => text });

defineParameterType({ name: 'status', regexp: /available|reserved|assigned/, transformer: (text) => text });

defineParameterType({ name: 'verb', regexp: /assign|release/, transformer: (text) => text });

defineParameterType({ name: 'campaign', regexp: /campaign|other campaign/, transformer: (text) => text });

/** A correlation id. */
defineParameterType({
  name: 'id',
  regexp: [/"([^"]*)"/, /of (\d+) characters/],
  transformer: (text, length) => text ?? 'x'.repeat(Number(length)),
});

defineParameterType({
  name: 'caller',
  regexp:
    /anybody|a caller without a token|a supreme user|a user who is not supreme|its owner|a caller with a token that .+/,
  transformer: (text) => text,
});

const CHARACTERS = { '⏎': '\n', '␍': '\r', '␠': ' ', '␉': '\t', '␀': '\0', '⌦': '\uFEFF' };

/** A file whose invisible characters are written as visible ones; quotes within it are its own. */
defineParameterType({
  name: 'file',
  regexp: /"(.*)"/,
  transformer: (text) => text.replace(/[⏎␍␠␉␀⌦]/g, (character) => CHARACTERS[character]),
});

/** `GET and PUT` */
defineParameterType({
  name: 'methods',
  regexp: /[A-Z]+(?: and [A-Z]+)*/,
  transformer: (text) => text.split(' and '),
});

defineParameterType({
  name: 'is_supreme',
  regexp: /supreme|not supreme/,
  transformer: (text) => text === 'supreme',
});
