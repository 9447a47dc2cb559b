// Hooks that connect components to the client. A component selects a part of the client's data, and renders again when
// that part is a different object.

/** @import { Context } from 'preact' */
/** @import { Client } from '../data/client.js' */
/** @import { OutboxEntry } from '../data/types.d.ts' */

import { createContext } from 'preact';
import { useContext, useEffect, useLayoutEffect, useReducer, useRef, useState } from 'preact/hooks';

// The default value is never used: every component that calls `useClient` is below a provider.
export const ClientContext = /** @type {Context<Client>} */ (createContext(/** @type {any} */ (null)));

export function useClient() {
  return useContext(ClientContext);
}

/**
 * @template Value
 * @param {(client: Client) => Value} select
 * @returns {Value}
 */
export function useClientData(select) {
  const client = useClient();
  const [, redraw] = useReducer(/** @type {(times: number, action: void) => number} */ ((times) => times + 1), 0);
  const value = select(client);
  const shown = useRef({ select, value });
  shown.current = { select, value };
  useEffect(() => {
    const check = () => shown.current.select(client) === shown.current.value || redraw();
    // The data may have changed between the rendering and this effect.
    check();
    return client.onChange(check);
  }, [client]);
  return value;
}

const RETRY_MS = 2_000;

/**
 * Runs `load` if `isWanted`, whenever one of `inputs` changes. It runs again after a temporary problem. Returns the
 * last problem that is not temporary, or null.
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
      if (problem.isTemporary) timer = setTimeout(begin, problem.retryAfterMs ?? RETRY_MS);
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

// A ref that holds whether the component is mounted. A late answer must not call onClose or navigate after the unmount.
export function useIsMounted() {
  const isMounted = useRef(true);
  useLayoutEffect(() => () => (isMounted.current = false), []);
  return isMounted;
}

/**
 * The entries of the outbox.
 *
 * @returns {OutboxEntry[]}
 */
export function useOutboxEntries() {
  const client = useClient();
  const [entries, setEntries] = useState(/** @type {any} */ (client.outbox.entries));
  useEffect(() => client.outbox.onChange(() => setEntries(client.outbox.entries)), [client]);
  return entries;
}
