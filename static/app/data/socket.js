// The WebSocket for all operations, by graphql-ws. It reconnects without limit, and at once when the network returns.
// Its subscriptions resume after the last event that arrived.

/** @import { Client as GraphqlWs } from 'graphql-ws' */
/** @import { ConnectionEvent } from './types.d.ts' */

import { createClient } from 'graphql-ws';
import { bytesOf, wellFormed } from '../../outbox.js';
import { Problem } from './problem.js';

// The server's default for the largest frame (`--max-frame`), minus the bytes that graphql-ws adds around an operation.
const MAX_OPERATION_BYTES = 256 * 1024 - 256;

const MAX_RETRY_DELAY_MS = 15_000;
const IDLE_CLOSE_MS = 5_000;
const PING_INTERVAL_MS = 15_000;
const PONG_TIMEOUT_MS = 6_000;

// A connection without any frame for this long is dead, whatever the browser reports: the server pings more often.
const SILENCE_TIMEOUT_MS = 40_000;

// Close codes of the server for a token that is no longer valid (4403) and for a missing token (4401).
const SESSION_OVER = [4403, 4401];

export class Socket {
  /** @type {GraphqlWs} */
  #client;
  #onConnectionEvent;
  /** @type {number | undefined} */
  #pongTimer;
  /** @type {(value?: unknown) => void} */
  #stopWaiting = () => {};
  #lastFrameAt = 0;
  #isOpen = false;
  #isClosed = false;
  /** @type {Set<(problem: Problem) => void>} */
  #rejects = new Set();
  /** Settles when it is known whether a session continues whose token was rejected. */
  #renewal = Promise.resolve();

  /**
   * `onConnectionEvent` gets the events of connection.js. `renew` is called when the token has expired or the server rejects
   * it: it resolves with whether there is a new one, and rejects if that is unknown. `onSessionEnd` is called if there is none.
   *
   * @param {{ token: () => string | undefined, isExpired: () => boolean, renew: () => Promise<boolean>,
   *   onConnectionEvent: (event: ConnectionEvent) => void, onSessionEnd: () => void }} options
   */
  constructor({ token, isExpired, renew, onConnectionEvent, onSessionEnd }) {
    this.#onConnectionEvent = onConnectionEvent;
    /** @type {string | undefined} */
    let usedToken;
    this.#client = createClient({
      url: () => new URL('/graphql', location.href).href.replace(/^http/, 'ws'),
      lazy: true,
      // Time without any open operation before the connection is closed, in milliseconds. There is a gap between the
      // answer of one operation and the start of the next.
      lazyCloseTimeout: IDLE_CLOSE_MS,
      connectionParams: async () => {
        // The server could not tell an expired token of a session that continues from one of a session that has ended.
        if (isExpired()) await renew().catch(() => {});
        usedToken = token();
        return { authorization: `Bearer ${usedToken}` };
      },
      retryAttempts: Infinity,
      // By default graphql-ws does not retry after a refused connection, which is normal while the server restarts.
      shouldRetry: () => !this.#isClosed,
      retryWait: (attempts) => this.#waitToRetry(attempts),
      keepAlive: PING_INTERVAL_MS,
      on: {
        connecting: () => onConnectionEvent({ type: 'connecting' }),
        connected: () => {
          this.#isOpen = true;
          onConnectionEvent({ type: 'connected' });
        },
        message: () => (this.#lastFrameAt = Date.now()),
        ping: (received) => received || (this.#pongTimer = setTimeout(() => this.#client.terminate(), PONG_TIMEOUT_MS)),
        pong: (received) => received && clearTimeout(this.#pongTimer),
        closed: (closed) => {
          const event = /** @type {CloseEvent | undefined} */ (closed);
          this.#isOpen = false;
          clearTimeout(this.#pongTimer);
          // Only a rejected token is final, unless there is another token by now: another tab may have refreshed it.
          if (this.#isClosed || !event || !SESSION_OVER.includes(event.code) || token() !== usedToken) return;
          this.#renewal = this.#renewOrEnd(renew, onSessionEnd);
        },
      },
    });
  }

  /**
   * Runs a query or mutation and resolves with its data. It waits for the connection without a time limit, and is sent
   * again if the connection is lost before the answer.
   *
   * @param {string} query
   * @param {Record<string, unknown>} [givenVariables] The variables.
   * @returns {Promise<any>} Rejects with a `Problem`.
   */
  run(query, givenVariables = {}) {
    const variables = wellFormed(givenVariables);
    return new Promise((resolve, reject) => {
      // The server would close the connection, and with it all subscriptions.
      if (bytesOf(JSON.stringify({ query, variables })) > MAX_OPERATION_BYTES) throw new Problem('TOO_LARGE');
      this.#rejects.add(reject);
      /** @type {import('graphql-ws').FormattedExecutionResult<any, any> | undefined} */
      let answer;
      /** @type {<Value>(done: (value: Value) => void, value: Value) => void} */
      const settle = (done, value) => {
        this.#rejects.delete(reject);
        done(value);
      };
      this.#client.subscribe({ query, variables }, {
        next: (result) => (answer = result),
        error: (error) => settle(reject, asProblem(error)),
        complete: () => {
          if (answer?.errors) settle(reject, Problem.of(answer.errors));
          else if (answer) settle(resolve, answer.data);
          else settle(reject, new Problem('UNREACHABLE'));
        },
      });
    });
  }

  /**
   * Subscribes, and calls `onEvent` with every item. The cursor of each item is written to `variables.after`.
   * graphql-ws sends the same object again after a reconnect, so the subscription resumes there.
   *
   * @param {string} query
   * @param {Record<string, unknown>} variables
   * @param {(item: any) => void} onEvent
   * @param {(problem: Problem | null) => void} onEnd Called once. A failed item ends the subscription.
   * @returns {() => void} Ends the subscription.
   */
  subscribe(query, variables, onEvent, onEnd) {
    let isOver = false;
    const end = (/** @type {Problem | null} */ problem) => {
      if (isOver) return;
      isOver = true;
      onEnd(problem);
    };
    const stop = this.#client.subscribe({ query, variables }, {
      next: (/** @type {import('graphql-ws').FormattedExecutionResult<any, any>} */ { data, errors }) => {
        if (isOver) return;
        if (errors) {
          // The server continues after a failed item, but `onEnd` may subscribe again.
          stop();
          end(Problem.of(errors));
          return;
        }
        const [event] = Object.values(data);
        if (event.cursor) variables.after = event.cursor;
        onEvent(event);
      },
      error: (error) => end(asProblem(error)),
      complete: () => end(null),
    });
    return stop;
  }

  // Skips the retry delay, and drops a silent connection. Called when the network may be back or the machine was
  // asleep.
  wake() {
    this.#stopWaiting();
    if (this.#isOpen && Date.now() - this.#lastFrameAt > SILENCE_TIMEOUT_MS) this.#client.terminate();
  }

  close() {
    this.#isClosed = true;
    this.#stopWaiting();
    // dispose() rejects if a connection is being opened.
    this.#client.dispose()?.catch(() => {});
    for (const reject of this.#rejects) reject(new Problem('UNREACHABLE'));
  }

  // If it is unknown whether the session continues, the next rejection asks again.
  async #renewOrEnd(renew, onSessionEnd) {
    if (await renew().catch(() => true)) return;
    this.#isClosed = true;
    onSessionEnd();
  }

  /** @param {number} attempts */
  async #waitToRetry(attempts) {
    await this.#renewal;
    const maxDelay = Math.min(MAX_RETRY_DELAY_MS, 500 * 2 ** attempts);
    // Half of the delay is random, so that clients do not reconnect at the same moment.
    const delay = maxDelay / 2 + (Math.random() * maxDelay) / 2;
    this.#onConnectionEvent({ type: 'lost', until: Date.now() + delay });
    await new Promise((resolve) => {
      this.#stopWaiting = resolve;
      setTimeout(resolve, delay);
    });
  }
}

/**
 * Converts an error of graphql-ws: a list of GraphQL errors, or a close event if graphql-ws does not reconnect.
 *
 * @param {any} error
 */
function asProblem(error) {
  return Array.isArray(error) ? Problem.of(error) : new Problem('UNREACHABLE', { closeCode: error?.code });
}
