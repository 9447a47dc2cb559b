// What somebody has written and not sent, by place ("channel:3", "message:12"), in the browser's storage: an ended session,
// a reload and a slip of the hand do not cost a text.

export class Drafts {
  #storage;
  #prefix;

  constructor(storage, userId) {
    this.#storage = storage;
    this.#prefix = `tidings.draft.${userId}.`;
  }

  at(place) {
    return this.#storage.getItem(this.#prefix + place) ?? '';
  }

  keep(place, text) {
    if (text) this.#storage.setItem(this.#prefix + place, text);
    else this.#storage.removeItem(this.#prefix + place);
  }
}
