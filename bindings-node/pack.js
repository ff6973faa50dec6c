'use strict';

// Lays the packages out as npm gets them: the one that is required, and one with the addon for each platform.
//
//     node pack.js FOLDER linux-x64-gnu=libcode_service_node.so …

const fs = require('fs');
const path = require('path');

const manifest = require('./package.json');

/** In every package; they lie at the top of the repository. */
const LICENCES = ['LICENSE-APACHE', 'LICENSE-MIT'];

/** What npm has to know to install only the package of the platform that it runs on. */
function limits(platform) {
  const [os, cpu, libc] = platform.split('-');
  // What npm calls the C library; it does not ask for one on other systems.
  const names = { gnu: 'glibc', musl: 'musl' };
  return { os: [os], cpu: [cpu], ...(os === 'linux' ? { libc: [names[libc]] } : {}) };
}

function write(folder, platform, addon) {
  const name = `${manifest.name}-${platform}`;
  if (manifest.optionalDependencies[name] === undefined) {
    throw new Error(`${name} is no optional dependency in package.json`);
  }
  const { version, license, repository, engines } = manifest;
  const main = `${manifest.name}.${platform}.node`;
  const description = `The addon of ${manifest.name} for ${platform}`;
  const target = path.join(folder, name);
  fs.mkdirSync(target, { recursive: true });
  fs.copyFileSync(addon, path.join(target, main));
  const its = { name, version, description, license, repository, main, files: [main, ...LICENCES], engines, ...limits(platform) };
  fs.writeFileSync(path.join(target, 'package.json'), `${JSON.stringify(its, null, 2)}\n`);
  copyLicences(target);
}

function copyLicences(target) {
  LICENCES.forEach((file) => copy(path.join(__dirname, '..', file), path.join(target, file)));
}

function copy(from, to) {
  if (fs.statSync(from).isDirectory()) {
    fs.mkdirSync(to, { recursive: true });
    fs.readdirSync(from).forEach((name) => copy(path.join(from, name), path.join(to, name)));
  } else {
    fs.copyFileSync(from, to);
  }
}

const [folder, ...addons] = process.argv.slice(2);
const target = path.join(folder, manifest.name);
fs.mkdirSync(target, { recursive: true });
for (const file of ['package.json', 'README.md', ...manifest.files.filter((file) => !LICENCES.includes(file))]) {
  copy(path.join(__dirname, file), path.join(target, file));
}
copyLicences(target);
for (const addon of addons) {
  const [platform, file] = addon.split('=');
  write(folder, platform, file);
}
