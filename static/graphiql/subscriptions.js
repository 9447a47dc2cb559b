// Subscriptions over one WebSocket. The socket opens with the first subscription and closes with the last one. It
// reconnects without limit, and at once when the network returns or the session changes.

import { createClient } from 'graphql-ws';
import { resumePointOf, Positions } from './resume.js';

const MAX_RETRY_DELAY_MS = 15_000;

// The close code of the server for a token that is no longer valid.
const FORBIDDEN = 4403;

export class SubscriptionClient {
  #positions = new Positions();
  #onStatus;
  #client;
  /** @type {(value?: unknown) => void} */
  #stopWaiting = () => {};
  #isRejected = false;

  constructor({ token, onStatus }) {
    this.#onStatus = onStatus;
    this.#client = createClient({
      url: () => new URL('/graphql', location.href).href.replace(/^http/, 'ws'),
      connectionParams: () => (token() ? { authorization: `Bearer ${token()}` } : undefined),
      retryAttempts: Infinity,
      // By default graphql-ws does not retry after the `error` event of an unreachable server.
      shouldRetry: () => true,
      retryWait: (retries) => this.#waitToRetry(retries),
      on: {
        connecting: () => this.#isRejected || this.#onStatus('waiting', 'connecting…'),
        connected: (_socket, payload, isRetry) => this.#connected(payload, isRetry),
        ping: (received, payload) => received && payload?.cursor && this.#positions.onPing(payload.cursor),
        closed: (event) => this.#closed(event),
      },
    });
    addEventListener('online', () => this.#stopWaiting());
  }

  // Returns an observable of the results, as GraphiQL expects it.
  observe({ query, operationName, variables }, definition) {
    const payload = { query, operationName, variables: { ...variables } };
    return { subscribe: (observer) => this.#subscribe(payload, resumePointOf(definition), observer) };
  }

  // Reconnects with the token of the new session. Open subscriptions resume at their positions.
  reconnect() {
    this.#isRejected = false;
    this.#stopWaiting();
    this.#client.terminate();
  }

  #subscribe(payload, resumePoint, observer) {
    this.#positions.add(payload, resumePoint);
    const end = (report) => (value) => {
      this.#positions.remove(payload);
      report(value);
    };
    const unsubscribe = this.#client.subscribe(payload, {
      next: (result) => {
        this.#positions.onEvent(payload, result);
        observer.next(result);
      },
      error: end((error) => observer.error(asError(error))),
      complete: end(() => observer.complete()),
    });
    return { unsubscribe };
  }

  #connected(payload, isRetry) {
    this.#isRejected = false;
    if (!isRetry && payload?.cursor) this.#positions.onFirstOpen(payload.cursor);
    this.#onStatus('live', 'live');
  }

  /** @param {any} event A CloseEvent, or what the WebSocket of another implementation has instead. */
  #closed({ code, reason }) {
    this.#isRejected = code === FORBIDDEN;
    if (this.#isRejected) this.#onStatus('refused', 'sign in again');
    else if (code === 1000) this.#onStatus('idle', 'no subscription');
    else this.#onStatus('waiting', `closed (${code}${reason ? `: ${reason}` : ''})`);
  }

  async #waitToRetry(retries) {
    const maxDelay = Math.min(500 * 2 ** retries, MAX_RETRY_DELAY_MS);
    // Half of the delay is random, so that clients do not reconnect at the same moment.
    const delay = maxDelay / 2 + (Math.random() * maxDelay) / 2;
    if (!this.#isRejected) this.#onStatus('waiting', 'reconnecting…');
    await new Promise((resolve) => {
      this.#stopWaiting = resolve;
      setTimeout(resolve, delay);
    });
  }
}

// Converts an event to an Error, because GraphiQL shows a CloseEvent as `{"isTrusted": true}`.
function asError(error) {
  if (error instanceof CloseEvent) return new Error(`The socket was closed: ${error.code} ${error.reason}`);
  if (error instanceof Event) return new Error('The socket failed');
  return error;
}
