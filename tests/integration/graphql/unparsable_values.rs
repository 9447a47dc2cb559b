//! A value that cannot be parsed fails its own operation only; other operations on the connection continue.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::json_socket::CONNECT;
use crate::support::{EventStream, JsonSocket, Server, Socket};

const HALF: &str = r"x \ud83d";

async fn post(server: &Server, token: &str, body: String) -> Value {
    let request = server.http().post(server.url("/graphql")).header("content-type", "application/json");
    let request = if token.is_empty() { request } else { request.bearer_auth(token) };
    let response = request.body(body).send().await.expect("a response");
    response.json().await.expect("JSON")
}

#[tokio::test]
async fn an_unpaired_surrogate_becomes_the_replacement_character_on_every_transport() {
    let server = Server::start().await;
    let ann = server.register("ann").await;
    let channel = server.channel(&ann, "general").await;
    let create = "mutation ($c: ID!, $t: String!) { createMessage(input: { channelId: $c, content: $t }) { content } }";
    let payload = format!(r#"{{"query":"{create}","variables":{{"c":"{channel}","t":"{HALF}"}}}}"#);
    let created = json!({"createMessage": {"content": "x \u{fffd}"}});
    assert_eq!(post(&server, &ann.token, payload.clone()).await["data"], created);
    assert_eq!(post(&server, &ann.token, format!("[{payload}]")).await[0]["data"], created);

    let request = server.http().post(server.url("/graphql")).header("accept", "text/event-stream");
    let request = request.header("content-type", "application/json").bearer_auth(&ann.token);
    let mut events = EventStream::open(request.body(payload.clone())).await;
    assert_eq!(events.next().await.result()["data"], created);

    let mut modern = server.socket(Some(&ann)).await;
    modern.subscribe("kept", "subscription { messageAdded { content } }", json!({})).await;
    modern.assert_idle().await;
    modern.send_raw(Message::text(format!(r#"{{"id":"m","type":"subscribe","payload":{payload}}}"#))).await;
    let mut shown = Vec::new();
    while shown.len() < 3 {
        shown.push(modern.frame().await);
    }
    assert!(shown.iter().any(|frame| frame["payload"]["data"] == created), "{shown:?}");
    assert!(shown.iter().any(|frame| frame["id"] == "kept"), "the subscription continues: {shown:?}");

    let mut legacy = Socket::connect(server.address(), "/graphql", "graphql-ws").await;
    legacy.send(json!({"type": "connection_init", "payload": {"authToken": ann.token}})).await;
    legacy.send_raw(Message::text(format!(r#"{{"id":"m","type":"start","payload":{payload}}}"#))).await;
    loop {
        let frame = legacy.frame().await;
        if frame["type"] == "data" {
            assert_eq!(frame["payload"]["data"], created);
            break;
        }
    }

    let mut json_socket = JsonSocket::open(server.address(), CONNECT, Some(&ann)).await;
    json_socket.request(json!({"type": "join_room", "room": "general"}), "joined").await;
    json_socket
        .send_raw(Message::text(format!(r#"{{"type":"message","room":"general","text":"{HALF}","key":"k"}}"#)))
        .await;
    // The acknowledgement and the event come in either order.
    let mut frames = [json_socket.frame().await, json_socket.frame().await];
    frames.sort_by_key(|frame| frame["type"] != "sent");
    assert_eq!((&frames[0]["type"], &frames[1]["text"]), (&json!("sent"), &json!("x \u{fffd}")));
}

#[tokio::test]
async fn unparsable_values_fail_one_operation_and_not_the_socket() {
    let server = Server::start().await;
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    let many: Vec<String> = (0..500).map(|n| format!("\"f{n}\":1")).collect();
    let payloads = [
        r#"{"query":"query ($n: Int) { channels(first: $n) { nodes { id } } }","variables":{"n":1e999}}"#.to_owned(),
        r#"{"query":"query ($n: Int) { channels(first: $n) { nodes { id } } }","variables":{"n":{"a":1}}}"#.to_owned(),
        format!(
            r#"{{"query":"query ($n: Int) {{ channels(first: $n) {{ nodes {{ id }} }} }}","variables":{{"n":{deep}}}}}"#
        ),
        format!(
            r#"{{"query":"mutation ($d: JSON!) {{ broadcast(input: {{ room: \"r\", data: $d }}) }}","variables":{{"d":{deep}}}}}"#
        ),
        format!(
            r#"{{"query":"mutation ($i: LoginInput!) {{ login(input: $i) {{ token }} }}","variables":{{"i":{{{}}}}}}}"#,
            many.join(",")
        ),
        r#"{"query":"{ __typename }","query":"{ __typename }"}"#.to_owned(),
        r#"{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"00"}}}"#.to_owned(),
        r#"{"query":null,"extensions":{"persistedQuery":{"version":1,"sha256Hash":"00"}}}"#.to_owned(),
    ];
    let mut modern = server.socket(None).await;
    let mut legacy = Socket::connect(server.address(), "/graphql", "graphql-ws").await;
    legacy.send(json!({"type": "connection_init"})).await;
    for _ in 0..2 {
        legacy.frame().await;
    }
    for (number, payload) in payloads.iter().enumerate() {
        for (socket, start) in [(&mut modern, "subscribe"), (&mut legacy, "start")] {
            socket
                .send_raw(Message::text(format!(r#"{{"id":"{number}","type":"{start}","payload":{payload}}}"#)))
                .await;
            let frame = socket.frame().await;
            assert_eq!(
                (&frame["type"], &frame["id"]),
                (&json!("error"), &json!(number.to_string())),
                "{payload}: {frame}"
            );
        }
        let answer = post(&server, "", payload.clone()).await;
        assert!(answer.get("data").is_none() && answer["errors"][0]["message"].is_string(), "{payload}: {answer}");
    }
    // The legacy protocol has no close code for parameters of a wrong type, so they are errors, too.
    for payload in [
        r#"{"query":7}"#,
        r#"{"query":null}"#,
        r#"{"query":"{ __typename }","variables":[1]}"#,
        r#"{"query":"{ __typename }","extensions":7}"#,
    ] {
        legacy.send_raw(Message::text(format!(r#"{{"id":"w","type":"start","payload":{payload}}}"#))).await;
        assert_eq!(legacy.frame().await["type"], "error", "{payload}");
    }
    for (socket, start) in [(&mut modern, "subscribe"), (&mut legacy, "start")] {
        socket.send(json!({"id": "after", "type": start, "payload": {"query": "{ __typename }"}})).await;
        assert_eq!(socket.frame().await["payload"]["data"], json!({"__typename": "Query"}));
    }
}

#[tokio::test]
async fn persisted_queries_get_persisted_query_not_supported() {
    let server = Server::start().await;
    let extensions = r#"{"persistedQuery":{"version":1,"sha256Hash":"ecf4edb4"}}"#;
    let expected =
        json!([{"message": "PersistedQueryNotSupported", "extensions": {"code": "PERSISTED_QUERY_NOT_SUPPORTED"}}]);
    let nameless = format!(r#"{{"operationName":null,"variables":{{}},"extensions":{extensions}}}"#);
    for accept in ["application/json", "application/graphql-response+json"] {
        let by_post = server.http().post(server.url("/graphql")).header("content-type", "application/json");
        let by_post = by_post.header("accept", accept).body(nameless.clone());
        let by_get =
            server.http().get(server.url("/graphql")).header("accept", accept).query(&[("extensions", extensions)]);
        for request in [by_post, by_get] {
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), 200, "{accept}");
            assert_eq!(response.json::<Value>().await.unwrap()["errors"], expected);
        }
    }
    let whole = format!(r#"{{"query":"{{ __typename }}","extensions":{extensions}}}"#);
    let batch = post(&server, "", format!("[{nameless},{whole}]")).await;
    assert_eq!((&batch[0]["errors"], &batch[1]["data"]), (&expected, &json!({"__typename": "Query"})));
    let request = server.http().post(server.url("/graphql")).header("accept", "text/event-stream");
    let mut events = EventStream::open(request.header("content-type", "application/json").body(nameless)).await;
    assert_eq!(events.next().await.result()["errors"], expected);
}
