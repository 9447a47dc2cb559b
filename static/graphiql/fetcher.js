// What GraphiQL calls to run an operation: subscriptions go over the socket, everything else over HTTP.

import { post } from './http.js';
import { session } from './session.js';

// As many events of a subscription as are shown; GraphiQL by itself shows only the last one.
const SHOWN = 50;

export function makeFetcher(live) {
  return (asked, /** @type {{ headers?: Record<string, string> }} */ { headers } = {}) => {
    const definition = definitionOf(asked);
    const operation = { ...asked, operationName: definition?.name?.value };
    if (definition?.operation === 'subscription') return newestFirst(live.observe(operation, definition));
    return run(operation, definition, headers);
  };
}

async function run(operation, definition, headers) {
  const result = await post(operation, { token: session.token, headers });
  if (definition?.operation === 'mutation') adoptToken(result);
  return result;
}

// The definition of the operation to run, or undefined when the document does not say which one that is. GraphiQL passes a
// parsed document and an operation name along, but they may be of an earlier text. A name counts only if the document has it.
function definitionOf({ query, operationName }) {
  let document;
  try {
    document = window.GraphiQL.GraphQL.parse(query);
  } catch {
    return undefined; // The server says what is wrong with it.
  }
  const operations = document.definitions.filter(({ kind }) => kind === 'OperationDefinition');
  if (operations.length === 1) return operations[0];
  return operations.find(({ name }) => name?.value === operationName);
}

// Who runs `login` or `register` in the editor is signed in from then on.
function adoptToken({ data }) {
  const answers = Object.values(data ?? {});
  const token = answers.find((answer) => typeof answer?.token === 'string')?.token;
  if (token) session.token = token;
}

function newestFirst(events) {
  const shown = [];
  let received = 0;
  return {
    subscribe(observer) {
      return events.subscribe({
        next(event) {
          received += 1;
          shown.unshift(event);
          shown.length = Math.min(shown.length, SHOWN);
          observer.next({ received, newestFirst: shown });
        },
        error: (error) => observer.error(error),
        complete: () => observer.complete(),
      });
    },
  };
}
