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
  const all = () => Array.from({ length: inner.length }, (_, index) => inner.key(index));
  const keys = () => all().filter((key) => key?.startsWith('graphiql:'));
  return {
    getItem: (key) => sound(key, inner.getItem(key)),
    setItem: (key, value) => inner.setItem(key, withoutSecrets(key, value)),
    removeItem: (key) => inner.removeItem(key),
    clear: () => keys().forEach((key) => inner.removeItem(key)),
    get length() {
      return keys().length;
    },
  };
}

// GraphiQL parses its collections without looking, and a damaged one would leave the page empty: it counts as absent.
function sound(key, value) {
  if (value === null || !COLLECTIONS.test(key)) return value;
  const list = key === 'graphiql:tabState' ? 'tabs' : key.slice('graphiql:'.length);
  try {
    const isList = Array.isArray(JSON.parse(value)[list]) && JSON.parse(value)[list].every((item) => item && typeof item === 'object');
    return isList ? value : null;
  } catch {
    return null;
  }
}
