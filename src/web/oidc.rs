//! Signing in at another issuer: `/auth/oidc`, `/auth/oidc/start` and `/auth/oidc/callback`.
//!
//! The callback sends the browser back to the web client with a code in the fragment of the address. Browsers do not send
//! fragments to servers. The page exchanges the code for its session at once.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_SECURITY_POLICY, COOKIE, LOCATION, REFERRER_POLICY, RETRY_AFTER, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde_json::json;
use warp::{Filter, Rejection};

use super::client_identity::{self, parameter};
use super::filters::{query, with};
use super::refusal::Refusal;
use super::state::AppState;
use super::{Peer, body};
use crate::board::{Client, OidcSignIn};
use crate::error::{Error, Result};

/// The cookie with the ticket of a sign-in.
const COOKIE_NAME: &str = "tidings_oidc";
/// How long a browser keeps the cookie, in seconds. The ticket itself is not valid for longer either.
const COOKIE_SECONDS: u64 = 600;

/// The routes of signing in at another issuer.
pub fn routes(site: &Arc<AppState>) -> impl Filter<Extract = (Response<Bytes>,), Error = Rejection> + Clone + use<> {
    let get = || warp::get().and(warp::path::end());
    let root = warp::path!("auth" / "oidc" / ..);
    let request = || warp::ext::get::<Peer>().and(warp::header::headers_cloned());
    let describe = get().and(with(site)).map(|site: Arc<AppState>| describe(&site));
    let start = warp::path("start").and(get()).and(with(site)).and(request()).then(start);
    let callback = warp::path("callback").and(get()).and(with(site)).and(request()).and(query()).then(callback);
    root.and(describe.or(start).unify().or(callback).unify())
}

/// Whether users can sign in at another issuer, and its name.
fn describe(site: &AppState) -> Response<Bytes> {
    let name = site.board.oidc_sign_in.as_ref().map(|sign_in| sign_in.issuer_host());
    body::response(StatusCode::OK, "application/json", json!({ "name": name }).to_string())
}

/// Sends the browser to the issuer.
async fn start(site: Arc<AppState>, peer: Peer, headers: HeaderMap) -> Response<Bytes> {
    let starting = async {
        let address = client_identity::address(&site, peer.address.ip(), &headers);
        enabled(&site)?.start(address).await
    };
    match starting.await {
        Ok(start) => redirect(&site, &start.url, &start.ticket, COOKIE_SECONDS),
        Err(error) => failure(&site, &error),
    }
}

/// Takes the browser back from the issuer, and sends it to the web client.
async fn callback(site: Arc<AppState>, peer: Peer, headers: HeaderMap, query: String) -> Response<Bytes> {
    let address = client_identity::address(&site, peer.address.ip(), &headers);
    let agent = client_identity::user_agent(&headers);
    let client = Client { address, user_agent: agent.as_deref() };
    let finishing = async {
        let sign_in = enabled(&site)?;
        if let Some(error) = parameter(&query, "error") {
            return Err(Error::Unauthenticated(format!("the issuer answered: {}", error_code(&error))));
        }
        let [state, code] = ["state", "code"].map(|name| parameter(&query, name).unwrap_or_default());
        sign_in.finish(client, &ticket(&headers), &state, &code).await
    };
    match finishing.await {
        Ok(code) => {
            let page = format!("{}/#/signed-in/{code}", site.board.policy.public_url);
            redirect(&site, &page, "", 0)
        }
        Err(error) => failure(&site, &error),
    }
}

fn enabled(site: &AppState) -> Result<&OidcSignIn> {
    site.board.oidc_sign_in.as_deref().ok_or(Error::NotFound("way to sign in at another issuer"))
}

/// The ticket in the cookie; an empty text if there is none.
fn ticket(headers: &HeaderMap) -> String {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE_NAME).map(|(_, value)| value.to_owned()).unwrap_or_default()
}

/// The error code of an issuer, which may contain anything, as a text that is safe to show (RFC 6749, section 4.1.2.1).
fn error_code(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_alphanumeric() || "_-.".contains(*c)).take(50).collect()
}

/// Sends the browser to another address. Stores the ticket for this many seconds; 0 removes it.
fn redirect(site: &AppState, to: &str, ticket: &str, seconds: u64) -> Response<Bytes> {
    let mut response = body::text(StatusCode::SEE_OTHER, "continue at the address in the header Location");
    let location = HeaderValue::from_str(to);
    let (Ok(location), Ok(cookie)) = (location, cookie(site, ticket, seconds)) else {
        return failure(site, &Error::internal("an address or a cookie is not a valid header"));
    };
    let headers = response.headers_mut();
    headers.insert(LOCATION, location);
    headers.insert(SET_COOKIE, cookie);
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// `Lax` lets the browser send the cookie when the issuer sends it back, and not with requests of other pages.
fn cookie(
    site: &AppState,
    ticket: &str,
    seconds: u64,
) -> std::result::Result<HeaderValue, http::header::InvalidHeaderValue> {
    let url = &site.board.policy.public_url;
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", ""));
    let base = rest.split_once('/').map(|(_, path)| format!("/{path}")).unwrap_or_default();
    let secure = if scheme == "https" { "; Secure" } else { "" };
    HeaderValue::try_from(format!(
        "{COOKIE_NAME}={ticket}; Path={base}/auth/oidc; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"
    ))
}

/// A plain page that says why the user is not signed in.
fn failure(site: &AppState, error: &Error) -> Response<Bytes> {
    let (status, refusal) = match error {
        Error::Unauthenticated(_) => (StatusCode::FORBIDDEN, Some(Refusal::Unauthenticated)),
        Error::RateLimited { .. } => (StatusCode::TOO_MANY_REQUESTS, Some(Refusal::RateLimit)),
        Error::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, Some(Refusal::Unavailable)),
        Error::NotFound(_) => (StatusCode::NOT_FOUND, None),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, None),
    };
    refusal.into_iter().for_each(|reason| site.counts.refuse(reason));
    if let Error::Internal(detail) = error {
        tracing::error!(%detail, "internal error while signing in at an issuer");
    }
    let home = format!("{}/", site.board.policy.public_url);
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Not signed in</title>\
         <h1>You are not signed in</h1><p>{}.</p><p><a href=\"{}\">Back to tidings</a></p></html>\n",
        escaped(&error.to_string()),
        escaped(&home)
    );
    let mut response = body::response(status, "text/html; charset=utf-8", page);
    let headers = response.headers_mut();
    let policy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if matches!(error, Error::RateLimited { .. } | Error::Unavailable(_)) {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
    }
    response
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_code_of_an_issuer_is_shown_without_markup() {
        assert_eq!(error_code("access_denied"), "access_denied");
        assert_eq!(error_code("<script>alert(1)</script>"), "scriptalert1script");
        assert_eq!(error_code(&"x".repeat(500)).len(), 50);
        assert_eq!(escaped("a<b>&\"c\""), "a&lt;b&gt;&amp;&quot;c&quot;");
    }

    #[test]
    fn the_ticket_is_found_among_other_cookies() {
        let headers = |lines: &[&'static str]| {
            let pairs = lines.iter().map(|line| (COOKIE, HeaderValue::from_static(line)));
            pairs.collect::<HeaderMap>()
        };
        assert_eq!(ticket(&headers(&["a=1; tidings_oidc=x.1.y; b=2"])), "x.1.y");
        assert_eq!(ticket(&headers(&["a=1", "tidings_oidc=x"])), "x");
        assert_eq!(ticket(&headers(&["xtidings_oidc=x"])), "");
    }
}
