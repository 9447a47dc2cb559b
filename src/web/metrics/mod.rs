//! `/metrics`: what the floors have counted, for Prometheus. Nothing is counted here.

mod page;
mod process;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use sha2::{Digest as _, Sha256};
use warp::{Filter, Rejection};

use super::compress::compressed_file;
use super::{Site, body, callers, with};
use page::Page;
use process::Process;

/// `/metrics`.
pub fn routes(site: &Arc<Site>) -> impl Filter<Extract = (Response<Bytes>,), Error = Rejection> + Clone + use<> {
    let get = warp::get().or(warp::head()).unify();
    warp::path!("metrics").and(get).and(with(site)).and(warp::header::headers_cloned()).then(answer)
}

async fn answer(site: Arc<Site>, headers: HeaderMap) -> Response<Bytes> {
    if !may_read(&site, &headers) {
        let mut response = body::text(StatusCode::UNAUTHORIZED, "the metrics token is missing or wrong");
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        return response;
    }
    let mut page = Page::default();
    of_the_door(&mut page, &site);
    of_the_engine(&mut page, &site);
    of_the_board(&mut page, &site).await;
    of_the_process(&mut page);
    let response = body::response(StatusCode::OK, page::CONTENT_TYPE, page.into_text());
    compressed_file(&headers, response).await
}

fn may_read(site: &Site, headers: &HeaderMap) -> bool {
    let Some(wanted) = &site.settings.metrics_token else { return true };
    let said = headers.get(AUTHORIZATION).and_then(|header| header.to_str().ok());
    let Some(Ok(said)) = said.map(callers::bearer) else { return false };
    // How long it takes to compare two digests tells nothing about what they are made of.
    Sha256::digest(said) == Sha256::digest(wanted.reveal())
}

fn of_the_door(page: &mut Page, site: &Site) {
    let counts = &site.counts;
    let roads = [("graphql_ws", &counts.graphql), ("plain_ws", &counts.plain), ("sse", &counts.sse)];
    page.gauge("tidings_connections", "Open TCP connections.", counts.connections.get());
    let limit = site.settings.sockets.max_connections;
    page.gauge("tidings_connections_limit", "How many connections may be open.", limit);
    page.counter("tidings_connections_total", "Connections that were let in.", counts.accepted.get());
    let help = "Connections that were answered 503 because the limit was reached.";
    page.counter("tidings_connections_refused_total", help, counts.refused.get());
    let open = roads.map(|(name, road)| (name, road.open.get()));
    page.each(("tidings_lines", "gauge"), "Open sockets and event streams.", "kind", open);
    let delivered = roads.map(|(name, road)| (name, road.deliveries.get()));
    let help = "Items of subscriptions that were handed to a connection.";
    page.each(("tidings_deliveries_total", "counter"), help, "kind", delivered);
    let help = "Sockets that the server closed, by close code.";
    page.each(("tidings_socket_closes_total", "counter"), help, "code", counts.closes());
}

fn of_the_engine(page: &mut Page, site: &Site) {
    let counts = site.engine.counts();
    let kinds = [("query", &counts.queries), ("mutation", &counts.mutations), ("subscription", &counts.subscriptions)];
    let begun = kinds.map(|(kind, counter)| (kind, counter.get()));
    page.each(("tidings_operations_total", "counter"), "GraphQL operations that were begun.", "kind", begun);
    let help = "GraphQL operations that were refused before they began.";
    page.counter("tidings_operations_refused_total", help, counts.refused.get());
    page.gauge("tidings_subscriptions", "Open GraphQL subscriptions.", counts.following.get());
    let made = [("rendered", counts.rendered.get()), ("shared", counts.shared.get())];
    let help = "Items of GraphQL subscriptions: rendered, or shared with who had the same one rendered.";
    page.each(("tidings_items_total", "counter"), help, "made", made);
}

async fn of_the_board(page: &mut Page, site: &Site) {
    let (board, store) = (&site.board, site.board.store().counts());
    let sign_ins = board.counts();
    let outcomes = [("ok", &sign_ins.signed_in), ("wrong", &sign_ins.wrong), ("limited", &sign_ins.limited)];
    let outcomes = outcomes.map(|(outcome, counter)| (outcome, counter.get()));
    page.each(("tidings_sign_ins_total", "counter"), "Attempts to sign in, by outcome.", "outcome", outcomes);
    page.counter("tidings_events_total", "Events that this instance wrote.", store.events.get());
    page.histogram("tidings_commit_seconds", "How long COMMIT took.", &store.commits);
    page.histogram("tidings_commit_commands", "How many changes were committed together.", &store.commands);
    let help = "Batches of changes that were rolled back or lost, and run again or refused.";
    page.counter("tidings_commit_failures_total", help, store.failures.get());
    let tail = board.head().seq.0;
    page.gauge("tidings_tail_position", "The latest event that this instance has read.", tail);
    let head = board.reach_database().await;
    page.gauge("tidings_database_up", "Whether the database answers.", u8::from(head.is_ok()));
    if let Ok(head) = head {
        page.gauge("tidings_log_head", "The latest event in the log.", head.seq.0);
        let lag = head.seq.0.saturating_sub(tail).max(0);
        page.gauge("tidings_tail_lag", "Events in the log that this instance has not read yet.", lag);
    }
}

fn of_the_process(page: &mut Page) {
    let version = [(env!("CARGO_PKG_VERSION"), 1)];
    page.each(("tidings_build_info", "gauge"), "The version that runs.", "version", version);
    let Some(process) = Process::look() else { return };
    let help = "Resident memory size in bytes.";
    page.gauge("process_resident_memory_bytes", help, process.resident_bytes);
    let help = "Total user and system CPU time spent in seconds.";
    page.counter("process_cpu_seconds_total", help, process.cpu_seconds);
    page.gauge("process_open_fds", "Number of open file descriptors.", process.open_files);
}
