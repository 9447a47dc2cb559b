// How a subscription goes on where it stopped.
//
// graphql-ws sends the original payload again after a reconnect. So the payload's variable for `after` is moved on
// with each event, and the server continues behind the last one that arrived: nothing is missed, nothing repeated.

// Which variable holds the position, and under which key of `data` each event arrives. Null when the document has no
// variable in its `after` argument: then there is nothing to move, and a reconnect starts at the present.
export function placeOf(definition) {
  const field = definition.selectionSet.selections.find(({ kind }) => kind === 'Field');
  const after = field?.arguments?.find(({ name, value }) => name.value === 'after' && value.kind === 'Variable');
  if (!after) return null;
  return { variable: after.value.name.value, key: field.alias?.value ?? field.name.value };
}

// The positions of all subscriptions of one socket.
export class Positions {
  #moving = new Map();

  add(payload, place) {
    if (place) this.#moving.set(payload, place);
  }

  remove(payload) {
    this.#moving.delete(payload);
  }

  // An event came. Without `cursor` in its selection the position stays where it is.
  event(payload, { data }) {
    const place = this.#moving.get(payload);
    const cursor = place && data?.[place.key]?.cursor;
    if (cursor) payload.variables[place.variable] = cursor;
  }

  // The socket is open for the first time: the position from which subscriptions without one start. Not on a later
  // opening: what happened in between would be passed by.
  opened(cursor) {
    for (const [payload, { variable }] of this.#moving) payload.variables[variable] ??= cursor;
  }

  // The server's ping: up to here, every subscription of this socket has been served.
  served(cursor) {
    for (const [payload, { variable }] of this.#moving) payload.variables[variable] = cursor;
  }
}
