// What somebody has written and not sent, by place ("channel:3", "message:12"), in the browser's storage: an ended session,
// a reload and a slip of the hand do not cost a text.

export class Drafts {
  #storage;
  #prefix;
  #listeners = new Map();

  constructor(storage, userId) {
    this.#storage = storage;
    this.#prefix = `tidings.draft.${userId}.`;
  }

  at(place) {
    return this.#storage.getItem(this.#prefix + place) ?? '';
  }

  // Answers with whether the text survives a reload: a full storage does not take it.
  keep(place, text) {
    try {
      if (text) this.#storage.setItem(this.#prefix + place, text);
      else this.#storage.removeItem(this.#prefix + place);
      return true;
    } catch {
      return false;
    }
  }

  // Puts an unsent input behind the draft of its place, to be edited. The composer that is open there shows it at once.
  takeBack(place, input) {
    const before = this.at(place);
    const text = before ? `${before.trimEnd()}\n${input.content}` : input.content;
    this.keep(place, text);
    this.#listeners.get(place)?.(text, input);
  }

  // One listener for each place: the composer there.
  onTakeBack(place, listener) {
    this.#listeners.set(place, listener);
    return () => this.#listeners.delete(place);
  }
}
