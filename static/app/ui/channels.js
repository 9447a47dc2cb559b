// The order of channels by name, and the number of unread messages in all of them.

import { unreadIn } from '../data/reducer.js';

const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: 'base' });

export function compareNames(one, other) {
  return collator.compare(one.name, other.name);
}

export function unreadTotal(state) {
  let total = 0;
  for (const id of state.unread.keys()) total += unreadIn(state, id);
  return total;
}
