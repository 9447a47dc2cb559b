// Resumes subscriptions after a reconnect.
//
// graphql-ws sends the original payload again after a reconnect. So the variable of the argument `after` is set to the
// cursor of each event. The server then resumes after the last event that arrived: none is missed, none is repeated.

// The name of the variable that holds the position, and the key in `data` under which events arrive. Returns null if
// the argument `after` of the subscription is not a variable: after a reconnect it then starts at the current position.
export function resumePointOf(definition) {
  const field = definition.selectionSet.selections.find(({ kind }) => kind === 'Field');
  const after = field?.arguments?.find(({ name, value }) => name.value === 'after' && value.kind === 'Variable');
  if (!after) return null;
  return { variable: after.value.name.value, key: field.alias?.value ?? field.name.value };
}

// The positions of all subscriptions of one socket.
export class Positions {
  #resumePoints = new Map();

  add(payload, resumePoint) {
    if (resumePoint) this.#resumePoints.set(payload, resumePoint);
  }

  remove(payload) {
    this.#resumePoints.delete(payload);
  }

  // Records an event. If its selection has no `cursor`, the position does not change.
  onEvent(payload, { data }) {
    const resumePoint = this.#resumePoints.get(payload);
    const cursor = resumePoint && data?.[resumePoint.key]?.cursor;
    if (cursor) payload.variables[resumePoint.variable] = cursor;
  }

  // The first opening of the socket sets the position of subscriptions without one. Call it only then: after a
  // reconnect it would skip the events in between.
  onFirstOpen(cursor) {
    for (const [payload, { variable }] of this.#resumePoints) payload.variables[variable] ??= cursor;
  }

  // The ping of the server contains a cursor: every subscription of this socket has got all events up to it.
  onPing(cursor) {
    for (const [payload, { variable }] of this.#resumePoints) payload.variables[variable] = cursor;
  }
}
