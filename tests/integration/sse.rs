//! Server-Sent Events: the frames, resuming with `Last-Event-ID`, and every way in which a stream ends.

use std::time::Duration;

use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::sockets::ConnectionCheck as _;
use crate::support::{EventStream, Server, Session, SseFrame, with_timeout};

const ADDED: &str = "subscription ($after: Cursor) { messageAdded(after: $after) { content cursor } }";

/// An operation as a POST request.
fn post(server: &Server, session: Option<&Session>, query: &str, variables: Value) -> RequestBuilder {
    let request = server.http().post(server.url("/graphql")).json(&json!({"query": query, "variables": variables}));
    match session {
        Some(session) => request.bearer_auth(&session.token),
        None => request,
    }
}

/// An operation as a GET request, as an EventSource sends it.
fn get(server: &Server, query: &str) -> RequestBuilder {
    server.http().get(server.url("/graphql")).query(&[("query", query)])
}

fn content(frame: &SseFrame) -> String {
    let data = &frame.result()["data"]["messageAdded"];
    assert_eq!(frame.id.as_deref(), data["cursor"].as_str(), "the id of the frame is the cursor");
    crate::support::text(&data["content"])
}

#[tokio::test]
async fn frames_have_the_format_of_graphql_sse() {
    let server = Server::start().await;
    let ann = server.register("ann").await;
    let channel = server.channel(&ann, "general").await;
    let start = server.cursor(None).await;
    let mut events = EventStream::open(get(&server, "subscription { messageAdded { content cursor } }")).await;
    let retry = events.frame().await.expect("a frame");
    let wait: u32 = retry.retry.as_deref().and_then(|retry| retry.parse().ok()).expect("a time to wait");
    assert!((1_000..3_000).contains(&wait), "{wait}");
    assert_eq!(
        events.raw().await.expect("a frame"),
        Some(format!("id: {start}")),
        "the first id is the cursor at which the subscription starts"
    );
    server.post(&ann, &channel, "two\nlines").await;
    let cursor = server.cursor(None).await;
    let item = format!(
        "event: next\nid: {cursor}\n\
         data: {{\"data\":{{\"messageAdded\":{{\"content\":\"two\\nlines\",\"cursor\":\"{cursor}\"}}}}}}"
    );
    assert_eq!(events.raw().await.expect("a frame"), Some(item));
}

#[tokio::test]
async fn queries_and_mutations_run_and_complete() {
    let server = Server::start().await;
    let ann = server.register("ann").await;
    let mut query = EventStream::open(get(&server, "{ __typename }")).await;
    for frame in ["event: next\ndata: {\"data\":{\"__typename\":\"Query\"}}", "event: complete\ndata:"] {
        assert_eq!(query.raw().await.expect("a frame").as_deref(), Some(frame));
    }
    assert_eq!(query.raw().await.expect("the end of the stream"), None);
    let create = "mutation { createChannel(input: { name: \"new\" }) { name } }";
    let mut mutation = EventStream::open(post(&server, Some(&ann), create, json!({}))).await;
    assert_eq!(mutation.next().await.result(), json!({"data": {"createChannel": {"name": "new"}}}));
    assert!(mutation.next().await.is_complete());
    mutation.assert_ends().await;
    let refused = get(&server, create).header("accept", "text/event-stream").send().await.expect("a response");
    assert_eq!((refused.status().as_u16(), &refused.headers()["allow"]), (405, &"POST".parse().unwrap()));
}

#[tokio::test]
async fn errors_of_an_operation_are_sent_in_the_stream() {
    let server = Server::start().await;
    let other_server = Server::start().await;
    other_server.register("ann").await;
    let foreign = other_server.cursor(None).await;
    let id = ("last-event-id", "one");
    for (request, code) in [
        (get(&server, "{"), "GRAPHQL_PARSE_FAILED"),
        (get(&server, "{ nothing }"), "GRAPHQL_VALIDATION_FAILED"),
        (get(&server, "subscription { commentAdded(messageId: 9) { id } }"), "NOT_FOUND"),
        (get(&server, "subscription { templateAdded { id } }"), "UNAUTHENTICATED"),
        (post(&server, None, ADDED, json!({"after": foreign})), "CURSOR_EXPIRED"),
        (post(&server, None, ADDED, json!({})).header(id.0, id.1), "BAD_USER_INPUT"),
    ] {
        let mut events = EventStream::open(request).await;
        assert_eq!(events.next().await.code(), code);
        assert!(events.next().await.is_complete(), "{code}: the client must not reconnect");
        events.assert_ends().await;
    }
    for (request, status) in [
        (get(&server, "{ cursor }").bearer_auth("wrong"), 401),
        (server.http().get(server.url("/graphql")), 400),
        (server.http().post(server.url("/graphql")).json(&json!([{"query": "{ cursor }"}])), 400),
        (server.http().post(server.url("/graphql")).body("{}"), 415),
    ] {
        let answer = request.header("accept", "text/event-stream").send().await.expect("a response");
        assert_eq!(answer.status(), status);
        assert_eq!(answer.headers()["content-type"], "application/json; charset=utf-8");
    }
}

#[tokio::test]
async fn last_event_id_takes_precedence_over_the_cursor_of_the_operation() {
    let mut server = Server::start().await;
    let ann = server.register("ann").await;
    let channel = server.channel(&ann, "general").await;
    let start = server.cursor(None).await;
    for text in ["one", "two", "three"] {
        server.post(&ann, &channel, text).await;
    }
    let after = || post(&server, None, ADDED, json!({"after": start}));
    let mut events = EventStream::open(after()).await;
    assert_eq!(content(&events.next().await), "one");
    let second = events.next().await;
    let id = second.id.expect("an id");
    drop(events);
    let mut events = EventStream::open(after().header("last-event-id", &id)).await;
    assert_eq!(content(&events.next().await), "three");
    // The header `Last-Event-ID`, which an EventSource sets, takes precedence over the query string.
    let resumed = after().query(&[("lastEventId", &start)]).header("last-event-id", &id);
    assert_eq!(content(&EventStream::open(resumed).await.next().await), "three");
    let mut events = EventStream::open(after().query(&[("lastEventId", &id)])).await;
    assert_eq!(content(&events.next().await), "three");
    server.restart().await;
    server.post(&ann, &channel, "four").await;
    let mut events =
        EventStream::open(post(&server, None, ADDED, json!({"after": start})).header("last-event-id", &id)).await;
    for text in ["three", "four"] {
        assert_eq!(content(&events.next().await), text, "after a restart");
    }
}

#[tokio::test]
async fn quiet_streams_receive_recent_cursors() {
    let server = Server::start_with(|config| config.sockets.ping_interval = Duration::from_millis(50)).await;
    let ann = server.register("ann").await;
    let (quiet, busy) = (server.channel(&ann, "quiet").await, server.channel(&ann, "busy").await);
    let bound = format!("subscription {{ messageAdded(channelId: {quiet}) {{ content }} }}");
    let mut events = EventStream::open(get(&server, &bound)).await;
    let mut values =
        EventStream::open(get(&server, "subscription { metricUpdated(metric: \"none\") { value } }")).await;
    for _ in 0..3 {
        server.post(&ann, &busy, "not for them").await;
        let head = server.cursor(None).await;
        while events.frame().await.expect("a frame").id.as_ref() != Some(&head) {}
        assert_eq!(values.frame().await.map(|frame| frame.id), Some(None), "frames of metrics have no id");
    }
    server.post(&ann, &quiet, "for them").await;
    assert_eq!(events.next().await.result()["data"]["messageAdded"]["content"], "for them");
}

#[tokio::test]
async fn the_end_of_a_session_is_an_error_without_complete() {
    let server = Server::start_with(|config| config.tokens.token_lifetime = Duration::from_secs(3)).await;
    let ann = server.register("ann").await;
    let mut expiring = EventStream::open(post(&server, Some(&ann), ADDED, json!({}))).await;
    assert_eq!(expiring.next().await.code(), "UNAUTHENTICATED");
    expiring.assert_ends().await;

    let server = Server::start().await;
    let admin = server.admin("root").await;
    let ann = server.register("ann").await;
    let disable = "mutation ($id: ID!) { setUserDisabled(userId: $id, disabled: true) { disabled } }";
    for (session, by, mutation) in [(&ann, &ann, "mutation { logoutEverywhere }"), (&ann, &admin, disable)] {
        let session = server.login(&session.username).await;
        let by = if by.username == session.username { &session } else { by };
        let token = [("token", &session.token), ("query", &ADDED.to_owned())];
        let mut events = EventStream::open(server.http().get(server.url("/graphql")).query(&token)).await;
        let mut bystander = EventStream::open(get(&server, ADDED)).await;
        server.data(Some(by), mutation, json!({"id": session.id})).await;
        assert_eq!(events.next().await.code(), "UNAUTHENTICATED", "{mutation}");
        events.assert_ends().await;
        let channel = server.channel(&admin, &format!("after-{}", mutation.len())).await;
        server.post(&admin, &channel, "still there").await;
        assert_eq!(content(&bystander.next().await), "still there");
    }
}

#[tokio::test]
async fn a_stream_ends_when_its_channel_is_deleted_or_access_is_revoked() {
    let server = Server::start().await;
    let (ann, ben) = (server.register("ann").await, server.register("ben").await);
    let make = "mutation { createChannel(input: { name: \"den\", visibility: PRIVATE }) { id } }";
    let den = crate::support::text(&server.data(Some(&ann), make, json!({})).await["createChannel"]["id"]);
    let member = json!({"c": den, "u": ben.id});
    let change =
        |what: &str| format!("mutation ($c: ID!, $u: ID!) {{ {what}Member(channelId: $c, userId: $u) {{ id }} }}");
    server.data(Some(&ann), &change("add"), member.clone()).await;
    let follow = "subscription ($c: ID) { messageDeleted(channelId: $c) { id } }";
    let mut events = EventStream::open(post(&server, Some(&ben), follow, json!({"c": den}))).await;
    let mut own = EventStream::open(post(&server, Some(&ann), follow, json!({"c": den}))).await;
    server.data(Some(&ann), &change("remove"), member).await;
    assert_eq!(events.next().await.code(), "FORBIDDEN");
    assert!(events.next().await.is_complete());
    events.assert_ends().await;
    server.data(Some(&ann), "mutation ($c: ID!) { deleteChannel(id: $c) }", json!({"c": den})).await;
    assert!(own.next().await.is_complete());
    own.assert_ends().await;
}

#[tokio::test]
async fn shutdown_ends_a_stream_without_complete() {
    let mut server = Server::start().await;
    let mut events = EventStream::open(get(&server, "subscription { events { __typename } }")).await;
    assert_eq!(events.next().await.result()["data"]["events"]["__typename"], "Checkpoint");
    tokio::join!(events.assert_ends(), server.close());
}

#[tokio::test]
async fn streams_from_other_origins_are_rejected() {
    let server = Server::start_with(|config| config.allowed_origins = "https://app.example".parse().unwrap()).await;
    let own = format!("http://{}", server.address());
    for (origin, status) in [(own.as_str(), 200), ("https://app.example", 200), ("https://evil.example", 403)] {
        let request = get(&server, "{ cursor }").header("origin", origin).header("accept", "text/event-stream");
        assert_eq!(request.send().await.expect("a response").status(), status, "{origin}");
    }
    let ask = server.http().request("OPTIONS".parse().unwrap(), server.url("/graphql"));
    let ask = ask.header("access-control-request-headers", "last-event-id");
    let answer = ask.header("origin", "https://app.example").send().await.expect("a response");
    let allowed = answer.headers()["access-control-allow-headers"].to_str().expect("text");
    assert!(allowed.contains("last-event-id"), "{allowed}");
    assert_eq!(answer.headers()["access-control-allow-origin"], "https://app.example");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_disconnected_and_resumes() {
    const MESSAGES: usize = 100;
    let server = Server::start_with(|config| {
        config.sockets.send_timeout = Duration::from_millis(200);
        config.sockets.max_connections = 2;
    })
    .await;
    let ann = server.register("ann").await;
    let channel = server.channel(&ann, "general").await;
    let start = server.cursor(None).await;
    let lazy = reqwest::Client::builder().no_proxy().build().expect("a client");
    let query = [("query", "subscription { messageAdded { content cursor } }"), ("lastEventId", &start)];
    let follow = || lazy.get(server.url("/graphql")).query(&query);
    let mut events = EventStream::open(follow()).await;
    for n in 0..MESSAGES {
        server.post(&ann, &channel, &format!("{n} {}", "x".repeat(39_000))).await;
    }
    // The requests that post messages use one connection. The stream uses the other until the server closes it.
    with_timeout("a free connection", async { while reqwest::get(server.url("/healthz")).await.is_error_or_503() {} })
        .await;
    let (mut received, mut id) = (Vec::new(), None);
    let number = |frame: &SseFrame| content(frame).split(' ').next().map(str::to_owned).expect("a number");
    while let Ok(Some(frame)) = events.try_frame().await {
        id = frame.id.clone().or(id);
        received.extend(frame.data.is_some().then(|| number(&frame)));
    }
    assert!(received.len() < MESSAGES, "the connection was closed before all messages were sent");
    drop(events);
    let mut events = EventStream::open(follow().header("last-event-id", id.expect("an id"))).await;
    while received.len() < MESSAGES {
        received.push(number(&events.next().await));
    }
    assert_eq!(received, (0..MESSAGES).map(|n| n.to_string()).collect::<Vec<_>>());
}
