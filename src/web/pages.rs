//! The routes of the pages and of what they load: `/`, `/graphiql`, `/assets/…`, `/favicon.ico`.
//!
//! Which paths exist is decided by the table in `assets`: a page added to `static/build.mjs` is served without a change
//! here. Must not answer for paths that are not its own, so that other routes may stand behind it.

use std::future::ready;

use bytes::Bytes;
use http::header::{ACCEPT, HeaderMap, VARY};
use http::{HeaderValue, Response, StatusCode};
use warp::path::FullPath;
use warp::{Filter, Rejection};

use crate::web::assets::{self, Asset};

const GRAPHIQL: &str = "/graphiql";

/// GET and HEAD on every page and file that the binary carries. An unknown path is rejected as not found, another
/// method on a known one as not allowed.
pub fn routes() -> impl Filter<Extract = (Response<Bytes>,), Error = Rejection> + Clone {
    // The path first: the other way round, every POST to an unknown path would become a 405.
    warp::path::full()
        .and_then(|path: FullPath| ready(find(path.as_str()).ok_or_else(warp::reject::not_found)))
        .and(warp::get().or(warp::head()).unify())
        .and(warp::header::headers_cloned())
        .map(|asset: &'static Asset, headers: HeaderMap| assets::respond(asset, &headers))
}

/// The GraphiQL page, for `GET /graphql` from a browser. The same address answers others with JSON, so caches are told
/// that it depends on `Accept`.
pub fn graphiql_response(headers: &HeaderMap) -> Response<Bytes> {
    let mut response = find(GRAPHIQL).map_or_else(not_carried, |asset| assets::respond(asset, headers));
    response.headers_mut().append(VARY, HeaderValue::from_name(ACCEPT));
    response
}

fn find(path: &str) -> Option<&'static Asset> {
    assets::find(match path {
        "/graphiql/" => GRAPHIQL,
        // Asked for by browsers without being told; all of today take an SVG there.
        "/favicon.ico" => "/favicon.svg",
        path => path,
    })
}

/// Cannot happen with a table made by `static/build.mjs`, which names the page.
fn not_carried() -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(b"this build carries no GraphiQL page"));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

#[cfg(test)]
mod tests {
    use http::Method;
    use http::header::{CACHE_CONTROL, CONTENT_TYPE};
    use warp::Reply;

    use super::*;

    async fn ask(method: Method, path: &str) -> Response<impl Sized> {
        let filter = routes().recover(|rejection: Rejection| async move {
            let status = match rejection.is_not_found() {
                true => StatusCode::NOT_FOUND,
                false => StatusCode::METHOD_NOT_ALLOWED,
            };
            Ok::<_, Rejection>(status)
        });
        let request = warp::test::request().method(method.as_str()).path(path);
        request.filter(&filter).await.expect("recovered").into_response()
    }

    #[tokio::test]
    async fn pages_answer_get_and_head() {
        for path in ["/", "/graphiql", "/graphiql/", "/graphiql?query={me{id}}"] {
            for method in [Method::GET, Method::HEAD] {
                let response = ask(method, path).await;
                assert_eq!(response.status(), StatusCode::OK);
                assert_eq!(response.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
            }
        }
        let icon = ask(Method::GET, "/favicon.ico").await;
        assert_eq!(icon.headers()[CONTENT_TYPE], "image/svg+xml");
        assert_eq!(icon.headers()[CACHE_CONTROL], "no-cache");
    }

    #[tokio::test]
    async fn other_methods_and_paths_are_left_to_others() {
        assert_eq!(ask(Method::POST, "/graphiql").await.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(ask(Method::POST, "/nothing").await.status(), StatusCode::NOT_FOUND);
        assert_eq!(ask(Method::GET, "/assets/../Cargo.toml").await.status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn the_page_at_the_graphql_address_depends_on_accept() {
        let response = graphiql_response(&HeaderMap::new());
        let vary: Vec<_> = response.headers().get_all(VARY).iter().collect();
        assert_eq!(vary, ["accept-encoding", "accept"]);
    }
}
