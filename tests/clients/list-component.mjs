// A component that shows a list of messages with a recipe's `live`, and the expected list. Used by harness.mjs only.
import assert from 'node:assert/strict';

export class ListComponent {
  #fixture;
  #client;
  #channelId;
  #shown;
  #failed;
  #stop = () => {};
  expected;

  /** `expected` is shared by all components that show the same channel. */
  constructor(fixture, client, channelId, expected = []) {
    Object.assign(this, { expected });
    this.#fixture = fixture;
    this.#client = client;
    this.#channelId = channelId;
  }

  /** Another user writes a message to the channel. */
  async post() {
    const content = this.#fixture.text();
    this.expected.unshift(content);
    await this.#fixture.write(this.#channelId, content);
  }

  /** Mounts the component; resolves when it shows a list. */
  async open() {
    this.#shown = undefined;
    const show = (messages) => (this.#shown = messages.map(({ content }) => content));
    this.#stop = this.#client.live(this.#channelId, show, (error) => (this.#failed = error));
    await this.#fixture.until(() => this.#shown || this.#failed, 'a list');
    assert.equal(this.#failed, undefined);
  }

  close() {
    this.#stop();
  }

  /** Resolves when the component shows exactly the expected list. */
  async shown(when) {
    // A timeout is ignored: the comparison below fails with a better message.
    await this.#fixture.until(() => this.#failed || this.#shown.length >= this.expected.length, when).catch(() => {});
    assert.equal(this.#failed, undefined, when);
    assert.deepEqual(this.#shown, this.expected, `${when} (left: shown, right: expected)`);
  }
}
