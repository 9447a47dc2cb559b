//! What the audits do not ask.

use std::sync::Once;

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, SqliteConnection};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tidings::config::DatabaseUrl;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::support::Server;

async fn sent(request: RequestBuilder) -> Response {
    request.send().await.expect("an answer")
}

fn header<'r>(response: &'r Response, name: &str) -> &'r str {
    response.headers().get(name).map_or("", |value| value.to_str().expect("text"))
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let server = Server::start().await;
    let (http, url) = (server.http(), server.url("/graphql"));
    let mutation = sent(http.get(&url).query(&[("query", "mutation { logoutEverywhere }")])).await;
    assert_eq!((mutation.status().as_u16(), header(&mutation, "allow")), (405, "POST"));
    for method in [Method::PUT, Method::PATCH, Method::DELETE] {
        let refused = sent(http.request(method.clone(), &url)).await;
        assert_eq!(
            (refused.status().as_u16(), header(&refused, "allow")),
            (405, "GET, HEAD, POST, OPTIONS"),
            "{method}"
        );
    }
}

fn varies_by_origin(response: &Response) -> bool {
    response.headers().get_all("vary").iter().any(|value| value == "origin")
}

#[tokio::test]
async fn only_pages_of_listed_origins_may_read_answers() {
    let server = Server::start_with(|config| {
        config.allowed_origins = "https://app.example".parse().expect("an origin");
    })
    .await;
    let (http, url) = (server.http(), server.url("/graphql"));
    let query = json!({"query": "{ __typename }"});
    for (origin, allowed) in
        [("https://app.example", "https://app.example"), ("https://evil.example", ""), ("null", "")]
    {
        let preflight = http.request(Method::OPTIONS, &url).header("origin", origin);
        let preflight = sent(preflight.header("access-control-request-method", "POST")).await;
        assert_eq!(header(&preflight, "access-control-allow-origin"), allowed, "{origin}");
        let answer = sent(http.post(&url).header("origin", origin).json(&query)).await;
        assert_eq!(header(&answer, "access-control-allow-origin"), allowed, "{origin}");
        assert!(varies_by_origin(&answer), "caches are told, too");
    }
    let answer = sent(http.post(&url).json(&query)).await;
    assert!(varies_by_origin(&answer), "also when somebody without an origin asks");
}

#[tokio::test]
async fn parameters_are_an_object_alone_and_in_a_batch() {
    let server = Server::start().await;
    let post = |body: Value| server.http().post(server.url("/graphql")).json(&body);
    for body in [json!("{__typename}"), json!(7), json!(null), json!({"query": ["{__typename}"]})] {
        assert_eq!(sent(post(body.clone())).await.status(), 400, "{body}");
    }
    let list = json!(["{ __typename }", null, null, null]);
    let good = json!({"query": "{ __typename }", "variables": null, "operationName": null, "extensions": null});
    let answer: Value = sent(post(json!([list, good]))).await.json().await.expect("JSON");
    assert_eq!(answer[0]["errors"][0]["extensions"]["code"], "BAD_USER_INPUT", "{answer}");
    assert_eq!(answer[1], json!({"data": {"__typename": "Query"}}));
}

/// What a form, an image or a link of another site can send must change nothing.
#[tokio::test]
async fn simple_requests_of_other_sites_do_nothing() {
    let server = Server::start().await;
    let ann = server.register("ann").await;
    let (http, url) = (server.http(), server.url(&format!("/graphql?token={}", ann.token)));
    let create = "mutation { createChannel(input: { name: \"forged\" }) { id } }";
    for kind in ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", ""] {
        let body = json!({"query": create}).to_string();
        let mut request = http.post(&url).header("origin", "https://evil.example").body(body);
        if !kind.is_empty() {
            request = request.header("content-type", kind);
        }
        assert_eq!(sent(request).await.status(), 415, "{kind}");
    }
    assert_eq!(sent(http.get(format!("{url}&query={create}"))).await.status(), 405);
    let channels = server.data(Some(&ann), "{ channels { nodes { name } } }", json!({})).await;
    assert_eq!(channels["channels"]["nodes"], json!([]));
}

#[tokio::test]
async fn every_answer_is_guarded_and_graphiql_can_be_closed() {
    let open = Server::start().await;
    let closed = Server::start_with(|config| config.graphiql = false).await;
    let page = |server: &Server, path: &str| server.http().get(server.url(path)).header("accept", "text/html");
    let pages = ["/", "/graphiql", "/graphql", "/graphql?query={__typename}"];
    for path in pages.into_iter().chain(["/schema.graphql", "/nowhere"]) {
        let answer = sent(page(&open, path)).await;
        assert_eq!(header(&answer, "x-content-type-options"), "nosniff", "{path}");
        let is_page = header(&answer, "content-type").starts_with("text/html");
        assert_eq!(is_page, pages.contains(&path), "{path}");
        if is_page {
            assert!(header(&answer, "content-security-policy").contains("default-src 'none'"), "{path}");
            assert!(header(&answer, "content-security-policy").contains("frame-ancestors 'none'"), "{path}");
            assert_eq!(header(&answer, "referrer-policy"), "no-referrer", "{path}");
        }
    }
    for path in ["/graphiql", "/graphql"] {
        assert!(sent(page(&open, path)).await.text().await.expect("a page").contains("GraphiQL"), "{path}");
        let answer = sent(page(&closed, path)).await;
        assert!(answer.status().is_client_error(), "{path}");
        assert!(!answer.text().await.expect("a text").contains("GraphiQL"), "{path}");
    }
}

/// Panics where a resolver tells the log that the table of templates is another one: inside the resolver.
struct Bomb;

impl Subscriber for Bomb {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() == Level::ERROR
    }

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Fuse);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Fuse;

impl Visit for Fuse {
    fn record_debug(&mut self, _: &Field, value: &dyn std::fmt::Debug) {
        let said = format!("{value:?}");
        let is_bomb = said.contains("no such column: templates.content") || said.contains("no column named content");
        assert!(!is_bomb, "as a resolver panics");
    }
}

#[tokio::test]
async fn a_resolver_that_panics_is_a_500_and_harms_nobody_else() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing::subscriber::set_global_default(Bomb).expect("nobody else listens"));
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("tidings.db");
    let server = Server::start_with(|config| config.database.url = DatabaseUrl::Sqlite(file.clone())).await;
    let ann = server.register("ann").await;
    let mut database = SqliteConnection::establish(file.to_str().expect("text")).expect("the database");
    database
        .batch_execute("PRAGMA busy_timeout = 5000; ALTER TABLE templates RENAME COLUMN content TO gone")
        .expect("a wreck");

    let query = "{ templates { nodes { id } } }";
    let request = || server.http().post(server.url("/graphql")).bearer_auth(&ann.token);
    for accept in ["application/json", "application/graphql-response+json"] {
        let answer = sent(request().header("accept", accept).json(&json!({"query": query}))).await;
        assert_eq!(answer.status(), 500);
        let body: Value = answer.json().await.expect("JSON");
        assert_eq!(body["data"], Value::Null);
        assert_eq!(body["errors"][0]["extensions"]["code"], "INTERNAL_SERVER_ERROR", "{body}");
        assert!(!body.to_string().contains("no such column"), "nobody is told how: {body}");
    }
    let mut socket = server.socket(Some(&ann)).await;
    socket.subscribe("1", query, json!({})).await;
    let frame = socket.frame().await;
    assert_eq!(frame["type"], "next", "{frame}");
    assert_eq!(frame["payload"]["errors"][0]["extensions"]["code"], "INTERNAL_SERVER_ERROR", "{frame}");
    assert_eq!(socket.frame().await["type"], "complete");
    // The socket, the threads that read, those of the runtime and the writer are as before.
    socket.settled().await;
    let add = "mutation { addTemplate(input: { name: \"a\", content: \"b\" }) { id } }";
    for round in 0..20 {
        for operation in [query, add] {
            assert_eq!(sent(request().json(&json!({"query": operation}))).await.status(), 500, "{operation}");
        }
        server.channel(&ann, &format!("round-{round}")).await;
    }
}
