//! The static files in the binary, and the HTTP response for each: caching, compression and security headers.
//!
//! `build.rs` generates the table of files from `static/`. Nothing is read from disk or compressed at run time. The
//! routes are in `pages`.

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderMap,
    HeaderName, IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{Response, StatusCode, response};

use super::content_negotiation::{Encoding, list, weight};

/// The content security policy of pages: they may load files from this server and connect to it. `connect-src 'self'`
/// includes WebSockets.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The policy of the GraphiQL page. Its editor sets style elements and attributes, and its icons are `data:` URLs.
const GRAPHIQL_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

/// A static file in all encodings that it can be sent in.
#[derive(Debug)]
pub struct Asset {
    path: &'static str,
    content_type: &'static str,
    /// A hash of the content. The entity tags of all encodings are derived from it.
    etag: &'static str,
    /// Whether the path contains a hash of the content, so that clients may cache the file for ever.
    immutable: bool,
    identity: &'static [u8],
    gzip: Option<&'static [u8]>,
    brotli: Option<&'static [u8]>,
}

// `ASSETS` is sorted by path; `find` relies on that.
include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// The file with this URL path, leading slash included.
pub fn find(path: &str) -> Option<&'static Asset> {
    let index = ASSETS.binary_search_by(|asset| asset.path.cmp(path)).ok()?;
    Some(&ASSETS[index])
}

/// The response to a GET or HEAD request with these headers. For HEAD, hyper omits the body.
pub fn respond(asset: &'static Asset, headers: &HeaderMap) -> Response<Bytes> {
    let (encoding, content) = negotiate(asset, headers);
    let etag = format!("\"{}{}\"", asset.etag, encoding.tag_suffix());
    let response = with_common_headers(asset, Response::builder()).header(ETAG, &etag);
    let response = if is_cached(headers, &etag) {
        response.status(StatusCode::NOT_MODIFIED).body(Bytes::new())
    } else {
        with_content_headers(asset, encoding, response).body(Bytes::from_static(content))
    };
    response.expect("header values in the table are valid")
}

/// Adds the headers that a 200 and a 304 response have in common.
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

/// Whether `If-None-Match` contains the tag. Tags are compared weakly (RFC 9110, section 13.1.2), because a proxy may
/// have weakened ours.
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

/// The client's preferred encoding among those of the file. If the client refuses all of them, it gets the uncompressed
/// file instead of a 406 response, because it may understand that.
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

    fn get(headers: &[(HeaderName, &'static str)]) -> Response<Bytes> {
        let headers =
            headers.iter().map(|(name, value)| (name.clone(), value.parse().expect("a valid header value"))).collect();
        respond(&ASSET, &headers)
    }

    fn body(accept: &'static str) -> Bytes {
        get(&[(ACCEPT_ENCODING, accept)]).into_body()
    }

    #[test]
    fn the_preferred_encoding_is_chosen_and_brotli_wins_a_tie() {
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
        assert_eq!(get(&[]).into_body(), "plain");
    }

    #[test]
    fn several_header_lines_are_one_list() {
        let response = get(&[(ACCEPT_ENCODING, "br;q=0.1"), (ACCEPT_ENCODING, "gzip")]);
        assert_eq!(response.headers()[CONTENT_ENCODING], "gzip");
        assert_eq!(response.headers()[VARY], "accept-encoding");
    }

    #[test]
    fn each_encoding_has_its_own_tag() {
        assert_eq!(get(&[]).headers()[ETAG], "\"abc\"");
        let compressed = get(&[(ACCEPT_ENCODING, "br")]);
        assert_eq!(compressed.headers()[ETAG], "\"abc-br\"");
    }

    #[test]
    fn a_matching_tag_gets_304_without_a_body() {
        for known in ["\"abc\"", "W/\"abc\"", "\"old\", \"abc\"", "*"] {
            let response = get(&[(IF_NONE_MATCH, known)]);
            assert_eq!(response.status(), StatusCode::NOT_MODIFIED, "{known}");
            assert_eq!(response.headers()[ETAG], "\"abc\"");
            assert!(response.body().is_empty());
        }
        for unknown in ["\"abc-br\"", "abc", "\"old\""] {
            assert_eq!(get(&[(IF_NONE_MATCH, unknown)]).status(), StatusCode::OK, "{unknown}");
        }
    }

    #[test]
    fn the_table_is_sorted_and_pages_have_security_headers() {
        assert!(ASSETS.is_sorted_by_key(|asset| asset.path));
        let page = find("/graphiql").expect("the page is in the table");
        let response = respond(page, &HeaderMap::new());
        assert_eq!(response.headers()[CACHE_CONTROL], "no-cache");
        assert_eq!(response.headers()[X_FRAME_OPTIONS], "DENY");
        assert!(response.headers().contains_key(CONTENT_SECURITY_POLICY));
        assert!(find("/assets/nothing.js").is_none());
    }

    #[test]
    fn pages_load_only_files_of_the_table() {
        for (path, files) in [("/", 2), ("/graphiql", 4)] {
            let page = find(path).expect("the page is in the table");
            let html = std::str::from_utf8(page.identity).expect("UTF-8");
            assert!(!html.contains("://"), "an absolute URL in the page");
            let loaded: Vec<_> = html.split('"').filter(|part| part.starts_with("/assets/")).collect();
            assert!(loaded.len() >= files, "{loaded:?}");
            for path in loaded {
                assert!(find(path).is_some(), "{path} is not in the table");
            }
        }
    }

    #[test]
    fn only_graphiql_allows_inline_styles() {
        let policy = |path| {
            let page = find(path).expect("the page is in the table");
            respond(page, &HeaderMap::new()).headers()[CONTENT_SECURITY_POLICY].clone()
        };
        assert!(!policy("/").to_str().expect("ASCII").contains("unsafe"));
        assert!(policy("/graphiql").to_str().expect("ASCII").contains("style-src 'self' 'unsafe-inline'"));
    }
}
