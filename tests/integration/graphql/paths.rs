//! The path of an error contains the index of each list on the way, on every transport.

use reqwest::header::ACCEPT;
use serde_json::{Value, json};

use crate::support::{Server, Session, with_timeout};

/// Creates a message with two comments and a newer one without. So the failing field is in the second item of
/// `messages`.
async fn create_discussion(server: &Server) -> (Session, String) {
    let ann = server.register("ann").await;
    let channel = server.channel(&ann, "general").await;
    let older = server.post(&ann, &channel, "with comments").await;
    server.post(&ann, &channel, "without").await;
    let comment = "mutation ($m: ID!, $c: String!) { createComment(input: { messageId: $m, content: $c }) { id } }";
    for content in ["one", "two"] {
        server.data(Some(&ann), comment, json!({"m": older, "c": content})).await;
    }
    (ann, channel)
}

/// A field of a comment that fails for every viewer.
const FAILS: &str = "message { channel { members(first: 0) { nodes { id } } } }";

fn path(response: &Value) -> &Value {
    assert_eq!(response["errors"].as_array().map(Vec::len), Some(1), "{response}");
    assert_eq!(response["errors"][0]["extensions"]["code"], "BAD_USER_INPUT", "{response}");
    &response["errors"][0]["path"]
}

#[tokio::test]
async fn error_paths_have_the_list_indexes() {
    let server = Server::start().await;
    let (ann, channel) = create_discussion(&server).await;
    let nodes = format!(
        "{{ channels(first: 2) {{ nodes {{ messages(first: 6) {{ nodes {{ comments(first: 2) {{ nodes {{ {FAILS} }} }} }} }} }} }} }}"
    );
    let inner = json!([
        "channels", "nodes", 0, "messages", "nodes", 1, "comments", "nodes", 0, "message", "channel", "members"
    ]);
    assert_eq!(path(&server.execute(Some(&ann), &nodes, json!({})).await), &inner);

    // The same with edges, aliases and a fragment.
    let edges = format!(
        "{{ _0: channels(first: 2) {{ _1: edges {{ node {{ ...m }} }} }} }}
         fragment m on Channel {{ messages(first: 6) {{ edges {{ node {{ comments(last: 1) {{ edges {{ node {{ {FAILS} }} }} }} }} }} }} }}"
    );
    let expected = json!([
        "_0", "_1", 0, "node", "messages", "edges", 1, "node", "comments", "edges", 0, "node", "message", "channel",
        "members"
    ]);
    assert_eq!(path(&server.execute(Some(&ann), &edges, json!({})).await), &expected);

    // `members` fails for anonymous viewers.
    let response = server.execute(None, "{ channels { nodes { id members { nodes { id } } } } }", json!({})).await;
    assert_eq!(response["errors"][0]["path"], json!(["channels", "nodes", 0, "members"]), "{response}");

    // The same in mutations with one and with several root fields.
    let one = format!(
        "createMessage(input: {{ channelId: $c, content: \"x\" }}) {{ channel {{ messages(first: 6) {{ nodes {{ comments(first: 2) {{ nodes {{ {FAILS} }} }} }} }} }} }}"
    );
    let alone = server.execute(Some(&ann), &format!("mutation ($c: ID!) {{ {one} }}"), json!({"c": channel})).await;
    let tail = |root: &str, at: usize| {
        json!([root, "channel", "messages", "nodes", at, "comments", "nodes", 0, "message", "channel", "members"])
    };
    assert_eq!(path(&alone), &tail("createMessage", 2));
    let others = format!(
        "mutation ($c: ID!) {{ a: createMessage(input: {{ channelId: $c, content: \"y\" }}) {{ id }} b: {one} }}"
    );
    assert_eq!(path(&server.execute(Some(&ann), &others, json!({"c": channel})).await), &tail("b", 4));
}

#[tokio::test]
async fn error_paths_have_the_list_indexes_on_sockets_and_streams() {
    let server = Server::start().await;
    let (ann, channel) = create_discussion(&server).await;
    let list = format!("messages(first: 6) {{ nodes {{ comments(first: 2) {{ nodes {{ {FAILS} }} }} }} }}");
    let mut socket = server.socket(Some(&ann)).await;
    socket.subscribe("q", &format!("{{ {list} }}"), json!({})).await;
    let expected = json!(["messages", "nodes", 1, "comments", "nodes", 0, "message", "channel", "members"]);
    assert_eq!(path(&socket.frame().await["payload"]), &expected);
    assert_eq!(socket.frame().await["type"], "complete");

    let live = format!("subscription ($c: ID) {{ m: messageAdded(channelId: $c) {{ channel {{ {list} }} }} }}");
    socket.subscribe("s", &live, json!({"c": channel})).await;
    socket.assert_idle().await;
    server.post(&ann, &channel, "a third").await;
    let item = socket.frame().await;
    let expected =
        json!(["m", "channel", "messages", "nodes", 2, "comments", "nodes", 0, "message", "channel", "members"]);
    assert_eq!(path(&item["payload"]), &expected);

    let request = server.http().post(server.url("/graphql")).header(ACCEPT, "text/event-stream");
    let request = request.bearer_auth(&ann.token).json(&json!({"query": format!("{{ {list} }}")}));
    let stream = with_timeout("a stream", request.send()).await.expect("a stream");
    let stream = with_timeout("the end of the connection", stream.text()).await.expect("text");
    assert!(stream.contains(r#""path":["messages","nodes",2,"comments","nodes",0,"#), "{stream}");
}
