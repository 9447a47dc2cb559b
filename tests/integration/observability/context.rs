//! Lines of the log name their connection, request, user and operation. Responses name their request.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::thread;

use reqwest::header::HeaderValue;
use serde_json::{Value, json};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, registry};

use super::LoggedServer;
use crate::support::{Server, Socket};

#[tokio::test]
async fn lines_about_an_operation_name_its_connection_request_user_and_name() {
    let server = LoggedServer::start(&[("TIDINGS_LOG", "info,tidings=debug")]).await;
    let ann = server.register("ann").await;
    let forbidden = "mutation Found { createOrganization(input: { name: \"x\" }) { id } }";
    let request = reqwest::Client::new().post(server.url("/graphql")).bearer_auth(&ann.token);
    let answer = request.header("x-request-id", "from-a-proxy").json(&json!({"query": forbidden})).send().await;
    assert_eq!(answer.expect("a response").headers()["x-request-id"], "from-a-proxy");
    let operation = |line: &Value| line["spans"].as_array().and_then(|spans| spans.last().cloned()).unwrap_or_default();
    let line = server.line(|line| line["reason"] == "permission").await;
    let over_http = operation(&line);
    for (field, value) in [
        ("name", json!("operation")),
        ("request_id", json!("from-a-proxy")),
        ("user_id", json!(ann.id.parse::<i64>().expect("a number"))),
        ("operation_name", json!("Found")),
        ("transport", json!("http")),
        ("kind", json!("mutation")),
    ] {
        assert_eq!(over_http[field], value, "{field} of {line}");
    }
    let connection = &over_http["connection_id"];
    let is_of_connection = |line: &Value| line["spans"][0]["name"] == "connection";
    let accepted = server.line(|line| is_of_connection(line) && line["spans"][0]["connection_id"] == *connection).await;
    assert!(accepted["spans"][0]["peer"].as_str().is_some_and(|peer| peer.starts_with("127.0.0.1:")), "{accepted}");

    let mut socket = Socket::connect_and_init(server.program.address(), Some(&ann)).await;
    socket.subscribe("1", forbidden, json!({})).await;
    assert_eq!(socket.frame().await["payload"]["errors"][0]["extensions"]["code"], "FORBIDDEN");
    let is_wanted = |line: &Value| line["reason"] == "permission" && operation(line)["transport"] == "websocket";
    let over_socket = operation(&server.line(is_wanted).await);
    assert_eq!((&over_socket["operation_name"], &over_socket["user_id"]), (&json!("Found"), &over_http["user_id"]));
    assert_ne!(over_socket["connection_id"], *connection);
    assert!(over_socket["request_id"].as_str().is_some_and(|id| id.len() == 16), "{over_socket}");
}

#[tokio::test]
async fn a_response_has_the_id_of_its_request_and_a_hostile_id_is_replaced() {
    let server = Server::start().await;
    let ask = async |id: Option<&[u8]>, accept: &str| {
        let request = server.http().post(server.url("/graphql")).header("accept", accept);
        let id = id.map(|id| HeaderValue::from_bytes(id).expect("a header value"));
        let request = id.into_iter().fold(request, |request, id| request.header("x-request-id", id));
        let answer = request.json(&json!({"query": "{ cursor }"})).send().await.expect("a response");
        assert!(answer.status().is_success());
        answer.headers()["x-request-id"].to_str().expect("ASCII").to_owned()
    };
    for accept in ["application/json", "text/event-stream"] {
        assert_eq!(ask(Some(b"0af7651916cd43dd"), accept).await, "0af7651916cd43dd");
        let made = ask(None, accept).await;
        assert_ne!(made, ask(None, accept).await, "each request has an id of its own");
        let too_long = "x".repeat(101);
        for hostile in [too_long.as_bytes(), b"a\tb", b"a b", b"\"}", "größe".as_bytes(), b"\xff"] {
            let made = ask(Some(hostile), accept).await;
            assert!(made.len() == 16 && made.bytes().all(|byte| byte.is_ascii_hexdigit()), "{hostile:?}: {made}");
        }
    }
    let refused = server.http().put(server.url("/graphql")).header("x-request-id", "a-1").send().await;
    assert_eq!(refused.expect("a response").headers()["x-request-id"], "a-1", "refusals have the id, too");
}

/// The fields of a span.
#[derive(Default, Clone)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

/// Notes which spans are entered on which threads.
#[derive(Default, Clone)]
struct Entered(Arc<Mutex<Vec<(String, Fields)>>>);

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Entered {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        context.span(id).expect("the span").extensions_mut().insert(fields);
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        let fields = context.span(id).and_then(|span| span.extensions().get::<Fields>().cloned()).unwrap_or_default();
        let thread = thread::current().name().unwrap_or_default().to_owned();
        self.0.lock().expect("no panic").push((thread, fields));
    }
}

/// The server runs on the thread of this test, so the subscriber of the test is that of the server.
#[tokio::test]
async fn at_the_default_level_the_span_of_a_query_covers_its_work_on_a_read_thread() {
    let entered = Entered::default();
    let subscriber = registry().with(LevelFilter::INFO).with(entered.clone());
    let _default = tracing::subscriber::set_default(subscriber);
    let server = Server::start().await;
    let ann = server.register("ann").await;
    // Another test may have run the code for the first time just before this subscriber was set.
    tracing::callsite::rebuild_interest_cache();
    server.data(Some(&ann), "query Mine { me { username } }", json!({})).await;
    let entered = entered.0.lock().expect("no panic");
    let is_of_query = |fields: &Fields| fields.0.get("operation_name").is_some_and(|name| name == "Mine");
    let read = entered.iter().find(|(thread, fields)| thread == "reader" && is_of_query(fields));
    let (_, fields) = read.expect("the span was entered on a read thread");
    assert_eq!(fields.0["user_id"], ann.id);
    assert!(fields.0.contains_key("connection_id") && fields.0.contains_key("request_id"));
}
