'use strict';

const fs = require('fs');
const path = require('path');

/** The dynamic loader that this Node.js names in its file, which is of the C library that it runs on. */
function loader() {
  const file = fs.openSync(process.execPath, 'r');
  const read = (place, length) => {
    const bytes = Buffer.alloc(length);
    fs.readSync(file, bytes, 0, length, place);
    return bytes;
  };
  try {
    // An ELF file of 64 bits, the lower byte first, as on all platforms that there is an addon for.
    const header = read(0, 64);
    const [start, size, count] = [header.readUInt32LE(32), header.readUInt16LE(54), header.readUInt16LE(56)];
    for (let place = 0; place < count; place += 1) {
      const entry = read(start + place * size, size);
      // PT_INTERP
      if (entry.readUInt32LE(0) === 3) {
        return read(entry.readUInt32LE(8), entry.readUInt32LE(32)).toString();
      }
    }
    return '';
  } finally {
    fs.closeSync(file);
  }
}

function isMusl() {
  try {
    return loader().includes('ld-musl-');
  } catch (error) {
    return false;
  }
}

function platform() {
  const { platform: system, arch } = process;
  if (system === 'linux') {
    return `linux-${arch}-${isMusl() ? 'musl' : 'gnu'}`;
  }
  return system === 'win32' ? `win32-${arch}-msvc` : `${system}-${arch}`;
}

function load() {
  const here = path.join(__dirname, '..', `code-service.${platform()}.node`);
  if (fs.existsSync(here)) {
    // One that was built in this folder.
    return require(here);
  }
  const name = `code-service-${platform()}`;
  try {
    // Each platform has a package of its own, of which npm installs the one that fits.
    return require(name);
  } catch (error) {
    const message =
      `code-service has no addon that loads here: Node.js ${process.version} on ${process.platform} ` +
      `(${process.arch}) needs the package ${name}, looked for from ${__dirname}: ` +
      `${error.message.split('\n')[0]}. If npm was told to leave optional dependencies out, or installed them ` +
      'on another platform, install again here.';
    throw Object.assign(new Error(message), { code: error.code });
  }
}

module.exports = load();
