// Unsent texts of the composers, in the browser's storage. A draft survives a reload and the end of the session. The
// key of a draft is "message:3" for the composer of channel 3, and "comment:12" for the composer of message 12.

/** @import { Id, KeyedStorage, EditableInput } from './types.d.ts' */

export class Drafts {
  #storage;
  #prefix;
  /** @type {Map<string, (text: string, input: EditableInput) => void>} */
  #listeners = new Map();

  /** @param {KeyedStorage} storage @param {Id} userId */
  constructor(storage, userId) {
    this.#storage = storage;
    this.#prefix = `tidings.draft.${userId}.`;
  }

  /** @param {string} key */
  get(key) {
    return this.#storage.getItem(this.#prefix + key) ?? '';
  }

  /**
   * Stores a draft; an empty text removes it. Returns false if the storage is full and does not have the text.
   *
   * @param {string} key
   * @param {string} text
   */
  set(key, text) {
    try {
      if (text) this.#storage.setItem(this.#prefix + key, text);
      else this.#storage.removeItem(this.#prefix + key);
      return true;
    } catch {
      return false;
    }
  }

  /**
   * Appends an unsent input to a draft. The open composer of this draft shows it at once.
   *
   * @param {string} key
   * @param {EditableInput} input
   */
  append(key, input) {
    const before = this.get(key);
    const text = before ? `${before.trimEnd()}\n${input.content}` : input.content;
    this.set(key, text);
    this.#listeners.get(key)?.(text, input);
  }

  /**
   * Sets the listener of a draft: its composer. A draft has at most one. Returns an unsubscribe function.
   *
   * @param {string} key
   * @param {(text: string, input: EditableInput) => void} listener
   */
  onAppend(key, listener) {
    this.#listeners.set(key, listener);
    return () => this.#listeners.delete(key);
  }
}
