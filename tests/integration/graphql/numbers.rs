//! Numbers and JSON keep their value, type and key order on every transport; ids may be numbers of any size.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::json_socket::CONNECT;
use crate::support::{EventStream, JsonSocket, Server, Session, Socket};

/// Values that would change if the server converted numbers to floats or sorted the keys.
const DATA: &str = r#"{"z":1795876765000,"snowflake":1234567890123456789,"most":18446744073709551615,"least":-9223372036854775808,"int":2147483648,"float":1.0,"big":1e300,"zero":-0.0,"beyond":99999999999999999999,"a":[{"b":3000000000}],"text":"x  y"}"#;

async fn post(server: &Server, session: Option<&Session>, body: String) -> (u16, String) {
    let mut request = server.http().post(server.url("/graphql")).header("content-type", "application/json").body(body);
    if let Some(session) = session {
        request = request.bearer_auth(&session.token);
    }
    let response = request.send().await.expect("a response");
    (response.status().as_u16(), response.text().await.expect("a body"))
}

/// The next frame that contains `part`, as text: parsing it into a `Value` would change the tested bytes.
async fn raw_until(socket: &mut Socket, part: &str) -> String {
    loop {
        let text = socket.text().await;
        if text.contains(part) {
            return text;
        }
    }
}

async fn room(server: &Server, admin: &Session) -> String {
    server.channel(admin, "garden").await;
    server.cursor(None).await
}

const BROADCAST: &str = "mutation ($data: JSON!) { broadcast(input: { room: \\\"garden\\\", data: $data }) }";
const BROADCAST_EVENTS: &str =
    "subscription ($after: Cursor) { events(after: $after) { ... on RoomBroadcast { data } } }";

#[tokio::test]
async fn json_data_is_delivered_unchanged_on_every_transport() {
    let server = Server::start().await;
    let ada = server.admin("ada").await;
    let before = room(&server, &ada).await;
    let mut live = server.socket(None).await;
    live.subscribe("e", BROADCAST_EVENTS, json!({})).await;
    raw_until(&mut live, "events").await;
    let mut json_socket = JsonSocket::open(server.address(), CONNECT, None).await;
    json_socket.request(json!({"type": "join_room", "room": "garden"}), "joined").await;

    // Sent over HTTP, as a variable and inside an input object.
    let body = format!(r#"{{"query":"{BROADCAST}","variables":{{"data":{DATA}}}}}"#);
    assert_eq!(post(&server, Some(&ada), body).await.1, r#"{"data":{"broadcast":true}}"#);
    let inside = "mutation ($input: BroadcastInput!) { broadcast(input: $input) }";
    let body = format!(r#"{{"query":"{inside}","variables":{{"input":{{"room":"garden","data":{DATA}}}}}}}"#);
    assert_eq!(post(&server, Some(&ada), body).await.1, r#"{"data":{"broadcast":true}}"#);
    // Sent over both GraphQL socket protocols.
    let mut socket = server.socket(Some(&ada)).await;
    let frame =
        format!(r#"{{"id":"b","type":"subscribe","payload":{{"query":"{BROADCAST}","variables":{{"data":{DATA}}}}}}}"#);
    socket.send_raw(Message::text(frame)).await;
    raw_until(&mut socket, r#""broadcast":true"#).await;
    let mut legacy = Socket::connect(server.address(), "/graphql", "graphql-ws").await;
    legacy.send(json!({"type": "connection_init", "payload": {"authToken": ada.token}})).await;
    let frame =
        format!(r#"{{"id":"b","type":"start","payload":{{"query":"{BROADCAST}","variables":{{"data":{DATA}}}}}}}"#);
    legacy.send_raw(Message::text(frame)).await;
    raw_until(&mut legacy, r#""broadcast":true"#).await;

    let expected = format!(r#""data":{DATA}"#);
    for _ in 0..4 {
        let item = raw_until(&mut live, "\"data\":{\"z\"").await;
        assert!(item.contains(&expected), "{item}");
        let update = json_socket.text().await;
        assert!(update.contains(&expected), "{update}");
    }
    // The same on replay, and over Server-Sent Events.
    let mut late = server.socket(None).await;
    late.subscribe("e", BROADCAST_EVENTS, json!({"after": before})).await;
    let item = raw_until(&mut late, "\"data\":{\"z\"").await;
    assert!(item.contains(&expected), "{item}");
    let request = server.http().get(server.url("/graphql")).header("accept", "text/event-stream");
    let variables = json!({"after": before}).to_string();
    let mut events = EventStream::open(request.query(&[("query", BROADCAST_EVENTS), ("variables", &variables)])).await;
    let frame = events.next().await;
    assert!(frame.data.as_deref().unwrap_or_default().contains(&expected), "{:?}", frame.data);
}

#[tokio::test]
async fn document_literals_are_accepted_as_json() {
    let server = Server::start().await;
    let ada = server.admin("ada").await;
    let before = room(&server, &ada).await;
    let document = "mutation {
        one: broadcast(input: { room: \"garden\", data: { z: 1795876765000, list: [1, 2.50, { a: null }],
            text: \"a \\\"b\\\" \\u00e9\", block: \"\"\"c\"\"\", yes: true, big: 99999999999999999999, none: {} } })
        two: broadcast(input: { room: \"garden\", data: \"{\\\"as\\\": \\\"text\\\"}\" }) }";
    let data = server.data(Some(&ada), document, json!({})).await;
    assert_eq!(data, json!({"one": true, "two": true}));
    let mut socket = server.socket(None).await;
    socket.subscribe("e", BROADCAST_EVENTS, json!({"after": before})).await;
    let first = raw_until(&mut socket, "data\":{\"z").await;
    let expected = r#""data":{"z":1795876765000,"list":[1,2.50,{"a":null}],"text":"a \"b\" é","block":"c","yes":true,"big":99999999999999999999,"none":{}}"#;
    assert!(first.contains(expected), "{first}");
    assert!(socket.text().await.contains(r#""data":{"as":"text"}"#));

    // The default value of a variable is a literal, too.
    let default = "mutation ($data: JSON! = { n: 3000000000 }) { broadcast(input: { room: \"garden\", data: $data }) }";
    server.data(Some(&ada), default, json!({})).await;
    let shown = raw_until(&mut socket, "data\":{\"n").await;
    assert!(shown.contains(r#""data":{"n":3000000000}"#), "{shown}");
}

#[tokio::test]
async fn invalid_literals_are_rejected_at_their_location() {
    let server = Server::start().await;
    let ada = server.admin("ada").await;
    room(&server, &ada).await;
    for (document, part, place) in [
        (
            "mutation ($x: Int) { broadcast(input: { room: \"garden\", data: { a: $x } }) }",
            "$x is inside of a JSON",
            (1, 68),
        ),
        ("mutation { broadcast(input: { room: \"garden\", data: { a: RED } }) }", "RED is not a JSON value", (1, 58)),
        ("{\n  messages(first: 3000000000) { nodes { id } }\n}", "32 bits", (2, 19)),
        ("mutation { broadcast(input: { room: \"garden\", data: { a: 1 } }) { oops } }", "", (1, 65)),
    ] {
        let error = server.execute(Some(&ada), document, json!({})).await["errors"][0].clone();
        assert_eq!(error["extensions"]["code"], "GRAPHQL_VALIDATION_FAILED", "{document}: {error}");
        assert!(error["message"].as_str().unwrap_or_default().contains(part), "{document}: {error}");
        let location = &error["locations"][0];
        if !part.is_empty() {
            assert_eq!((&location["line"], &location["column"]), (&json!(place.0), &json!(place.1)), "{error}");
        }
    }
    // An object in place of a string is not accepted as JSON.
    let wrong = "mutation { createChannel(input: { name: { a: 1 } }) { id } }";
    let code = server.error_code(Some(&ada), wrong, json!({})).await;
    assert!(["GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED"].contains(&code.as_str()), "{code}");
}

#[tokio::test]
async fn ids_may_be_numbers_of_any_size() {
    let server = Server::start().await;
    let ann = server.register("ann").await;
    let channel = server.channel(&ann, "general").await;
    let message = server.post(&ann, &channel, "a message").await;
    let literal = server.data(None, &format!("{{ message(id: {message}) {{ content }} }}"), json!({})).await;
    assert_eq!(literal["message"]["content"], "a message");
    // No object has such a large id: the answer is null. Ids beyond 64 bits are invalid.
    for (large, code) in
        [("3000000000", None), ("9223372036854775807", None), ("99999999999999999999", Some("BAD_USER_INPUT"))]
    {
        let literal = format!("{{ message(id: {large}) {{ id }} }}");
        let variable =
            format!(r#"{{"query":"query ($id: ID!) {{ message(id: $id) {{ id }} }}","variables":{{"id":{large}}}}}"#);
        let by_variable: Value = serde_json::from_str(&post(&server, None, variable).await.1).unwrap();
        for answer in [server.execute(None, &literal, json!({})).await, by_variable] {
            match code {
                None => assert_eq!(answer, json!({"data": {"message": null}}), "{large}"),
                Some(code) => assert_eq!(answer["errors"][0]["extensions"]["code"], code, "{large}: {answer}"),
            }
        }
    }
    let inside = "mutation ($input: CreateCommentInput!) { createComment(input: $input) { id } }";
    let input = json!({"input": {"messageId": 3_000_000_000_i64, "content": "x"}});
    assert_eq!(server.error_code(Some(&ann), inside, input).await, "NOT_FOUND");
    let mut socket = server.socket(None).await;
    socket
        .subscribe(
            "c",
            "subscription ($id: ID) { commentAdded(messageId: $id) { id } }",
            json!({"id": 3_000_000_000_i64}),
        )
        .await;
    assert_eq!(socket.error_code("c").await, "NOT_FOUND");
    // As the specification says, a single value is coerced to a list, and a number is not coerced to a string.
    let list = "mutation ($input: CreateMessageInput!) { createMessage(input: $input) { shareLocationIds } }";
    let input = json!({"input": {"channelId": channel, "content": "x", "shareLocationIds": 5_000_000_000_i64}});
    assert_ne!(server.error_code(Some(&ann), list, input).await, "INTERNAL_SERVER_ERROR");
    let text = "query ($name: String) { channel(name: $name) { id } }";
    assert_eq!(server.error_code(None, text, json!({"name": 5_000_000_000_i64})).await, "BAD_USER_INPUT");
}

#[tokio::test]
async fn whole_floats_are_coerced_to_ints_and_ints_to_floats() {
    let server = Server::start().await;
    let ada = server.admin("ada").await;
    let first = "query ($first: Int) { channels(first: $first) { nodes { id } } }";
    let ask = |first_value: &'static str| {
        let body = format!(r#"{{"query":"{first}","variables":{{"first":{first_value}}}}}"#);
        post(&server, None, body)
    };
    for whole in ["1.0", "2e1", "100.0"] {
        assert_eq!(ask(whole).await.1, r#"{"data":{"channels":{"nodes":[]}}}"#, "{whole}");
    }
    for wrong in ["1.5", "3000000000", "\"1\"", "true", "1e300"] {
        let answer: Value = serde_json::from_str(&ask(wrong).await.1).unwrap();
        assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_USER_INPUT", "{wrong}: {answer}");
    }
    let publish = "mutation ($value: Float!) { publishMetric(input: { metric: \\\"m\\\", value: $value }) { value } }";
    for (sent, shown) in
        [("1e300", 1e300), ("-0.0", -0.0), ("3000000000", 3e9), ("18446744073709551615", 2_f64.powi(64)), ("1", 1.0)]
    {
        let body = format!(r#"{{"query":"{publish}","variables":{{"value":{sent}}}}}"#);
        let answer: Value = serde_json::from_str(&post(&server, Some(&ada), body).await.1).unwrap();
        assert_eq!(answer["data"]["publishMetric"]["value"].as_f64(), Some(shown), "{sent}: {answer}");
    }
    let literal = "mutation { publishMetric(input: { metric: \"m\", value: 3000000000 }) { value } }";
    let data = server.data(Some(&ada), literal, json!({})).await;
    assert_eq!(data["publishMetric"]["value"].as_f64(), Some(3e9));
}
