//! HTTP: the listener, the routes, GraphQL over HTTP, WebSockets, server-sent events, static pages, health and metrics.
//! This module translates between the wire and the modules below, and contains no application logic.

mod admission;
mod assets;
mod body;
mod client_identity;
mod compression;
mod connection_limits;
mod content_negotiation;
mod counts;
mod filters;
mod graphql_http;
mod health;
mod hosts;
mod metrics;
mod oidc;
mod once_warning;
mod operation;
mod operation_record;
mod origins;
mod pages;
mod peer;
mod publishing;
mod refusal;
mod reply;
mod request;
mod request_id;
mod response;
mod server;
mod socket;
mod sse;
mod state;
mod timeout_stream;

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::header::ALLOW;
use http::{HeaderValue, Method, Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use warp::{Filter, Rejection};

use filters::{query, with};
use response::RouteResponse;
use socket::Endpoint;

pub use peer::Peer;
pub use server::{Listener, serve};
pub use state::{AppState, Settings, Stop};

/// The filter that answers all requests.
fn routes(site: &Arc<AppState>) -> impl Filter<Extract = (RouteResponse,), Error = Infallible> + Clone + use<> {
    socket_routes(site)
        .or(dropped_upgrades(site))
        .unify()
        .map(RouteResponse::from)
        .or(graphql_routes(site))
        .unify()
        .or(publishing_routes(site))
        .unify()
        .or(health::routes(site)
            .or(metrics::routes(site))
            .unify()
            .or(oidc::routes(site))
            .unify()
            .or(page_routes(site))
            .unify()
            .map(RouteResponse::from))
        .unify()
        .recover(reject)
        .unify()
}

fn page_routes(site: &Arc<AppState>) -> impl Filter<Extract = (Response<Bytes>,), Error = Rejection> + Clone + use<> {
    let graphiql = site.settings.graphiql;
    let allowed = warp::path::full().and_then(move |path: warp::path::FullPath| async move {
        let is_hidden = !graphiql && path.as_str().starts_with("/graphiql");
        if is_hidden { Err(warp::reject::not_found()) } else { Ok(()) }
    });
    allowed.untuple_one().and(pages::routes())
}

fn socket_routes(site: &Arc<AppState>) -> impl Filter<Extract = (Response<Bytes>,), Error = Rejection> + Clone + use<> {
    warp::path::full()
        .and_then(
            |path: warp::path::FullPath| async move { endpoint(path.as_str()).ok_or_else(warp::reject::not_found) },
        )
        .and(warp::header::exact_ignore_case("upgrade", "websocket"))
        .and(with(site))
        .and(warp::method())
        .and(warp::ext::get::<OnUpgrade>())
        .and(warp::ext::get::<Peer>())
        .and(warp::header::headers_cloned())
        .and(query())
        .map(socket::upgrade)
}

/// Rejects requests to the paths of WebSockets that lack the header `Upgrade`.
fn dropped_upgrades(
    site: &Arc<AppState>,
) -> impl Filter<Extract = (Response<Bytes>,), Error = Rejection> + Clone + use<> {
    let is_for_sockets = |path: &str| endpoint(path).is_some() && path.trim_end_matches('/') != "/graphql";
    warp::path::full()
        .and_then(move |path: warp::path::FullPath| {
            std::future::ready(if is_for_sockets(path.as_str()) { Ok(()) } else { Err(warp::reject::not_found()) })
        })
        .untuple_one()
        .and(warp::method())
        .and(with(site))
        .map(|method: Method, site: Arc<AppState>| socket::without_upgrade(&site, &method))
}

/// The kind of WebSocket that this path serves.
fn endpoint(path: &str) -> Option<Endpoint> {
    match path.strip_suffix('/').unwrap_or(path) {
        "/graphql" | "/subscriptions" => Some(Endpoint::GraphQl),
        "/api/v1/websocket/connect" => Some(Endpoint::Json),
        "/api/v1/ws" => Some(Endpoint::Tickets),
        _ => None,
    }
}

fn graphql_routes(site: &Arc<AppState>) -> impl Filter<Extract = (RouteResponse,), Error = Rejection> + Clone + use<> {
    warp::path("graphql")
        .and(warp::path::end())
        .and(with(site))
        .and(warp::method())
        .and(warp::ext::get::<Peer>())
        .and(warp::header::headers_cloned())
        .and(query())
        .and(warp::body::stream())
        // Boxed: each filter around a future moves it, and this future is large.
        .then(|site, method: Method, peer, headers, query: String, body| {
            Box::pin(graphql_http::handle(site, method, peer, headers, query, body))
        })
}

fn publishing_routes(
    site: &Arc<AppState>,
) -> impl Filter<Extract = (RouteResponse,), Error = Rejection> + Clone + use<> {
    warp::path!("api" / "v1" / "events")
        .and(with(site))
        .and(warp::method())
        .and(warp::ext::get::<Peer>())
        .and(warp::header::headers_cloned())
        .and(query())
        .and(warp::body::stream())
        .then(|site, method: Method, peer, headers, query: String, body| {
            Box::pin(publishing::handle(site, method, peer, headers, query, body))
        })
        .map(RouteResponse::from)
}

/// The response to a request that no route accepts.
async fn reject(rejection: Rejection) -> Result<RouteResponse, Infallible> {
    let (status, message) = if rejection.is_not_found() {
        (StatusCode::NOT_FOUND, "no such path")
    } else if rejection.find::<warp::reject::MethodNotAllowed>().is_some() {
        let mut response = body::text(StatusCode::METHOD_NOT_ALLOWED, "use GET");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
        return Ok(response.into());
    } else {
        (StatusCode::BAD_REQUEST, "bad request")
    };
    Ok(body::text(status, message).into())
}
