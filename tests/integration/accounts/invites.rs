//! Invitations to register.

use serde_json::{Value, json};
use tidings::config::Registration;

use crate::support::{PASSWORD, Server, Session, text};

const CREATE: &str = "mutation ($input: CreateInviteInput!) {
    createInvite(input: $input) { id url code uses maxUses channelIds role } }";
const REVOKE: &str = "mutation ($id: ID!) { revokeInvite(id: $id) { revokedAt } }";
const LIST: &str = "{ invites { id uses revokedAt } }";
const REGISTER: &str = "mutation ($input: RegisterInput!) {
    register(input: $input) { token user { id username role organizationId } } }";

async fn closed_server() -> Server {
    Server::start_with(|config| {
        config.sessions.registration = Registration::Closed;
        config.public.public_url = Some("https://chat.example".into());
    })
    .await
}

async fn invite(server: &Server, admin: &Session, input: Value) -> Value {
    server.data(Some(admin), CREATE, json!({"input": input})).await["createInvite"].take()
}

fn new_user(name: &str, code: &Value) -> Value {
    json!({"input": {"username": name, "password": PASSWORD, "invite": code}})
}

#[tokio::test]
async fn an_invitation_opens_closed_registration_with_its_role_and_channels() {
    let server = closed_server().await;
    let root = server.admin("root").await;
    let places = "mutation { createOrganization(input: { name: \"acme\" }) { id }
        createChannel(input: { name: \"staff\", visibility: PRIVATE }) { id } }";
    let channel = server.data(Some(&root), places, json!({})).await["createChannel"]["id"].clone();
    let created =
        invite(&server, &root, json!({"channelIds": [channel], "organizationId": "1", "role": "ADMIN"})).await;
    assert_eq!(created["url"], format!("https://chat.example/#/invite/{}", text(&created["code"])));
    assert_eq!(
        (&created["uses"], &created["maxUses"], &created["channelIds"]),
        (&json!(0), &Value::Null, &json!([channel]))
    );
    assert_eq!(server.error_code(None, REGISTER, new_user("ann", &Value::Null)).await, "FORBIDDEN");
    let registered = server.data(None, REGISTER, new_user("ann", &created["code"])).await["register"].clone();
    assert_eq!((&registered["user"]["role"], &registered["user"]["organizationId"]), (&json!("ADMIN"), &json!("1")));
    let ann =
        Session { id: text(&registered["user"]["id"]), username: "ann".into(), token: text(&registered["token"]) };
    let members = "query ($id: ID!) { channel(id: $id) { members { nodes { username } } } }";
    let members = server.data(Some(&ann), members, json!({"id": channel})).await;
    assert_eq!(members["channel"]["members"]["nodes"], json!([{"username": "ann"}, {"username": "root"}]));
    let listed = server.data(Some(&root), LIST, json!({})).await;
    assert_eq!(listed["invites"], json!([{"id": created["id"], "uses": 1, "revokedAt": null}]));
}

#[tokio::test]
async fn revoked_expired_and_unknown_invitations_are_refused() {
    let server = closed_server().await;
    let root = server.admin("root").await;
    let revoked = invite(&server, &root, json!({})).await;
    let at = server.data(Some(&root), REVOKE, json!({"id": revoked["id"]})).await;
    assert!(at["revokeInvite"]["revokedAt"].is_string(), "{at}");
    for code in [&revoked["code"], &json!("unknown"), &json!("")] {
        assert_eq!(server.error_code(None, REGISTER, new_user("ann", code)).await, "BAD_USER_INPUT", "{code}");
    }
    let past = json!({"input": {"expiresAt": "2020-01-01T00:00:00Z"}});
    assert_eq!(server.error_code(Some(&root), CREATE, past).await, "BAD_USER_INPUT");
    assert_eq!(server.error_code(Some(&root), REVOKE, json!({"id": "999"})).await, "NOT_FOUND");
}

#[tokio::test]
async fn an_invitation_is_used_exactly_as_often_as_allowed() {
    let server = closed_server().await;
    let root = server.admin("root").await;
    let created = invite(&server, &root, json!({"maxUses": 3})).await;
    let names: Vec<String> = (0..10).map(|number| format!("user{number}")).collect();
    let registrations = names.iter().map(|name| server.execute(None, REGISTER, new_user(name, &created["code"])));
    let answers: Vec<Value> = futures_util::future::join_all(registrations).await;
    let registered = answers.iter().filter(|answer| answer.get("errors").is_none()).count();
    assert_eq!(registered, 3, "{answers:?}");
    let users = server.data(Some(&root), "{ users { nodes { id } } invites { uses } }", json!({})).await;
    assert_eq!((users["users"]["nodes"].as_array().map(Vec::len), &users["invites"][0]["uses"]), (Some(4), &json!(3)));
}
