// How components look at the client: they name a part of it, and are drawn again when that part is another object.

/** @import { Context } from 'preact' */
/** @import { Client } from '../data/client.js' */
/** @import { OutboxEntry } from '../data/types.d.ts' */

import { createContext } from 'preact';
import { useContext, useEffect, useLayoutEffect, useReducer, useRef, useState } from 'preact/hooks';

// Every component that asks for the client is below a provider.
export const ClientContext = /** @type {Context<Client>} */ (createContext(/** @type {any} */ (null)));

export function useClient() {
  return useContext(ClientContext);
}

/**
 * @template Value
 * @param {(client: Client) => Value} select
 * @returns {Value}
 */
export function useLive(select) {
  const client = useClient();
  const [, redraw] = useReducer(/** @type {(times: number, action: void) => number} */ ((times) => times + 1), 0);
  const value = select(client);
  const shown = useRef({ select, value });
  shown.current = { select, value };
  useEffect(() => {
    const look = () => shown.current.select(client) === shown.current.value || redraw();
    // Something may have changed between drawing and now.
    look();
    return client.onChange(look);
  }, [client]);
  return value;
}

const RETRY_MS = 2_000;

/**
 * Runs `load` when `isWanted`, and again after a problem that passes. Answers with the problem that does not, or null.
 *
 * @param {boolean} isWanted
 * @param {() => Promise<unknown>} load
 * @param {unknown[]} inputs
 */
export function useLoading(isWanted, load, inputs) {
  const [problem, setProblem] = useState(/** @type {import('../data/problem.js').Problem | null} */ (null));
  useEffect(() => {
    if (!isWanted) return undefined;
    let timer;
    let isOver = false;
    const begin = () => load().catch((problem) => {
      if (isOver) return;
      if (problem.isPassing) timer = setTimeout(begin, problem.retryAfterMs ?? RETRY_MS);
      else setProblem(problem);
    });
    setProblem(null);
    begin();
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, inputs);
  return problem;
}

// A reference that tells whether the component is mounted. A late answer must not call onClose or navigate after the unmount.
export function useIsMounted() {
  const isMounted = useRef(true);
  useLayoutEffect(() => () => (isMounted.current = false), []);
  return isMounted;
}

// What waits in the outbox.
/** @returns {OutboxEntry[]} */
export function useEntries() {
  const client = useClient();
  const [entries, setEntries] = useState(/** @type {any} */ (client.outbox.entries));
  useEffect(() => client.outbox.onChange(() => setEntries(client.outbox.entries)), [client]);
  return entries;
}
