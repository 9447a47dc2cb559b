//! Routes for operators: `/healthz`, `/readyz` and `/schema.graphql`.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use warp::{Filter, Rejection};

use super::body;
use super::compression::compressed_file;
use super::filters::with;
use super::state::AppState;

/// The routes `/healthz`, `/readyz` and `/schema.graphql`.
pub fn routes(site: &Arc<AppState>) -> impl Filter<Extract = (Response<Bytes>,), Error = Rejection> + Clone + use<> {
    let shutdown_signal = warp::path!("healthz").and(get()).map(|| body::text(StatusCode::OK, "ok"));
    let ready = warp::path!("readyz").and(get()).and(with(site)).then(ready);
    let sdl: Option<Bytes> = site.settings.introspection.then(|| crate::graphql::sdl().into());
    let schema =
        warp::path!("schema.graphql").and(get()).and(warp::header::headers_cloned()).then(move |headers: HeaderMap| {
            let response = match &sdl {
                Some(sdl) => body::response(StatusCode::OK, "text/plain; charset=utf-8", sdl.clone()),
                None => body::text(StatusCode::NOT_FOUND, "schema introspection is disabled"),
            };
            async move { compressed_file(&headers, response).await }
        });
    shutdown_signal.or(ready).unify().or(schema).unify()
}

fn get() -> impl Filter<Extract = (), Error = Rejection> + Clone {
    warp::get().or(warp::head()).unify()
}

/// Responds with 200 if the server is not stopping, no part of it has panicked, and the database accepts writes.
async fn ready(site: Arc<AppState>) -> Response<Bytes> {
    if site.is_stopping() {
        return body::text(StatusCode::SERVICE_UNAVAILABLE, "stopping");
    }
    if let Some(fault) = site.vitals.fault() {
        return body::text(StatusCode::SERVICE_UNAVAILABLE, &format!("a fault ended {}", fault.part));
    }
    match site.board.health.reach_database().await {
        // Anyone may request this path, so the reason is only logged.
        Ok(_) if site.board.health.write_problem().await.is_some() => {
            body::text(StatusCode::SERVICE_UNAVAILABLE, "the database takes no changes")
        }
        Ok(_) => body::text(StatusCode::OK, "ready"),
        Err(error) => {
            tracing::warn!(%error, "the server is not ready: the database does not answer");
            body::text(StatusCode::SERVICE_UNAVAILABLE, "the database cannot be reached")
        }
    }
}
