//! `POST /api/v1/events`.

use serde_json::{Value, json};

use super::{FOLLOW, READ, next, orders, tag};
use crate::support::{Server, Session, text};

const NDJSON: &str = "application/x-ndjson";
const JSON: &str = "application/json";

/// A response: status, headers, body.
struct Answer {
    status: u16,
    headers: reqwest::header::HeaderMap,
    body: Value,
}

impl Answer {
    fn code(&self) -> &str {
        self.body["errors"][0]["extensions"]["code"].as_str().unwrap_or_else(|| panic!("no error: {}", self.body))
    }

    fn events(&self) -> &Vec<Value> {
        self.body["events"].as_array().unwrap_or_else(|| panic!("no events: {}", self.body))
    }
}

async fn post(
    server: &Server,
    session: Option<&Session>,
    content_type: &str,
    body: impl Into<reqwest::Body>,
) -> Answer {
    let request = server.http().post(server.url("/api/v1/events")).header("content-type", content_type).body(body);
    let request = session.iter().fold(request, |request, session| request.bearer_auth(&session.token));
    let response = request.send().await.expect("a response");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer { status, headers, body: response.json().await.expect("a body in JSON") }
}

fn lines(events: &[Value]) -> String {
    events.iter().map(|event| format!("{event}\n")).collect()
}

#[tokio::test]
async fn one_event_a_list_and_lines_are_published_and_answered_with_their_positions() {
    let (server, root, channel) = orders().await;
    let start = server.cursor(None).await;
    let one = json!({"channel": "orders", "type": "order.paid", "data": {"n": 1}, "key": "k"});
    let answer = post(&server, Some(&root), JSON, one.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let first = answer.events()[0].clone();
    assert_eq!((&first["key"], &first["duplicate"]), (&json!("k"), &json!(false)));
    let list = json!([{"channel": channel, "type": "a", "data": 2}, {"channel": 1, "type": "b", "data": [3]}]);
    let answer = post(&server, Some(&root), "application/json; charset=utf-8", list.to_string()).await;
    assert_eq!((answer.status, answer.events().len()), (200, 2), "{}", answer.body);
    // The last line needs no end, and empty lines are skipped.
    let body = format!("{one}\r\n\n{}", json!({"channel": "Orders", "type": "c", "data": "x"}));
    let answer = post(&server, Some(&root), NDJSON, body).await;
    let duplicate = json!({"cursor": first["cursor"], "key": "k", "duplicate": true});
    assert_eq!(answer.events()[0], duplicate);
    assert_eq!(answer.events()[1]["duplicate"], false);
    let mut socket = server.socket(Some(&root)).await;
    socket.subscribe("e", FOLLOW, json!({"channel": channel, "after": start})).await;
    for (app_type, data) in [("order.paid", json!({"n": 1})), ("a", json!(2)), ("b", json!([3])), ("c", json!("x"))] {
        let event = next(&mut socket).await;
        assert_eq!((&event["type"], &event["data"], &event["actorId"]), (&json!(app_type), &data, &json!(root.id)));
    }
    socket.assert_idle().await;
}

#[tokio::test]
async fn a_bad_line_is_named_by_its_number_and_nothing_is_published() {
    let (server, root, _) = orders().await;
    let good = json!({"channel": "orders", "type": "t", "data": 1});
    let keyed = |data: i64| json!({"channel": "orders", "type": "t", "data": data, "key": "k"});
    post(&server, Some(&root), JSON, keyed(1).to_string()).await;
    let head = server.cursor(None).await;
    for (bad, status, code, field) in [
        ("{\"channel\":", 400, "BAD_USER_INPUT", json!("body")),
        ("[1]", 400, "BAD_USER_INPUT", json!("body")),
        ("{\"channel\":\"orders\",\"type\":\"t\"}", 400, "BAD_USER_INPUT", json!("data")),
        ("{\"channel\":\"orders\",\"type\":\"a b\",\"data\":1}", 400, "BAD_USER_INPUT", json!("type")),
        ("{\"channel\":\"nowhere\",\"type\":\"t\",\"data\":1}", 404, "NOT_FOUND", Value::Null),
        ("{\"channel\":\"1000000\",\"type\":\"t\",\"data\":1}", 404, "NOT_FOUND", Value::Null),
        (&keyed(2).to_string(), 409, "CONFLICT", Value::Null),
    ] {
        let answer = post(&server, Some(&root), NDJSON, format!("{good}\n\n{bad}\n{good}\n")).await;
        let error = &answer.body["errors"][0];
        assert_eq!((answer.status, answer.code()), (status, code), "{bad}: {error}");
        assert_eq!((&error["extensions"]["line"], &error["extensions"]["field"]), (&json!(3), &field), "{bad}");
        assert!(text(&error["message"]).starts_with("line 3: "), "{error}");
    }
    let answer = post(&server, Some(&root), JSON, json!([good, {"channel": "orders", "data": 1}]).to_string()).await;
    assert_eq!((answer.status, &answer.body["errors"][0]["extensions"]["event"]), (400, &json!(2)));
    assert_eq!(server.cursor(None).await, head);
}

fn numbered_lines(count: usize) -> String {
    (0..count).map(|number| format!("{{\"channel\":\"orders\",\"type\":\"n\",\"data\":{number}}}\n")).collect()
}

/// Publishes lines, and checks that they are one commit in their order.
async fn assert_one_commit(count: usize) {
    let (server, root, channel) = orders().await;
    let answer = post(&server, Some(&root), NDJSON, numbered_lines(count)).await;
    assert_eq!(answer.status, 200, "{}", answer.body["errors"]);
    let events = answer.events();
    assert_eq!(events.len(), count);
    assert!(events.iter().all(|event| tag(&event["cursor"]) == tag(&events[0]["cursor"])));
    let last = server.data(None, READ, json!({"channel": channel, "last": 2})).await["appEvents"]["nodes"].take();
    assert_eq!(last, json!([{"type": "n", "data": count - 2}, {"type": "n", "data": count - 1}]));
    assert_eq!(server.cursor(None).await, text(&events[count - 1]["cursor"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_lines_are_one_commit() {
    assert_one_commit(10_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a debug build on a busy machine takes too long for one commit: `make test-long` runs it"]
async fn a_hundred_thousand_lines_are_one_commit() {
    assert_one_commit(100_000).await;
}

#[tokio::test]
async fn more_than_a_hundred_thousand_lines_are_refused() {
    let (server, root, _) = orders().await;
    let head = server.cursor(None).await;
    assert_eq!(post(&server, Some(&root), NDJSON, numbered_lines(100_001)).await.status, 413);
    assert_eq!(server.cursor(None).await, head);
}

#[tokio::test]
async fn callers_and_bodies_are_refused_as_on_the_graphql_path() {
    let (server, root, _) = orders().await;
    let ben = server.register("ben").await;
    let event = json!({"channel": "orders", "type": "t", "data": 1}).to_string();
    let answer = post(&server, None, JSON, event.clone()).await;
    assert_eq!((answer.status, answer.code()), (401, "UNAUTHENTICATED"));
    assert_eq!(answer.headers["www-authenticate"], "Bearer");
    let forged = Session { token: "no.such.token".into(), ..ben.clone() };
    assert_eq!(post(&server, Some(&forged), JSON, event.clone()).await.status, 401);
    let answer = post(&server, Some(&ben), JSON, event.clone()).await;
    assert_eq!((answer.status, answer.code()), (403, "FORBIDDEN"));
    assert!(answer.headers.contains_key("x-request-id"));
    let answer = post(&server, Some(&root), "text/plain", event.clone()).await;
    assert_eq!((answer.status, answer.code()), (415, "BAD_USER_INPUT"));
    let long = format!("[{}]", vec![event.as_str(); 30_000].join(","));
    assert_eq!(post(&server, Some(&root), JSON, long).await.status, 413);
    let many = format!("[{}]", vec![event.as_str(); 1_001].join(","));
    assert_eq!(post(&server, Some(&root), JSON, many).await.status, 413);
    let line = format!("{{\"channel\":\"orders\",\"type\":\"t\",\"data\":\"{}\"}}", "x".repeat(200_000));
    assert_eq!(post(&server, Some(&root), NDJSON, line).await.status, 400);
    let response = server.http().get(server.url("/api/v1/events")).send().await.expect("a response");
    assert_eq!((response.status().as_u16(), &response.headers()["allow"]), (405, &"POST, OPTIONS".parse().unwrap()));
}

#[tokio::test]
async fn pages_of_allowed_origins_may_publish_and_others_may_not_read_the_response() {
    let server = Server::start_with(|config| {
        config.allowed_origins = "https://shop.example".parse().expect("origins");
    })
    .await;
    for (origin, is_allowed) in [("https://shop.example", true), ("https://evil.example", false)] {
        let preflight = server
            .http()
            .request(reqwest::Method::OPTIONS, server.url("/api/v1/events"))
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization, content-type")
            .send()
            .await
            .expect("a response");
        assert_eq!(preflight.headers().contains_key("access-control-allow-methods"), is_allowed, "{origin}");
        let response =
            server.http().post(server.url("/api/v1/events")).header("origin", origin).send().await.expect("a response");
        assert_eq!(response.headers().contains_key("access-control-allow-origin"), is_allowed, "{origin}");
    }
}

#[tokio::test]
async fn one_request_is_one_mutation_of_the_rate_limit() {
    let server = Server::start_with(|config| {
        config.limits.mutations_per_second = 1;
        config.limits.mutation_burst = 3;
    })
    .await;
    let root = server.admin("root").await;
    server.channel(&root, "orders").await;
    let body = lines(&vec![json!({"channel": "orders", "type": "t", "data": 1}); 100]);
    for _ in 0..2 {
        let answer = post(&server, Some(&root), NDJSON, body.clone()).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    // More requests than the burst: at least one is refused, however slow the machine is.
    let posts = (0..20).map(|_| post(&server, Some(&root), NDJSON, body.clone()));
    let answers = futures_util::future::join_all(posts).await;
    let refused = answers.iter().find(|answer| answer.status == 429).expect("a refused request");
    assert_eq!(refused.code(), "RATE_LIMITED");
    assert!(refused.headers.contains_key("retry-after"));
}
