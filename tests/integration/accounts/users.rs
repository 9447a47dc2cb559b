//! Admins create and change users, and users change their profiles.

use std::collections::HashSet;
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::{PASSWORD, Server, Session, Socket, text};

const CREATE: &str = "mutation ($input: CreateUserInput!) {
    createUser(input: $input) { id username displayName email kind role organizationId locationId } }";
const CREATE_MANY: &str = "mutation ($inputs: [CreateUserInput!]!) { createUsers(inputs: $inputs) { id username } }";
const UPDATE: &str = "mutation ($input: UpdateUserInput!) {
    updateUser(input: $input) { id username displayName email role organizationId } }";
const PROFILE: &str = "mutation ($input: UpdateProfileInput!) { updateProfile(input: $input) { displayName email } }";
const EMAIL: &str = "query ($id: ID!) { user(id: $id) { email } }";
const LOGIN: &str = "mutation ($name: String!, $password: String!) {
    login(input: { username: $name, password: $password }) { token } }";

#[tokio::test]
async fn an_admin_creates_a_user_with_all_fields() {
    let server = Server::start().await;
    let root = server.admin("root").await;
    let places = "mutation { createOrganization(input: { name: \"acme\" }) { id }
        createLocation(input: { organizationId: 1, name: \"main\" }) { id } }";
    server.data(Some(&root), places, json!({})).await;
    let make = "mutation { createChannel(input: { name: \"staff\", visibility: PRIVATE }) { id } }";
    let channel = text(&server.data(Some(&root), make, json!({})).await["createChannel"]["id"]);
    let input = json!({"username": "ann", "displayName": "Ann", "email": "ann@example.org", "password": PASSWORD,
        "issuer": "https://id.example.org", "subject": "auth0|ann", "role": "ADMIN", "kind": "SERVICE",
        "organizationId": "1", "locationId": "1", "channelIds": [channel]});
    let created = server.data(Some(&root), CREATE, json!({"input": input})).await["createUser"].clone();
    let expected = json!({"id": created["id"], "username": "ann", "displayName": "Ann", "email": "ann@example.org",
        "kind": "SERVICE", "role": "ADMIN", "organizationId": "1", "locationId": "1"});
    assert_eq!(created, expected);
    let ann = server.login("ann").await;
    let members = "query ($id: ID!) { channel(id: $id) { members { nodes { username } } } }";
    let members = server.data(Some(&ann), members, json!({"id": channel})).await;
    assert_eq!(members["channel"]["members"]["nodes"], json!([{"username": "ann"}, {"username": "root"}]));
    let again = json!({"username": "ben", "issuer": "https://id.example.org", "subject": "auth0|ann"});
    assert_eq!(server.error_code(Some(&root), CREATE, json!({"input": again})).await, "CONFLICT");
    let other = json!({"username": "ben", "issuer": "https://other.example.org", "subject": "auth0|ann"});
    server.data(Some(&root), CREATE, json!({"input": other})).await;
}

#[tokio::test]
async fn a_user_without_a_password_cannot_sign_in_with_one() {
    let server = Server::start().await;
    let root = server.admin("root").await;
    server.data(Some(&root), CREATE, json!({"input": {"username": "robot", "kind": "SERVICE"}})).await;
    for password in ["", PASSWORD] {
        let code = server.error_code(None, LOGIN, json!({"name": "robot", "password": password})).await;
        assert_eq!(code, "UNAUTHENTICATED");
    }
}

#[tokio::test]
async fn a_repeated_idempotency_key_returns_the_first_user() {
    let server = Server::start().await;
    let root = server.admin("root").await;
    let input = |name: &str| json!({"input": {"username": name, "idempotencyKey": "one"}});
    let first = server.data(Some(&root), CREATE, input("ann")).await;
    assert_eq!(server.data(Some(&root), CREATE, input("ann")).await, first);
    assert_eq!(server.error_code(Some(&root), CREATE, input("ben")).await, "CONFLICT");
    let channel = server.channel(&root, "general").await;
    let post = "mutation ($c: ID!) { createMessage(input: { channelId: $c, content: \"x\", idempotencyKey: \"one\" }) { id } }";
    assert_eq!(server.error_code(Some(&root), post, json!({"c": channel})).await, "CONFLICT");
}

#[tokio::test]
async fn ten_thousand_users_are_created_in_ten_calls() {
    let server = Server::start().await;
    let root = server.admin("root").await;
    let (started, mut ids) = (Instant::now(), HashSet::new());
    for call in 0..10 {
        let inputs: Vec<Value> = (0..1_000)
            .map(|number| json!({"username": format!("user{call}x{number}"), "issuer": "i", "subject": format!("{call}/{number}")}))
            .collect();
        let created = server.data(Some(&root), CREATE_MANY, json!({"inputs": inputs})).await;
        let created = created["createUsers"].as_array().expect("a list");
        for (number, user) in created.iter().enumerate() {
            assert_eq!(user["username"], format!("user{call}x{number}"));
            assert!(ids.insert(text(&user["id"])), "{user}");
        }
    }
    assert_eq!(ids.len(), 10_000);
    println!("10,000 users were created in {:?}", started.elapsed());
}

#[tokio::test]
async fn one_wrong_user_of_a_list_creates_none_and_is_named() {
    let server = Server::start().await;
    let root = server.admin("root").await;
    let create = async |inputs: Value| {
        let response = server.execute(Some(&root), CREATE_MANY, json!({"inputs": inputs})).await;
        response["errors"][0].clone()
    };
    let wrong = create(json!([{"username": "ann"}, {"username": "a b"}])).await;
    assert_eq!(wrong["extensions"], json!({"code": "BAD_USER_INPUT", "field": "inputs.1.username"}), "{wrong}");
    let same = create(json!([{"username": "ann"}, {"username": "ANN"}])).await;
    assert_eq!(same["extensions"]["code"], "CONFLICT", "{same}");
    let taken = create(json!([{"username": "ann"}, {"username": "Root"}])).await;
    assert!(taken["message"].as_str().is_some_and(|message| message.starts_with("inputs.1: ")), "{taken}");
    let many: Vec<Value> = (0..1_001).map(|number| json!({"username": format!("user{number}")})).collect();
    assert_eq!(create(json!(many)).await["extensions"]["code"], "BAD_USER_INPUT");
    let users = server.data(Some(&root), "{ users { nodes { username } } }", json!({})).await;
    assert_eq!(users["users"]["nodes"], json!([{"username": "root"}]));
}

#[tokio::test]
async fn an_email_address_is_shown_to_its_user_and_to_admins_only() {
    let server = Server::start().await;
    let (root, ann, ben) = (server.admin("root").await, server.register("ann").await, server.register("ben").await);
    let input = json!({"input": {"email": "ann@example.org", "displayName": "Ann A."}});
    let changed = server.data(Some(&ann), PROFILE, input).await;
    assert_eq!(changed["updateProfile"], json!({"displayName": "Ann A.", "email": "ann@example.org"}));
    let shown =
        async |viewer: &Session| server.data(Some(viewer), EMAIL, json!({"id": ann.id})).await["user"]["email"].clone();
    assert_eq!(
        (shown(&ann).await, shown(&root).await, shown(&ben).await),
        (json!("ann@example.org"), json!("ann@example.org"), Value::Null)
    );
    let wrong = json!({"input": {"email": "nobody"}});
    assert_eq!(server.error_code(Some(&ann), PROFILE, wrong).await, "BAD_USER_INPUT");
    server.data(Some(&ann), PROFILE, json!({"input": {"email": null}})).await;
    assert_eq!(shown(&ann).await, Value::Null);
}

async fn next(socket: &mut Socket) -> Value {
    socket.item("e").await["events"].clone()
}

#[tokio::test]
async fn a_changed_name_is_an_event_and_is_shown_in_replays() {
    let server = Server::start().await;
    let (root, ann) = (server.admin("root").await, server.register("ann").await);
    let channel = server.channel(&ann, "general").await;
    let before = server.cursor(Some(&root)).await;
    server.post(&ann, &channel, "hello").await;
    let events = "subscription ($after: Cursor) { events(after: $after) { __typename actorId
        ... on MessageAdded { message { author { username displayName } } } ... on UserUpdated { userId } } }";
    let mut socket = server.socket(Some(&root)).await;
    socket.subscribe("e", events, json!({"after": before})).await;
    assert_eq!(next(&mut socket).await["message"]["author"]["username"], "ann");
    assert_eq!(next(&mut socket).await["__typename"], "Checkpoint");
    let edit = json!({"input": {"id": ann.id, "username": "anna", "displayName": "Anna"}});
    server.data(Some(&root), UPDATE, edit).await;
    let updated = json!({"__typename": "UserUpdated", "actorId": root.id, "userId": ann.id});
    assert_eq!(next(&mut socket).await, updated);
    let mut replay = server.socket(Some(&root)).await;
    replay.subscribe("e", events, json!({"after": before})).await;
    let author = json!({"username": "anna", "displayName": "Anna"});
    assert_eq!(next(&mut replay).await["message"]["author"], author);
    server.login("anna").await;
    assert_eq!(server.error_code(None, LOGIN, json!({"name": "ann", "password": PASSWORD})).await, "UNAUTHENTICATED");
    let users =
        server.data(Some(&ann), "{ me { username } users(search: \"anna\") { nodes { id } } }", json!({})).await;
    assert_eq!((&users["me"]["username"], &users["users"]["nodes"]), (&json!("anna"), &json!([{"id": ann.id}])));
}

#[tokio::test]
async fn names_that_look_like_another_user_are_refused() {
    let server = Server::start().await;
    let (root, ann) = (server.admin("root").await, server.register("ann").await);
    server.register("ben").await;
    let edit = |field: &str, value: &str| json!({"input": {"id": ann.id, field: value}});
    for (field, value) in [("username", "BEN"), ("username", "b\u{435}n"), ("displayName", "Ben")] {
        assert_eq!(server.error_code(Some(&root), UPDATE, edit(field, value)).await, "CONFLICT", "{field} {value}");
    }
    server.data(Some(&root), UPDATE, edit("displayName", "Ann")).await;
    assert_eq!(server.error_code(Some(&ann), PROFILE, json!({"input": {"displayName": "Ben"}})).await, "CONFLICT");
}

#[tokio::test]
async fn a_changed_role_counts_at_once() {
    let server = Server::start().await;
    let (root, ann) = (server.admin("root").await, server.register("ann").await);
    let create = json!({"input": {"username": "cid"}});
    assert_eq!(server.error_code(Some(&ann), CREATE, create.clone()).await, "FORBIDDEN");
    server.data(Some(&root), UPDATE, json!({"input": {"id": ann.id, "role": "ADMIN"}})).await;
    server.data(Some(&ann), CREATE, create).await;
    assert_eq!(server.error_code(Some(&root), UPDATE, json!({"input": {"id": "999"}})).await, "NOT_FOUND");
}
