//! Random requests to the real binary: no panic, no status 500, and another client is still served.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use super::target::{METRICS_TOKEN, Target};
use super::{Choices, Tally, check_property, choices, mutated};
use crate::support::with_timeout;

/// `%TOKEN%`, `%CURSOR%` and `%METRICS%` are replaced by a valid value or a mutation of it.
const REQUESTS: &[&str] = &[
    "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 25\r\n\r\n{\"query\":\"{ cursor }\"}   ",
    "POST /graphql HTTP/1.1\r\nHost: localhost\r\nAccept: application/graphql-response+json;q=0.5, */*\r\nContent-Type: application/json; charset=utf-8\r\n\
     Transfer-Encoding: chunked\r\n\r\n1d\r\n[{\"query\":\"{ cursor }\"}, {}] \r\n0\r\n\r\n",
    "POST /graphql HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer a.b.c\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
    "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 88\r\n\r\n\
     {\"query\":\"query A($n: Int) { messages(first: $n) { nodes { id } } }\",\"variables\":{\"n\":1}}",
    "GET /graphql?query=%7B__typename%7D&variables=%7B%7D&operationName= HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: ::1, 1.2.3.4\r\n\r\n",
    "GET /graphql?token=x HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: graphql-ws, soap\r\nOrigin: http://localhost\r\n\r\n",
    "OPTIONS /graphql HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: br;q=1, gzip\r\nIf-None-Match: \"x\"\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "GET /graphql?query=subscription%7Bevents%7Bcursor%7D%7D&token=%TOKEN% HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\
     Last-Event-ID: %CURSOR%\r\n\r\n",
    "GET /graphql?query=subscription%7BmessageAdded%7Bid%7D%7D&lastEventId=%CURSOR% HTTP/1.1\r\nHost: localhost\r\n\
     Accept: text/event-stream, application/json;q=0.5\r\nAuthorization: Bearer %TOKEN%\r\n\r\n",
    "POST /graphql HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nOrigin: http://localhost\r\nLast-Event-ID: %CURSOR%\r\n\
     Content-Type: application/json\r\nContent-Length: 99\r\n\r\n\
     {\"query\":\"subscription ($a: Cursor) { events(after: $a) { __typename } }\",\"variables\":{\"a\":null}}  ",
    "GET /graphql?query=%7Bcursor%7D HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nLast-Event-ID: %CURSOR%\r\n\
     Authorization: Bearer %TOKEN%\r\n\r\n",
    "POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %TOKEN%\r\nContent-Type: application/json\r\n\
     Content-Length: 80\r\n\r\n[{\"channel\":\"general\",\"type\":\"a.b\",\"data\":{\"n\":[1,null,\"x\"]},\"key\":null}]       ",
    "POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %TOKEN%\r\nContent-Type: application/x-ndjson\r\n\
     Transfer-Encoding: chunked\r\n\r\n27\r\n{\"channel\":\"general\",\"type\":\"a\",\"data\":\r\n\
     2\r\n1}\r\n2d\r\n\n{\"channel\":1,\"type\":\"b\",\"data\":2,\"key\":\"k\"}\n\r\n0\r\n\r\n",
    "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: identity\r\nAuthorization: Bearer %METRICS%\r\n\r\n",
    "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAuthorization: %METRICS%\r\nAuthorization: Bearer %TOKEN%\r\n\r\n",
];
/// Sent after each request: the server closes the connection after it. If the request was incomplete, this completes
/// it.
const LAST: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
// These headers occur only in event streams, and only on the page of metrics.
const STREAM_HEADER: &str = "content-type: text/event-stream";
const METRICS_HEADER: &str = "content-type: text/plain; version=0.0.4";

#[test]
fn no_random_request_causes_a_500_or_a_panic() {
    let runtime = Runtime::new().expect("a runtime");
    let target = runtime.block_on(Target::start());
    let tally = Tally::default();
    check_property(800, &choices(60), |choices| {
        let request = request(&target, &mut Choices::new(&choices));
        runtime.block_on(async {
            let answer = ask(target.address(), &request).await;
            tally.count(name(&answer));
            if answer.contains("HTTP/1.1 500") || !(answer.is_empty() || answer.starts_with("HTTP/1.")) {
                return Err(format!("{answer:?} to {:?}", String::from_utf8_lossy(&request)));
            }
            target.check_health().await
        })
    });
    tally.show("requests", &["200", "400", "401", "events", "events, refused", "metrics", "published"]);
    runtime.block_on(async { drop(target) });
}

/// A request with placeholders replaced. Two of three requests are mutated as a whole, too.
fn request(target: &Target, choices: &mut Choices<'_>) -> Vec<u8> {
    let mut request = choices.one(REQUESTS).as_bytes().to_vec();
    for (place, value) in [("%TOKEN%", &*target.token), ("%CURSOR%", &target.cursor), ("%METRICS%", METRICS_TOKEN)] {
        if let Some(at) = request.windows(place.len()).position(|window| window == place.as_bytes()) {
            request.splice(at..at + place.len(), mutated_value(value, choices));
        }
    }
    if choices.below(3) == 2 { request } else { mutated(&request, choices) }
}

/// The value itself, a mutation of it, or random bytes, half of which are not ASCII.
fn mutated_value(value: &str, choices: &mut Choices<'_>) -> Vec<u8> {
    match choices.below(4) {
        0 | 1 => value.into(),
        2 => mutated(value.as_bytes(), choices),
        _ => (0..choices.below(12)).map(|_| choices.below(256) as u8).collect(),
    }
}

/// The outcome of a request in one word.
fn name(answer: &str) -> &str {
    let is_stream = answer.contains(STREAM_HEADER);
    match answer.get(9..12) {
        Some("200") if is_stream && answer.contains("\"errors\"") => "events, refused",
        Some("200") if is_stream => "events",
        Some("200") if answer.contains(METRICS_HEADER) => "metrics",
        Some("200") if answer.contains("\"duplicate\":") => "published",
        status => status.unwrap_or("none"),
    }
}

/// Everything that is received; of an endless stream only the beginning.
async fn ask(address: SocketAddr, request: &[u8]) -> String {
    let mut connection = with_timeout("a connection", TcpStream::connect(address)).await.expect("a connection");
    let mut answer = Vec::new();
    // The server may close the connection of a rejected request early, so a failed write is expected.
    drop(connection.write_all(&[request, LAST].concat()).await);
    while matches!(with_timeout("the end of the connection", connection.read_buf(&mut answer)).await, Ok(read) if read > 0)
    {
        if has_begun(&answer) {
            break;
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// Whether this contains two frames of a stream. Every stream has at least two; the first only has `retry`.
fn has_begun(answer: &[u8]) -> bool {
    let answer = String::from_utf8_lossy(answer);
    let stream = answer.split_once(STREAM_HEADER).and_then(|(_, rest)| rest.split_once("\r\n\r\n"));
    stream.is_some_and(|(_, frames)| frames.matches("\n\n").count() > 1)
}
