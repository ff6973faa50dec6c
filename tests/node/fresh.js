'use strict';

// Holds what index.d.ts declares against what the package takes and answers, and fails where they differ.
//
//     node fresh.js PACKAGE URI ERRORS

const assert = require('assert');
const path = require('path');
const ts = require('typescript');

const [folder, uri, errors] = process.argv.slice(2);
const { CodeService, CodeServiceError } = require(folder);
const { TAKES } = require(path.join(folder, 'lib/arguments'));
const { TAKES: OPTIONS, MONGO } = require(path.join(folder, 'lib/connection'));

const file = path.join(folder, 'index.d.ts');
const program = ts.createProgram([file], { strict: true, types: [] });
const checker = program.getTypeChecker();
const declared = new Map(
  checker
    .getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(file)))
    .map((symbol) => [symbol.name, checker.getDeclaredTypeOfSymbol(symbol)]),
);

const typeOf = (symbol) => checker.getTypeOfSymbolAtLocation(symbol, symbol.valueDeclaration);
const isOptional = (symbol) => (symbol.flags & ts.SymbolFlags.Optional) !== 0;

/** The names that a type declares, those that can be left out with ? */
function names(type) {
  return checker
    .getPropertiesOfType(type)
    .map((symbol) => symbol.name + (isOptional(symbol) ? '?' : ''))
    .sort();
}

/** The same of what the package takes. */
function taken(takes) {
  return Object.keys(takes)
    .map((name) => name + (takes[name].endsWith('?') ? '?' : ''))
    .sort();
}

/** Whether a value has exactly what its type declares, and all the way down. */
function mustFit(value, type, where) {
  if (type.isUnion() && !(type.flags & ts.TypeFlags.Boolean)) {
    const literals = type.types.filter((one) => one.isStringLiteral()).map((one) => one.value);
    if (typeof value === 'string' && literals.length > 0) {
      assert(literals.includes(value), `${where}: ${value}`);
    } else if (value === null) {
      assert(type.types.some((one) => one.flags & ts.TypeFlags.Null), `${where} is null`);
    } else {
      mustFit(value, checker.getNonNullableType(type), where);
    }
  } else if (Array.isArray(value)) {
    assert(checker.isArrayType(type), `${where} is an array`);
    value.forEach((item, at) => mustFit(item, checker.getTypeArguments(type)[0], `${where}[${at}]`));
  } else if (value instanceof Date) {
    assert.strictEqual(checker.typeToString(type), 'Date', where);
  } else if (typeof value === 'object') {
    const left = names(type).filter((name) => value[name.replace('?', '')] === undefined);
    assert.deepStrictEqual(left.filter((name) => !name.endsWith('?')), [], `${where} lacks what is declared`);
    for (const name of Object.keys(value)) {
      const symbol = checker.getPropertyOfType(type, name);
      assert(symbol, `${where}.${name} is not declared`);
      mustFit(value[name], typeOf(symbol), `${where}.${name}`);
    }
  } else {
    assert.strictEqual(checker.typeToString(type), typeof value, where);
  }
}

const methods = new Map();
for (const symbol of checker.getPropertiesOfType(declared.get('CodeService'))) {
  const [signature] = typeOf(symbol).getCallSignatures();
  const [argument] = signature.getParameters();
  methods.set(symbol.name, {
    takes: argument && checker.getNonNullableType(typeOf(argument)),
    answers: signature.getReturnType(),
  });
}

function argumentsAreThose() {
  const has = Object.getOwnPropertyNames(CodeService.prototype);
  assert.deepStrictEqual(
    has.filter((name) => name !== 'constructor' && !name.startsWith('_')).sort(),
    Array.from(methods.keys()).sort(),
  );
  for (const [name, { takes }] of methods) {
    assert.deepStrictEqual(takes ? names(takes) : undefined, TAKES[name] && taken(TAKES[name]), name);
  }
  assert.deepStrictEqual(names(declared.get('ConnectOptions')), taken(OPTIONS));
  assert.deepStrictEqual(names(declared.get('MongoParts')), taken(MONGO));
}

function wordsAreThose() {
  const words = require(errors).filter(({ faces }) => faces === undefined || faces.includes('node'));
  assert.deepStrictEqual(
    declared.get('ErrorCode').types.map(({ value }) => value).sort(),
    words.map(({ code }) => code).sort(),
  );
}

async function answersAreThose() {
  const service = await CodeService.connect({ uri });
  const answered = new Set();
  const call = async (name, args) => {
    const answer = await service[name](args);
    mustFit(answer, checker.getAwaitedType(methods.get(name).answers), name);
    answered.add(name);
    return answer;
  };
  const fails = async (name, args) => {
    const error = await service[name](args).then(() => assert.fail(`${name} did it`), (thrown) => thrown);
    assert(error instanceof CodeServiceError, String(error));
    mustFit(error, declared.get('CodeServiceError'), error.code);
  };
  assert((await call('verifyIndexes')).length > 0);
  await service.ensureIndexes();

  const pool = { campaignId: 'summer', type: 'tm' };
  let told;
  const saved = await call('save', { ...pool, codes: ['A', '', 'B'], progress: (so) => (told = so) });
  assert.strictEqual(saved.rejections.length, 1);
  mustFit(told, declared.get('SaveProgress'), 'progress');
  const { reserveId, codes } = await call('reserve', { ...pool, count: 1 });
  await call('reservation', { reserveId });
  await call('recover', { reserveId });
  assert.strictEqual(await call('recover', { reserveId: 'nobody' }), null);
  await call('find', { campaignId: 'summer', code: codes[0] });
  assert.strictEqual(await call('find', { campaignId: 'summer', code: 'C' }), null);
  await call('release', { campaignId: 'summer', codes: ['C'], reserveId });
  await call('assign', { campaignId: 'summer', codes });
  await call('count', pool);
  for await (const code of service.export({ campaignId: 'summer' })) {
    mustFit(code, declared.get('StoredCode'), 'export');
  }
  await fails('reserve', { ...pool, count: 5 });
  await fails('reserve', { ...pool, count: 0 });
  await fails('reserve', { ...pool, count: 1, reserveId, partial: true, type: 'other' });
  await service.close();
  await fails('count', pool);
  const silent = ['close', 'ensureIndexes', 'export'];
  assert.deepStrictEqual(Array.from(methods.keys()).filter((name) => !answered.has(name)).sort(), silent);
}

(async () => {
  argumentsAreThose();
  wordsAreThose();
  await answersAreThose();
  console.log('declared as it is');
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
