// How the connection stands, as a state machine without timers or sockets: what happened goes in, what the light shows
// comes out.

/** @import { Connectivity, ConnectionEvent } from './types.d.ts' */

/** @type {Connectivity} */
export const atFirst = { phase: 'connecting', until: 0, isOffline: false };

/**
 * @param {Connectivity} state
 * @param {ConnectionEvent} event
 * @returns {Connectivity}
 */
export function step(state, event) {
  switch (event.type) {
    case 'offline':
      return { ...state, isOffline: true };
    case 'online':
      return { ...state, isOffline: false };
    case 'connecting':
      // After a first failure the light keeps saying "reconnecting" rather than flicker between two words.
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
 * What the light shows: a tone, which state it is, for how many seconds it lasts, and how much waits to be sent.
 *
 * @param {Connectivity} state
 * @param {number} waiting
 * @param {number} now
 */
export function light(state, waiting, now) {
  if (state.phase === 'live' && !state.isOffline) return { tone: waiting ? 'busy' : 'good', name: 'live', seconds: 0, waiting };
  if (state.isOffline) return { tone: 'bad', name: 'offline', seconds: 0, waiting };
  if (state.phase === 'waiting') {
    const seconds = Math.max(0, Math.ceil((state.until - now) / 1000));
    return { tone: 'busy', name: 'reconnecting', seconds, waiting };
  }
  return { tone: 'busy', name: state.phase, seconds: 0, waiting };
}
