//! Random documents, compared with a reference implementation of the specification's algorithms. `PROPTEST_CASES` sets
//! the number of cases.

use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::reference::{Document, VariableValues};
use crate::fuzz::choices::{Choices, choices};
use crate::support::{Server, Session, Socket, with_timeout};

const MESSAGE: &str = "id title content author { id username } ticket { status assignee { id username } }";
const CHANNEL: &str = "id name description messages(first: 2) { nodes { MESSAGE } }";
const ALL: &str = "{ cursor channel(id: 1) { CHANNEL } channels(first: 2) { nodes { CHANNEL } } }";
const EVENTS: &str = "subscription ($after: Cursor) { events(after: $after) { __typename cursor at actorId
    ... on ChannelAdded { channel { CHANNEL } } ... on MessageAdded { message { MESSAGE } }
    ... on MessageUpdated { message { MESSAGE } }
    ... on CommentAdded { comment { id content author { id username } } } } }";

/// A server with data, a reader, a cursor, and the events after it.
struct Fixture {
    runtime: Runtime,
    server: Server,
    ann: Session,
    after: String,
    data: Value,
    events: Vec<Value>,
}

impl Fixture {
    fn new() -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let (server, ann, after) = runtime.block_on(async {
            let server = Server::start().await;
            let ann = server.register("ann").await;
            let after = server.cursor(Some(&ann)).await;
            let channel = server.channel(&ann, "general").await;
            server.channel(&ann, "other").await;
            let message = server.post(&ann, &channel, "one").await;
            server.post(&ann, &channel, "two").await;
            let update = "mutation ($m: ID!, $a: ID) { updateMessage(input: { id: $m, title: \"t\", ticket: { status: OPEN, assigneeId: $a } }) { id } }";
            server.data(Some(&ann), update, json!({"m": message, "a": ann.id})).await;
            let comment = "mutation { createComment(input: { messageId: 1, content: \"c\" }) { id } }";
            server.data(Some(&ann), comment, json!({})).await;
            (server, ann, after)
        });
        let full = |document: &str| document.replace("CHANNEL", CHANNEL).replace("MESSAGE", MESSAGE);
        let data = runtime.block_on(server.data(Some(&ann), &full(ALL), json!({})));
        let mut fixture = Self { runtime, server, ann, after, data, events: Vec::new() };
        fixture.events = fixture.runtime.block_on(async {
            let mut socket = fixture.server.socket(Some(&fixture.ann)).await;
            socket.subscribe("e", &full(EVENTS), json!({"after": fixture.after})).await;
            let mut events = Vec::new();
            loop {
                let item = socket.item("e").await;
                if item["events"]["__typename"] == "Checkpoint" {
                    break events;
                }
                events.push(item);
            }
        });
        // The creator of a channel becomes a member, which is an event, too.
        assert!(fixture.events.len() >= 6, "{:?}", fixture.events);
        fixture
    }

    /// The response to a query, as text.
    async fn response(&self, document: &str, variables: &Value) -> String {
        let body = json!({"query": document, "variables": variables});
        let request = self.server.http().post(self.server.url("/graphql")).bearer_auth(&self.ann.token).json(&body);
        with_timeout("a response", request.send()).await.expect("a response").text().await.expect("text")
    }

    /// The payloads of the first items of a subscription, as text, or of the error that ends it.
    async fn items(&self, document: &str, variables: &Value) -> Vec<String> {
        #[derive(Deserialize)]
        struct Frame<'f> {
            r#type: String,
            #[serde(borrow)]
            payload: &'f RawValue,
        }
        let mut socket: Socket = self.server.socket(Some(&self.ann)).await;
        socket.subscribe("s", document, variables.clone()).await;
        let mut items = Vec::new();
        while items.len() < self.events.len() {
            let text = socket.text().await;
            let frame: Frame<'_> = serde_json::from_str(&text).expect("a frame");
            items.push(frame.payload.get().to_owned());
            if frame.r#type != "next" {
                break;
            }
        }
        items
    }
}

fn variables(document: &str, values: VariableValues, after: &str) -> Value {
    let mut variables = json!({});
    if document.contains("$a)") {
        variables["a"] = json!(values.a);
    }
    // The default value is true.
    if document.contains("$b)") && !values.b {
        variables["b"] = json!(false);
    }
    if document.contains("$after)") {
        variables["after"] = json!(after);
    }
    variables
}

fn check_property(cases: u32, property: impl Fn(&mut Choices<'_>) -> Result<(), String>) {
    let default = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { default.cases } else { cases };
    let config = ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 400, ..default };
    let tried = TestRunner::new(config)
        .run(&choices(160), |choices| property(&mut Choices::new(&choices)).map_err(TestCaseError::fail));
    match tried {
        Ok(()) => {}
        Err(TestError::Fail(reason, _) | TestError::Abort(reason)) => panic!("{reason}"),
    }
}

#[test]
fn random_queries_match_the_reference_execution() {
    let fixture = Fixture::new();
    let compared = Cell::new(0);
    check_property(400, |choices| {
        let values = VariableValues { a: choices.below(2) == 1, b: choices.below(2) == 1 };
        let document = Document::new("Query", choices);
        let text = document.text();
        let response = fixture.runtime.block_on(fixture.response(&text, &variables(&text, values, &fixture.after)));
        if response.contains("QUERY_TOO_COMPLEX") {
            return Ok(());
        }
        compared.set(compared.get() + 1);
        let expected = format!("{{\"data\":{}}}", document.execute(values, &fixture.data));
        if response == expected { Ok(()) } else { Err(format!("{text}\n{response}\ninstead of\n{expected}")) }
    });
    assert!(compared.get() > 50, "only {} documents were within the limits", compared.get());
}

#[test]
fn random_subscription_items_match_the_reference_execution() {
    let fixture = Fixture::new();
    let compared = Cell::new(0);
    check_property(200, |choices| {
        let values = VariableValues { a: choices.below(2) == 1, b: choices.below(2) == 1 };
        let document = Document::new("Subscription", choices);
        let text = document.text();
        let expected: Vec<String> =
            fixture.events.iter().map(|event| format!("{{\"data\":{}}}", document.execute(values, event))).collect();
        let items = fixture.runtime.block_on(fixture.items(&text, &variables(&text, values, &fixture.after)));
        if items[0].contains("QUERY_TOO_COMPLEX") || expected[0] == "{\"data\":{}}" {
            return Ok(());
        }
        compared.set(compared.get() + 1);
        if items == expected { Ok(()) } else { Err(format!("{text}\n{items:#?}\ninstead of\n{expected:#?}")) }
    });
    assert!(compared.get() > 50, "only {} documents were within the limits", compared.get());
}
