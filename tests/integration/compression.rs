//! Compression of long responses for clients that accept it.

use std::io::Read as _;

use reqwest::{RequestBuilder, Response};
use serde_json::json;

use crate::support::Server;

async fn request_encoded(request: RequestBuilder, encodings: &str) -> (Option<String>, Vec<u8>, bool) {
    let response: Response = request.header("accept-encoding", encodings).send().await.expect("a response");
    let encoding = response.headers().get("content-encoding").map(|value| value.to_str().expect("text").to_owned());
    let mut vary = response.headers().get_all("vary").iter().filter_map(|value| value.to_str().ok());
    let varies = vary.any(|value| value == "accept-encoding");
    (encoding, response.bytes().await.expect("a body").to_vec(), varies)
}

fn gunzip(body: &[u8]) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(body).read_to_string(&mut text).expect("gzip");
    text
}

#[tokio::test]
async fn long_responses_are_compressed_for_clients_that_accept_it() {
    let server = Server::start().await;
    let ann = server.register("ann").await;
    let channel = server.channel(&ann, "general").await;
    server.post(&ann, &channel, &"tidings ".repeat(500)).await;
    server.post(&ann, &channel, &"far and wide ".repeat(3_000)).await;
    let url = server.url("/graphql");
    // The first response is short enough to be compressed inline, the second one is compressed on a blocking thread.
    for query in ["{ message(id: 1) { content } }", "{ message(id: 2) { content } }"] {
        let get = || server.http().get(&url).query(&[("query", query)]);
        let (encoding, plain, varies) = request_encoded(get(), "identity").await;
        assert_eq!((encoding, varies), (None, true));
        let (encoding, small, varies) = request_encoded(get(), "gzip, br").await;
        assert_eq!((encoding.as_deref(), varies), (Some("gzip"), true));
        assert!(small.len() * 10 < plain.len(), "{} of {}", small.len(), plain.len());
        assert_eq!(gunzip(&small), String::from_utf8(plain.clone()).expect("text"));
        let post = server.http().post(&url).json(&json!({"query": query}));
        assert_eq!(gunzip(&request_encoded(post, "gzip").await.1), String::from_utf8(plain).expect("text"));
        for unwilling in ["gzip;q=0", "deflate", "gzip;q=0.5, identity"] {
            assert_eq!(request_encoded(get(), unwilling).await.0, None, "{unwilling}");
        }
    }
    let short = server.http().get(&url).query(&[("query", "{ __typename }")]);
    assert_eq!(request_encoded(short, "gzip").await.0, None);
    let (encoding, schema, _) = request_encoded(server.http().get(server.url("/schema.graphql")), "gzip").await;
    assert_eq!(encoding.as_deref(), Some("gzip"));
    assert!(gunzip(&schema).contains("type Query"));
    let (encoding, page, _) = request_encoded(server.http().get(server.url("/")), "gzip").await;
    assert_eq!(encoding.as_deref(), Some("gzip"));
    assert!(gunzip(&page).contains("<html"));
    let events = server.http().get(&url).query(&[("query", "{ message(id: 2) { content } }")]);
    assert_eq!(
        request_encoded(events.header("accept", "text/event-stream"), "gzip").await.0,
        None,
        "event streams are not compressed"
    );
}
