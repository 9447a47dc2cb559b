// The indicator of the connection's state: a coloured dot with a text.

import { useEffect, useReducer } from 'preact/hooks';
import { texts } from '../texts.js';
import { announce } from './announce.jsx';
import { useClient } from './client-context.js';

export function ConnectionIndicator() {
  const client = useClient();
  const [, redraw] = useReducer((times) => times + 1, 0);
  useEffect(() => client.onChange(redraw), [client]);
  const indicator = client.indicator();
  useEffect(() => {
    if (!indicator.seconds) return undefined;
    const timer = setInterval(redraw, 500);
    return () => clearInterval(timer);
  }, [indicator.seconds > 0]);
  // Announce a new state only, not every second of the countdown.
  useEffect(() => announce(textOf({ ...indicator, seconds: 0 })), [indicator.name]);
  return (
    <span class="connection-indicator" data-tone={indicator.tone} data-name={indicator.name} title={textOf(indicator)}>
      <span class="connection-indicator-text">{textOf(indicator)}</span>
    </span>
  );
}

function textOf({ name, seconds, waiting }) {
  const words = texts.connection;
  if (name === 'live') return waiting ? words.sending(waiting) : words.live;
  const state = name === 'reconnecting' ? words.reconnecting(seconds) : words[name];
  return waiting ? `${state}: ${words.waiting(waiting)}` : state;
}
