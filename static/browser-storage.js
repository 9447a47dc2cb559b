// Storage of the pages for the session, drafts and unsent messages. It is a Web Storage of the browser, or memory if
// the browser forbids that (blocked cookies, some private windows). Memory lasts until the page is closed or reloaded.

const PROBE = 'tidings.probe';

/**
 * `isPersistent` is whether the storage survives a reload.
 *
 * @param {() => Storage} [open]
 * @returns {{ storage: Pick<Storage, 'length' | 'key' | 'getItem' | 'setItem' | 'removeItem'>, isPersistent: boolean }}
 */
export function openStorage(open = () => globalThis.localStorage) {
  try {
    const storage = open();
    if (isUsable(storage)) return { storage, isPersistent: true };
  } catch {
    // If site data is blocked, reading the property or calling a method throws.
  }
  return { storage: new MemoryStorage(), isPersistent: false };
}

function isUsable(storage) {
  storage.getItem(PROBE);
  try {
    storage.setItem(PROBE, PROBE);
    storage.removeItem(PROBE);
    return true;
  } catch (error) {
    // A full storage is usable: it can be read, and removing items frees space. A storage that is empty and reports
    // that it is full never stores anything.
    return error.name === 'QuotaExceededError' && storage.length > 0;
  }
}

export class MemoryStorage {
  /** @type {Map<string, string>} */
  #items = new Map();

  get length() {
    return this.#items.size;
  }

  key(index) {
    return [...this.#items.keys()][index] ?? null;
  }

  getItem(name) {
    return this.#items.get(name) ?? null;
  }

  setItem(name, value) {
    this.#items.set(name, String(value));
  }

  removeItem(name) {
    this.#items.delete(name);
  }
}
