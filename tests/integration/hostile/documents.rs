//! Documents that exhausted other GraphQL servers. Each is rejected before execution, and before validation where
//! validation would take long.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Report, Server, Socket, with_timeout};

const TOO_COMPLEX: &str = "QUERY_TOO_COMPLEX";
const INVALID: &str = "GRAPHQL_VALIDATION_FAILED";
/// The longest acceptable response time on a busy machine; normally it is milliseconds.
const MAX_RESPONSE_TIME: Duration = Duration::from_secs(10);

/// A document, and the error code that it must get.
pub struct Case {
    pub name: &'static str,
    pub document: String,
    pub variables: Value,
    pub code: &'static str,
}

fn case(name: &'static str, document: impl Into<String>, code: &'static str) -> Case {
    Case { name, document: document.into(), variables: json!({}), code }
}

/// All cases.
pub fn all() -> Vec<Case> {
    [nested(), fragments(), many(), introspection(), costly()].into_iter().flatten().collect()
}

fn nested() -> Vec<Case> {
    let around = |open: &str, middle: &str, close: &str, times: usize| {
        format!("{}{middle}{}", open.repeat(times), close.repeat(times))
    };
    let argument = |value: String| format!("{{ messages(first: {value}) {{ nodes {{ id }} }} }}");
    vec![
        case("40 kB of nested selections", around("{a", "", "}", 13_500), TOO_COMPLEX),
        case("900 nested selections", around("{a", "{a}", "}", 900), TOO_COMPLEX),
        case("20 nested fields", around("{channels{nodes", "{id}", "}}", 10), TOO_COMPLEX),
        case("40 kB of nested lists", argument(around("[", "", "]", 20_000)), TOO_COMPLEX),
        case("900 nested lists", argument(around("[", "", "]", 900)), TOO_COMPLEX),
        case("60 nested lists", argument(around("[", "", "]", 60)), INVALID),
        case("40 kB of nested objects", argument(around("{a:", "1", "}", 10_000)), TOO_COMPLEX),
        case("600 nested objects", argument(around("{a:", "1", "}", 600)), TOO_COMPLEX),
        case(
            "40 kB of nested list types",
            format!("query ($a: {}) {{ cursor }}", around("[", "Int", "]", 20_000)),
            TOO_COMPLEX,
        ),
    ]
}

fn fragments() -> Vec<Case> {
    /// A chain of fragments, each of which spreads the next one twice; the last one selects `last`.
    fn fan(count: usize, last: &str) -> String {
        let mut document = "{ ...f0 }".to_owned();
        for number in 0..count {
            let next = number + 1;
            write!(document, " fragment f{number} on Query {{ ...f{next} ...f{next} }}").expect("text");
        }
        format!("{document} fragment f{count} on Query {{ {last} }}")
    }
    let all_spread_all: String = (0..25)
        .map(|number| {
            let spreads: String = (0..25).map(|other| format!("...f{other} ")).collect();
            format!("fragment f{number} on Query {{ {spreads} cursor }} ")
        })
        .collect();
    let one_large = format!("fragment f on User {{ {} }}", "id username ".repeat(250));
    vec![
        case("a fragment cycle", "{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }", INVALID),
        case("fragments that all spread each other", format!("{{ ...f0 }} {all_spread_all}"), TOO_COMPLEX),
        case("fragments that fan out 2^30 fields", fan(30, "cursor"), TOO_COMPLEX),
        case("fragments that fan out to an unknown fragment", fan(60, "...nobody"), TOO_COMPLEX),
        case("a chain of 200 fragments", fan(200, "cursor"), TOO_COMPLEX),
        case(
            "a large fragment spread 200 times",
            format!("{{ {} }} {one_large}", "me { ...f } ".repeat(200)),
            TOO_COMPLEX,
        ),
    ]
}

fn many() -> Vec<Case> {
    let aliases = |count: usize| -> String {
        (0..count).map(|number| format!("a{number}: messages(first: 100) {{ nodes {{ id }} }} ")).collect()
    };
    let long = "x".repeat(100_000);
    let operations: String = (0..160).map(|number| format!("query q{number} {{ ...f }} ")).collect();
    let unknown = "me { id @include(if: $x) } ".repeat(40);
    vec![
        case("1,000 aliases of an expensive field", format!("{{ {} }}", aliases(1_000)), TOO_COMPLEX),
        case("100 aliases of an expensive field", format!("{{ {} }}", aliases(100)), TOO_COMPLEX),
        case("100,000 times the same field", format!("{{ {} }}", "cursor ".repeat(100_000)), TOO_COMPLEX),
        case("1,900 times the same field", format!("{{ {} }}", "cursor ".repeat(1_900)), TOO_COMPLEX),
        case("350 times the same object", format!("{{ {} }}", "me { id } ".repeat(350)), TOO_COMPLEX),
        case("10,000 directives", format!("{{ cursor {} }}", "@skip(if: false) ".repeat(10_000)), TOO_COMPLEX),
        case("200 directives", format!("{{ cursor {} }}", "@skip(if: false) ".repeat(200)), TOO_COMPLEX),
        case(
            "160 operations with one mistake in a fragment",
            format!("{operations} fragment f on Query {{ {unknown} }}"),
            TOO_COMPLEX,
        ),
        case("a name of 100 kB", format!("{{ {long} }}"), TOO_COMPLEX),
        case("a variable of an unknown type", "query ($a: Nothing = 1) { cursor }", INVALID),
        case("100,000 control characters", format!("{{ {} }}", "\u{1}".repeat(100_000)), "GRAPHQL_PARSE_FAILED"),
    ]
}

fn introspection() -> Vec<Case> {
    let circle =
        format!("{{ __schema {{ types {{ {} name {} }} }} }}", "fields { type { ".repeat(10), "} } ".repeat(10));
    let types: String = (0..30).map(|number| format!("a{number}: types {{ fields {{ args {{ name }} }} }} ")).collect();
    vec![
        case("cyclic introspection", circle, TOO_COMPLEX),
        case("introspection 30 times", format!("{{ __schema {{ {types} }} b: __schema {{ {types} }} }}"), TOO_COMPLEX),
    ]
}

fn costly() -> Vec<Case> {
    let pages =
        "channels(first: $n) { nodes { messages(first: $n) { nodes { id comments(last: $n) { nodes { id } } } } } }";
    let given = |value: Value| Case {
        name: "a million items, by a variable",
        document: format!("query ($n: Int) {{ {pages} }}"),
        variables: json!({"n": value}),
        code: TOO_COMPLEX,
    };
    vec![
        given(json!(100)),
        case("a million items, by a default", format!("query ($n: Int = 100) {{ {pages} }}"), TOO_COMPLEX),
        case("8,000 items by the default page size", format!("query ($n: Int) {{ {pages} }}"), TOO_COMPLEX),
    ]
}

#[tokio::test]
async fn documents_that_exhausted_other_servers_are_rejected_over_http_and_sockets() {
    let server = Server::start_with(|config| config.sockets.frames_per_second = 0).await;
    let mut modern = Socket::connect_and_init(server.address(), None).await;
    let mut legacy = Socket::connect(server.address(), "/graphql", "graphql-ws").await;
    legacy.send(json!({"type": "connection_init"})).await;
    for expected in ["connection_ack", "ka"] {
        assert_eq!(legacy.frame().await["type"], expected);
    }
    let mut report = Report::new("documents that exhausted other servers, and the response times:");
    report.line(format_args!("{:>10} {:>10} {:>10}", "HTTP", "modern", "legacy"));
    for Case { name, document, variables, code } in all() {
        let since = Instant::now();
        assert_eq!(server.error_code(None, &document, variables.clone()).await, code, "{name}");
        let over_http = since.elapsed();
        let mut line = format!("{over_http:>10.1?}");
        let payload = json!({"query": document, "variables": variables});
        // Larger documents exceed the frame limit and can only be sent over HTTP.
        if payload.to_string().len() < 250 << 10 {
            let since = Instant::now();
            modern.send(json!({"type": "subscribe", "id": "1", "payload": payload})).await;
            assert_eq!(modern.error_code("1").await, code, "{name}");
            let over_modern = since.elapsed();
            legacy.send(json!({"type": "start", "id": "1", "payload": payload})).await;
            let error = legacy.frame().await;
            let kind = (&error["type"], &error["payload"]["extensions"]["code"]);
            assert_eq!(kind, (&json!("error"), &json!(code)), "{name}");
            let over_legacy = since.elapsed().saturating_sub(over_modern);
            assert!(over_modern.max(over_legacy) < MAX_RESPONSE_TIME, "{name}");
            line = format!("{line} {over_modern:>10.1?} {over_legacy:>10.1?}");
        }
        report.line(format_args!("{line:<32}  {name}: {code}"));
        assert!(over_http < MAX_RESPONSE_TIME, "{name}");
    }
    // The server still answers the introspection query that tools send.
    let schema = server.data(None, include_str!("../introspection.graphql"), json!({})).await;
    assert_eq!(schema["__schema"]["queryType"]["name"], "Query");
}

#[tokio::test]
async fn typical_application_documents_are_within_the_limits() {
    let server = Server::start().await;
    // A page of thirty components, each with its own fragment on the same objects.
    let parts: String = (0..30).map(|n| format!("...p{n} ")).collect();
    let fragments: String = (0..30)
        .map(|n| format!("fragment p{n} on Message {{ id __typename content author {{ id displayName }} }} "))
        .collect();
    let page = format!("query {{ messages {{ nodes {{ {parts} }} }} }} {fragments}");
    server.data(None, &page, json!({})).await;
    let operations: String = (0..30).map(|n| format!("query q{n} {{ cursor }} ")).collect();
    let body = json!({"query": operations, "operationName": "q7"});
    let answer = with_timeout("a response", server.http().post(server.url("/graphql")).json(&body).send())
        .await
        .expect("a response");
    assert_eq!(answer.json::<Value>().await.expect("JSON")["errors"], Value::Null);
}

#[tokio::test]
async fn validation_reports_at_most_50_errors() {
    let server = Server::start().await;
    let operations: String = (0..40).map(|number| format!("query q{number} {{ ...f }} ")).collect();
    let document = format!("{operations} fragment f on Query {{ {} }}", "me { id @include(if: $x) } ".repeat(14));
    let response = server.execute(None, &document, json!({})).await;
    assert_eq!(response["errors"].as_array().map(Vec::len), Some(50), "{response}");
}

#[tokio::test]
async fn a_subscription_with_two_root_fields_is_rejected() {
    let server = Server::start().await;
    let mut socket = Socket::connect_and_init(server.address(), None).await;
    for document in [
        "subscription { events { cursor } messageAdded { id } }",
        "subscription { a: events { cursor } b: events { cursor } }",
        "subscription { ...f } fragment f on Subscription { events { cursor } metricUpdated { value } }",
    ] {
        socket.subscribe("1", document, json!({})).await;
        assert_eq!(socket.error_code("1").await, INVALID, "{document}");
    }
    socket.assert_idle().await;
}

#[tokio::test]
async fn without_introspection_neither_the_schema_nor_suggestions_are_returned() {
    let server = Server::start_with(|config| config.introspection = false).await;
    for document in [include_str!("../introspection.graphql"), "{ __type(name: \"User\") { name } }"] {
        assert_eq!(server.error_code(None, document, json!({})).await, INVALID);
    }
    let response =
        server.execute(None, "{ messagez { id } mee { idd } channels { nodes } }", json!({})).await.to_string();
    assert!(!response.contains("Did you mean"), "{response}");
    let sdl = server.http().get(server.url("/schema.graphql")).send().await.expect("a response");
    assert_eq!(sdl.status(), 404);
    // Clients add `__typename` to every selection.
    server.data(None, "{ __typename }", json!({})).await;
}
