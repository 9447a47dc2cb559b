// Where the pages keep what they must find again (the session, drafts, unsent messages): a storage of the browser, or
// memory where the browser forbids it (blocked cookies, some private windows). With memory everything works for one visit.

const PROBE = 'tidings.probe';

/**
 * `isKept` says whether a reload finds the storage again.
 *
 * @param {() => Storage} [open]
 * @returns {{ storage: Pick<Storage, 'length' | 'key' | 'getItem' | 'setItem' | 'removeItem'>, isKept: boolean }}
 */
export function openStorage(open = () => globalThis.localStorage) {
  try {
    const storage = open();
    if (isUsable(storage)) return { storage, isKept: true };
  } catch {
    // Reading the property, or any method, throws where site data is blocked.
  }
  return { storage: new MemoryStorage(), isKept: false };
}

function isUsable(storage) {
  storage.getItem(PROBE);
  try {
    storage.setItem(PROBE, PROBE);
    storage.removeItem(PROBE);
    return true;
  } catch (error) {
    // A full storage can still be read, and what is removed makes room. One that holds nothing and is full never keeps anything.
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
