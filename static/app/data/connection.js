// The state machine of the connection, and the text-free model of the connection indicator. Pure functions: no timers,
// no sockets.

/** @import { Connectivity, ConnectionEvent } from './types.d.ts' */

/** @type {Connectivity} */
export const initialConnectivity = { phase: 'connecting', until: 0, isOffline: false };

/**
 * @param {Connectivity} state
 * @param {ConnectionEvent} event
 * @returns {Connectivity}
 */
export function nextConnectivity(state, event) {
  switch (event.type) {
    case 'offline':
      return { ...state, isOffline: true };
    case 'online':
      return { ...state, isOffline: false };
    case 'connecting':
      // After a failure the phase stays `waiting`, so that the indicator does not alternate between two texts.
      return { ...state, phase: state.phase === 'waiting' ? 'waiting' : 'connecting', until: 0 };
    case 'connected':
      return { ...state, phase: 'catching-up', until: 0 };
    case 'live':
      return { ...state, phase: 'live', until: 0, isOffline: false };
    case 'lost':
      return { ...state, phase: 'waiting', until: event.until ?? 0 };
    default:
      return state;
  }
}

/**
 * The model of the connection indicator. `tone` is its colour, `name` the state. `seconds` is the time until the next
 * attempt, 0 if there is no countdown. `waiting` is the number of unsent entries.
 *
 * @param {Connectivity} state
 * @param {number} waiting
 * @param {number} now
 */
export function connectionIndicator(state, waiting, now) {
  if (state.phase === 'live' && !state.isOffline) return { tone: waiting ? 'busy' : 'good', name: 'live', seconds: 0, waiting };
  if (state.isOffline) return { tone: 'bad', name: 'offline', seconds: 0, waiting };
  if (state.phase === 'waiting') {
    const seconds = Math.max(0, Math.ceil((state.until - now) / 1000));
    return { tone: 'busy', name: 'reconnecting', seconds, waiting };
  }
  return { tone: 'busy', name: state.phase, seconds: 0, waiting };
}
