// GraphiQL keeps its tabs and history in localStorage, variables included. Passwords and tokens do not go there.

// In GraphQL text and in JSON alike: name, colon, string.
const SECRET = /("?\b(?:password|current|new|token)"?\s*:\s*)"(?:[^"\\\n]|\\.)*"/g;

// Values that are JSON in which each string is the text of an editor. The others are such a text themselves.
const COLLECTIONS = /^graphiql:(tabState|queries|favorites)$/;

export function withoutSecrets(key, value) {
  if (!COLLECTIONS.test(key)) return scrub(value);
  return JSON.stringify(JSON.parse(value), (_, item) => (typeof item === 'string' ? scrub(item) : item));
}

function scrub(text) {
  return text.replace(SECRET, '$1""');
}

// The `storage` that GraphiQL takes. It puts `graphiql:` before each of its keys.
export function storageWithoutSecrets(inner) {
  const keys = () => Object.keys(inner).filter((key) => key.startsWith('graphiql:'));
  return {
    getItem: (key) => inner.getItem(key),
    setItem: (key, value) => inner.setItem(key, withoutSecrets(key, value)),
    removeItem: (key) => inner.removeItem(key),
    clear: () => keys().forEach((key) => inner.removeItem(key)),
    get length() {
      return keys().length;
    },
  };
}
