//! The routes of static pages and files: `/`, `/graphiql`, `/assets/…`, `/favicon.ico`.
//!
//! The table in `assets` decides which paths exist, so a page added to `static/build.mjs` needs no change here. Unknown
//! paths are rejected, so that other routes can follow these.

use std::future::ready;

use bytes::Bytes;
use http::header::{ACCEPT, HeaderMap, VARY};
use http::{HeaderValue, Response, StatusCode};
use warp::path::FullPath;
use warp::{Filter, Rejection};

use crate::web::assets::{self, Asset};

const GRAPHIQL: &str = "/graphiql";

/// Serves GET and HEAD requests for every static file. Rejects an unknown path as not found, and another method on a
/// known path as not allowed.
pub fn routes() -> impl Filter<Extract = (Response<Bytes>,), Error = Rejection> + Clone {
    // Check the path before the method: otherwise a POST to an unknown path would get 405 instead of 404.
    warp::path::full()
        .and_then(|path: FullPath| ready(find(path.as_str()).ok_or_else(warp::reject::not_found)))
        .and(warp::get().or(warp::head()).unify())
        .and(warp::header::headers_cloned())
        .map(|asset: &'static Asset, headers: HeaderMap| assets::respond(asset, &headers))
}

/// The GraphiQL page, as the response to a browser's `GET /graphql`. Other clients get JSON under the same URL, so
/// caches must distinguish by `Accept`.
pub fn graphiql_response(headers: &HeaderMap) -> Response<Bytes> {
    let mut response = find(GRAPHIQL).map_or_else(missing_page, |asset| assets::respond(asset, headers));
    response.headers_mut().append(VARY, HeaderValue::from_name(ACCEPT));
    response
}

fn find(path: &str) -> Option<&'static Asset> {
    assets::find(match path {
        "/graphiql/" => GRAPHIQL,
        // Browsers request this path by default. All current browsers accept an SVG image here.
        "/favicon.ico" => "/favicon.svg",
        path => path,
    })
}

/// The response if the build has no GraphiQL page. `static/build.mjs` always includes it.
fn missing_page() -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(b"this build contains no GraphiQL page"));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

#[cfg(test)]
mod tests {
    use http::Method;
    use http::header::{CACHE_CONTROL, CONTENT_TYPE};
    use warp::Reply;

    use super::*;

    async fn request(method: Method, path: &str) -> Response<impl Sized> {
        let filter = routes().recover(|rejection: Rejection| async move {
            let status = match rejection.is_not_found() {
                true => StatusCode::NOT_FOUND,
                false => StatusCode::METHOD_NOT_ALLOWED,
            };
            Ok::<_, Rejection>(status)
        });
        let request = warp::test::request().method(method.as_str()).path(path);
        request.filter(&filter).await.expect("the rejection is recovered").into_response()
    }

    #[tokio::test]
    async fn pages_answer_get_and_head() {
        for path in ["/", "/graphiql", "/graphiql/", "/graphiql?query={me{id}}"] {
            for method in [Method::GET, Method::HEAD] {
                let response = request(method, path).await;
                assert_eq!(response.status(), StatusCode::OK);
                assert_eq!(response.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
            }
        }
        let icon = request(Method::GET, "/favicon.ico").await;
        assert_eq!(icon.headers()[CONTENT_TYPE], "image/svg+xml");
        assert_eq!(icon.headers()[CACHE_CONTROL], "no-cache");
    }

    #[tokio::test]
    async fn other_methods_and_paths_are_rejected() {
        assert_eq!(request(Method::POST, "/graphiql").await.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(request(Method::POST, "/nothing").await.status(), StatusCode::NOT_FOUND);
        assert_eq!(request(Method::GET, "/assets/../Cargo.toml").await.status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn the_page_at_the_graphql_address_depends_on_accept() {
        let response = graphiql_response(&HeaderMap::new());
        let vary: Vec<_> = response.headers().get_all(VARY).iter().collect();
        assert_eq!(vary, ["accept-encoding", "accept"]);
    }
}
