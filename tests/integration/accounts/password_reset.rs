//! Links with which users set a new password.

use serde_json::json;

use crate::support::{PASSWORD, Server, Session, text};

const CREATE: &str = "mutation ($id: ID!) { createPasswordReset(userId: $id) { url expiresAt } }";
const RESET: &str =
    "mutation ($input: ResetPasswordInput!) { resetPassword(input: $input) { token refreshToken user { id } } }";
const LOGIN: &str = "mutation ($name: String!, $password: String!) {
    login(input: { username: $name, password: $password }) { token } }";
const REQUEST: &str = "mutation ($login: String!) { requestPasswordReset(login: $login) }";
const NEW_PASSWORD: &str = "a new battery horse";

/// Creates a link for a user; returns the link and its token.
async fn link(server: &Server, admin: &Session, user: &str) -> (String, String) {
    let created = server.data(Some(admin), CREATE, json!({"id": user})).await;
    let url = text(&created["createPasswordReset"]["url"]);
    let token = url.rsplit('/').next().expect("a token").to_owned();
    (url, token)
}

#[tokio::test]
async fn a_link_sets_a_new_password_once_and_ends_the_other_sessions() {
    let server = Server::start_with(|config| config.public.public_url = Some("https://chat.example/live".into())).await;
    let (root, ann) = (server.admin("root").await, server.register("ann").await);
    let mut socket = server.socket(Some(&ann)).await;
    let (url, token) = link(&server, &root, &ann.id).await;
    assert_eq!(url, format!("https://chat.example/live/#/reset/{token}"));
    let input = json!({"input": {"token": token, "new": NEW_PASSWORD}});
    let opened = server.data(None, RESET, input.clone()).await["resetPassword"].clone();
    assert_eq!(opened["user"]["id"], json!(ann.id));
    assert_eq!(socket.close_code().await, 4403);
    let session = Session { token: text(&opened["token"]), ..ann.clone() };
    server.data(Some(&session), "{ me { id } }", json!({})).await;
    assert_eq!(server.error_code(Some(&ann), "{ me { id } }", json!({})).await, "UNAUTHENTICATED");
    assert_eq!(server.error_code(None, RESET, input).await, "BAD_USER_INPUT");
    assert_eq!(server.error_code(None, LOGIN, json!({"name": "ann", "password": PASSWORD})).await, "UNAUTHENTICATED");
    server.data(None, LOGIN, json!({"name": "ann", "password": NEW_PASSWORD})).await;
}

#[tokio::test]
async fn wrong_replaced_and_outdated_links_are_refused() {
    let server = Server::start().await;
    let (root, ann) = (server.admin("root").await, server.register("ann").await);
    let (_, replaced) = link(&server, &root, &ann.id).await;
    let (_, current) = link(&server, &root, &ann.id).await;
    let code = async |token: &str, new: &str| {
        server.error_code(None, RESET, json!({"input": {"token": token, "new": new}})).await
    };
    for token in ["", "wrong", &replaced] {
        assert_eq!(code(token, NEW_PASSWORD).await, "BAD_USER_INPUT", "{token}");
    }
    assert_eq!(code(&current, "ann").await, "BAD_USER_INPUT", "a bad password does not use the link up");
    let change = "mutation ($p: String!) { changePassword(input: { current: $p, new: $p }) { token } }";
    server.data(Some(&ann), change, json!({"p": PASSWORD})).await;
    assert_eq!(code(&current, NEW_PASSWORD).await, "BAD_USER_INPUT", "another new password makes the link invalid");
}

#[tokio::test]
async fn a_link_works_at_most_once_for_simultaneous_requests() {
    let server = Server::start().await;
    let (root, ann) = (server.admin("root").await, server.register("ann").await);
    let (_, token) = link(&server, &root, &ann.id).await;
    let input = json!({"input": {"token": token, "new": NEW_PASSWORD}});
    let requests = (0..6).map(|_| server.execute(None, RESET, input.clone()));
    let answers = futures_util::future::join_all(requests).await;
    let set = answers.iter().filter(|answer| answer.get("errors").is_none()).count();
    assert_eq!(set, 1, "{answers:?}");
}

#[tokio::test]
async fn the_answer_to_a_request_for_a_link_does_not_depend_on_the_user() {
    let server = Server::start_with(|config| config.sessions.attempts_per_minute = 3).await;
    server.register("ann").await;
    for login in ["ann", "nobody"] {
        let requested = server.data(None, REQUEST, json!({"login": login})).await;
        assert_eq!(requested["requestPasswordReset"], true);
        for _ in 0..3 {
            server.execute(None, REQUEST, json!({"login": login})).await;
        }
        assert_eq!(server.error_code(None, REQUEST, json!({"login": login})).await, "RATE_LIMITED");
    }
}
