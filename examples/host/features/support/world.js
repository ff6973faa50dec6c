// What a scenario works with: campaigns of its own, and what it has been answered.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';

import { World, setWorldConstructor } from '@cucumber/cucumber';

import { dataOf } from './answers.js';
import { call } from './client.js';
import * as tokens from './tokens.js';

class Scenario extends World {
  campaigns = { campaign: `features-${randomUUID()}`, 'other campaign': `features-${randomUUID()}` };
  /** What was put into the campaigns, by type: what may be given. */
  codes = { tm: [], external: [] };
  /** The last answer; all that are compared with each other; and those of one caller to every call. */
  answer;
  answers = [];
  tried = [];
  /** The error in the last answer. */
  error;
  /** Pages of metrics, in order. */
  pages = [];
  /** What reserve has given, in order. */
  given = [];
  /** Reservations as they were made, by the scenario's name of the id. */
  reservations = new Map();
  /** Keys of files that the scenario has put into the bucket. */
  files = [];
  /** The token that the scenario was given. */
  token;

  /** `{campaign}` and `{other campaign}` in a text are the scenario's own. */
  expanded(text) {
    return text.replace(/\{((?:other )?campaign)\}/g, (_, name) => this.campaigns[name]);
  }

  /** Asks as a supreme user, unless a token is given; undefined is none. */
  async ask(method, path, options = {}) {
    const token = 'token' in options ? options.token : await tokens.supreme();
    return call(method, this.expanded(path), { ...options, token });
  }

  async tokenOf(caller) {
    switch (caller) {
      case 'anybody':
      case 'a caller without a token':
        return undefined;
      case 'a supreme user':
        return tokens.supreme();
      case 'a user who is not supreme':
        return tokens.user();
      case 'its owner':
        return this.token;
      default:
        return tokens.special(caller.replace('a caller with a token that ', ''));
    }
  }

  send(type, csv, campaign = 'campaign') {
    return this.ask('PUT', `/{${campaign}}/codes?type=${type}`, { body: csv, headers: { 'content-type': 'text/csv' } });
  }

  /** Puts new codes into a campaign. */
  async save(type, codes, campaign) {
    const { count } = dataOf(await this.send(type, codes.join('\n'), campaign));
    assert.deepEqual(count, { in: codes.length, inserted: codes.length, updated: 0 });
    this.codes[type].push(...codes);
  }

  async counts(type, campaign = 'campaign', status = undefined) {
    const only = status ? `&status=${status}` : '';
    return dataOf(await this.ask('GET', `/{${campaign}}/codes/count?type=${type}${only}`));
  }

  /** Ids are the same for all campaigns, so the scenario's name for one is not enough. */
  reserveId(name) {
    return `${this.campaigns.campaign} ${name}`;
  }

  reservationPath(name, campaign = 'campaign') {
    return `/{${campaign}}/reservations/${encodeURIComponent(this.reserveId(name))}`;
  }

  reserveUnder(name, wish, campaign) {
    return this.ask('PUT', this.reservationPath(name, campaign), { body: wish });
  }
}

setWorldConstructor(Scenario);
