//! Application events: publishing, following and reading them.

pub mod event_types;
mod examples;
mod http;
mod json_socket;
mod keys;
mod signals;

use std::time::Duration;

use serde_json::{Value, json};
use tidings::board::Retention;

use crate::support::{Server, Session, Socket, text};

const PUBLISH: &str =
    "mutation ($input: PublishInput!) { publish(input: $input) { cursor at actorId channelId type data key } }";
const PUBLISH_MANY: &str = "mutation ($inputs: [PublishInput!]!) { publishMany(inputs: $inputs) { cursor type key } }";
const FOLLOW: &str = "subscription ($channel: ID, $types: [String!], $after: Cursor) {
    appEvent(channelId: $channel, types: $types, after: $after) { cursor at actorId channelId type data key } }";
const READ: &str =
    "query ($channel: ID!, $types: [String!], $first: Int, $after: String, $last: Int, $before: String) {
    appEvents(channelId: $channel, types: $types, first: $first, after: $after, last: $last, before: $before) {
        nodes { type data } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }";

/// A server with an admin and a public channel, whose name is `orders`.
async fn orders() -> (Server, Session, String) {
    let server = Server::start().await;
    let root = server.admin("root").await;
    let channel = server.channel(&root, "orders").await;
    (server, root, channel)
}

async fn publish(server: &Server, session: &Session, input: Value) -> Value {
    server.data(Some(session), PUBLISH, json!({"input": input})).await["publish"].take()
}

async fn publish_error(server: &Server, session: Option<&Session>, input: Value) -> String {
    server.error_code(session, PUBLISH, json!({"input": input})).await
}

async fn follow(server: &Server, session: Option<&Session>, variables: Value) -> Socket {
    let mut socket = server.socket(session).await;
    socket.subscribe("e", FOLLOW, variables).await;
    socket
}

async fn next(socket: &mut Socket) -> Value {
    socket.item("e").await["appEvent"].take()
}

/// The tag of a cursor, which the events of one commit share.
fn tag(cursor: &Value) -> String {
    text(cursor).split_once('-').expect("a cursor").1.to_owned()
}

#[tokio::test]
async fn an_event_reaches_subscribers_live_and_on_replay_as_it_was_published() {
    let (mut server, root, channel) = orders().await;
    let start = server.cursor(None).await;
    let mut live = follow(&server, Some(&root), json!({"channel": channel, "after": start})).await;
    let first = publish(
        &server,
        &root,
        json!({"channelId": channel, "type": "order.paid", "data": {"id": 7}, "idempotencyKey": "k"}),
    )
    .await;
    assert_eq!((&first["actorId"], &first["channelId"]), (&json!(root.id), &json!(channel)));
    assert_eq!((&first["type"], &first["data"], &first["key"]), (&json!("order.paid"), &json!({"id": 7}), &json!("k")));
    let second = publish(&server, &root, json!({"channel": "Orders", "type": "order.sent", "data": "a text"})).await;
    assert_eq!((next(&mut live).await, next(&mut live).await), (first.clone(), second.clone()));
    server.restart().await;
    for session in [Some(&root), None] {
        let mut replay = follow(&server, session, json!({"channel": channel, "after": start})).await;
        for event in [&first, &second] {
            let mut expected = event.clone();
            if session.is_none() {
                expected["actorId"] = Value::Null;
            }
            assert_eq!(next(&mut replay).await, expected);
        }
    }
    // The general stream has the same events.
    let events = "subscription ($after: Cursor) { events(after: $after) { __typename cursor
        ... on AppEvent { type data key channelId } } }";
    let mut socket = server.socket(Some(&root)).await;
    socket.subscribe("e", events, json!({"after": start})).await;
    let event = socket.item("e").await["events"].take();
    assert_eq!((&event["__typename"], &event["cursor"]), (&json!("AppEvent"), &first["cursor"]));
    assert_eq!((&event["type"], &event["data"]), (&first["type"], &first["data"]));
}

#[tokio::test]
async fn subscribers_get_only_the_types_and_the_channel_that_they_name() {
    let (server, root, channel) = orders().await;
    let other = server.channel(&root, "other").await;
    let start = server.cursor(None).await;
    for (channel, app_type) in
        [(&channel, "order.paid"), (&channel, "orders"), (&other, "order.sent"), (&channel, "paid"), (&channel, "last")]
    {
        publish(&server, &root, json!({"channelId": channel, "type": app_type, "data": 1})).await;
    }
    server.post(&root, &channel, "no application event").await;
    for (filter, expected) in [
        (json!({}), &["order.paid", "orders", "order.sent", "paid", "last"][..]),
        (json!({"channel": channel}), &["order.paid", "orders", "paid", "last"]),
        (json!({"types": ["order.*", "last"]}), &["order.paid", "order.sent", "last"]),
        (json!({"types": ["paid", "last"], "channel": channel}), &["paid", "last"]),
        (json!({"types": [], "channel": other}), &["order.sent"]),
    ] {
        let mut variables = filter.clone();
        variables["after"] = start.clone().into();
        let mut socket = follow(&server, None, variables).await;
        for app_type in expected {
            assert_eq!(next(&mut socket).await["type"], *app_type, "{filter}");
        }
        socket.assert_idle().await;
    }
    let mut socket = follow(&server, None, json!({"types": ["*"]})).await;
    assert_eq!(socket.error_code("e").await, "BAD_USER_INPUT");
}

/// Values that would change if the server converted numbers to floats or sorted the keys.
const DATA: &str = r#"{"z":1795876765000,"snowflake":1234567890123456789,"most":18446744073709551615,"least":-9223372036854775808,"float":1.0,"big":1e300,"beyond":99999999999999999999,"a":[{"b":null}],"text":"x  y"}"#;

#[tokio::test]
async fn data_keeps_its_numbers_and_the_order_of_keys_in_literals_and_variables() {
    let (server, root, channel) = orders().await;
    let start = server.cursor(None).await;
    let literal = DATA.replace("\"z\":", "z:").replace("\"snowflake\":", "snowflake:").replace("\"most\":", "most:");
    let literal = ["least", "float", "big", "beyond", "a", "b", "text"]
        .iter()
        .fold(literal, |text, key| text.replace(&format!("\"{key}\":"), &format!("{key}: ")));
    let in_document =
        format!("mutation {{ publish(input: {{ channel: \"orders\", type: \"t\", data: {literal} }}) {{ data }} }}");
    let in_variable =
        "mutation ($data: JSON!) { publish(input: { channel: \"orders\", type: \"t\", data: $data }) { data } }";
    let bodies = [
        format!("{{\"query\":{}}}", json!(in_document)),
        format!("{{\"query\":{},\"variables\":{{\"data\":{DATA}}}}}", json!(in_variable)),
    ];
    for body in bodies {
        let request = server.http().post(server.url("/graphql")).bearer_auth(&root.token);
        let response = request.header("content-type", "application/json").body(body).send().await.expect("a response");
        assert_eq!(response.text().await.expect("a body"), format!("{{\"data\":{{\"publish\":{{\"data\":{DATA}}}}}}}"));
    }
    let mut socket = follow(&server, None, json!({"channel": channel, "after": start})).await;
    for _ in 0..2 {
        let frame = socket.text().await;
        assert!(frame.contains(&format!("\"data\":{DATA}")), "{frame}");
    }
    let query = json!({"query": READ, "variables": {"channel": channel}});
    let response = server.http().post(server.url("/graphql")).json(&query).send().await.expect("a response");
    assert_eq!(response.text().await.expect("a body").matches(&format!("\"data\":{DATA}")).count(), 2);
}

#[tokio::test]
async fn publish_many_publishes_all_in_one_commit_and_in_order_or_nothing() {
    let (server, root, channel) = orders().await;
    let start = server.cursor(None).await;
    let input = |number: usize| json!({"channelId": channel, "type": format!("n.{number}"), "data": {"n": number}});
    let inputs: Vec<Value> = (0..1_000).map(input).collect();
    let data = server.data(Some(&root), PUBLISH_MANY, json!({"inputs": inputs})).await;
    let published = data["publishMany"].as_array().expect("a list");
    assert_eq!(published.len(), 1_000);
    assert!(published.iter().all(|event| tag(&event["cursor"]) == tag(&published[0]["cursor"])));
    let mut socket = follow(&server, None, json!({"channel": channel, "after": start})).await;
    for (number, event) in published.iter().enumerate() {
        let delivered = next(&mut socket).await;
        assert_eq!((&delivered["cursor"], &delivered["data"]["n"]), (&event["cursor"], &json!(number)));
    }
    let head = server.cursor(None).await;
    let mut bad = inputs.clone();
    bad[700]["type"] = json!("no type");
    let response = server.execute(Some(&root), PUBLISH_MANY, json!({"inputs": bad})).await;
    let error = &response["errors"][0];
    assert_eq!(error["extensions"], json!({"code": "BAD_USER_INPUT", "field": "type"}), "{response}");
    assert!(text(&error["message"]).starts_with("inputs[700]: "), "{response}");
    assert_eq!(server.cursor(None).await, head);
    let refused = server.error_code(Some(&root), PUBLISH_MANY, json!({"inputs": vec![input(0); 1_001]})).await;
    assert_eq!(refused, "BAD_USER_INPUT");
    let data = server.data(Some(&root), PUBLISH_MANY, json!({"inputs": []})).await;
    assert_eq!((data["publishMany"].clone(), server.cursor(None).await), (json!([]), head));
}

#[tokio::test]
async fn a_list_shows_the_events_of_one_channel_in_log_order_page_by_page() {
    let (server, root, channel) = orders().await;
    let other = server.channel(&root, "other").await;
    for number in 0..5 {
        let app_type = if number % 2 == 0 { "even.number" } else { "odd" };
        publish(&server, &root, json!({"channelId": channel, "type": app_type, "data": number})).await;
        publish(&server, &root, json!({"channelId": other, "type": app_type, "data": -1})).await;
        server.post(&root, &channel, "a message").await;
    }
    let read = async |mut page: Value| {
        page["channel"] = channel.clone().into();
        server.data(None, READ, page).await["appEvents"].take()
    };
    let data = |page: &Value| -> Vec<i64> {
        page["nodes"].as_array().expect("nodes").iter().filter_map(|node| node["data"].as_i64()).collect()
    };
    let first = read(json!({"first": 3})).await;
    assert_eq!((data(&first), &first["pageInfo"]["hasNextPage"]), (vec![0, 1, 2], &json!(true)));
    let rest = read(json!({"first": 3, "after": first["pageInfo"]["endCursor"]})).await;
    assert_eq!((data(&rest), &rest["pageInfo"]["hasNextPage"]), (vec![3, 4], &json!(false)));
    let last = read(json!({"last": 2})).await;
    assert_eq!((data(&last), &last["pageInfo"]["hasPreviousPage"]), (vec![3, 4], &json!(true)));
    let before = read(json!({"last": 2, "before": last["pageInfo"]["startCursor"]})).await;
    assert_eq!(data(&before), [1, 2]);
    assert_eq!(data(&read(json!({"types": ["even.*"]})).await), [0, 2, 4]);
    assert_eq!(data(&read(json!({"types": ["odd"], "last": 1})).await), [3]);
    assert_eq!(data(&read(json!({"types": ["even", "od.*"]})).await), [0; 0]);
    let missing = json!({"channel": "1000000"});
    assert_eq!(server.error_code(None, READ, missing).await, "NOT_FOUND");
}

#[tokio::test]
async fn events_for_locations_are_delivered_and_listed_for_their_users_only() {
    let (server, root, channel) = orders().await;
    let (near, far) = (server.register("near").await, server.register("far").await);
    let made =
        server.data(Some(&root), "mutation { createOrganization(input: { name: \"first\" }) { id } }", json!({})).await;
    let location = "mutation ($o: ID!) { createLocation(input: { organizationId: $o, name: \"here\" }) { id } }";
    let organization = &made["createOrganization"]["id"];
    let here = server.data(Some(&root), location, json!({"o": organization})).await["createLocation"]["id"].take();
    let assign = "mutation ($u: ID!, $l: ID!) { assignUser(input: { userId: $u, locationId: $l }) { id } }";
    server.data(Some(&root), assign, json!({"u": near.id, "l": here})).await;
    let start = server.cursor(None).await;
    let restricted = json!({"channelId": channel, "type": "t", "data": "restricted", "shareLocationIds": [here]});
    publish(&server, &root, restricted).await;
    publish(&server, &root, json!({"channelId": channel, "type": "t", "data": "open"})).await;
    for (session, expected) in [
        (Some(&root), &["restricted", "open"][..]),
        (Some(&near), &["restricted", "open"]),
        (Some(&far), &["open"]),
        (None, &["open"]),
    ] {
        let mut socket = follow(&server, session, json!({"channel": channel, "after": start})).await;
        for data in expected {
            assert_eq!(next(&mut socket).await["data"], *data, "{session:?}");
        }
        socket.assert_idle().await;
        let listed = server.data(session, READ, json!({"channel": channel})).await["appEvents"]["nodes"].take();
        let listed: Vec<String> = listed.as_array().expect("nodes").iter().map(|node| text(&node["data"])).collect();
        assert_eq!(listed, expected, "{session:?}");
    }
}

#[tokio::test]
async fn a_removed_member_gets_no_further_event_of_a_private_channel() {
    let server = Server::start().await;
    let (root, ben) = (server.admin("root").await, server.register("ben").await);
    let make = "mutation { createChannel(input: { name: \"secret\", visibility: PRIVATE, publishing: MEMBERS }) { id publishing } }";
    let made = server.data(Some(&root), make, json!({})).await;
    assert_eq!(made["createChannel"]["publishing"], "MEMBERS");
    let channel = text(&made["createChannel"]["id"]);
    let event = json!({"channelId": channel, "type": "t", "data": 1});
    assert_eq!(publish_error(&server, Some(&ben), event.clone()).await, "NOT_FOUND");
    assert_eq!(server.error_code(Some(&ben), READ, json!({"channel": channel})).await, "NOT_FOUND");
    let membership = json!({"c": channel, "u": ben.id});
    let add = "mutation ($c: ID!, $u: ID!) { addMember(channelId: $c, userId: $u) { id } }";
    server.data(Some(&root), add, membership.clone()).await;
    let mut socket =
        follow(&server, Some(&ben), json!({"channel": channel, "after": server.cursor(Some(&ben)).await})).await;
    let everywhere = json!({"after": server.cursor(Some(&ben)).await});
    let mut all = follow(&server, Some(&ben), everywhere.clone()).await;
    publish(&server, &ben, event.clone()).await;
    assert_eq!((&next(&mut socket).await["data"], &next(&mut all).await["data"]), (&json!(1), &json!(1)));
    let remove = "mutation ($c: ID!, $u: ID!) { removeMember(channelId: $c, userId: $u) { id } }";
    server.data(Some(&root), remove, membership).await;
    assert_eq!(socket.error_code("e").await, "FORBIDDEN");
    publish(&server, &root, event.clone()).await;
    let public = server.channel(&root, "public").await;
    publish(&server, &root, json!({"channelId": public, "type": "t", "data": 2})).await;
    assert_eq!(next(&mut all).await["data"], 2);
    let mut replay = follow(&server, Some(&ben), everywhere).await;
    assert_eq!(next(&mut replay).await["data"], 2);
    assert_eq!(publish_error(&server, Some(&ben), event).await, "NOT_FOUND");
}

#[tokio::test]
async fn members_publish_where_the_channel_says_so_and_everyone_else_is_refused() {
    let (server, root, channel) = orders().await;
    let (ben, eve) = (server.register("ben").await, server.register("eve").await);
    let add = "mutation ($c: ID!, $u: ID!) { addMember(channelId: $c, userId: $u) { id } }";
    server.data(Some(&root), add, json!({"c": channel, "u": ben.id})).await;
    let event = json!({"channelId": channel, "type": "t", "data": 1});
    assert_eq!(publish_error(&server, Some(&ben), event.clone()).await, "FORBIDDEN");
    let update =
        "mutation ($c: ID!, $p: ChannelPublishing) { updateChannel(input: { id: $c, publishing: $p }) { publishing } }";
    let updated = server.data(Some(&root), update, json!({"c": channel, "p": "MEMBERS"})).await;
    assert_eq!(updated["updateChannel"]["publishing"], "MEMBERS");
    publish(&server, &ben, event.clone()).await;
    assert_eq!(publish_error(&server, Some(&eve), event.clone()).await, "FORBIDDEN");
    assert_eq!(publish_error(&server, None, event.clone()).await, "UNAUTHENTICATED");
    server.data(Some(&root), update, json!({"c": channel, "p": "KEYS"})).await;
    assert_eq!(publish_error(&server, Some(&ben), event).await, "FORBIDDEN");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_publishes_one_event_for_as_long_as_the_log_has_it() {
    let (mut server, root, channel) = orders().await;
    let start = server.cursor(None).await;
    let event = |data: i64| json!({"channelId": channel, "type": "t", "data": data, "idempotencyKey": "order-7"});
    let at_once = (0..16).map(|_| publish(&server, &root, event(1)));
    let published = futures_util::future::join_all(at_once).await;
    assert!(published.iter().all(|one| *one == published[0]), "{published:#?}");
    server.restart().await;
    assert_eq!(publish(&server, &root, event(1)).await, published[0]);
    assert_eq!(publish_error(&server, Some(&root), event(2)).await, "CONFLICT");
    let mut socket = follow(&server, None, json!({"channel": channel, "after": start})).await;
    assert_eq!(next(&mut socket).await["cursor"], published[0]["cursor"]);
    socket.assert_idle().await;
    // Once the event is pruned, its key is free.
    for content in ["a later event", "the event that stays"] {
        server.post(&root, &channel, content).await;
    }
    let retention = Retention { age: Duration::ZERO, events: 1 };
    server.board().pruner(retention).prune().await.expect("pruned");
    assert_ne!(publish(&server, &root, event(2)).await["cursor"], published[0]["cursor"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_publish_one_event_for_one_key() {
    let (server, root, channel) = orders().await;
    let database = server.database_url().parse().expect("a database");
    let other = Server::start_with(|config| config.database.url = database).await;
    let start = server.cursor(None).await;
    let mut cursors = Vec::new();
    for round in 0..20 {
        let event = json!({"channelId": channel, "type": "t", "data": round, "idempotencyKey": format!("k{round}")});
        let (one, two) = tokio::join!(publish(&server, &root, event.clone()), publish(&other, &root, event));
        assert_eq!(one, two);
        cursors.push(one["cursor"].clone());
    }
    // Both instances deliver each event once, in the same order.
    for server in [&server, &other] {
        let mut socket = follow(server, None, json!({"channel": channel, "after": start})).await;
        for cursor in &cursors {
            assert_eq!(next(&mut socket).await["cursor"], *cursor);
        }
    }
}

#[tokio::test]
async fn the_events_of_a_deleted_channel_are_gone() {
    let (mut server, root, channel) = orders().await;
    let start = server.cursor(None).await;
    publish(&server, &root, json!({"channelId": channel, "type": "t", "data": 1})).await;
    server.data(Some(&root), "mutation ($c: ID!) { deleteChannel(id: $c) }", json!({"c": channel})).await;
    let kept = server.channel(&root, "kept").await;
    publish(&server, &root, json!({"channelId": kept, "type": "t", "data": 2})).await;
    for is_restarted in [false, true] {
        if is_restarted {
            server.restart().await;
        }
        let mut socket = follow(&server, Some(&root), json!({"after": start})).await;
        assert_eq!(next(&mut socket).await["data"], 2, "restarted: {is_restarted}");
    }
    assert_eq!(server.error_code(Some(&root), READ, json!({"channel": channel})).await, "NOT_FOUND");
    let event = json!({"channelId": channel, "type": "t", "data": 1});
    assert_eq!(publish_error(&server, Some(&root), event).await, "NOT_FOUND");
}
