// The storage that GraphiQL uses for its tabs and history, variables included. It removes passwords and tokens first.

// A secret in GraphQL text or in JSON: name, colon, string.
const SECRET = /("?\b(?:password|current|new|token)"?\s*:\s*)"(?:[^"\\\n]|\\.)*"/g;

// Keys whose values are JSON with editor texts as strings. The value of any other key is one editor text.
const COLLECTIONS = /^graphiql:(tabState|queries|favorites)$/;

export function withoutSecrets(key, value) {
  if (!COLLECTIONS.test(key)) return scrub(value);
  return JSON.stringify(JSON.parse(value), (_, item) => (typeof item === 'string' ? scrub(item) : item));
}

function scrub(text) {
  return text.replace(SECRET, '$1""');
}

// The `storage` option of GraphiQL, on top of a Web Storage. GraphiQL prefixes its keys with `graphiql:`.
export function storageWithoutSecrets(inner) {
  const all = () => Array.from({ length: inner.length }, (_, index) => inner.key(index));
  const keys = () => all().filter((key) => key?.startsWith('graphiql:'));
  return {
    getItem: (key) => checkedValue(key, inner.getItem(key)),
    setItem: (key, value) => inner.setItem(key, withoutSecrets(key, value)),
    removeItem: (key) => inner.removeItem(key),
    clear: () => keys().forEach((key) => inner.removeItem(key)),
    get length() {
      return keys().length;
    },
  };
}

// Returns null for a damaged collection: GraphiQL does not check its collections and would fail to render.
function checkedValue(key, value) {
  if (value === null || !COLLECTIONS.test(key)) return value;
  const list = key === 'graphiql:tabState' ? 'tabs' : key.slice('graphiql:'.length);
  try {
    const isList = Array.isArray(JSON.parse(value)[list]) && JSON.parse(value)[list].every((item) => item && typeof item === 'object');
    return isList ? value : null;
  } catch {
    return null;
  }
}
