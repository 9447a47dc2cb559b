//! U+0000, which PostgreSQL can neither store nor compare, is rejected in every string of every operation, with the
//! same error on both databases.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value, json};

use crate::support::{EventStream, JsonSocket, Server, json_socket::CONNECT, text};

const NUL: &str = "a\u{0}b";

/// The types of the schema by name, from introspection.
struct Types(HashMap<String, Value>);

/// A value of an argument in which one string contains U+0000.
#[derive(Clone)]
struct Case {
    /// The value as a variable.
    value: Value,
    /// The value as a literal in a document.
    literal: String,
    /// The field that the error must name.
    field: String,
}

impl Types {
    fn of(schema: &Value) -> Self {
        let types = schema["__schema"]["types"].as_array().expect("types");
        Self(types.iter().map(|of| (text(&of["name"]), of.clone())).collect())
    }

    fn named<'v>(&'v self, of: &'v Value) -> &'v Value {
        if of["ofType"].is_null() { &self.0[of["name"].as_str().expect("a name")] } else { self.named(&of["ofType"]) }
    }

    /// A valid value of this type, as a variable and as a literal.
    fn valid(&self, of: &Value, cursor: &str) -> (Value, String) {
        if of["kind"] == "NON_NULL" {
            return self.valid(&of["ofType"], cursor);
        }
        if of["kind"] == "LIST" {
            return (json!([]), "[]".into());
        }
        let named = self.named(of);
        match (named["kind"].as_str().expect("a kind"), named["name"].as_str().expect("a name")) {
            ("ENUM", _) => {
                let value = text(&named["enumValues"][0]["name"]);
                (json!(value), value)
            }
            ("INPUT_OBJECT", _) => {
                let required = named["inputFields"].as_array().expect("fields").iter();
                let required = required.filter(|field| field["type"]["kind"] == "NON_NULL");
                let fields = required.map(|field| (text(&field["name"]), self.valid(&field["type"], cursor)));
                object(fields.collect())
            }
            (_, "Int" | "Float") => (json!(1), "1".into()),
            (_, "Boolean") => (json!(true), "true".into()),
            (_, "Cursor") => (json!(cursor), json!(cursor).to_string()),
            (_, "JSON") => (json!({}), "\"{}\"".into()),
            _ => (json!("1"), "\"1\"".into()),
        }
    }

    /// One case for each string in this type that can contain U+0000.
    fn cases(&self, name: &str, of: &Value, cursor: &str) -> Vec<Case> {
        match of["kind"].as_str().expect("a kind") {
            "NON_NULL" => self.cases(name, &of["ofType"], cursor),
            "LIST" => {
                let inner = self.cases(name, &of["ofType"], cursor).into_iter();
                inner
                    .map(|case| Case {
                        value: json!([case.value]),
                        literal: format!("[{}]", case.literal),
                        field: case.field,
                    })
                    .collect()
            }
            "INPUT_OBJECT" => {
                let fields = self.named(of)["inputFields"].as_array().expect("fields");
                let (valid, _) = self.valid(of, cursor);
                let mut cases = Vec::new();
                for field in fields {
                    for case in self.cases(&text(&field["name"]), &field["type"], cursor) {
                        let mut parts: Vec<(String, (Value, String))> = fields
                            .iter()
                            .filter(|other| other["name"] != field["name"] && !valid[text(&other["name"])].is_null())
                            .map(|other| (text(&other["name"]), self.valid(&other["type"], cursor)))
                            .collect();
                        parts.push((text(&field["name"]), (case.value, case.literal)));
                        let (value, literal) = object(parts);
                        cases.push(Case { value, literal, field: case.field });
                    }
                }
                cases
            }
            "SCALAR" if ["String", "ID", "Cursor", "JSON"].iter().any(|of_text| of["name"] == *of_text) => {
                vec![Case { value: json!(NUL), literal: "\"a\\u0000b\"".into(), field: name.into() }]
            }
            _ => Vec::new(),
        }
    }

    /// Every operation on the fields of one root type with U+0000 in one string, as a variable and as a literal.
    fn operations(&self, kind: &str, root: &str, cursor: &str) -> Vec<(String, Value, String)> {
        let mut operations = Vec::new();
        for field in self.0[root]["fields"].as_array().expect("fields") {
            let arguments = field["args"].as_array().expect("arguments");
            let is_leaf = ["SCALAR", "ENUM"].iter().any(|leaf| self.named(&field["type"])["kind"] == *leaf);
            let selection = if is_leaf { "" } else { " { __typename }" };
            for argument in arguments {
                for case in self.cases(&text(&argument["name"]), &argument["type"], cursor) {
                    let others = arguments.iter().filter(|other| other["name"] != argument["name"]);
                    let others = others.filter(|other| other["type"]["kind"] == "NON_NULL");
                    let others: String = others
                        .map(|other| format!("{}: {}, ", text(&other["name"]), self.valid(&other["type"], cursor).1))
                        .collect();
                    let (name, argument_name) = (text(&field["name"]), text(&argument["name"]));
                    let of = written(&argument["type"]);
                    operations.push((
                        format!(
                            "{kind} (${argument_name}: {of}) {{ {name}({others}{argument_name}: ${argument_name}){selection} }}"
                        ),
                        json!({argument_name.clone(): case.value}),
                        case.field.clone(),
                    ));
                    let literal = case.literal;
                    operations.push((
                        format!("{kind} {{ {name}({others}{argument_name}: {literal}){selection} }}"),
                        json!({}),
                        case.field,
                    ));
                }
            }
        }
        operations
    }
}

fn object(fields: Vec<(String, (Value, String))>) -> (Value, String) {
    let literal: Vec<String> = fields.iter().map(|(name, (_, literal))| format!("{name}: {literal}")).collect();
    let value: serde_json::Map<String, Value> = fields.into_iter().map(|(name, (value, _))| (name, value)).collect();
    (Value::Object(value), format!("{{{}}}", literal.join(", ")))
}

/// A type reference as documents write it.
fn written(of: &Value) -> String {
    match of["kind"].as_str().expect("a kind") {
        "NON_NULL" => format!("{}!", written(&of["ofType"])),
        "LIST" => format!("[{}]", written(&of["ofType"])),
        _ => text(&of["name"]),
    }
}

#[tokio::test]
async fn nul_is_rejected_in_every_string_of_every_operation() {
    let server = Server::start().await;
    let root = server.admin("root").await;
    let channel = server.channel(&root, "general").await;
    server.post(&root, &channel, "text").await;
    let cursor = server.cursor(Some(&root)).await;
    let types = Types::of(&server.data(None, include_str!("../introspection.graphql"), json!({})).await);
    let mut sent = 0;
    for (kind, of) in [("query", "Query"), ("mutation", "Mutation")] {
        for (document, variables, field) in types.operations(kind, of, &cursor) {
            let response = server.execute(Some(&root), &document, variables.clone()).await;
            let shown = &response["errors"][0]["extensions"];
            assert_eq!(shown, &json!({"code": "BAD_USER_INPUT", "field": field}), "{document} {variables} {response}");
            sent += 1;
        }
    }
    for (document, variables, field) in types.operations("subscription", "Subscription", &cursor) {
        let body = json!({"query": document, "variables": variables});
        let request = server.http().post(server.url("/graphql")).json(&body).bearer_auth(&root.token);
        let refused = EventStream::open(request).await.next().await.result();
        let shown = &refused["errors"][0]["extensions"];
        assert_eq!(shown, &json!({"code": "BAD_USER_INPUT", "field": field}), "{document} {variables}");
        sent += 1;
    }
    println!("{sent} operations with U+0000 in one text each");
    assert!(sent > 150, "only {sent} operations were generated from the schema");
}

#[tokio::test]
async fn nul_is_rejected_in_edge_cursors_defaults_fragments_and_query_strings() {
    let server = Server::start().await;
    let root = server.admin("root").await;
    let channel = server.channel(&root, "general").await;
    let edge = |text: &str| format!("e{}", BASE64.encode(text));
    for (document, list) in [
        ("query ($c: String) { users(after: $c) { nodes { id } } }", "users by username:a\0"),
        ("query ($c: String) { users(before: $c, last: 2) { nodes { id } } }", "users by username:\0"),
        ("query ($c: String) { channels(after: $c) { nodes { id } } }", "channels by name:1:a\0"),
        ("query ($c: String) { channels(before: $c) { nodes { id } } }", "channels by name:1:\0"),
        ("query ($c: String) { channel(id: 1) { members(after: $c) { nodes { id } } } }", "users by username:a\0b"),
        ("query ($c: String) { messages(after: $c) { nodes { id } } }", "messages, newest first:1\0"),
    ] {
        let code = server.error_code(Some(&root), document, json!({"c": edge(list)})).await;
        assert_eq!(code, "BAD_USER_INPUT", "{document} {list:?}");
    }
    for document in [
        "query ($n: String = \"a\\u0000\") { channel(name: $n) { id } }",
        "query { channel(name: \"x\") { ...F } } fragment F on Channel { members(after: \"\\u0000\") { nodes { id } } }",
        "query { channels { nodes { ... on Channel { messages(before: \"\\u0000\") { nodes { id } } } } } }",
    ] {
        assert_eq!(server.error_code(Some(&root), document, json!({})).await, "BAD_USER_INPUT", "{document}");
    }
    // The same in the query string of a GET request.
    let url = server
        .url("/graphql?query=query($n:String)%7Bchannel(name:$n)%7Bid%7D%7D&variables=%7B%22n%22:%22%5Cu0000%22%7D");
    let answer: Value = server.http().get(url).send().await.expect("a response").json().await.expect("JSON");
    assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_USER_INPUT", "{answer}");
    let url = server.url("/graphql?query=%7B__typename%7D&token=a%00b");
    assert_eq!(server.http().get(url).send().await.expect("a response").status(), 401);
    server.post(&root, &channel, "still working").await;
}

#[tokio::test]
async fn nul_is_rejected_in_json_socket_frames() {
    let server = Server::start().await;
    let ann = server.register("ann").await;
    let mut socket = JsonSocket::open(server.address(), CONNECT, Some(&ann)).await;
    for (frame, field) in [
        (json!({"type": "join_room", "room": NUL}), "room"),
        (json!({"type": "leave_room", "room": NUL}), "room"),
        (json!({"type": "message", "room": NUL, "text": "x"}), "room"),
        (json!({"type": "message", "room": "r", "text": NUL}), "text"),
        (json!({"type": "message", "room": "r", "text": "a\0b", "key": "k1"}), "text"),
        (json!({"type": "message", "room": NUL, "text": "x", "key": "k1"}), "room"),
        (json!({"type": "message", "room": "r", "text": "x", "key": NUL}), "key"),
        (json!({"type": "join_room", "room": "r", "after": NUL}), "after"),
        (json!({"type": "subscribe", "channel": NUL}), "channel"),
        (json!({"type": "subscribe", "ticket_id": NUL}), "ticket_id"),
        (json!({"type": NUL}), "type"),
    ] {
        socket.send_raw(tokio_tungstenite::tungstenite::Message::text(frame.to_string())).await;
        let error = socket.expect("error").await;
        assert_eq!((&error["code"], &error["field"]), (&json!("BAD_USER_INPUT"), &json!(field)), "{frame}");
        // The error repeats the other fields, so that the client can tell which frame it belongs to.
        for named in ["room", "channel", "key"] {
            let sent = frame.get(named).filter(|value| **value != NUL);
            assert_eq!(error.get(named), sent, "{named} of {frame}");
        }
    }
    socket.request(json!({"type": "join_room", "room": "r"}), "joined").await;
}
