// A real OpenID Connect provider (npm oidc-provider), for tests. It signs in every user with any password.
//
//   node provider.mjs
//
// Prints one line of JSON: `issuer`, and `control`, an address with these requests:
//   POST /keys?alg=ES256&keep=1   adds a key for this algorithm, and removes the others unless `keep` is set
//   POST /client?redirect=URL     registers the address of a client to which the provider may redirect
//   POST /stop, POST /start       stops and starts the provider on its port
//   GET /token?user=NAME&kind=id  an access token of a user, or the ID token
//   GET /sign-in?url=URL&user=NAME&until=URL  follows the redirects from URL as a browser; answers with the last URL
import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';
import { Browser } from './flow.mjs';

const REDIRECT = 'http://127.0.0.1:1/callback';
const RESOURCE = 'https://tidings.example';
const CLIENT = { client_id: 'web', client_secret: 'the secret of the client, for tests only' };

let algorithm = 'RS256';
let keys = [newKey(algorithm)];
let redirects = [REDIRECT];
let handle;

const server = createServer((request, response) => handle(request, response));
await listen(server, 0);
const { port } = server.address();
const issuer = `http://127.0.0.1:${port}`;
configure();

const control = createServer((request, response) => {
  const url = new URL(request.url, 'http://control');
  answer(request.method, url)
    .then((body) => response.end(typeof body === 'string' ? body : JSON.stringify(body)))
    .catch((error) => response.writeHead(500).end(String(error.stack)));
});
await listen(control, 0);
console.log(JSON.stringify({ issuer, control: `http://127.0.0.1:${control.address().port}` }));
// The provider ends with the test that has started it.
process.stdin.resume().on('end', () => process.exit(0));

async function answer(method, url) {
  const parameter = (name) => url.searchParams.get(name);
  switch (`${method} ${url.pathname}`) {
    case 'POST /keys':
      algorithm = parameter('alg');
      keys = [newKey(algorithm), ...(parameter('keep') ? keys : [])];
      configure();
      return '';
    case 'POST /client':
      redirects = [...redirects, parameter('redirect')];
      configure();
      return '';
    case 'POST /stop':
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      return '';
    case 'POST /start':
      await listen(server, port);
      return '';
    case 'GET /token':
      return token(parameter('user'), parameter('kind') ?? 'access');
    case 'GET /sign-in': {
      const { url: last } = await new Browser().signIn(parameter('url'), parameter('user'), parameter('until'));
      return { url: last };
    }
    default:
      throw new Error(`no such request: ${method} ${url.pathname}`);
  }
}

/** A token of a user, from the code flow with PKCE. */
async function token(user, kind) {
  const verifier = randomBytes(32).toString('base64url');
  const challenge = createHash('sha256').update(verifier).digest('base64url');
  const query = new URLSearchParams({
    client_id: CLIENT.client_id, response_type: 'code', redirect_uri: REDIRECT, scope: 'openid profile email',
    code_challenge: challenge, code_challenge_method: 'S256', ...(kind === 'access' && { resource: RESOURCE }),
  });
  const { url } = await new Browser().signIn(`${issuer}/auth?${query}`, user, REDIRECT);
  const code = new URL(url).searchParams.get('code');
  const body = new URLSearchParams({ grant_type: 'authorization_code', code, redirect_uri: REDIRECT, code_verifier: verifier });
  const secret = `${CLIENT.client_id}:${encodeURIComponent(CLIENT.client_secret)}`;
  const authorization = `Basic ${Buffer.from(secret).toString('base64')}`;
  const response = await fetch(`${issuer}/token`, { method: 'POST', body, headers: { authorization } });
  const tokens = await response.json();
  const found = tokens[`${kind}_token`];
  if (!found) throw new Error(`no ${kind} token: ${JSON.stringify(tokens)}`);
  return found;
}

/** Makes a provider with the present keys and clients. */
function configure() {
  const provider = new Provider(issuer, {
    jwks: { keys },
    clients: [{ ...CLIENT, redirect_uris: redirects, id_token_signed_response_alg: algorithm }],
    cookies: { keys: ['for tests only'] },
    claims: { openid: ['sub'], profile: ['name', 'preferred_username'], email: ['email', 'email_verified'] },
    conformIdTokenClaims: false,
    findAccount: (_context, id) => ({ accountId: id, claims: () => claims(id) }),
    // The access tokens describe the user, as those of Keycloak do.
    extraTokenClaims: (_context, { accountId }) => ({ ...claims(accountId), sub: undefined }),
    features: {
      devInteractions: { enabled: true },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: '', audience: 'tidings', accessTokenFormat: 'jwt', accessTokenTTL: 600, jwt: { sign: { alg: algorithm } },
        }),
      },
    },
    pkce: { required: () => true },
    clientBasedCORS: () => true,
  });
  handle = provider.callback();
}

function claims(user) {
  return { sub: user, name: `${user} of the provider`, preferred_username: user, email: `${user}@example.org`, email_verified: true };
}

function newKey(alg) {
  const { privateKey } = alg.startsWith('ES')
    ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
    : generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg, kid: randomBytes(8).toString('hex') };
}

function listen(target, on) {
  return new Promise((resolve, reject) => target.once('error', reject).listen(on, '127.0.0.1', resolve));
}
