// A TCP proxy between a client and the server that injects faults: it can cut and freeze connections and reject new
// ones.
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

  /** Rejects new connections; existing ones stay open. */
  rejectConnections() {
    this.#shut = true;
    this.#refused = new Promise((resolve) => (this.#onRefused = resolve));
  }

  /** Resolves when a connection was rejected since `rejectConnections`. */
  waitForRejection() {
    return this.#refused;
  }

  acceptConnections() {
    this.#shut = false;
  }

  /**
   * Cuts the next connection at the second chunk of the client: after the HTTP upgrade, and before the server has
   * acknowledged `connection_init`.
   */
  cutNextHandshake() {
    this.#stumble = true;
  }

  /** Closes both sides of every connection, without a WebSocket close frame. */
  cut() {
    for (const [client, server] of this.#pairs) {
      client.destroy();
      server.destroy();
    }
  }

  /** Keeps every connection open, but forwards no more bytes, as after a lost Wi-Fi. */
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
