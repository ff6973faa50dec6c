'use strict';

const assert = require('assert');
const path = require('path');

const { CodeService } = require('code-service');
const { connection } = require(path.join(path.dirname(require.resolve('code-service')), 'lib/connection'));
const { closeAll, options, rejected } = require('./support');

describe('the mongo object of a configuration', () => {
  afterEach(closeAll);

  it('makes a connection string', () => {
    const mongo = {
      hostUrls: ['a.example', 'b.example:27018', '[::1]'],
      port: 27017,
      username: 'me',
      password: 'p@ss/w',
      options: {
        replicaSet: 'rs', dbName: 'prod', authSource: 'admin', readPreference: 'NEAREST', ssl: true, poolSize: 20,
        useNewUrlParser: true, useUnifiedTopology: true, keepAlive: true,
      },
    };
    assert.deepStrictEqual(connection({ mongo, collection: 'codes' }).how, {
      uri:
        'mongodb://me:p%40ss%2Fw@a.example:27017,b.example:27018,[::1]:27017/prod' +
        '?replicaSet=rs&authSource=admin&readPreference=nearest&tls=true&maxPoolSize=20',
      collection: 'codes',
    });
  });

  it('may hold a whole one, whose path goes before dbName', () => {
    const of = (uri) => connection({ mongo: { uri, options: { dbName: 'prod' } } }).how;
    assert.deepStrictEqual(of('mongodb://a,b/staging?replicaSet=rs'), { uri: 'mongodb://a,b/staging?replicaSet=rs' });
    assert.strictEqual(of('mongodb://a,b/?replicaSet=rs').database, 'prod');
    assert.strictEqual(of('mongodb://a').database, 'prod');
  });

  it('is told what it lacks, without the password', async () => {
    for (const [mongo, argument] of [
      [{}, 'mongo.hostUrls'],
      [{ hostUrls: [] }, 'mongo.hostUrls'],
      [{ hostUrls: ['a', 7] }, 'mongo.hostUrls[1]'],
      [{ hostUrls: ['a'], username: 'me' }, 'mongo.password'],
      [{ hostUrl: 'a' }, 'mongo.hostUrl'],
      [{ hostUrls: ['a'], options: { dbName: '\ud800' } }, 'mongo.options.dbName'],
      [{ hostUrls: ['a'], options: { dbName: `${'x'.repeat(1001)}\ud800` } }, 'mongo.options.dbName'],
      [{ hostUrls: ['a'], options: { replicaSet: {} } }, 'mongo.options.replicaSet'],
      [{ hostUrls: ['a'], port: [] }, 'mongo.port'],
      ['mongodb://a', 'mongo'],
    ]) {
      const error = await rejected(CodeService.connect({ mongo }));
      assert.deepStrictEqual([error.code, error.argument], ['invalid_argument', argument], error.message);
    }
    const wrong = { hostUrls: ['a:b:c'], username: 'me', password: 'hunter2' };
    const error = await rejected(CodeService.connect({ mongo: wrong }));
    assert(!`${error.stack}${JSON.stringify(error)}`.includes('hunter2'));
    assert.strictEqual((await rejected(CodeService.connect({ ...options(), mongo: {} }))).argument, 'mongo');
  });

  it('connects', async () => {
    const [, host, dbName] = /^mongodb:\/\/([^/]+)\/([^?]+)/.exec(options().uri);
    const service = await CodeService.connect({ mongo: { hostUrls: [host], options: { dbName, replicaSet: 'rs0' } } });
    assert.deepStrictEqual(await service.count({ campaignId: 'summer', type: 'tm' }), {
      available: 0,
      reserved: 0,
      assigned: 0,
    });
    await service.close();
  });
});
