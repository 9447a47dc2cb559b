// What was written and is not yet on the server. Entries wait in the browser's storage, so they survive a reload, and go
// out one after another, in the order in which they were written. Each has a key that is its own for ever: sending it
// twice is harmless, because the server answers the second time with the first result. Knows nothing of the network.

// What `send` throws when asking again would bring the same answer. Anything else means: not now.
export class Refused extends Error {}

export class Outbox {
  #storage;
  #send;
  #alone;
  #onSent;
  #now;
  #listeners = new Set();
  #entries = [];
  #sending = null;
  #isFlushing = false;

  // `send(entry)` resolves when the server has it; `onSent(entry, result)` is called before the entry disappears.
  constructor({ storage, send, onSent = () => {}, alone = inOneTab, now = Date.now }) {
    this.#storage = storage;
    this.#send = send;
    this.#onSent = onSent;
    this.#alone = alone;
    this.#now = now;
    this.#entries = storage.all().sort(byAge);
  }

  // In the order in which they go out. `state` is waiting, sending or failed; a failed one says why in `error`.
  get entries() {
    return this.#entries.map((entry) => ({ ...entry, state: this.#stateOf(entry) }));
  }

  // How many have yet to reach the server, failed ones not counted: those wait for a person.
  get waiting() {
    return this.#entries.filter(({ error }) => !error).length;
  }

  onChange(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  add(kind, input, more = {}) {
    const at = Math.max(this.#now(), (this.#entries.at(-1)?.at ?? 0) + 1);
    const entry = { ...more, key: newKey(), kind, input, at };
    this.#storage.put(entry);
    this.reload();
    return entry;
  }

  // A failed entry goes out again, at its old place.
  retry(key) {
    const entry = this.#entries.find((entry) => entry.key === key);
    if (!entry) return;
    const { error, ...fresh } = entry;
    this.#storage.put(fresh);
    this.reload();
    this.flush();
  }

  discard(key) {
    if (this.#sending === key) return;
    this.#storage.remove(key);
    this.reload();
  }

  // Another tab may have changed the storage.
  reload() {
    this.#entries = this.#storage.all().sort(byAge);
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

  async #deliver(entry) {
    this.#sending = entry.key;
    this.reload();
    try {
      const result = await this.#send(entry);
      this.#onSent(entry, result);
      this.#storage.remove(entry.key);
      return true;
    } catch (error) {
      if (!(error instanceof Refused)) return false;
      this.#storage.put({ ...entry, error: error.message });
      return true;
    } finally {
      this.#sending = null;
      this.reload();
    }
  }

  #stateOf({ key, error }) {
    if (error) return 'failed';
    return key === this.#sending ? 'sending' : 'waiting';
  }
}

// One item of a Web Storage per entry, so that two tabs do not overwrite each other's.
export function entriesIn(storage, prefix) {
  return {
    all: () =>
      Object.keys(storage)
        .filter((name) => name.startsWith(prefix))
        .map((name) => JSON.parse(storage.getItem(name))),
    put: (entry) => storage.setItem(prefix + entry.key, JSON.stringify(entry)),
    remove: (key) => storage.removeItem(prefix + key),
  };
}

// Two tabs that send at the same time would mix up the order. Browsers have locks on HTTPS and on localhost only; elsewhere
// the keys still see to it that nothing comes twice.
function inOneTab(work) {
  return globalThis.navigator?.locks ? navigator.locks.request('tidings.outbox', work) : work();
}

// Not randomUUID, which plain HTTP does not have.
function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function byAge(one, other) {
  return one.at - other.at || (one.key < other.key ? -1 : 1);
}
