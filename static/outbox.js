// The outbox: a persistent queue of the user's actions that the server has not stored yet. Entries are in the browser's
// storage, so they survive a reload. They are sent one after another, in the order in which they were added. Each entry
// has an idempotency key, so sending it twice is harmless: the server answers the second time with the first result.
// The outbox does not use the network itself; its owner passes a function that sends an entry.
//
// No entry blocks the ones behind it permanently. An entry fails if the server rejects it, if the server fails several
// times while processing it, or if its stored form is unreadable. Failed entries are skipped until the user retries or
// discards them.

// `send` throws this error if a retry would have the same result. After any other error but `Suspected`, the entry
// stays in the queue and is sent again later.
export class Refused extends Error {}

// `send` throws this error if the server failed or closed the connection while it processed the entry. The entry may be
// the cause, so the number of attempts is limited to MAX_SUSPECTED_ATTEMPTS.
export class Suspected extends Error {}

/**
 * The stored form of one action of the user.
 *
 * @typedef {object} Entry
 * @property {string} key Its idempotency key.
 * @property {string} kind
 * @property {any} input
 * @property {number} at When the entry was added, in milliseconds since 1970. It is unique among the entries of an outbox.
 * @property {string} [error] The reason why the entry has failed.
 */

/** @typedef {Entry & { state: 'waiting' | 'sending' | 'failed' }} ShownEntry */

/**
 * The storage of an outbox, for example `entriesIn`. `put` throws if the storage is full.
 *
 * @typedef {{ all(): Entry[], put(entry: Entry): void, remove(key: string): void }} EntryStorage
 */

// An entry fails after this many attempts that ended with `Suspected`.
const MAX_SUSPECTED_ATTEMPTS = 3;

// The kind of an entry whose stored form cannot be read. Its `input` is the stored text.
export const UNREADABLE = 'unreadable';

export class Outbox {
  #storage;
  #send;
  #withLock;
  #onSent;
  #now;
  /** @type {Set<() => void>} */
  #listeners = new Set();
  /** @type {Entry[]} */
  #entries = [];
  /** @type {string | null} */
  #sending = null;
  #isFlushing = false;
  /** @type {Map<string, number>} */
  #suspectedAttempts = new Map();
  /**
   * Errors of entries for which the storage was too full, by key.
   *
   * @type {Map<string, string>}
   */
  #unstoredErrors = new Map();

  /**
   * `send(entry)` resolves when the server has stored the entry. `onSent(entry, result)` is called before the entry is
   * removed. `withLock(work)` runs `work` while no other tab does; the default uses the Web Locks API.
   *
   * @param {{
   *   storage: EntryStorage,
   *   send: (entry: Entry) => Promise<any>,
   *   onSent?: (entry: Entry, result: any) => void,
   *   withLock?: (work: () => Promise<void>) => Promise<void>,
   *   now?: () => number,
   * }} options
   */
  constructor({ storage, send, onSent = () => {}, withLock = runInOneTab, now = Date.now }) {
    this.#storage = storage;
    this.#send = send;
    this.#onSent = onSent;
    this.#withLock = withLock;
    this.#now = now;
    this.#load();
  }

  /**
   * All entries, in the order in which they are sent.
   *
   * @returns {ShownEntry[]}
   */
  get entries() {
    return this.#entries.map((entry) => ({ ...entry, state: this.#stateOf(entry) }));
  }

  // The number of entries that are still to be sent. Failed entries do not count.
  get waiting() {
    return this.#entries.filter(({ error }) => !error).length;
  }

  /** @param {() => void} listener @returns {() => void} Removes the listener. */
  onChange(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Adds an entry and returns it. It throws the error of the storage, for example if the storage is full; then no entry
   * is added.
   *
   * @param {string} kind
   * @param {any} input
   * @param {Record<string, unknown>} [extraFields] Further fields of the entry.
   */
  add(kind, input, extraFields = {}) {
    const at = Math.max(this.#now(), (this.#entries.at(-1)?.at ?? 0) + 1);
    const entry = { ...extraFields, key: newKey(), kind, input: wellFormed(input), at };
    this.#storage.put(entry);
    this.reload();
    return entry;
  }

  /**
   * Makes a failed entry wait again, at its old position, and starts to send.
   *
   * @param {string} key
   */
  retry(key) {
    const entry = this.#entries.find((entry) => entry.key === key);
    if (!entry || entry.kind === UNREADABLE) return;
    const { error, ...fresh } = entry;
    this.#clearFailures(key);
    this.#storage.put(fresh);
    this.reload();
    this.flush();
  }

  /** @param {string} key */
  discard(key) {
    if (this.#sending === key) return;
    this.#clearFailures(key);
    this.#storage.remove(key);
    this.reload();
  }

  // Reads the storage again. Call it after another tab has changed the storage.
  reload() {
    this.#load();
    for (const listener of this.#listeners) listener();
  }

  // Sends the waiting entries until none is left or one cannot be sent now. Call it whenever a connection is available.
  async flush() {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    try {
      await this.#withLock(async () => {
        // Read the storage before each entry: another tab may have sent the entry while this tab waited for the lock.
        for (;;) {
          this.reload();
          const entry = this.#entries.find(({ error }) => !error);
          if (!entry || !(await this.#deliver(entry))) return;
        }
      });
    } finally {
      this.#isFlushing = false;
    }
  }

  // Sends one entry. Resolves with true if the next one may be sent, false if this one must be sent again first.
  async #deliver(entry) {
    const { key } = entry;
    this.#sending = key;
    this.reload();
    try {
      const result = await this.#send(entry);
      this.#onSent(entry, result);
      this.#storage.remove(key);
      this.#clearFailures(key);
      return true;
    } catch (error) {
      if (!(error instanceof Refused) && !this.#isSuspectedTooOften(key, error)) return false;
      this.#fail(entry, error.message || String(error));
      return true;
    } finally {
      this.#sending = null;
      this.reload();
    }
  }

  #isSuspectedTooOften(key, error) {
    if (!(error instanceof Suspected)) return false;
    const attempts = (this.#suspectedAttempts.get(key) ?? 0) + 1;
    this.#suspectedAttempts.set(key, attempts);
    return attempts >= MAX_SUSPECTED_ATTEMPTS;
  }

  #fail(entry, error) {
    try {
      this.#storage.put({ ...entry, error });
    } catch {
      // The storage is full. The error is in memory only, so the entry is sent again after a reload.
      this.#unstoredErrors.set(entry.key, error);
    }
  }

  #clearFailures(key) {
    this.#suspectedAttempts.delete(key);
    this.#unstoredErrors.delete(key);
  }

  #load() {
    const entries = this.#storage.all().map((entry) => {
      const error = this.#unstoredErrors.get(entry.key);
      return error ? { ...entry, error } : entry;
    });
    this.#entries = entries.sort(byAge);
  }

  /** @param {Entry} entry @returns {ShownEntry['state']} */
  #stateOf({ key, error }) {
    if (error) return 'failed';
    return key === this.#sending ? 'sending' : 'waiting';
  }
}

/**
 * An EntryStorage on a Web Storage. Each entry is an item of its own, so that two tabs do not overwrite each other's
 * entries. An item that is not a valid entry, or for which `isKnown` returns false, becomes a failed entry of the kind
 * UNREADABLE: it can be shown and discarded.
 *
 * @param {Pick<Storage, 'length' | 'key' | 'getItem' | 'setItem' | 'removeItem'>} storage
 * @param {string} prefix
 * @param {(entry: Entry) => boolean} [isKnown]
 * @returns {EntryStorage}
 */
export function entriesIn(storage, prefix, isKnown = () => true) {
  const names = () => Array.from({ length: storage.length }, (_, index) => storage.key(index) ?? '');
  return {
    all: () =>
      names().filter((name) => name.startsWith(prefix)).flatMap((name) => {
        const text = storage.getItem(name);
        // Another tab may have removed it since its name was read.
        return text === null ? [] : [parseEntry(name.slice(prefix.length), text, isKnown)];
      }),
    put: (entry) => storage.setItem(prefix + entry.key, JSON.stringify(entry)),
    remove: (key) => storage.removeItem(prefix + key),
  };
}

function parseEntry(key, text, isKnown) {
  try {
    const entry = JSON.parse(text);
    const { kind, input, at, error } = entry;
    const isEntry = entry.key === key && typeof kind === 'string' && input !== undefined && input !== null
      && Number.isFinite(at) && (error === undefined || typeof error === 'string');
    if (isEntry && isKnown(entry)) return entry;
  } catch {
    // Not JSON, or not an object.
  }
  return { key, kind: UNREADABLE, input: text, at: 0, error: 'the stored form of this entry cannot be read' };
}

// A copy of a JSON value in which U+FFFD replaces each unpaired surrogate (half of an emoji, for example). JavaScript
// and JSON can represent an unpaired surrogate; UTF-8 and the server cannot.
export function wellFormed(value) {
  if (typeof value === 'string') return value.toWellFormed();
  if (Array.isArray(value)) return value.map(wellFormed);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name.toWellFormed(), wellFormed(item)]));
}

// The length of a text in UTF-8, in bytes.
export function bytesOf(text) {
  return new TextEncoder().encode(text).length;
}

// Runs `work` in one tab at a time, because two sending tabs would mix up the order of the entries. Browsers offer
// locks on HTTPS and localhost only, and not if site data is blocked. Without a lock the idempotency keys still prevent
// duplicates.
async function runInOneTab(work) {
  const { locks } = globalThis.navigator ?? {};
  if (!locks) return work();
  let hasBegun = false;
  const runOnce = () => {
    hasBegun = true;
    return work();
  };
  try {
    return await locks.request('tidings.outbox', runOnce);
  } catch (error) {
    if (hasBegun) throw error;
    return work();
  }
}

// Browsers offer `crypto.randomUUID` in secure contexts only, not on plain HTTP.
function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function byAge(one, other) {
  return one.at - other.at || (one.key < other.key ? -1 : 1);
}
