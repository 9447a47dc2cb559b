// The fetcher of GraphiQL: it runs subscriptions over the socket and all other operations over HTTP.

import { post } from './http.js';
import { session } from './session.js';

// Number of events of a subscription that are shown. GraphiQL alone would show only the last one.
const MAX_EVENTS = 50;

export function makeFetcher(subscriptions) {
  return (request, /** @type {{ headers?: Record<string, string> }} */ { headers } = {}) => {
    const definition = definitionOf(request);
    const operation = { ...request, operationName: definition?.name?.value };
    if (definition?.operation === 'subscription') return newestFirst(subscriptions.observe(operation, definition));
    return run(operation, definition, headers);
  };
}

async function run(operation, definition, headers) {
  const result = await post(operation, { token: session.token, headers });
  if (definition?.operation === 'mutation') adoptToken(result);
  return result;
}

// The definition of the operation to run, or undefined if the document has several and the name selects none of them.
// GraphiQL also passes a parsed document and an operation name, but they may belong to an earlier text. So the text is
// parsed again, and the name counts only if the document contains it.
function definitionOf({ query, operationName }) {
  let document;
  try {
    document = window.GraphiQL.GraphQL.parse(query);
  } catch {
    return undefined; // The server reports the syntax error.
  }
  const operations = document.definitions.filter(({ kind }) => kind === 'OperationDefinition');
  if (operations.length === 1) return operations[0];
  return operations.find(({ name }) => name?.value === operationName);
}

// Signs the user in with the token of a `login` or `register` mutation that was run in the editor.
function adoptToken({ data }) {
  const answers = Object.values(data ?? {});
  const token = answers.find((answer) => typeof answer?.token === 'string')?.token;
  if (token) session.token = token;
}

// An observable of the last events as one result, the newest first.
function newestFirst(events) {
  const shown = [];
  let received = 0;
  return {
    subscribe(observer) {
      return events.subscribe({
        next(event) {
          received += 1;
          shown.unshift(event);
          shown.length = Math.min(shown.length, MAX_EVENTS);
          observer.next({ received, newestFirst: shown });
        },
        error: (error) => observer.error(error),
        complete: () => observer.complete(),
      });
    },
  };
}
