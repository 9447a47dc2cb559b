//! The page `/metrics` in Prometheus's format. It shows counters that other modules keep.

mod page;
mod process;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use sha2::{Digest as _, Sha256};
use warp::{Filter, Rejection};

use super::compression::compressed_file;
use super::filters::with;
use super::refusal::Refusal;
use super::state::AppState;
use super::{body, client_identity};
use page::MetricsText;
use process::Process;

/// The route of `/metrics`.
pub fn routes(site: &Arc<AppState>) -> impl Filter<Extract = (Response<Bytes>,), Error = Rejection> + Clone + use<> {
    let get = warp::get().or(warp::head()).unify();
    warp::path!("metrics").and(get).and(with(site)).and(warp::header::headers_cloned()).then(respond)
}

async fn respond(site: Arc<AppState>, headers: HeaderMap) -> Response<Bytes> {
    if !may_read(&site, &headers) {
        site.counts.refuse(Refusal::MetricsToken);
        let mut response = body::text(StatusCode::UNAUTHORIZED, "the metrics token is missing or wrong");
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        return response;
    }
    let mut page = MetricsText::default();
    write_connections(&mut page, &site);
    write_operations(&mut page, &site);
    write_database(&mut page, &site).await;
    write_process(&mut page);
    let response = body::response(StatusCode::OK, page::CONTENT_TYPE, page.into_text());
    compressed_file(&headers, response).await
}

fn may_read(site: &AppState, headers: &HeaderMap) -> bool {
    let Some(expected) = &site.settings.metrics_token else { return true };
    let header = headers.get(AUTHORIZATION).and_then(|header| header.to_str().ok());
    let Some(Ok(token)) = header.map(client_identity::bearer) else { return false };
    // Comparing digests instead of tokens: the time it takes reveals nothing about the token.
    Sha256::digest(token) == Sha256::digest(expected.reveal())
}

fn write_connections(page: &mut MetricsText, site: &AppState) {
    let counts = &site.counts;
    let transports = [("graphql_ws", &counts.graphql), ("plain_ws", &counts.plain), ("sse", &counts.sse)];
    page.gauge("tidings_connections", "Open TCP connections.", counts.connections.get());
    let limit = site.settings.sockets.max_connections;
    page.gauge("tidings_connections_limit", "Maximum number of open connections.", limit);
    page.counter("tidings_connections_total", "Connections that were accepted.", counts.accepted.get());
    let help = "Connections that were rejected with 503 because the limit was reached.";
    page.counter("tidings_connections_refused_total", help, counts.refused.get());
    let open = transports.map(|(name, transport)| (name, transport.open.get()));
    page.each(("tidings_lines", "gauge"), "Open sockets and event streams.", "kind", open);
    let delivered = transports.map(|(name, transport)| (name, transport.deliveries.get()));
    let help = "Items of subscriptions that were written to a connection.";
    page.each(("tidings_deliveries_total", "counter"), help, "kind", delivered);
    let help = "Sockets that the server closed, by close code.";
    page.each(("tidings_socket_closes_total", "counter"), help, "code", counts.closes());
    let help = "Connections, requests, operations and sockets that were refused, by reason.";
    page.each(("tidings_refused_total", "counter"), help, "reason", counts.refusals.values());
}

fn write_operations(page: &mut MetricsText, site: &AppState) {
    let counts = site.engine.counts();
    let kinds = [("query", &counts.queries), ("mutation", &counts.mutations), ("subscription", &counts.subscriptions)];
    let started = kinds.map(|(kind, counter)| (kind, counter.get()));
    page.each(("tidings_operations_total", "counter"), "GraphQL operations that were started.", "kind", started);
    let help = "GraphQL operations that were refused before they began.";
    page.counter("tidings_operations_refused_total", help, counts.refused.get());
    let help = "Operations of all transports that ended with an error, by the code of the first error.";
    page.each(("tidings_operation_errors_total", "counter"), help, "code", site.counts.errors.values());
    page.gauge("tidings_subscriptions", "Open GraphQL subscriptions.", counts.following.get());
    let sources = [("rendered", counts.rendered.get()), ("shared", counts.shared.get())];
    let help =
        "Items of GraphQL subscriptions: rendered, or shared with another subscription that rendered the same item.";
    page.each(("tidings_items_total", "counter"), help, "made", sources);
}

async fn write_database(page: &mut MetricsText, site: &AppState) {
    let (board, store) = (&site.board, site.board.store().counts());
    let sign_ins = board.accounts.counts();
    let outcomes = [("ok", &sign_ins.signed_in), ("wrong", &sign_ins.wrong), ("limited", &sign_ins.limited)];
    let outcomes = outcomes.map(|(outcome, counter)| (outcome, counter.get()));
    page.each(("tidings_sign_ins_total", "counter"), "Attempts to sign in, by outcome.", "outcome", outcomes);
    write_issuers(page, site);
    page.counter("tidings_events_total", "Events that this instance wrote.", store.events.get());
    page.histogram("tidings_commit_seconds", "Duration of the writes and the commit of a batch.", &store.commits);
    page.histogram("tidings_commit_commands", "Number of commands in a committed batch.", &store.commands);
    let help = "Batches that were rolled back or lost, then retried or rejected.";
    page.counter("tidings_commit_failures_total", help, store.failures.get());
    let help = "Batches that decided again, because another instance had changed what they were decided on.";
    page.counter("tidings_commits_outdated_total", help, store.outdated.get());
    write_outbox(page, site).await;
    if let Some(replica) = site.board.store().replica() {
        let help = "Reads of clients, by the database server that served them.";
        let reads = [("primary", replica.reads_from_primary), ("replica", replica.reads)];
        page.each(("tidings_reads_total", "counter"), help, "server", reads);
        let help = "Whether reads go to the read replica.";
        page.gauge("tidings_replica_up", help, u8::from(replica.is_serving));
        page.gauge("tidings_replica_lag", "Events that the read replica did not have yet.", replica.lag);
    }
    let tail = board.log.head().seq.0;
    page.gauge("tidings_tail_position", "Position of the last event that this instance has read.", tail);
    let head = board.health.reach_database().await;
    page.gauge("tidings_database_up", "Whether the database answers.", u8::from(head.is_ok()));
    if let Ok(head) = head {
        page.gauge("tidings_log_head", "Position of the last event in the log.", head.seq.0);
        let lag = head.seq.0.saturating_sub(tail).max(0);
        page.gauge("tidings_tail_lag", "Events in the log that this instance has not read yet.", lag);
    }
}

fn write_issuers(page: &mut MetricsText, site: &AppState) {
    let Some(users) = &site.board.external_users else { return };
    let (counts, (fetched, failed)) = (users.issuers().counts(), users.issuers().fetches());
    let help = "Tokens of other issuers that were accepted.";
    page.counter("tidings_issuer_tokens_accepted_total", help, counts.accepted.get());
    let help = "Tokens of other issuers that were refused, by the check that failed.";
    page.each(("tidings_issuer_tokens_refused_total", "counter"), help, "check", counts.refused.values());
    let help = "Fetches of the keys of other issuers, by outcome.";
    let outcomes = [("ok", fetched), ("failed", failed)];
    page.each(("tidings_issuer_key_fetches_total", "counter"), help, "outcome", outcomes);
}

/// The rows of the outbox. Rows in the database are counted up to 10,000.
async fn write_outbox(page: &mut MetricsText, site: &AppState) {
    let counts = &site.board.outbox_counts;
    let help = "Rows of the outbox that this instance published.";
    page.counter("tidings_outbox_published_total", help, counts.published.get());
    let help = "Rows of the outbox that this instance dropped, because their key was used.";
    page.counter("tidings_outbox_duplicates_total", help, counts.duplicates.get());
    let help = "Rows of the outbox that cannot be published, by reason.";
    page.each(("tidings_outbox_rejected_total", "counter"), help, "reason", counts.rejected.values());
    if let Ok((waiting, rejected)) = site.board.health.outbox_rows().await {
        page.gauge("tidings_outbox_waiting", "Rows of the outbox that wait, counted up to 10,000.", waiting);
        let help = "Rows that are kept in outbox_rejected, counted up to 10,000.";
        page.gauge("tidings_outbox_rejected_rows", help, rejected);
    }
}

fn write_process(page: &mut MetricsText) {
    let version = [(env!("CARGO_PKG_VERSION"), 1)];
    page.each(("tidings_build_info", "gauge"), "Version of the running server.", "version", version);
    let Some(process) = Process::read() else { return };
    let help = "Resident memory size in bytes.";
    page.gauge("process_resident_memory_bytes", help, process.resident_bytes);
    let help = "Total user and system CPU time spent in seconds.";
    page.counter("process_cpu_seconds_total", help, process.cpu_seconds);
    page.gauge("process_open_fds", "Number of open file descriptors.", process.open_files);
}
