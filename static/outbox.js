// What was written and is not yet on the server. Entries wait in the browser's storage, so they survive a reload, and go
// out one after another, in the order in which they were written. Each has a key that is its own for ever: sending it
// twice is harmless, because the server answers the second time with the first result. Knows nothing of the network.
//
// No entry can stop the ones behind it for good: an entry that the server refuses, that makes the server fail again and
// again, or that cannot be read from the storage, becomes a failed entry. A person decides what happens to it.

// What `send` throws when asking again would bring the same answer. Anything else means: not now.
export class Refused extends Error {}

// What `send` throws when the server failed, or closed the connection, while this entry was on its way. The entry may be
// the reason, so it is tried a few times only.
export class Suspected extends Error {}

/**
 * What is kept for one action of the user.
 *
 * @typedef {object} Entry
 * @property {string} key Its idempotency key.
 * @property {string} kind
 * @property {any} input
 * @property {number} at When it was added, in milliseconds since 1970. Each entry of an outbox has another one.
 * @property {string} [error] Why it has failed.
 */

/** @typedef {Entry & { state: 'waiting' | 'sending' | 'failed' }} ShownEntry */

/**
 * Where entries are kept: see `entriesIn`. `put` throws when there is no room.
 *
 * @typedef {{ all(): Entry[], put(entry: Entry): void, remove(key: string): void }} EntryStorage
 */

// After so many suspicions an entry fails.
const MOST_SUSPICIONS = 3;

// The kind of an entry whose stored form cannot be read. Its `input` is the stored text.
export const UNREADABLE = 'unreadable';

export class Outbox {
  #storage;
  #send;
  #alone;
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
  #suspicions = new Map();
  /**
   * Errors for which the storage had no room, by key.
   *
   * @type {Map<string, string>}
   */
  #unkept = new Map();

  /**
   * `send(entry)` resolves when the server has it; `onSent(entry, result)` is called before the entry disappears. `alone`
   * runs its argument while no other tab runs one.
   *
   * @param {{
   *   storage: EntryStorage,
   *   send: (entry: Entry) => Promise<any>,
   *   onSent?: (entry: Entry, result: any) => void,
   *   alone?: (work: () => Promise<void>) => Promise<void>,
   *   now?: () => number,
   * }} options
   */
  constructor({ storage, send, onSent = () => {}, alone = inOneTab, now = Date.now }) {
    this.#storage = storage;
    this.#send = send;
    this.#onSent = onSent;
    this.#alone = alone;
    this.#now = now;
    this.#read();
  }

  /**
   * In the order in which they go out.
   *
   * @returns {ShownEntry[]}
   */
  get entries() {
    return this.#entries.map((entry) => ({ ...entry, state: this.#stateOf(entry) }));
  }

  // How many have yet to reach the server, failed ones not counted: those wait for a person.
  get waiting() {
    return this.#entries.filter(({ error }) => !error).length;
  }

  /** @param {() => void} listener @returns {() => void} What removes it. */
  onChange(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Throws what the storage throws, for example when it is full: then there is no entry.
   *
   * @param {string} kind
   * @param {any} input
   * @param {Record<string, unknown>} [more] Further fields of the entry.
   */
  add(kind, input, more = {}) {
    const at = Math.max(this.#now(), (this.#entries.at(-1)?.at ?? 0) + 1);
    const entry = { ...more, key: newKey(), kind, input: wellFormed(input), at };
    this.#storage.put(entry);
    this.reload();
    return entry;
  }

  /**
   * A failed entry goes out again, at its old place.
   *
   * @param {string} key
   */
  retry(key) {
    const entry = this.#entries.find((entry) => entry.key === key);
    if (!entry || entry.kind === UNREADABLE) return;
    const { error, ...fresh } = entry;
    this.#forget(key);
    this.#storage.put(fresh);
    this.reload();
    this.flush();
  }

  /** @param {string} key */
  discard(key) {
    if (this.#sending === key) return;
    this.#forget(key);
    this.#storage.remove(key);
    this.reload();
  }

  // Another tab may have changed the storage.
  reload() {
    this.#read();
    for (const listener of this.#listeners) listener();
  }

  // Sends what waits, until nothing is left or something cannot be sent now. Call it whenever there is hope.
  async flush() {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    try {
      await this.#alone(async () => {
        // Read again each time: while this tab waited for its turn, another one may have sent the entry.
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

  // Resolves with whether the next entry may go out.
  async #deliver(entry) {
    const { key } = entry;
    this.#sending = key;
    this.reload();
    try {
      const result = await this.#send(entry);
      this.#onSent(entry, result);
      this.#storage.remove(key);
      this.#forget(key);
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
    const times = (this.#suspicions.get(key) ?? 0) + 1;
    this.#suspicions.set(key, times);
    return times >= MOST_SUSPICIONS;
  }

  #fail(entry, error) {
    try {
      this.#storage.put({ ...entry, error });
    } catch {
      // The storage is full. The entry is failed for this visit; after a reload it is tried again.
      this.#unkept.set(entry.key, error);
    }
  }

  #forget(key) {
    this.#suspicions.delete(key);
    this.#unkept.delete(key);
  }

  #read() {
    const entries = this.#storage.all().map((entry) => {
      const error = this.#unkept.get(entry.key);
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
 * One item of a Web Storage per entry, so that two tabs do not overwrite each other's. An item that is no entry, or of
 * which `isKnown` says no, is a failed entry of the kind UNREADABLE: it can be looked at and discarded.
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
        return text === null ? [] : [parsed(name.slice(prefix.length), text, isKnown)];
      }),
    put: (entry) => storage.setItem(prefix + entry.key, JSON.stringify(entry)),
    remove: (key) => storage.removeItem(prefix + key),
  };
}

function parsed(key, text, isKnown) {
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

// The same value, with U+FFFD in place of each half of a surrogate pair (half an emoji, say). JavaScript and JSON can
// carry such a half; UTF-8 and the server cannot.
export function wellFormed(value) {
  if (typeof value === 'string') return value.toWellFormed();
  if (Array.isArray(value)) return value.map(wellFormed);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name.toWellFormed(), wellFormed(item)]));
}

// The size of a text in UTF-8, in bytes.
export function bytesOf(text) {
  return new TextEncoder().encode(text).length;
}

// Two tabs that send at the same time would mix up the order. Browsers have locks on HTTPS and on localhost only, and not
// where site data is blocked; elsewhere the keys still see to it that nothing comes twice.
async function inOneTab(work) {
  const { locks } = globalThis.navigator ?? {};
  if (!locks) return work();
  let hasBegun = false;
  const begin = () => {
    hasBegun = true;
    return work();
  };
  try {
    return await locks.request('tidings.outbox', begin);
  } catch (error) {
    if (hasBegun) throw error;
    return work();
  }
}

// Not randomUUID, which plain HTTP does not have.
function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function byAge(one, other) {
  return one.at - other.at || (one.key < other.key ? -1 : 1);
}
