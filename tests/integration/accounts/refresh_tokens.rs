//! Sessions last through refresh tokens, are listed, and end one by one.

use std::time::Duration;

use serde_json::{Value, json};
use tidings::model::{SessionId, Timestamp};
use tidings::store::sessions;

use crate::support::{PASSWORD, Server, Session, text};

const REGISTER: &str = "mutation ($name: String!, $password: String!) {
    register(input: { username: $name, password: $password }) { token refreshToken user { id username role } } }";
const LOGIN: &str = "mutation ($name: String!, $password: String!) {
    login(input: { username: $name, password: $password }) { token refreshToken user { id username role } } }";
const RENEW: &str = "mutation ($token: String!) {
    renewSession(refreshToken: $token) { token refreshToken user { id username role } } }";
const SESSIONS: &str = "{ sessions { id createdAt lastSeenAt userAgent current } }";
const END: &str = "mutation ($id: ID!) { endSession(id: $id) }";

/// Runs an operation that starts or renews a session. Returns the session and its refresh token.
async fn open(server: &Server, document: &str, variables: Value) -> (Session, String) {
    let mut data = server.data(None, document, variables).await;
    let (_, opened) = data.as_object_mut().and_then(|fields| fields.into_iter().next()).expect("a field");
    let session = Session {
        id: text(&opened["user"]["id"]),
        username: text(&opened["user"]["username"]),
        token: text(&opened["token"]),
    };
    (session, text(&opened["refreshToken"]))
}

async fn register(server: &Server, name: &str) -> (Session, String) {
    open(server, REGISTER, json!({"name": name, "password": PASSWORD})).await
}

async fn login(server: &Server, name: &str) -> (Session, String) {
    open(server, LOGIN, json!({"name": name, "password": PASSWORD})).await
}

async fn renew(server: &Server, refresh_token: &str) -> (Session, String) {
    open(server, RENEW, json!({"token": refresh_token})).await
}

async fn renewal_code(server: &Server, refresh_token: &str) -> String {
    server.error_code(None, RENEW, json!({"token": refresh_token})).await
}

#[tokio::test]
async fn a_refresh_token_renews_the_session_once_and_is_replaced() {
    let server = Server::start().await;
    let (first, token) = register(&server, "ann").await;
    let (second, next) = renew(&server, &token).await;
    assert_eq!((&second.id, &second.username), (&first.id, &first.username));
    assert_ne!(token, next);
    for session in [&first, &second] {
        let listed = server.data(Some(session), SESSIONS, json!({})).await;
        assert_eq!(listed["sessions"].as_array().map(Vec::len), Some(1), "{listed}");
        assert_eq!(listed["sessions"][0]["current"], true);
    }
    renew(&server, &next).await;
}

#[tokio::test]
async fn a_refresh_token_that_is_used_twice_ends_its_session_and_no_other() {
    let server = Server::start().await;
    let (session, spent) = register(&server, "ann").await;
    let (other, other_token) = login(&server, "ann").await;
    let mut socket = server.socket(Some(&session)).await;
    let (renewed, newest) = renew(&server, &spent).await;
    assert_eq!(renewal_code(&server, &spent).await, "UNAUTHENTICATED");
    assert_eq!(socket.close_code().await, 4403);
    assert_eq!(renewal_code(&server, &newest).await, "UNAUTHENTICATED");
    for ended in [&session, &renewed] {
        assert_eq!(server.error_code(Some(ended), "{ me { id } }", json!({})).await, "UNAUTHENTICATED");
    }
    server.data(Some(&other), "{ me { id } }", json!({})).await;
    renew(&server, &other_token).await;
}

#[tokio::test]
async fn unknown_refresh_tokens_are_refused() {
    let server = Server::start().await;
    for token in ["", "x", &"A".repeat(64), &"A".repeat(10_000)] {
        assert_eq!(renewal_code(&server, token).await, "UNAUTHENTICATED", "{token}");
    }
}

#[tokio::test]
async fn a_refresh_token_that_is_used_at_the_same_time_by_many_renews_at_most_once() {
    let server = Server::start().await;
    let (_, token) = register(&server, "ann").await;
    let renewals = (0..8).map(|_| server.execute(None, RENEW, json!({"token": token})));
    let answers = futures_util::future::join_all(renewals).await;
    let renewed: Vec<_> = answers.iter().filter(|answer| answer.get("errors").is_none()).collect();
    assert_eq!(renewed.len(), 1, "{answers:?}");
    let newest = text(&renewed[0]["data"]["renewSession"]["refreshToken"]);
    assert_eq!(renewal_code(&server, &newest).await, "UNAUTHENTICATED", "the session has ended");
}

#[tokio::test]
async fn users_list_their_sessions_and_end_one() {
    let server = Server::start().await;
    let (ann, _) = register(&server, "ann").await;
    let request = server.http().post(server.url("/graphql")).header("user-agent", "a program/1.0");
    let login = json!({"query": LOGIN, "variables": {"name": "ann", "password": PASSWORD}});
    let answer: Value = request.json(&login).send().await.expect("a response").json().await.expect("JSON");
    let program = Session { token: text(&answer["data"]["login"]["token"]), ..ann.clone() };
    let listed = server.data(Some(&ann), SESSIONS, json!({})).await;
    let sessions = listed["sessions"].as_array().expect("a list");
    let shown = |index: usize| (sessions[index]["current"].clone(), sessions[index]["userAgent"].clone());
    assert_eq!(
        (sessions.len(), shown(0), shown(1)),
        (2, (json!(true), Value::Null), (json!(false), json!("a program/1.0")))
    );
    let mut socket = server.socket(Some(&program)).await;
    let ended = server.data(Some(&ann), END, json!({"id": sessions[1]["id"]})).await;
    assert_eq!(ended["endSession"], true);
    assert_eq!(socket.close_code().await, 4403);
    assert_eq!(server.error_code(Some(&program), "{ me { id } }", json!({})).await, "UNAUTHENTICATED");
    assert_eq!(server.error_code(Some(&ann), END, json!({"id": sessions[1]["id"]})).await, "NOT_FOUND");
    let ben = server.register("ben").await;
    assert_eq!(server.error_code(Some(&ben), END, json!({"id": sessions[0]["id"]})).await, "NOT_FOUND");
    server.data(Some(&ann), "{ me { id } }", json!({})).await;
}

#[tokio::test]
async fn a_new_password_and_logout_everywhere_end_the_refresh_tokens() {
    let server = Server::start().await;
    let (ann, first) = register(&server, "ann").await;
    let change = "mutation ($p: String!) { changePassword(input: { current: $p, new: $p }) { token refreshToken } }";
    let changed = server.data(Some(&ann), change, json!({"p": PASSWORD})).await;
    assert_eq!(renewal_code(&server, &first).await, "UNAUTHENTICATED");
    let (renewed, second) = renew(&server, &text(&changed["changePassword"]["refreshToken"])).await;
    server.data(Some(&renewed), "mutation { logoutEverywhere }", json!({})).await;
    assert_eq!(renewal_code(&server, &second).await, "UNAUTHENTICATED");
}

#[tokio::test]
async fn a_disabled_user_cannot_renew_a_session() {
    let server = Server::start().await;
    let root = server.admin("root").await;
    let (ann, token) = register(&server, "ann").await;
    let disable = "mutation ($id: ID!) { setUserDisabled(userId: $id, disabled: true) { id } }";
    server.data(Some(&root), disable, json!({"id": ann.id})).await;
    assert_eq!(renewal_code(&server, &token).await, "UNAUTHENTICATED");
}

#[tokio::test]
async fn the_mutation_refresh_token_keeps_the_session_and_issues_no_refresh_token() {
    let server = Server::start().await;
    let (ann, token) = register(&server, "ann").await;
    let refreshed = server.data(Some(&ann), "mutation { refreshToken { token } }", json!({})).await;
    let again = Session { token: text(&refreshed["refreshToken"]["token"]), ..ann.clone() };
    let listed = server.data(Some(&again), SESSIONS, json!({})).await;
    assert_eq!(listed["sessions"][0]["current"], true, "{listed}");
    let document = "mutation { refreshToken { refreshToken } }";
    assert_eq!(server.error_code(Some(&ann), document, json!({})).await, "BAD_USER_INPUT");
    renew(&server, &token).await;
}

#[tokio::test]
async fn a_session_is_renewed_on_a_server_that_requires_signing_in() {
    let server = Server::start_with(|config| config.sessions.anonymous_read = false).await;
    let (_, token) = register(&server, "ann").await;
    renew(&server, &token).await;
}

#[tokio::test]
async fn the_last_use_is_stored_and_expired_sessions_are_removed() {
    let server = Server::start().await;
    let (ann, token) = register(&server, "ann").await;
    let listed = server.data(Some(&ann), SESSIONS, json!({})).await;
    let id: SessionId = text(&listed["sessions"][0]["id"]).parse().expect("an id");
    let (hour, later) = (Duration::from_secs(3_600), Timestamp::now().after(Duration::from_secs(7_200)));
    for at in [later, later.before(hour)] {
        let setting = server.board().store().maintain(move |db| sessions::set_last_seen(db, &[id], at));
        setting.await.expect("stored");
        let listed = server.data(Some(&ann), SESSIONS, json!({})).await;
        let seen = Timestamp::parse(&text(&listed["sessions"][0]["lastSeenAt"])).expect("a time");
        assert_eq!(seen.seconds(), later.seconds(), "the time of the last use never decreases");
    }
    let end = Timestamp::now().after(hour * 24 * 31);
    let deleting = server.board().store().maintain(move |db| sessions::delete_expired(db, end));
    assert!(!deleting.await.expect("deleted"), "no more are left");
    assert_eq!(renewal_code(&server, &token).await, "UNAUTHENTICATED");
}

#[tokio::test]
async fn the_first_registered_user_is_an_admin_unless_that_is_switched_off() {
    let server = Server::start_with(|config| config.sessions.first_user_admin = true).await;
    let names = ["ann", "ben", "cid", "dan"];
    let registrations = names.map(|name| server.data(None, REGISTER, json!({"name": name, "password": PASSWORD})));
    let roles: Vec<Value> = futures_util::future::join_all(registrations).await;
    let admins = roles.iter().filter(|data| data["register"]["user"]["role"] == "ADMIN").count();
    assert_eq!(admins, 1, "{roles:?}");
    let server = Server::start().await;
    let data = server.data(None, REGISTER, json!({"name": "ann", "password": PASSWORD})).await;
    assert_eq!(data["register"]["user"]["role"], "MEMBER");
}
