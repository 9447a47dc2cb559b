// graphql-request: queries and mutations over HTTP. It has no subscriptions; take resume.mjs beside it.
import { prove } from './harness.mjs';

// docs:start
import { GraphQLClient } from 'graphql-request';
import { signedIn } from './token.mjs';

export function graphqlRequest({ url, token }) {
  return new GraphQLClient(url, { fetch: signedIn(token) });
}
// docs:end

await prove({
  subscribes: false,
  open({ http, token }) {
    const client = graphqlRequest({ url: http, token });
    const run = (document, variables) => client.request(document, variables);
    return { query: run, mutate: run, close: () => {} };
  },
});
