'use strict';

const Koa = require('koa');
const { CodeService } = require('code-service');

const { codes } = require('./codes');
const config = require('./config');
const { envelope } = require('./envelope');
const { measured } = require('./metrics');
const { routes } = require('./routes');

/** How long calls may take that are under way when the process is told to stop. */
const GRACE_MS = 25000;

/** Longer than the 60 s of a balancer, which would otherwise send a request to a connection that is being closed. */
const KEEP_ALIVE_MS = 75000;

function log(level, message, fields) {
  const line = { '@timestamp': new Date().toISOString(), level, message, logger: 'server', ...fields };
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** Ends a server: idle connections at once, the others when they have had their answer. */
function stoppable(server) {
  const idle = new Set();
  let stopping = false;
  server.on('connection', (socket) => {
    idle.add(socket);
    socket.once('close', () => idle.delete(socket));
  });
  server.on('request', ({ socket }, response) => {
    idle.delete(socket);
    response.once('finish', () => {
      if (stopping) {
        socket.end();
      } else if (!socket.destroyed) {
        idle.add(socket);
      }
    });
  });
  return (ended) => {
    stopping = true;
    server.close(ended);
    idle.forEach((socket) => socket.destroy());
  };
}

async function createIndexes() {
  const service = await CodeService.connect({ uri: config.load().mongoUri });
  await service.ensureIndexes();
  await service.close();
}

async function serve() {
  const settings = config.load();
  const { mongoUri: uri, reservationTtlMS } = settings;
  const service = await CodeService.connect({ uri, reservationTtlMS });
  const problems = await service.verifyIndexes();
  if (problems.length > 0) {
    throw new Error(problems.map(({ message }) => message).join('; '));
  }

  const app = new Koa();
  app.on('error', (error) => log('error', error.message, { code: error.code, cause: error.cause }));
  app.use(measured);
  app.use(envelope);
  const manager = codes(service);
  for (const prefix of ['', '/v1']) {
    const router = routes(settings, manager, prefix);
    app.use(router.routes()).use(router.allowedMethods());
  }

  const server = app.listen(settings.port, () => log('info', 'listening', { port: server.address().port }));
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  // Node.js 12 counts it from the end of the request before.
  server.headersTimeout = KEEP_ALIVE_MS + 5000;
  const end = stoppable(server);
  const stop = () => {
    log('info', 'stopping');
    setTimeout(() => {
      log('warn', 'calls that go on are cut off');
      process.exit(1);
    }, GRACE_MS).unref();
    end(() => service.close().then(() => process.exit(0)));
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
}

const commands = { serve, 'create-indexes': createIndexes };
const [name = 'serve'] = process.argv.slice(2);

(commands[name] || (() => Promise.reject(new Error(`no command ${name}: serve or create-indexes`))))().catch((error) => {
  process.stderr.write(`code-service-example: ${error.message}\n`);
  process.exit(1);
});
