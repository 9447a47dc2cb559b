//! The door: HTTP, sockets, pages. It translates between the wire and the floors below, and
//! decides nothing about the board.

mod answer;
mod assets;
mod body;
mod callers;
mod compress;
mod content_negotiation;
mod counts;
mod graphql_http;
mod health;
mod hint;
mod hosts;
mod line;
mod metrics;
mod newcomers;
mod operation;
mod origins;
mod pages;
mod parameters;
mod peer;
mod quota;
mod server;
mod site;
mod socket;
mod sse;

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::header::ALLOW;
use http::{HeaderValue, Method, Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use warp::{Filter, Rejection};

use answer::Answer;
use socket::Door;

pub use peer::Peer;
pub use server::{Listener, serve};
pub use site::{Settings, Site, Stop};

/// Everything that is served.
fn routes(site: &Arc<Site>) -> impl Filter<Extract = (Answer,), Error = Infallible> + Clone + use<> {
    socket_routes(site)
        .or(dropped_upgrades(site))
        .unify()
        .map(Answer::from)
        .or(graphql_routes(site))
        .unify()
        .or(health::routes(site).or(metrics::routes(site)).unify().or(page_routes(site)).unify().map(Answer::from))
        .unify()
        .recover(refuse)
        .unify()
}

fn page_routes(site: &Arc<Site>) -> impl Filter<Extract = (Response<Bytes>,), Error = Rejection> + Clone + use<> {
    let graphiql = site.settings.graphiql;
    let allowed = warp::path::full().and_then(move |path: warp::path::FullPath| async move {
        let hidden = !graphiql && path.as_str().starts_with("/graphiql");
        if hidden { Err(warp::reject::not_found()) } else { Ok(()) }
    });
    allowed.untuple_one().and(pages::routes())
}

fn with(site: &Arc<Site>) -> impl Filter<Extract = (Arc<Site>,), Error = Infallible> + Clone + use<> {
    let site = Arc::clone(site);
    warp::any().map(move || Arc::clone(&site))
}

fn query() -> impl Filter<Extract = (String,), Error = Infallible> + Clone {
    warp::query::raw().or(warp::any().map(String::new)).unify()
}

fn socket_routes(site: &Arc<Site>) -> impl Filter<Extract = (Response<Bytes>,), Error = Rejection> + Clone + use<> {
    warp::path::full()
        .and_then(|path: warp::path::FullPath| async move { door(path.as_str()).ok_or_else(warp::reject::not_found) })
        .and(warp::header::exact_ignore_case("upgrade", "websocket"))
        .and(with(site))
        .and(warp::method())
        .and(warp::ext::get::<OnUpgrade>())
        .and(warp::ext::get::<Peer>())
        .and(warp::header::headers_cloned())
        .and(query())
        .map(socket::upgrade)
}

/// Requests to the addresses of sockets that do not ask for one.
fn dropped_upgrades(site: &Arc<Site>) -> impl Filter<Extract = (Response<Bytes>,), Error = Rejection> + Clone + use<> {
    let is_for_sockets = |path: &str| door(path).is_some() && path.trim_end_matches('/') != "/graphql";
    warp::path::full()
        .and_then(move |path: warp::path::FullPath| {
            std::future::ready(if is_for_sockets(path.as_str()) { Ok(()) } else { Err(warp::reject::not_found()) })
        })
        .untuple_one()
        .and(warp::method())
        .and(with(site))
        .map(|method: Method, site: Arc<Site>| socket::without_upgrade(&site, &method))
}

/// By which door a socket of this path comes.
fn door(path: &str) -> Option<Door> {
    match path.strip_suffix('/').unwrap_or(path) {
        "/graphql" | "/subscriptions" => Some(Door::GraphQl),
        "/api/v1/websocket/connect" => Some(Door::Plain),
        "/api/v1/ws" => Some(Door::Tickets),
        _ => None,
    }
}

fn graphql_routes(site: &Arc<Site>) -> impl Filter<Extract = (Answer,), Error = Rejection> + Clone + use<> {
    warp::path("graphql")
        .and(warp::path::end())
        .and(with(site))
        .and(warp::method())
        .and(warp::ext::get::<Peer>())
        .and(warp::header::headers_cloned())
        .and(query())
        .and(warp::body::stream())
        // In a box: warp moves a future as often as there are filters around it.
        .then(|site, method: Method, peer, headers, query: String, body| {
            Box::pin(graphql_http::handle(site, method, peer, headers, query, body))
        })
}

/// What no route takes.
async fn refuse(rejection: Rejection) -> Result<Answer, Infallible> {
    let (status, message) = if rejection.is_not_found() {
        (StatusCode::NOT_FOUND, "there is nothing here")
    } else if rejection.find::<warp::reject::MethodNotAllowed>().is_some() {
        let mut response = body::text(StatusCode::METHOD_NOT_ALLOWED, "use GET");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
        return Ok(response.into());
    } else {
        (StatusCode::BAD_REQUEST, "this request makes no sense here")
    };
    Ok(body::text(status, message).into())
}
