// One list of messages as a component shows it by a recipe's `live`, and what it must show. Used by harness.mjs only.
import assert from 'node:assert/strict';

export class List {
  #stage;
  #client;
  #channelId;
  #shown;
  #failed;
  #stop = () => {};
  due;

  /** `due` is shared by all components that show the same channel. */
  constructor(stage, client, channelId, due = []) {
    Object.assign(this, { due });
    this.#stage = stage;
    this.#client = client;
    this.#channelId = channelId;
  }

  /** Another user writes. */
  async post() {
    const content = this.#stage.text();
    this.due.unshift(content);
    await this.#stage.write(this.#channelId, content);
  }

  /** The component appears; resolves when it shows something. */
  async open() {
    this.#shown = undefined;
    const show = (messages) => (this.#shown = messages.map(({ content }) => content));
    this.#stop = this.#client.live(this.#channelId, show, (error) => (this.#failed = error));
    await this.#stage.until(() => this.#shown || this.#failed, 'a list');
    assert.equal(this.#failed, undefined);
  }

  close() {
    this.#stop();
  }

  /** Resolves when exactly what is due is shown. */
  async shown(when) {
    await this.#stage.until(() => this.#failed || this.#shown.length >= this.due.length, when).catch(() => {}); // the comparison says more
    assert.equal(this.#failed, undefined, when);
    assert.deepEqual(this.#shown, this.due, `${when} (left: shown, right: due)`);
  }
}
