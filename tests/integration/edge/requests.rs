//! Bodies, headers and methods of old or cautious clients.

use reqwest::Method;
use serde_json::{Value, json};

use super::{answer, send_raw_request};
use crate::support::Server;

async fn posted(server: &Server, kind: &str, encoding: Option<&str>, body: Vec<u8>) -> (u16, String) {
    let request = server.http().post(server.url("/graphql")).header("content-type", kind).body(body);
    let request = encoding.into_iter().fold(request, |request, encoding| request.header("content-encoding", encoding));
    let answer = request.send().await.expect("a response");
    (answer.status().as_u16(), answer.text().await.expect("a body"))
}

#[tokio::test]
async fn charset_and_encoding_of_bodies_are_checked() {
    let server = Server::start().await;
    let query = json!({"query": "{ __typename }"}).to_string();
    for kind in [
        "application/json",
        "application/json; charset=utf-8",
        "application/json;charset=\"UTF-8\"",
        "application/json; charset=utf8",
    ] {
        assert_eq!(posted(&server, kind, None, query.clone().into()).await.0, 200, "{kind}");
    }
    for kind in ["application/json; charset=latin1", "application/json; charset=utf-16", "text/json"] {
        assert_eq!(posted(&server, kind, None, query.clone().into()).await.0, 415, "{kind}");
    }
    for encoding in ["gzip", "br", "zstd", "identity, gzip"] {
        let (status, body) = posted(&server, "application/json", Some(encoding), query.clone().into()).await;
        assert_eq!(status, 415, "{encoding}");
        assert!(body.contains(encoding.rsplit(' ').next().unwrap()), "{body}");
    }
    assert_eq!(posted(&server, "application/json", Some("identity"), query.clone().into()).await.0, 200);
    let with_mark = [b"\xEF\xBB\xBF".as_slice(), query.as_bytes()].concat();
    assert_eq!(posted(&server, "application/json", None, with_mark).await.0, 200, "a byte order mark");
    let batch = [b"\xEF\xBB\xBF".as_slice(), format!("[{query}]").as_bytes()].concat();
    assert_eq!(posted(&server, "application/json", None, batch).await.0, 200);
    for mark in [[0xFE, 0xFF], [0xFF, 0xFE]] {
        let (status, body) = posted(&server, "application/json", None, [&mark[..], b"\0{\0}"].concat()).await;
        assert!(status == 400 && body.contains("UTF-16"), "{status} {body}");
    }
}

#[tokio::test]
async fn accept_header_weights_are_parsed_consistently() {
    let server = Server::start().await;
    let kind = async |accept: &str| {
        let request = server.http().get(server.url("/graphql?query=%7B__typename%7D")).header("accept", accept);
        let answer = request.send().await.expect("a response");
        let kind = answer.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
        (answer.status().as_u16(), kind.unwrap_or_default().split(';').next().unwrap_or_default().to_owned())
    };
    for (accept, expected) in [
        ("application/json;Q=0.1, application/graphql-response+json;q=0.2", "application/graphql-response+json"),
        ("application/json;q=nonsense, application/graphql-response+json;q=0.1", "application/graphql-response+json"),
        (
            "application/json;charset=utf-8;q=0.1, application/graphql-response+json",
            "application/graphql-response+json",
        ),
        ("text/html;q=0, application/json", "application/json"),
        ("text/html;q=0.1, application/json", "text/html"),
    ] {
        assert_eq!(kind(accept).await, (200, expected.to_owned()), "{accept}");
    }
    assert_eq!(kind("application/json;q=0").await.0, 406);
    assert_eq!(kind("application/json;q=1.5").await.0, 406);
}

#[tokio::test]
async fn every_path_answers_head_options_and_wrong_methods() {
    let server = Server::start().await;
    let ask = async |method: &Method, path: &str| {
        let answer = server.http().request(method.clone(), server.url(path)).send().await.expect("a response");
        let allow = answer.headers().get("allow").map(|allow| allow.to_str().unwrap().to_owned());
        (answer.status().as_u16(), allow.unwrap_or_default())
    };
    for path in ["/", "/graphiql", "/healthz", "/readyz", "/metrics", "/schema.graphql", "/favicon.ico"] {
        assert_eq!(ask(&Method::HEAD, path).await.0, 200, "{path}");
        assert_eq!(ask(&Method::OPTIONS, path).await, (204, "GET, HEAD, OPTIONS".into()), "{path}");
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            assert_eq!(ask(&method, path).await, (405, "GET, HEAD, OPTIONS".into()), "{method} {path}");
        }
    }
    assert_eq!(ask(&Method::OPTIONS, "/graphql").await, (204, "GET, HEAD, POST, OPTIONS".into()));
    assert_eq!(ask(&Method::OPTIONS, "/subscriptions").await, (204, "GET".into()));
    assert_eq!(ask(&Method::HEAD, "/subscriptions").await.0, 426);
    for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::POST] {
        assert_eq!(ask(&method, "/nowhere").await.0, 404, "{method}");
    }
}

/// Health checks and old scripts still use HTTP/1.0.
#[tokio::test]
async fn clients_of_http_1_0_are_served() {
    let server = Server::start().await;
    for path in ["/healthz", "/", "/graphql?query=%7B__typename%7D"] {
        let served = answer(server.address(), &format!("GET {path} HTTP/1.0"), "").await;
        assert_eq!(served.status(), 200, "{path}");
        assert_ne!(served.body(), "", "{path}");
    }
    let body = "{\"query\":\"{__typename}\"}";
    let head =
        format!("POST /graphql HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
    let served = send_raw_request(server.address(), &(head + body)).await;
    let answer: Value = serde_json::from_str(served.body()).expect("JSON");
    assert_eq!(answer["data"]["__typename"], "Query");
}
