//! The files that the binary carries, and the HTTP response for each: caching, compression, security headers.
//!
//! `build.rs` makes the table out of `static/`. Nothing here knows about routes, and nothing is read from disk or
//! compressed at run time. Called by `pages`.

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderMap,
    HeaderName, IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{Response, StatusCode, response};

use super::content_negotiation::{Encoding, list, weight};

/// What a page may do: load what this server carries and talk to it. `connect-src 'self'` includes the WebSocket.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// GraphiQL's editor sets style elements and attributes, and its icons are `data:` addresses.
const GRAPHIQL_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

/// One file, in the encodings in which it can be sent.
#[derive(Debug)]
pub struct Asset {
    path: &'static str,
    content_type: &'static str,
    /// Hash of the content; each encoding's entity tag is made from it.
    etag: &'static str,
    /// Whether the path changes with the content, so that a copy is good for ever.
    immutable: bool,
    identity: &'static [u8],
    gzip: Option<&'static [u8]>,
    brotli: Option<&'static [u8]>,
}

// `ASSETS`, sorted by path.
include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// The asset at a URL path, leading slash included.
pub fn find(path: &str) -> Option<&'static Asset> {
    let index = ASSETS.binary_search_by(|asset| asset.path.cmp(path)).ok()?;
    Some(&ASSETS[index])
}

/// Answers a GET or HEAD with these request headers. For HEAD the server leaves the body out when it sends.
pub fn respond(asset: &'static Asset, headers: &HeaderMap) -> Response<Bytes> {
    let (encoding, content) = negotiate(asset, headers);
    let etag = format!("\"{}{}\"", asset.etag, encoding.tag_suffix());
    let response = with_common_headers(asset, Response::builder()).header(ETAG, &etag);
    let response = if is_cached(headers, &etag) {
        response.status(StatusCode::NOT_MODIFIED).body(Bytes::new())
    } else {
        with_content_headers(asset, encoding, response).body(Bytes::from_static(content))
    };
    response.expect("header values of the table are valid")
}

/// The headers that a 304 carries too.
fn with_common_headers(asset: &Asset, response: response::Builder) -> response::Builder {
    let caching = match asset.immutable {
        true => "public, max-age=31536000, immutable",
        false => "no-cache",
    };
    let mut response = response
        .header(CACHE_CONTROL, caching)
        .header(X_CONTENT_TYPE_OPTIONS, "nosniff")
        .header(REFERRER_POLICY, "no-referrer");
    if asset.gzip.is_some() || asset.brotli.is_some() {
        response = response.header(VARY, HeaderName::as_str(&ACCEPT_ENCODING));
    }
    if asset.content_type.starts_with("text/html") {
        response = response.header(CONTENT_SECURITY_POLICY, policy(asset)).header(X_FRAME_OPTIONS, "DENY");
    }
    response
}

fn policy(page: &Asset) -> &'static str {
    match page.path {
        "/graphiql" => GRAPHIQL_POLICY,
        _ => PAGE_POLICY,
    }
}

fn with_content_headers(asset: &Asset, encoding: Encoding, response: response::Builder) -> response::Builder {
    let response = response.header(CONTENT_TYPE, asset.content_type);
    match encoding.name() {
        "identity" => response,
        name => response.header(CONTENT_ENCODING, name),
    }
}

/// `If-None-Match`: a list of tags compared weakly (RFC 9110, 13.1.2), since a proxy may have weakened ours.
fn is_cached(headers: &HeaderMap, etag: &str) -> bool {
    list(headers, &IF_NONE_MATCH).any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

fn content(asset: &Asset, encoding: Encoding) -> Option<&'static [u8]> {
    match encoding {
        Encoding::Brotli => asset.brotli,
        Encoding::Gzip => asset.gzip,
        Encoding::Identity => Some(asset.identity),
    }
}

/// The encoding that the client likes best among those there are. One that refuses all of them gets the file as it is
/// rather than a 406: it is the only answer that it might understand.
fn negotiate(asset: &Asset, headers: &HeaderMap) -> (Encoding, &'static [u8]) {
    let mut best = (0.0, Encoding::Identity, asset.identity);
    for encoding in Encoding::ALL {
        let weight = weight(headers, encoding);
        if let Some(content) = content(asset, encoding)
            && weight > best.0
        {
            best = (weight, encoding, content);
        }
    }
    (best.1, best.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    static ASSET: Asset = Asset {
        path: "/assets/x.js",
        content_type: "text/javascript",
        etag: "abc",
        immutable: true,
        identity: b"plain",
        gzip: Some(b"gzip"),
        brotli: Some(b"br"),
    };

    fn ask(headers: &[(HeaderName, &'static str)]) -> Response<Bytes> {
        let headers =
            headers.iter().map(|(name, value)| (name.clone(), value.parse().expect("a header value"))).collect();
        respond(&ASSET, &headers)
    }

    fn body(accept: &'static str) -> Bytes {
        ask(&[(ACCEPT_ENCODING, accept)]).into_body()
    }

    #[test]
    fn the_client_decides_the_encoding_and_we_break_the_tie() {
        assert_eq!(body("gzip, deflate, br, zstd"), "br");
        assert_eq!(body("gzip"), "gzip");
        assert_eq!(body("GZIP;q=1.0, br;q=0.5"), "gzip");
        assert_eq!(body("*"), "br");
        assert_eq!(body("br;q=0, *"), "gzip");
        assert_eq!(body("gzip;q=0.001"), "gzip");
        assert_eq!(body("identity, gzip;q=0.5"), "plain");
        assert_eq!(body("deflate"), "plain");
        assert_eq!(body("br;q=nonsense"), "plain");
        assert_eq!(body(""), "plain");
        assert_eq!(body("*;q=0"), "plain");
        assert_eq!(ask(&[]).into_body(), "plain");
    }

    #[test]
    fn several_header_lines_are_one_list() {
        let response = ask(&[(ACCEPT_ENCODING, "br;q=0.1"), (ACCEPT_ENCODING, "gzip")]);
        assert_eq!(response.headers()[CONTENT_ENCODING], "gzip");
        assert_eq!(response.headers()[VARY], "accept-encoding");
    }

    #[test]
    fn each_encoding_has_its_own_tag() {
        assert_eq!(ask(&[]).headers()[ETAG], "\"abc\"");
        let compressed = ask(&[(ACCEPT_ENCODING, "br")]);
        assert_eq!(compressed.headers()[ETAG], "\"abc-br\"");
    }

    #[test]
    fn a_known_tag_is_not_sent_again() {
        for known in ["\"abc\"", "W/\"abc\"", "\"old\", \"abc\"", "*"] {
            let response = ask(&[(IF_NONE_MATCH, known)]);
            assert_eq!(response.status(), StatusCode::NOT_MODIFIED, "{known}");
            assert_eq!(response.headers()[ETAG], "\"abc\"");
            assert!(response.body().is_empty());
        }
        for unknown in ["\"abc-br\"", "abc", "\"old\""] {
            assert_eq!(ask(&[(IF_NONE_MATCH, unknown)]).status(), StatusCode::OK, "{unknown}");
        }
    }

    #[test]
    fn the_table_is_searchable_and_its_pages_are_guarded() {
        assert!(ASSETS.is_sorted_by_key(|asset| asset.path));
        let page = find("/graphiql").expect("the page is carried");
        let response = respond(page, &HeaderMap::new());
        assert_eq!(response.headers()[CACHE_CONTROL], "no-cache");
        assert_eq!(response.headers()[X_FRAME_OPTIONS], "DENY");
        assert!(response.headers().contains_key(CONTENT_SECURITY_POLICY));
        assert!(find("/assets/nothing.js").is_none());
    }

    #[test]
    fn pages_load_nothing_from_elsewhere_and_all_that_they_load_is_carried() {
        for (path, files) in [("/", 2), ("/graphiql", 4)] {
            let page = find(path).expect("the page is carried");
            let html = std::str::from_utf8(page.identity).expect("UTF-8");
            assert!(!html.contains("://"), "an absolute address in the page");
            let loaded: Vec<_> = html.split('"').filter(|part| part.starts_with("/assets/")).collect();
            assert!(loaded.len() >= files, "{loaded:?}");
            for path in loaded {
                assert!(find(path).is_some(), "{path} is not carried");
            }
        }
    }

    #[test]
    fn only_graphiql_may_have_styles_inline() {
        let policy = |path| {
            let page = find(path).expect("the page is carried");
            respond(page, &HeaderMap::new()).headers()[CONTENT_SECURITY_POLICY].clone()
        };
        assert!(!policy("/").to_str().expect("ASCII").contains("unsafe"));
        assert!(policy("/graphiql").to_str().expect("ASCII").contains("style-src 'self' 'unsafe-inline'"));
    }
}
