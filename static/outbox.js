// What was written while nobody could take it: kept over a reload, sent in order, each exactly once by its key.
//
// An entry leaves the outbox when the server has it, or will never take it. Until then it is sent again after every
// reconnect; its key makes that harmless. Where there is no storage (Node, a private window) it lives in memory.

/** An outbox. `storage` is one like localStorage; `name` tells several outboxes in it apart. */
export class Outbox {
  #storage;
  #name;
  #entries;

  constructor({ name = 'tidings.outbox', storage = globalThis.localStorage } = {}) {
    this.#storage = storage;
    this.#name = name;
    this.#entries = this.#read();
  }

  /** The entries that are still to be sent, in order. */
  get entries() {
    return [...this.#entries];
  }

  get size() {
    return this.#entries.length;
  }

  /** Puts an entry in; its key, made up if it has none, is what it is known by. */
  add(entry) {
    const kept = { ...entry, key: entry.key ?? newKey() };
    if (!this.#entries.some(({ key }) => key === kept.key)) {
      this.#entries.push(kept);
      this.#write();
    }
    return kept;
  }

  /** Takes an entry out: the server has it, or will never take it. */
  remove(key) {
    const before = this.#entries.length;
    this.#entries = this.#entries.filter((entry) => entry.key !== key);
    if (this.#entries.length !== before) this.#write();
    return this.#entries.length !== before;
  }

  #read() {
    try {
      const entries = JSON.parse(this.#storage?.getItem(this.#name) ?? '[]');
      return Array.isArray(entries) ? entries.filter((entry) => typeof entry?.key === 'string') : [];
    } catch {
      return []; // Not ours, or storage is forbidden: better an empty outbox than no page.
    }
  }

  #write() {
    try {
      if (this.#entries.length) this.#storage?.setItem(this.#name, JSON.stringify(this.#entries));
      else this.#storage?.removeItem(this.#name);
    } catch {
      // Full or forbidden: it is kept in memory.
    }
  }
}

/** Unique among all clients. `crypto.randomUUID` is for secure pages only, this is not. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
