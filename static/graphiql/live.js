// Subscriptions over one WebSocket, opened with the first of them and closed with the last. It comes back for ever,
// at once when the network returns or somebody signs in.

import { createClient } from 'graphql-ws';
import { placeOf, Positions } from './resume.js';

const LONGEST_WAIT_MS = 15_000;

// The close code after which the server wants another token.
const FORBIDDEN = 4403;

export class LiveClient {
  #positions = new Positions();
  #onStatus;
  #client;
  /** @type {(value?: unknown) => void} */
  #stopWaiting = () => {};
  #refused = false;

  constructor({ token, onStatus }) {
    this.#onStatus = onStatus;
    this.#client = createClient({
      url: () => new URL('/graphql', location.href).href.replace(/^http/, 'ws'),
      connectionParams: () => (token() ? { authorization: `Bearer ${token()}` } : undefined),
      retryAttempts: Infinity,
      // A server that is down is an `error` event first, which graphql-ws does not retry by default.
      shouldRetry: () => true,
      retryWait: (retries) => this.#wait(retries),
      on: {
        connecting: () => this.#refused || this.#onStatus('waiting', 'connecting…'),
        connected: (_socket, payload, isRetry) => this.#connected(payload, isRetry),
        ping: (received, payload) => received && payload?.cursor && this.#positions.served(payload.cursor),
        closed: (event) => this.#closed(event),
      },
    });
    addEventListener('online', () => this.#stopWaiting());
  }

  // An observable, as GraphiQL takes it.
  observe({ query, operationName, variables }, definition) {
    const payload = { query, operationName, variables: { ...variables } };
    return { subscribe: (observer) => this.#subscribe(payload, placeOf(definition), observer) };
  }

  // The rights have changed: open subscriptions go on at their positions with the new ones.
  reconnect() {
    this.#refused = false;
    this.#stopWaiting();
    this.#client.terminate();
  }

  #subscribe(payload, place, observer) {
    this.#positions.add(payload, place);
    const end = (report) => (value) => {
      this.#positions.remove(payload);
      report(value);
    };
    const unsubscribe = this.#client.subscribe(payload, {
      next: (result) => {
        this.#positions.event(payload, result);
        observer.next(result);
      },
      error: end((error) => observer.error(readable(error))),
      complete: end(() => observer.complete()),
    });
    return { unsubscribe };
  }

  #connected(payload, isRetry) {
    this.#refused = false;
    if (!isRetry && payload?.cursor) this.#positions.opened(payload.cursor);
    this.#onStatus('live', 'live');
  }

  /** @param {any} event A CloseEvent, or what the WebSocket of another implementation has instead. */
  #closed({ code, reason }) {
    this.#refused = code === FORBIDDEN;
    if (this.#refused) this.#onStatus('refused', 'sign in again');
    else if (code === 1000) this.#onStatus('idle', 'no subscription');
    else this.#onStatus('waiting', `closed (${code}${reason ? `: ${reason}` : ''})`);
  }

  async #wait(retries) {
    const longest = Math.min(500 * 2 ** retries, LONGEST_WAIT_MS);
    // Half of it by chance, so that not everybody comes back in the same moment.
    const delay = longest / 2 + (Math.random() * longest) / 2;
    if (!this.#refused) this.#onStatus('waiting', 'reconnecting…');
    await new Promise((resolve) => {
      this.#stopWaiting = resolve;
      setTimeout(resolve, delay);
    });
  }
}

// GraphiQL shows an Error's message; a CloseEvent would come out as `{"isTrusted": true}`.
function readable(error) {
  if (error instanceof CloseEvent) return new Error(`The socket was closed: ${error.code} ${error.reason}`);
  if (error instanceof Event) return new Error('The socket failed');
  return error;
}
