// The connection light.

import { useEffect, useReducer } from 'preact/hooks';
import { texts } from '../texts.js';
import { announce } from './announce.jsx';
import { useClient } from './live.js';

export function Light() {
  const client = useClient();
  const [, redraw] = useReducer((times) => times + 1, 0);
  useEffect(() => client.onChange(redraw), [client]);
  const light = client.light();
  useEffect(() => {
    if (!light.seconds) return undefined;
    const timer = setInterval(redraw, 500);
    return () => clearInterval(timer);
  }, [light.seconds > 0]);
  // Read out when the state changes, not with every second of the countdown.
  useEffect(() => announce(say({ ...light, seconds: 0 })), [light.name]);
  return (
    <span class="light" data-tone={light.tone} data-name={light.name} title={say(light)}>
      <span class="light-text">{say(light)}</span>
    </span>
  );
}

export function say({ name, seconds, waiting }) {
  const words = texts.light;
  if (name === 'live') return waiting ? words.sending(waiting) : words.live;
  const state = name === 'reconnecting' ? words.reconnecting(seconds) : words[name];
  return waiting ? `${state}: ${words.waiting(waiting)}` : state;
}
