// Owns the wire between a client and the server: plain TCP that can be cut, frozen and shut. Used by run.mjs only.
import net from 'node:net';

export class Proxy {
  #pairs = new Set();
  #shut = false;
  #refused = new Promise(() => {});
  #onRefused = () => {};
  #stumble = false;
  #listener;

  async listen(targetPort) {
    this.#listener = net.createServer({ noDelay: true }, (client) => this.#accept(client, targetPort));
    await new Promise((resolve) => this.#listener.listen(0, '127.0.0.1', resolve));
    this.origin = `http://127.0.0.1:${this.#listener.address().port}`;
    return this;
  }

  /** Refuses new connections; those that exist stay. */
  shut() {
    this.#shut = true;
    this.#refused = new Promise((resolve) => (this.#onRefused = resolve));
  }

  /** Resolves when somebody has been refused since `shut`. */
  refused() {
    return this.#refused;
  }

  open() {
    this.#shut = false;
  }

  /** The next connection is cut when the client has said its first word after the upgrade: before it is acknowledged. */
  stumble() {
    this.#stumble = true;
  }

  /** Ends every connection at both ends, without a close frame. */
  cut() {
    for (const [client, server] of this.#pairs) {
      client.destroy();
      server.destroy();
    }
  }

  /** Every connection stays open and carries nothing more, as after a lost Wi-Fi. */
  freeze() {
    for (const pair of this.#pairs) for (const socket of pair) socket.unpipe().pause();
  }

  close() {
    this.#listener.close();
    this.cut();
  }

  #accept(client, targetPort) {
    if (this.#shut) {
      client.on('error', () => {}).destroy();
      return this.#onRefused();
    }
    const server = net.connect({ port: targetPort, host: '127.0.0.1', noDelay: true });
    const pair = [client, server];
    this.#pairs.add(pair);
    if (this.#stumble) {
      this.#stumble = false;
      client.once('data', () => client.once('data', () => client.destroy()));
    }
    for (const [from, to] of [[client, server], [server, client]]) {
      from.on('error', () => {}).pipe(to);
      from.on('close', () => {
        to.destroy();
        this.#pairs.delete(pair);
      });
    }
  }
}
