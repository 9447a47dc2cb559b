// The fixture of the browser tests: a server, a Chromium, and test users. Each user has a browser context and a
// proxy to the server, which can cut connections. Requests of a page to other hosts are aborted and recorded.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { chromium } from 'playwright-core';
import { Proxy } from '../../../tests/clients/runner/proxy.mjs';
import { Server } from '../../../tests/clients/runner/server.mjs';

export const BINARY = process.env.TIDINGS_BIN ?? new URL('../../../target/debug/tidings', import.meta.url).pathname;
const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
// With TIDINGS_PAGES=dist the pages come from static/dist instead of the binary, so a change of them needs no cargo
// build.
const PAGES = process.env.TIDINGS_PAGES ? pagesIn(process.env.TIDINGS_PAGES) : undefined;

const LAUNCH = {
  executablePath: CHROMIUM,
  // As root, as in most containers, Chromium refuses to start with its sandbox.
  args: [
    ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
    // Chromium blocks requests to this machine from pages that were not loaded over the network.
    ...(PAGES ? ['--disable-features=LocalNetworkAccessChecks'] : []),
  ],
};
const PASSWORD = 'correct horse battery';

// Console errors that Chromium itself writes when it cannot connect. A page cannot prevent them.
const CONNECTION_ERROR = /WebSocket connection to .* failed|net::ERR_(CONNECTION|INTERNET|EMPTY|NETWORK|SOCKET)/;

// `settings` are environment variables of the server.
export async function openFixture({ settings } = {}) {
  const server = new Server(BINARY, settings);
  const users = [];
  let browser;
  const close = () => closeAll([
    () => closeAll(users.map((user) => () => user.close())),
    () => browser?.close(),
    () => server.remove(),
  ]);
  try {
    await server.start();
    browser = await chromium.launch(LAUNCH);
  } catch (error) {
    // The test must report the error of the start, so an error of the cleanup is only printed.
    await close().catch((failure) => console.error(failure));
    throw error;
  }
  // Registers the user before any resource is opened, so that close() releases a partly opened user.
  const openUser = (from, username, options) => {
    const user = new TestUser({ server, username });
    users.push(user);
    return user.open(from, options);
  };
  return {
    server,
    browser,
    openUser: (username, options) => openUser(browser, username, options),
    // A user whose browser settings block all cookies and site data.
    openBlockedUser: (username, options) => openUser(blockedBrowser(), username, options),
    // An admin without a browser.
    async admin(username) {
      const env = { ...process.env, DATABASE_URL: server.database };
      const { status, stderr } = spawnSync(BINARY, ['user', 'add', username, '--admin', '--password-stdin'], { env, input: PASSWORD, encoding: 'utf8' });
      assert.equal(status, 0, stderr);
      const admin = new TestUser({ server, username });
      await admin.logIn();
      return admin;
    },
    foreignRequests: () => users.flatMap(({ foreignRequests }) => foreignRequests),
    errors: () => users.flatMap(({ errors }) => errors),
    close,
  };
}

// Runs every step even if an earlier one fails. A running server or browser keeps the test process alive.
// Throws an AggregateError with the errors of all failed steps.
async function closeAll(steps) {
  const errors = [];
  for (const step of steps) {
    try {
      await step();
    } catch (error) {
      errors.push(...(error instanceof AggregateError ? error.errors : [error]));
    }
  }
  if (errors.length) throw new AggregateError(errors, `Cleanup failed: ${errors.map(({ message }) => message).join('; ')}`);
}

function pagesIn(dist) {
  const lines = readFileSync(path.join(dist, 'manifest.tsv'), 'utf8').trim().split('\n').map((line) => line.split('\t'));
  return new Map(lines.map(([url, contentType, , , file]) => [url, { contentType, path: path.join(dist, file) }]));
}

// A browser whose profile blocks cookies. This real setting makes every use of localStorage throw.
function blockedBrowser() {
  const profile = mkdtempSync(path.join(os.tmpdir(), 'tidings-blocked-'));
  profiles.push(profile);
  mkdirSync(path.join(profile, 'Default'));
  writeFileSync(path.join(profile, 'Default', 'Preferences'), JSON.stringify({ profile: { default_content_setting_values: { cookies: 2 } } }));
  return { newContext: (options) => chromium.launchPersistentContext(profile, { ...LAUNCH, ...options }) };
}

// Browser profiles, deleted when the process ends: a closed browser still writes to its profile for a while.
const profiles = [];
process.on('exit', () => {
  for (const profile of profiles) {
    try {
      rmSync(profile, { recursive: true, force: true, maxRetries: 10 });
    } catch (error) {
      // Continue with the other profiles.
      console.error(`${profile} was not removed:`, error);
    }
  }
});

export class TestUser {
  foreignRequests = [];
  errors = [];

  constructor({ server, username }) {
    this.server = server;
    this.username = username;
  }

  async open(browser, { signIn = true, ...context } = {}) {
    this.proxy = await new Proxy().listen(this.server.port);
    this.context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...context });
    this.context.setDefaultTimeout(15_000);
    await this.context.route('**', (route) => this.#route(route));
    this.page = await this.context.newPage();
    this.page.on('console', (message) => this.#recordError(message));
    this.page.on('pageerror', (error) => this.errors.push(`${this.username}: ${error.message} ${error.stack}`));
    this.page.on('websocket', (socket) => this.#isOwn(socket.url()) || this.foreignRequests.push(socket.url()));
    if (signIn) await this.signIn();
    return this;
  }

  // Closing a persistent context also ends its browser.
  close() {
    return closeAll([() => this.proxy?.close(), () => this.context?.close()]);
  }

  // Creates the account over HTTP, without a page.
  async register() {
    const input = { username: this.username, password: PASSWORD, displayName: nameOf(this.username) };
    const { register } = await this.ask('mutation ($input: RegisterInput!) { register(input: $input) { token user { id } } }', { input });
    this.token = register.token;
    this.id = register.user.id;
  }

  async logIn() {
    const input = { username: this.username, password: PASSWORD };
    const { login } = await this.ask('mutation ($input: LoginInput!) { login(input: $input) { token user { id } } }', { input });
    this.token = login.token;
    this.id = login.user.id;
  }

  async signIn() {
    await this.register();
    await this.goto('');
    await this.submitSignIn();
    await this.waitUntilLive();
  }

  async submitSignIn(button = 'Sign in') {
    await this.page.getByLabel('Username').fill(this.username);
    await this.page.getByLabel('Password').fill(PASSWORD);
    await this.page.getByRole('button', { name: button, exact: true }).click();
  }

  // Like `write`, for texts that Playwright cannot type, such as unpaired surrogates.
  async paste(text) {
    await this.page.locator('.composer textarea').evaluate((area, text) => {
      area.value = text;
      area.dispatchEvent(new InputEvent('input', { bubbles: true }));
    }, text);
    await this.page.locator('.composer textarea').press('Enter');
  }

  // Resolves when the page shows the stored message with this text.
  async waitForMessage(text) {
    await this.page.locator('.message:not(.pending)', { hasText: text }).waitFor();
  }

  failedMessage(text) {
    return this.page.locator('.pending[data-state="failed"]', { hasText: text });
  }

  async goto(hash) {
    await this.page.goto(`${this.proxy.origin}/${hash}`);
  }

  waitUntilLive() {
    return this.page.waitForSelector('.connection-indicator[data-name="live"]', { state: 'attached' });
  }

  write(text) {
    return this.page.locator('.composer textarea').fill(text).then(() => this.page.keyboard.press('Enter'));
  }

  // Runs an operation over HTTP with the token of this user.
  async ask(query, variables) {
    const headers = { 'content-type': 'application/json', ...(this.token && { authorization: `Bearer ${this.token}` }) };
    const body = JSON.stringify({ query, variables });
    const answer = await (await fetch(`${this.server.origin}/graphql`, { method: 'POST', headers, body })).json();
    assert.equal(answer.errors, undefined, JSON.stringify(answer.errors));
    return answer.data;
  }

  async channel(name, description) {
    const input = { name, description };
    return (await this.ask('mutation ($input: CreateChannelInput!) { createChannel(input: $input) { id } }', { input })).createChannel.id;
  }

  async post(input) {
    return (await this.ask('mutation ($input: CreateMessageInput!) { createMessage(input: $input) { id } }', { input })).createMessage.id;
  }

  // Simulates a lost network: connections break, new ones are rejected, and the browser reports `offline`.
  async goOffline() {
    this.proxy.rejectConnections();
    this.proxy.cut();
    await this.context.setOffline(true);
  }

  async goOnline() {
    this.proxy.acceptConnections();
    await this.context.setOffline(false);
  }

  #isOwn(url) {
    return new URL(url).host === new URL(this.proxy.origin).host;
  }

  #route(route) {
    const url = route.request().url();
    const page = this.#isOwn(url) && PAGES?.get(new URL(url).pathname);
    if (page) return route.fulfill(page);
    if (this.#isOwn(url)) return route.continue();
    this.foreignRequests.push(url);
    return route.abort();
  }

  #recordError(message) {
    if (message.type() !== 'error' || CONNECTION_ERROR.test(message.text())) return;
    this.errors.push(`${this.username}: ${message.text()} at ${message.location().url}`);
  }
}

function nameOf(username) {
  return { ada: 'Ada Ahlgren', ben: 'Ben Baker' }[username] ?? username;
}
