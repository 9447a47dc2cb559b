//! The name of a private channel is known only to its members: name conflicts do not reveal it to other users.

use serde_json::{Value, json};

use crate::support::{JsonSocket, Server, Session, json_socket::CONNECT, text};

const CREATE: &str =
    "mutation ($n: String!, $v: Visibility) { createChannel(input: { name: $n, visibility: $v }) { id name } }";
const RENAME: &str = "mutation ($c: ID!, $n: String!) { updateChannel(input: { id: $c, name: $n }) { name } }";
const OPEN: &str = "mutation ($c: ID!, $v: Visibility) { updateChannel(input: { id: $c, visibility: $v }) { id } }";
const ADD: &str = "mutation ($c: ID!, $u: ID!) { addMember(channelId: $c, userId: $u) { id } }";
const FIND: &str = "query ($n: String!) { channel(name: $n) { id } }";

async fn create_private_channel(server: &Server, owner: &Session, name: &str) -> String {
    text(&server.data(Some(owner), CREATE, json!({"n": name, "v": "PRIVATE"})).await["createChannel"]["id"])
}

async fn find_channel(server: &Server, user: &Session, name: &str) -> Value {
    server.data(Some(user), FIND, json!({"n": name})).await["channel"]["id"].clone()
}

/// A response without ids and names, which differ between attempts.
fn without_ids(mut answer: Value) -> Value {
    for field in ["createChannel", "updateChannel"] {
        if let Some(created) = answer["data"][field].as_object_mut() {
            created.remove("id");
            created.remove("name");
        }
    }
    answer
}

#[tokio::test]
async fn taken_private_channel_names_get_the_same_response_as_free_names() {
    let server = Server::start().await;
    let (ann, mallory) = (server.register("ann").await, server.register("mallory").await);
    for name in ["layoffs 2027", "Café", "strategy", "board"] {
        create_private_channel(&server, &ann, name).await;
    }
    let own = server.channel(&mallory, "mine").await;
    for (taken, free) in [("layoffs 2027", "parties 2027"), ("cafe\u{301}", "bistro")] {
        let [taken, free] = [taken, free].map(|name| json!({"n": name}));
        let answers = [
            without_ids(server.execute(Some(&mallory), CREATE, taken).await),
            without_ids(server.execute(Some(&mallory), CREATE, free).await),
        ];
        assert_eq!(answers[0], answers[1]);
    }
    let answers = [
        without_ids(server.execute(Some(&mallory), RENAME, json!({"c": own, "n": "strategy"})).await),
        without_ids(server.execute(Some(&mallory), RENAME, json!({"c": own, "n": "tactics"})).await),
    ];
    assert_eq!(answers[0], answers[1]);
    let mut socket = JsonSocket::open(server.address(), CONNECT, Some(&mallory)).await;
    for room in ["board", "anything"] {
        let frame = socket.request(json!({"type": "join_room", "room": room}), "joined").await;
        assert_eq!(frame["room"], room);
    }
}

#[tokio::test]
async fn renaming_channels_is_limited_like_creating_them() {
    let server = Server::start_with(|config| config.limits.new_rooms_per_minute = 5).await;
    let mallory = server.register("mallory").await;
    let own = server.channel(&mallory, "mine").await;
    let mut codes = Vec::new();
    for number in 0..6 {
        let answer = server.execute(Some(&mallory), RENAME, json!({"c": own, "n": format!("guess {number}")})).await;
        codes.push(answer["errors"][0]["extensions"]["code"].clone());
    }
    assert_eq!(codes[..4], [Value::Null, Value::Null, Value::Null, Value::Null]);
    assert_eq!(codes[4..], [json!("RATE_LIMITED"), json!("RATE_LIMITED")]);
    // Changes that do not try a new name are not limited.
    let describe = "mutation ($c: ID!) { updateChannel(input: { id: $c, description: \"x\" }) { id } }";
    server.data(Some(&mallory), describe, json!({"c": own})).await;
}

#[tokio::test]
async fn a_name_keeps_resolving_to_the_channel_that_a_reader_saw_first() {
    let server = Server::start().await;
    let (ann, bob, mallory) =
        (server.register("ann").await, server.register("bob").await, server.register("mallory").await);
    // A public channel with the same name does not replace the private channel for its members.
    let secret = create_private_channel(&server, &ann, "layoffs").await;
    server.data(Some(&ann), ADD, json!({"c": secret, "u": bob.id})).await;
    let public = server.channel(&mallory, "Layoffs").await;
    for member in [&ann, &bob] {
        assert_eq!(find_channel(&server, member, "layoffs").await, secret);
        assert_eq!(
            find_channel(&server, member, "Layoffs").await,
            secret,
            "the private channel is found in any spelling"
        );
    }
    assert_eq!(find_channel(&server, &mallory, "layoffs").await, public);
    let mut socket = JsonSocket::open(server.address(), CONNECT, Some(&bob)).await;
    socket.request(json!({"type": "message", "room": "layoffs", "text": "in private"}), "sent").await;
    let leaked = "query ($c: ID!) { channel(id: $c) { messages { nodes { content } } } }";
    let shown = server.data(Some(&mallory), leaked, json!({"c": public})).await;
    assert_eq!(shown["channel"]["messages"]["nodes"], json!([]), "the message went to the private channel");

    // Adding a user to a private channel does not replace the channel that the user knew by this name, even if the
    // private channel is older.
    let trap = create_private_channel(&server, &mallory, "finance").await;
    let finance = server.channel(&ann, "finance").await;
    assert_eq!(find_channel(&server, &bob, "finance").await, finance);
    server.data(Some(&mallory), ADD, json!({"c": trap, "u": bob.id})).await;
    assert_eq!(find_channel(&server, &bob, "finance").await, finance);
    assert_eq!(
        find_channel(&server, &mallory, "finance").await,
        trap,
        "the owner still finds the channel that she saw first"
    );

    // Renaming or publishing a channel does not replace it either.
    let old = create_private_channel(&server, &mallory, "sales").await;
    let sales = create_private_channel(&server, &bob, "sales").await;
    assert_eq!(server.error_code(Some(&mallory), RENAME, json!({"c": public, "n": "finance"})).await, "CONFLICT");
    server.data(Some(&mallory), OPEN, json!({"c": old, "v": "PUBLIC"})).await;
    assert_eq!(find_channel(&server, &bob, "sales").await, sales);
}

#[tokio::test]
async fn publishing_a_private_channel_requires_a_free_name() {
    let server = Server::start().await;
    let (ann, bob) = (server.register("ann").await, server.register("bob").await);
    let secret = create_private_channel(&server, &ann, "plans").await;
    server.channel(&bob, "PLANS").await;
    assert_eq!(server.error_code(Some(&ann), OPEN, json!({"c": secret, "v": "PUBLIC"})).await, "CONFLICT");
    server.data(Some(&ann), RENAME, json!({"c": secret, "n": "plans of Ann"})).await;
    server.data(Some(&ann), OPEN, json!({"c": secret, "v": "PUBLIC"})).await;
    // A user who can see both channels cannot create a third with one of these names.
    for name in ["plans", "plans of ann"] {
        assert_eq!(server.error_code(Some(&bob), CREATE, json!({"n": name})).await, "CONFLICT", "{name}");
    }
}

#[tokio::test]
async fn channels_with_the_same_name_are_all_listed() {
    let server = Server::start().await;
    let (ann, bob) = (server.register("ann").await, server.register("bob").await);
    let mut expected = Vec::new();
    for number in 0..3 {
        let name = format!("room {number}");
        let secret = create_private_channel(&server, &ann, &name).await;
        let public = text(&server.data(Some(&bob), CREATE, json!({"n": name})).await["createChannel"]["id"]);
        expected.extend([secret, public]);
    }
    let list =
        "query ($f: Int, $a: String, $l: Int, $b: String) { channels(first: $f, after: $a, last: $l, before: $b) {
        nodes { id } pageInfo { startCursor endCursor hasNextPage hasPreviousPage } } }";
    let (mut forward, mut edge) = (Vec::new(), Value::Null);
    loop {
        let page = server.data(Some(&ann), list, json!({"f": 1, "a": edge})).await["channels"].clone();
        forward.extend(page["nodes"].as_array().expect("nodes").iter().map(|node| text(&node["id"])));
        edge = page["pageInfo"]["endCursor"].clone();
        if page["pageInfo"]["hasNextPage"] == false {
            break;
        }
    }
    assert_eq!(forward, expected);
    let (mut backward, mut edge) = (Vec::new(), Value::Null);
    loop {
        let page = server.data(Some(&ann), list, json!({"l": 1, "b": edge})).await["channels"].clone();
        backward.extend(page["nodes"].as_array().expect("nodes").iter().map(|node| text(&node["id"])));
        edge = page["pageInfo"]["startCursor"].clone();
        if page["pageInfo"]["hasPreviousPage"] == false {
            break;
        }
    }
    backward.reverse();
    assert_eq!(backward, expected);
}
