//! Signing in at a real provider with the code flow, as the web client does.

use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use serde_json::{Value, json};
use tidings::config::IssuerSettings;

use super::{me, session};
use crate::support::database::SECRET;
use crate::support::{IdentityProvider, Server, text};

const RENEW: &str = "mutation ($code: String!) { renewSession(refreshToken: $code) {
    token refreshToken user { username displayName } } }";

/// A sign-in that a browser has begun.
struct Begun {
    /// The address at the provider.
    url: String,
    /// The cookie, as the browser sends it.
    cookie: String,
    /// The whole header with which the server has set the cookie.
    set_cookie: String,
}

struct Fixture {
    provider: IdentityProvider,
    server: Server,
    callback: String,
    browser: Client,
}

impl Fixture {
    async fn new() -> Self {
        let provider = IdentityProvider::start().await;
        let server = Self::server(&provider).await;
        let callback = server.url("/auth/oidc/callback");
        provider.register(&callback).await;
        let browser = Client::builder().no_proxy().redirect(Policy::none()).build().expect("a client");
        Self { provider, server, callback, browser }
    }

    /// A server to whose address the provider sends browsers back.
    async fn server(provider: &IdentityProvider) -> Server {
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port");
        let settings = IssuerSettings::new(provider.issuer.parse().expect("an issuer"), "tidings");
        let secret = "the secret of the client, for tests only".parse().expect("a secret");
        Server::start_with(|config| {
            config.listen = free;
            config.public.public_url = Some(format!("http://{free}"));
            config.issuers = settings.with_client("web", secret);
            config.tokens.secret = Some(SECRET.parse().expect("a secret"));
        })
        .await
    }

    async fn begin(&self) -> Begun {
        let answer = self.browser.get(self.server.url("/auth/oidc/start")).send().await.expect("an answer");
        assert_eq!(answer.status(), 303);
        let header = |name| answer.headers()[name].to_str().expect("a header").to_owned();
        let (url, set_cookie) = (header(LOCATION), header(SET_COOKIE));
        Begun { url, cookie: set_cookie.split(';').next().expect("a cookie").to_owned(), set_cookie }
    }

    /// Signs the user in at the provider. Returns the address to which it sends the browser back.
    async fn at_provider(&self, begun: &Begun, user: &str) -> String {
        let url = self.provider.sign_in(&begun.url, user, &self.callback).await;
        assert!(url.starts_with(&self.callback), "{url}");
        url
    }

    async fn finish(&self, url: &str, cookie: &str) -> Response {
        self.browser.get(url).header(COOKIE, cookie).send().await.expect("an answer")
    }

    /// The code that the page gets, after the whole sign-in of this user.
    async fn code(&self, user: &str) -> String {
        let begun = self.begin().await;
        let url = self.at_provider(&begun, user).await;
        code_of(&self.server, self.finish(&url, &begun.cookie).await).await
    }
}

/// The code in the fragment of the address to which the browser is sent.
async fn code_of(server: &Server, answer: Response) -> String {
    let location = answer.headers().get(LOCATION).map(|to| to.to_str().expect("a header").to_owned());
    let Some(location) = location else { panic!("no redirect: {}", answer.text().await.expect("a text")) };
    let code = location.strip_prefix(&server.url("/#/signed-in/"));
    code.unwrap_or_else(|| panic!("a redirect to {location}")).to_owned()
}

/// Asserts that the answer is an error page without a session, and returns it.
async fn refused(answer: Response, status: u16) -> String {
    assert_eq!(answer.status(), status);
    assert!(answer.headers().get(LOCATION).is_none());
    assert!(answer.headers()["content-type"].to_str().expect("a type").starts_with("text/html"));
    assert!(answer.headers()["content-security-policy"].to_str().expect("a policy").contains("default-src 'none'"));
    answer.text().await.expect("a text")
}

#[tokio::test]
async fn a_user_signs_in_at_the_provider_and_gets_a_session() {
    let fixture = Fixture::new().await;
    let server = &fixture.server;
    for (algorithm, user) in [("RS256", "ann"), ("ES256", "ben")] {
        fixture.provider.rotate(algorithm, true).await;
        // The server gets to know the new key with the first token that names it.
        let code = loop {
            let begun = fixture.begin().await;
            let url = fixture.at_provider(&begun, user).await;
            let answer = fixture.finish(&url, &begun.cookie).await;
            if answer.status() == 303 {
                break code_of(server, answer).await;
            }
            assert_eq!(answer.status(), 403, "the key is not known yet");
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        };
        let renewed = server.data(None, RENEW, json!({ "code": code })).await["renewSession"].clone();
        assert_eq!(renewed["user"], json!({ "username": user, "displayName": format!("{user} of the provider") }));
        let own = session(text(&renewed["token"]));
        let external = session(fixture.provider.access_token(user).await);
        let (own, external) = (me(server, &own).await, me(server, &external).await);
        assert_eq!(own["id"], external["id"], "the session and the tokens are of one user");
        // The code is valid once. A second use ends the session, because it was copied.
        assert_eq!(server.error_code(None, RENEW, json!({ "code": code })).await, "UNAUTHENTICATED");
        assert_eq!(super::code(server, &text(&renewed["token"])).await, "UNAUTHENTICATED");
    }
}

#[tokio::test]
async fn the_request_has_state_nonce_and_pkce_and_the_cookie_is_not_readable_by_scripts() {
    let fixture = Fixture::new().await;
    let (first, second) = (fixture.begin().await, fixture.begin().await);
    let query = |begun: &Begun, name: &str| {
        let (_, query) = begun.url.split_once('?').expect("a query");
        let parameter = query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
        parameter.unwrap_or_else(|| panic!("no {name}")).to_owned()
    };
    assert_eq!(
        (query(&first, "response_type"), query(&first, "code_challenge_method")),
        ("code".into(), "S256".into())
    );
    assert_eq!(query(&first, "scope"), "openid+profile+email");
    for name in ["state", "nonce", "code_challenge"] {
        assert_ne!(query(&first, name), query(&second, name), "{name}");
        assert!(!first.cookie.contains(&query(&first, name)), "{name}");
    }
    assert_ne!(first.cookie, second.cookie);
    for attribute in ["; Path=/auth/oidc;", "; HttpOnly", "; SameSite=Lax", "; Max-Age=600"] {
        assert!(first.set_cookie.contains(attribute), "{}", first.set_cookie);
    }
}

#[tokio::test]
async fn a_callback_is_accepted_only_in_the_browser_that_began_the_sign_in() {
    let fixture = Fixture::new().await;
    let (mine, other) = (fixture.begin().await, fixture.begin().await);
    let url = fixture.at_provider(&mine, "ann").await;
    let altered = url.replace("state=", "state=x");
    let forged = format!("tidings_oidc={}.9999999999.AAAA", "A".repeat(43));
    for (url, cookie) in [(&url, ""), (&url, other.cookie.as_str()), (&altered, &mine.cookie), (&url, &forged)] {
        let page = refused(fixture.finish(url, cookie).await, 403).await;
        assert!(page.contains("was not begun in this browser"), "{page}");
    }
    // These attempts have not used the code up.
    let answer = fixture.finish(&url, &mine.cookie).await;
    assert!(answer.headers()[SET_COOKIE].to_str().expect("a cookie").contains("tidings_oidc=;"));
    code_of(&fixture.server, answer).await;
    // The provider accepts a code once.
    refused(fixture.finish(&url, &mine.cookie).await, 403).await;
    let bob = fixture.server.register("bob").await;
    let users = fixture.server.data(Some(&bob), "{ users { nodes { username } } }", json!({})).await;
    assert_eq!(users["users"]["nodes"], json!([{ "username": "ann" }, { "username": "bob" }]));
}

#[tokio::test]
async fn another_instance_finishes_a_sign_in() {
    let fixture = Fixture::new().await;
    let begun = fixture.begin().await;
    let url = fixture.at_provider(&begun, "ann").await;
    let other = Server::start_with(|config| {
        let secret = "the secret of the client, for tests only".parse().expect("a secret");
        let settings = IssuerSettings::new(fixture.provider.issuer.parse().expect("an issuer"), "tidings");
        config.issuers = settings.with_client("web", secret);
        config.public.public_url = Some(fixture.server.url(""));
        config.tokens.secret = Some(SECRET.parse().expect("a secret"));
    })
    .await;
    let url = url.replace(&fixture.server.url(""), &other.url(""));
    let code = code_of(&fixture.server, fixture.finish(&url, &begun.cookie).await).await;
    other.data(None, RENEW, json!({ "code": code })).await;
}

#[tokio::test]
async fn errors_of_the_provider_show_a_plain_page() {
    let fixture = Fixture::new().await;
    let error = format!("{}?error=%3Cscript%3Eaccess_denied&error_description=%3Cb%3E", fixture.callback);
    let page = refused(fixture.finish(&error, "").await, 403).await;
    assert!(page.contains("scriptaccess_denied") && !page.contains("<script>") && !page.contains("<b>"), "{page}");
    let begun = fixture.begin().await;
    let url = fixture.at_provider(&begun, "ann").await;
    fixture.provider.stop().await;
    let page = refused(fixture.finish(&url, &begun.cookie).await, 403).await;
    assert!(page.contains("did not accept the sign-in"), "{page}");
    // Another server, which does not know the provider yet.
    let other = Fixture::server(&fixture.provider).await;
    let answer = fixture.browser.get(other.url("/auth/oidc/start")).send().await.expect("an answer");
    assert!(refused(answer, 503).await.contains("does not answer"));
}

#[tokio::test]
async fn a_disabled_user_cannot_sign_in_at_the_provider_either() {
    let fixture = Fixture::new().await;
    fixture.code("ann").await;
    let ann = fixture.server.board().accounts.by_username("ann").expect("a user");
    fixture.server.board().accounts.set_disabled(None, ann.id, true).await.expect("disabled");
    let begun = fixture.begin().await;
    let url = fixture.at_provider(&begun, "ann").await;
    refused(fixture.finish(&url, &begun.cookie).await, 403).await;
}

#[tokio::test]
async fn the_web_client_learns_whether_users_can_sign_in_elsewhere() {
    let name = async |server: &Server| {
        let answer = server.http().get(server.url("/auth/oidc")).send().await.expect("an answer");
        answer.json::<Value>().await.expect("JSON")["name"].take()
    };
    let fixture = Fixture::new().await;
    assert_eq!(name(&fixture.server).await, "127.0.0.1");
    let without = Server::start().await;
    assert_eq!(name(&without).await, Value::Null);
    for path in ["/auth/oidc/start", "/auth/oidc/callback?code=x&state=y"] {
        let answer = without.http().get(without.url(path)).send().await.expect("an answer");
        refused(answer, 404).await;
    }
}
