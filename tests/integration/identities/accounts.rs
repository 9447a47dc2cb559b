//! The accounts of users of other issuers: when they are created and changed, and when their sessions end.

use serde_json::{Value, json};

use super::{code, issuer_and_server, me};
use crate::support::issuer::now;
use crate::support::json_socket::CONNECT;
use crate::support::{EventStream, JsonSocket, Server, Session, Socket, TestIssuer, TestKey, text};

const USER_EVENTS: &str = "subscription ($after: Cursor) { events(after: $after) {
    __typename ... on UserUpdated { userId actorId } } }";
const DISABLE: &str = "mutation ($id: ID!, $to: Boolean!) { setUserDisabled(userId: $id, disabled: $to) { id } }";

/// The names of a token.
fn names(username: &str, name: &str) -> Value {
    json!({ "preferred_username": username, "name": name, "email": format!("{username}@example.org") })
}

#[tokio::test]
async fn a_token_is_accepted_wherever_a_token_is() {
    let (issuer, key, server) = issuer_and_server("ec-1").await;
    let ann = issuer.session(&key, "auth0|1", &names("ann", "Ann"));
    assert_eq!(me(&server, &ann).await["username"], "ann");
    let url = server.url("/graphql");
    let query = [("query", super::ME), ("token", &ann.token)];
    let answer = server.http().get(&url).query(&query).send().await.expect("an answer");
    assert_eq!(answer.json::<Value>().await.expect("JSON")["data"]["me"]["username"], "ann");
    for (path, protocol) in [("/graphql", "graphql-transport-ws"), ("/subscriptions", "graphql-ws")] {
        for payload in [json!({"Authorization": format!("Bearer {}", ann.token)}), json!({"authToken": ann.token})] {
            let mut socket = Socket::connect(server.address(), path, protocol).await;
            socket.send(json!({"type": "connection_init", "payload": payload})).await;
            assert_eq!(socket.frame().await["type"], "connection_ack");
        }
    }
    let mut socket = JsonSocket::open_as(server.address(), &format!("{CONNECT}?token={}", ann.token)).await;
    socket.request(json!({"type": "join_room", "room": "garden"}), "joined").await;
    let request = server.http().get(&url).query(&[("query", "subscription { events { __typename } }")]);
    let mut stream = EventStream::open(request.bearer_auth(&ann.token)).await;
    assert_eq!(stream.next().await.result()["data"]["events"]["__typename"], "Checkpoint");
}

#[tokio::test]
async fn the_first_token_creates_the_user_with_an_event() {
    let (issuer, key, server) = issuer_and_server("rsa-1").await;
    let bob = server.register("bob").await;
    let mut socket = server.socket(Some(&bob)).await;
    let after = server.cursor(Some(&bob)).await;
    socket.subscribe("e", USER_EVENTS, json!({ "after": after })).await;
    assert_eq!(socket.item("e").await["events"]["__typename"], "Checkpoint");
    let ann = me(&server, &issuer.session(&key, "7", &names("ann", "Ann Example"))).await;
    let expected = json!({ "id": ann["id"], "username": "ann", "displayName": "Ann Example", "role": "MEMBER",
        "disabled": false });
    assert_eq!(ann, expected);
    let event = json!({ "__typename": "UserUpdated", "userId": ann["id"], "actorId": null });
    assert_eq!(socket.item("e").await["events"], event);
    let found = server.data(Some(&bob), "{ users(search: \"ann\") { nodes { id } } }", json!({})).await;
    assert_eq!(found["users"]["nodes"], json!([{ "id": ann["id"] }]));
}

#[tokio::test]
async fn later_tokens_write_only_what_has_changed() {
    let (issuer, key, server) = issuer_and_server("rsa-1").await;
    let token = |more: &Value| issuer.session(&key, "7", more);
    let first = token(&names("ann", "Ann"));
    let id = me(&server, &first).await["id"].clone();
    let before = server.cursor(Some(&first)).await;
    for _ in 0..20 {
        me(&server, &token(&json!({ "preferred_username": "other", "name": "Ann", "jti": rand::random::<u32>() })))
            .await;
    }
    // A token without these claims changes nothing either.
    me(&server, &token(&json!({}))).await;
    assert_eq!(server.cursor(Some(&first)).await, before, "requests wrote events");
    let changed = me(&server, &token(&names("ann", "Ann Changed"))).await;
    assert_eq!((&changed["id"], &changed["displayName"]), (&id, &json!("Ann Changed")));
    assert_eq!(changed["username"], "ann", "the username stays");
    assert_ne!(server.cursor(Some(&first)).await, before);
}

#[tokio::test]
async fn a_claim_makes_a_user_an_admin_and_its_absence_a_member() {
    let key = TestKey::named("rsa-1");
    let issuer = TestIssuer::start(&[&key]).await;
    let mut settings = issuer.settings();
    settings.admin = "realm_access.roles=boss".parse().ok();
    let server = Server::start_with(|config| config.issuers = settings).await;
    let token =
        |subject: &str, roles: &[&str]| issuer.session(&key, subject, &json!({"realm_access": {"roles": roles}}));
    assert_eq!(me(&server, &token("boss", &["user", "boss"])).await["role"], "ADMIN");
    assert_eq!(me(&server, &token("ann", &["user"])).await["role"], "MEMBER");
    let keys = "{ apiKeys { id } }";
    assert_eq!(server.error_code(Some(&token("ann", &["user"])), keys, json!({})).await, "FORBIDDEN");
    server.data(Some(&token("ann", &["boss"])), keys, json!({})).await;
    assert_eq!(me(&server, &token("boss", &["user"])).await["role"], "MEMBER", "the next token takes the role away");
}

#[tokio::test]
async fn names_that_are_taken_get_a_suffix_or_are_left_out() {
    let (issuer, key, server) = issuer_and_server("rsa-1").await;
    server.register("ann").await;
    let [second, third] = ["1", "2"].map(|subject| issuer.session(&key, subject, &names("Ann", "ANN")));
    let (second, third) = (me(&server, &second).await, me(&server, &third).await);
    assert_eq!((&second["username"], &second["displayName"]), (&json!("ann-2"), &json!("ann-2")));
    assert_eq!((&third["username"], &third["displayName"]), (&json!("ann-3"), &json!("ann-3")));
    // Such a name does not cause a write for each request either.
    let session = issuer.session(&key, "1", &names("Ann", "ANN"));
    let before = server.cursor(Some(&session)).await;
    for _ in 0..5 {
        me(&server, &session).await;
    }
    assert_eq!(server.cursor(Some(&session)).await, before);
    let odd = me(&server, &issuer.session(&key, "auth0|5f7c8ec7", &json!({}))).await;
    assert_eq!(odd["username"], "auth0-5f7c8ec7");
}

#[tokio::test]
async fn an_admin_creates_the_user_before_the_first_token() {
    let (issuer, key, server) = issuer_and_server("rsa-1").await;
    let root = server.admin("root").await;
    let create = "mutation ($input: CreateUserInput!) { createUser(input: $input) { id } }";
    let input = json!({ "username": "ann", "issuer": issuer.url(), "subject": "7", "role": "ADMIN" });
    let made = server.data(Some(&root), create, json!({ "input": input })).await;
    let ann = me(&server, &issuer.session(&key, "7", &json!({ "name": "Ann" }))).await;
    assert_eq!(ann["id"], made["createUser"]["id"]);
    // Without TIDINGS_OIDC_ADMIN, tokens do not decide about roles.
    assert_eq!((&ann["displayName"], &ann["role"]), (&json!("Ann"), &json!("ADMIN")));
}

#[tokio::test]
async fn a_disabled_user_is_refused_and_returns_with_a_later_token() {
    let (issuer, key, server) = issuer_and_server("rsa-1").await;
    let root = server.admin("root").await;
    let ann = issuer.session(&key, "7", &names("ann", "Ann"));
    let id = me(&server, &ann).await["id"].clone();
    let mut socket = server.socket(Some(&ann)).await;
    server.data(Some(&root), DISABLE, json!({ "id": id, "to": true })).await;
    assert_eq!(socket.close_code().await, 4403);
    let later = issuer.session(&key, "7", &json!({ "iat": now() + 20 }));
    for session in [&ann, &later] {
        assert_eq!(code(&server, &session.token).await, "UNAUTHENTICATED");
    }
    server.data(Some(&root), DISABLE, json!({ "id": id, "to": false })).await;
    assert_eq!(code(&server, &ann.token).await, "UNAUTHENTICATED", "a token from before");
    assert_eq!(me(&server, &later).await["id"], id);
}

#[tokio::test]
async fn signing_out_everywhere_ends_tokens_that_were_issued_before() {
    let (issuer, key, server) = issuer_and_server("rsa-1").await;
    let (ann, undated) = (issuer.session(&key, "7", &json!({})), issuer.session(&key, "7", &json!({ "iat": null })));
    let id = me(&server, &ann).await["id"].clone();
    assert_eq!(me(&server, &undated).await["id"], id);
    let mut socket = server.socket(Some(&ann)).await;
    server.data(Some(&ann), "mutation { logoutEverywhere }", json!({})).await;
    assert_eq!(socket.close_code().await, 4403);
    for session in [&ann, &undated] {
        assert_eq!(code(&server, &session.token).await, "UNAUTHENTICATED");
    }
    let later = issuer.session(&key, "7", &json!({ "iat": now() + 20 }));
    assert_eq!(me(&server, &later).await["id"], id);
}

#[tokio::test]
async fn a_token_from_before_the_deletion_does_not_create_the_user_again() {
    let (issuer, key, mut server) = issuer_and_server("rsa-1").await;
    let ann = issuer.session(&key, "secret-subject", &names("ann", "Ann"));
    let id = text(&me(&server, &ann).await["id"]);
    let mut socket = server.socket(Some(&ann)).await;
    let delete = "mutation ($id: ID!) { deleteUser(id: $id, content: ERASE) }";
    server.data(Some(&ann), delete, json!({ "id": id })).await;
    assert_eq!(socket.close_code().await, 4403);
    assert_eq!(code(&server, &ann.token).await, "UNAUTHENTICATED");
    server.restart().await;
    assert_eq!(code(&server, &ann.token).await, "UNAUTHENTICATED", "after a restart");
    let later = issuer.session(&key, "secret-subject", &json!({ "iat": now() + 20 }));
    assert_ne!(me(&server, &later).await["id"], json!(id), "a later token creates a new user");
}

#[tokio::test]
async fn the_issuer_decides_about_profile_password_and_lifetime() {
    let (issuer, key, server) = issuer_and_server("rsa-1").await;
    let ann = issuer.session(&key, "7", &names("ann", "Ann"));
    for document in [
        "mutation { updateProfile(input: { displayName: \"Other\" }) { id } }",
        "mutation { changePassword(input: { current: \"x\", new: \"correct horse battery\" }) { token } }",
        "mutation { refreshToken { token } }",
    ] {
        assert_eq!(server.error_code(Some(&ann), document, json!({})).await, "FORBIDDEN", "{document}");
    }
    assert_eq!(server.data(Some(&ann), "{ sessions { id } }", json!({})).await["sessions"], json!([]));
}

#[tokio::test]
async fn a_session_ends_when_the_token_expires() {
    let (issuer, key, server) = issuer_and_server("rsa-1").await;
    let exp = now() + 3;
    let ann = issuer.session(&key, "7", &json!({ "exp": exp }));
    let mut socket = server.socket(Some(&ann)).await;
    let mut json_socket = JsonSocket::open(server.address(), CONNECT, Some(&ann)).await;
    let request = server.http().get(server.url("/graphql")).query(&[("query", "subscription { events { cursor } }")]);
    let mut stream = EventStream::open(request.bearer_auth(&ann.token)).await;
    assert_eq!(socket.close_code().await, 4403);
    assert!(now() >= exp, "closed before the expiry");
    assert_eq!(json_socket.close_code().await, 4403);
    let end = loop {
        let frame = stream.next().await;
        if frame.result().get("errors").is_some() {
            break frame;
        }
    };
    assert_eq!(end.code(), "UNAUTHENTICATED");
}

#[tokio::test]
async fn two_tokens_of_one_user_are_two_sessions() {
    let (issuer, key, server) = issuer_and_server("rsa-1").await;
    let [short, long] = [3, 600].map(|seconds| issuer.session(&key, "7", &json!({ "exp": now() + seconds })));
    let (mut short, mut long): (Socket, Socket) = (server.socket(Some(&short)).await, server.socket(Some(&long)).await);
    assert_eq!(short.close_code().await, 4403);
    long.assert_idle().await;
}

#[tokio::test]
async fn users_of_issuers_and_own_users_share_channels() {
    let (issuer, key, server) = issuer_and_server("rsa-1").await;
    let bob: Session = server.register("bob").await;
    let ann = issuer.session(&key, "7", &names("ann", "Ann"));
    let channel = server.channel(&ann, "garden").await;
    let mut socket = server.socket(Some(&ann)).await;
    socket.subscribe("m", "subscription { messageAdded { content author { username } } }", json!({})).await;
    socket.assert_idle().await;
    server.post(&bob, &channel, "hello").await;
    let message = socket.item("m").await["messageAdded"].clone();
    assert_eq!(message, json!({ "content": "hello", "author": { "username": "bob" } }));
}
