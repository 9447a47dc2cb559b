//! Rules of GraphQL over HTTP that the `graphql-http` audits do not check.

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

async fn send(request: RequestBuilder) -> Response {
    request.send().await.expect("a response")
}

fn header<'r>(response: &'r Response, name: &str) -> &'r str {
    response.headers().get(name).map_or("", |value| value.to_str().expect("text"))
}

#[tokio::test]
async fn a_wrong_method_gets_405_with_the_allowed_methods() {
    let server = Server::start().await;
    let (http, url) = (server.http(), server.url("/graphql"));
    let mutation = send(http.get(&url).query(&[("query", "mutation { logoutEverywhere }")])).await;
    assert_eq!((mutation.status().as_u16(), header(&mutation, "allow")), (405, "POST"));
    for method in [Method::PUT, Method::PATCH, Method::DELETE] {
        let refused = send(http.request(method.clone(), &url)).await;
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
async fn cors_allows_only_listed_origins() {
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
        let preflight = send(preflight.header("access-control-request-method", "POST")).await;
        assert_eq!(header(&preflight, "access-control-allow-origin"), allowed, "{origin}");
        let answer = send(http.post(&url).header("origin", origin).json(&query)).await;
        assert_eq!(header(&answer, "access-control-allow-origin"), allowed, "{origin}");
        assert!(varies_by_origin(&answer), "Vary: Origin is set, for caches");
    }
    let answer = send(http.post(&url).json(&query)).await;
    assert!(varies_by_origin(&answer), "Vary: Origin is also set without an Origin header");
}

#[tokio::test]
async fn request_parameters_must_be_objects_alone_and_in_a_batch() {
    let server = Server::start().await;
    let post = |body: Value| server.http().post(server.url("/graphql")).json(&body);
    for body in [json!("{__typename}"), json!(7), json!(null), json!({"query": ["{__typename}"]})] {
        assert_eq!(send(post(body.clone())).await.status(), 400, "{body}");
    }
    let list = json!(["{ __typename }", null, null, null]);
    let good = json!({"query": "{ __typename }", "variables": null, "operationName": null, "extensions": null});
    let answer: Value = send(post(json!([list, good]))).await.json().await.expect("JSON");
    assert_eq!(answer[0]["errors"][0]["extensions"]["code"], "BAD_USER_INPUT", "{answer}");
    assert_eq!(answer[1], json!({"data": {"__typename": "Query"}}));
}

/// Requests that a form, an image or a link of another site can send must not change anything.
#[tokio::test]
async fn simple_cross_site_requests_change_nothing() {
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
        assert_eq!(send(request).await.status(), 415, "{kind}");
    }
    assert_eq!(send(http.get(format!("{url}&query={create}"))).await.status(), 405);
    let channels = server.data(Some(&ann), "{ channels { nodes { name } } }", json!({})).await;
    assert_eq!(channels["channels"]["nodes"], json!([]));
}

#[tokio::test]
async fn every_response_has_security_headers_and_graphiql_can_be_disabled() {
    let open = Server::start().await;
    let closed = Server::start_with(|config| config.graphiql = false).await;
    let page = |server: &Server, path: &str| server.http().get(server.url(path)).header("accept", "text/html");
    let pages = ["/", "/graphiql", "/graphql", "/graphql?query={__typename}"];
    for path in pages.into_iter().chain(["/schema.graphql", "/nowhere"]) {
        let answer = send(page(&open, path)).await;
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
        assert!(send(page(&open, path)).await.text().await.expect("a page").contains("GraphiQL"), "{path}");
        let answer = send(page(&closed, path)).await;
        assert!(answer.status().is_client_error(), "{path}");
        assert!(!answer.text().await.expect("a text").contains("GraphiQL"), "{path}");
    }
}

/// A tracing subscriber that panics when a resolver logs the error about the renamed column. So the panic happens
/// inside the resolver.
struct PanicOnError;

impl Subscriber for PanicOnError {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() == Level::ERROR
    }

    fn event(&self, event: &Event<'_>) {
        event.record(&mut ErrorVisitor);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct ErrorVisitor;

impl Visit for ErrorVisitor {
    fn record_debug(&mut self, _: &Field, value: &dyn std::fmt::Debug) {
        let text = format!("{value:?}");
        let is_target = text.contains("no such column: templates.content") || text.contains("no column named content");
        assert!(!is_target, "a panic inside a resolver, made by this test");
    }
}

#[tokio::test]
async fn a_panicking_resolver_gets_500_and_the_server_keeps_working() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing::subscriber::set_global_default(PanicOnError).expect("no other subscriber is set in this process");
    });
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("tidings.db");
    let server = Server::start_with(|config| config.database.url = DatabaseUrl::Sqlite(file.clone())).await;
    let ann = server.register("ann").await;
    let mut database = SqliteConnection::establish(file.to_str().expect("text")).expect("the database");
    database
        .batch_execute("PRAGMA busy_timeout = 5000; ALTER TABLE templates RENAME COLUMN content TO gone")
        .expect("the column can be renamed");

    let query = "{ templates { nodes { id } } }";
    let request = || server.http().post(server.url("/graphql")).bearer_auth(&ann.token);
    for accept in ["application/json", "application/graphql-response+json"] {
        let answer = send(request().header("accept", accept).json(&json!({"query": query}))).await;
        assert_eq!(answer.status(), 500);
        let body: Value = answer.json().await.expect("JSON");
        assert_eq!(body["data"], Value::Null);
        assert_eq!(body["errors"][0]["extensions"]["code"], "INTERNAL_SERVER_ERROR", "{body}");
        assert!(!body.to_string().contains("no such column"), "the error must not reveal the cause: {body}");
    }
    let mut socket = server.socket(Some(&ann)).await;
    socket.subscribe("1", query, json!({})).await;
    let frame = socket.frame().await;
    assert_eq!(frame["type"], "next", "{frame}");
    assert_eq!(frame["payload"]["errors"][0]["extensions"]["code"], "INTERNAL_SERVER_ERROR", "{frame}");
    assert_eq!(socket.frame().await["type"], "complete");
    // The socket, the reader threads, the runtime and the writer still work.
    socket.assert_idle().await;
    let add = "mutation { addTemplate(input: { name: \"a\", content: \"b\" }) { id } }";
    for round in 0..20 {
        for operation in [query, add] {
            assert_eq!(send(request().json(&json!({"query": operation}))).await.status(), 500, "{operation}");
        }
        server.channel(&ann, &format!("round-{round}")).await;
    }
}
