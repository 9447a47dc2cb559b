// What somebody has written and not sent, in the browser's storage: an ended session, a reload and a slip of the hand do not
// cost a text. A place is "message:3" for the composer of channel 3, and "comment:12" for that of message 12.

/** @import { Id, KeyedStorage, TakenBack } from './types.d.ts' */

export class Drafts {
  #storage;
  #prefix;
  /** @type {Map<string, (text: string, input: TakenBack) => void>} */
  #listeners = new Map();

  /** @param {KeyedStorage} storage @param {Id} userId */
  constructor(storage, userId) {
    this.#storage = storage;
    this.#prefix = `tidings.draft.${userId}.`;
  }

  /** @param {string} place */
  at(place) {
    return this.#storage.getItem(this.#prefix + place) ?? '';
  }

  /**
   * Answers with whether the text survives a reload: a full storage does not take it.
   *
   * @param {string} place
   * @param {string} text
   */
  keep(place, text) {
    try {
      if (text) this.#storage.setItem(this.#prefix + place, text);
      else this.#storage.removeItem(this.#prefix + place);
      return true;
    } catch {
      return false;
    }
  }

  /**
   * Puts an unsent input behind the draft of its place, to be edited. The composer that is open there shows it at once.
   *
   * @param {string} place
   * @param {TakenBack} input
   */
  takeBack(place, input) {
    const before = this.at(place);
    const text = before ? `${before.trimEnd()}\n${input.content}` : input.content;
    this.keep(place, text);
    this.#listeners.get(place)?.(text, input);
  }

  /**
   * One listener for each place: the composer there. Returns what removes it.
   *
   * @param {string} place
   * @param {(text: string, input: TakenBack) => void} listener
   */
  onTakeBack(place, listener) {
    this.#listeners.set(place, listener);
    return () => this.#listeners.delete(place);
  }
}
