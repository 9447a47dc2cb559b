// One WebSocket for everything, by graphql-ws. It comes back for ever, at once when the network returns, and its
// subscriptions go on behind the last event that arrived.

/** @import { Client as GraphqlWs } from 'graphql-ws' */
/** @import { ConnectionEvent } from './types.d.ts' */

import { createClient } from 'graphql-ws';
import { bytesOf, wellFormed } from '../../outbox.js';
import { Problem } from './problem.js';

// The server's default for the largest frame (`--max-frame`), less what graphql-ws puts around an operation.
const MAX_OPERATION_BYTES = 256 * 1024 - 256;

const LONGEST_WAIT_MS = 15_000;
const BETWEEN_OPERATIONS_MS = 5_000;
const PING_EVERY_MS = 15_000;
const PONG_WITHIN_MS = 6_000;

// A line on which the server has been silent for longer than between two of its pings is dead, whatever the browser says.
const SILENCE_MS = 40_000;

// What the server closes with when it wants another token, and when it wants one at all.
const SESSION_OVER = [4403, 4401];

export class Socket {
  /** @type {GraphqlWs} */
  #client;
  #onStep;
  /** @type {number | undefined} */
  #pongTimer;
  /** @type {(value?: unknown) => void} */
  #stopWaiting = () => {};
  #heard = 0;
  #isOpen = false;
  #isClosed = false;
  /** @type {Set<(problem: Problem) => void>} */
  #rejects = new Set();

  /**
   * `onStep` takes the events of connection.js; `onOver` is called when the server takes the token no more.
   *
   * @param {{ token: () => string | undefined, onStep: (event: ConnectionEvent) => void, onOver: () => void }} options
   */
  constructor({ token, onStep, onOver }) {
    this.#onStep = onStep;
    /** @type {string | undefined} */
    let used;
    this.#client = createClient({
      url: () => new URL('/graphql', location.href).href.replace(/^http/, 'ws'),
      lazy: true,
      // Between the answer to one operation and the start of the next, none is open. The connection stays meanwhile.
      lazyCloseTimeout: BETWEEN_OPERATIONS_MS,
      connectionParams: () => {
        used = token();
        return { authorization: `Bearer ${used}` };
      },
      retryAttempts: Infinity,
      // Even after a refused connection, while the server restarts.
      shouldRetry: () => !this.#isClosed,
      retryWait: (tries) => this.#wait(tries),
      keepAlive: PING_EVERY_MS,
      on: {
        connecting: () => onStep({ type: 'connecting' }),
        connected: () => {
          this.#isOpen = true;
          onStep({ type: 'connected' });
        },
        message: () => (this.#heard = Date.now()),
        ping: (received) => received || (this.#pongTimer = setTimeout(() => this.#client.terminate(), PONG_WITHIN_MS)),
        pong: (received) => received && clearTimeout(this.#pongTimer),
        closed: (closed) => {
          const event = /** @type {CloseEvent | undefined} */ (closed);
          this.#isOpen = false;
          clearTimeout(this.#pongTimer);
          // Only a dead token is final, unless there is another one by now: a second tab may have refreshed it.
          if (this.#isClosed || !event || !SESSION_OVER.includes(event.code) || token() !== used) return;
          this.#isClosed = true;
          onOver();
        },
      },
    });
  }

  /**
   * The data of a query or mutation. Waits for the connection as long as it takes; sent again if that breaks.
   *
   * @param {string} query
   * @param {Record<string, unknown>} [given] The variables.
   * @returns {Promise<any>} Rejects with a `Problem`.
   */
  run(query, given = {}) {
    const variables = wellFormed(given);
    return new Promise((resolve, reject) => {
      // The server would close the connection, and all subscriptions with it.
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
   * Calls `onEvent` with every item. `variables.after` moves along, and a reconnect sends this very object again.
   *
   * @param {string} query
   * @param {Record<string, unknown>} variables
   * @param {(item: any) => void} onEvent
   * @param {(problem: Problem | null) => void} onEnd Called once. A failed item ends the subscription.
   * @returns {() => void} What stops it.
   */
  follow(query, variables, onEvent, onEnd) {
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

  // There may be a network again, or the machine has slept: no need to wait for a timer.
  wake() {
    this.#stopWaiting();
    if (this.#isOpen && Date.now() - this.#heard > SILENCE_MS) this.#client.terminate();
  }

  close() {
    this.#isClosed = true;
    this.#stopWaiting();
    // It rejects where a connection was just being made.
    this.#client.dispose()?.catch(() => {});
    for (const reject of this.#rejects) reject(new Problem('UNREACHABLE'));
  }

  /** @param {number} tries */
  async #wait(tries) {
    const longest = Math.min(LONGEST_WAIT_MS, 500 * 2 ** tries);
    // Half of it by chance, so that not everybody comes back in the same moment.
    const delay = longest / 2 + (Math.random() * longest) / 2;
    this.#onStep({ type: 'lost', until: Date.now() + delay });
    await new Promise((resolve) => {
      this.#stopWaiting = resolve;
      setTimeout(resolve, delay);
    });
  }
}

/**
 * graphql-ws reports GraphQL errors as a list, and a line that it gave up as an event.
 *
 * @param {any} error
 */
function asProblem(error) {
  return Array.isArray(error) ? Problem.of(error) : new Problem('UNREACHABLE', { closeCode: error?.code });
}
