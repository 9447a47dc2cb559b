//! Sessions that start on one instance and are used, renewed and ended on another.

use serde_json::{Value, json};

use super::{instances, on_database};
use crate::support::{PASSWORD, Server, Session, text};

const LOGIN: &str = "mutation ($name: String!, $password: String!) {
    login(input: { username: $name, password: $password }) { token refreshToken user { id } } }";
const RENEW: &str = "mutation ($token: String!) { renewSession(refreshToken: $token) { token refreshToken } }";
const REGISTER: &str = "mutation ($name: String!, $password: String!) {
    register(input: { username: $name, password: $password }) { user { role } } }";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ending_a_session_on_one_instance_closes_its_sockets_on_another() {
    let servers = instances(2).await;
    let ann = servers[0].register("ann").await;
    // Both instances know the account before the next session starts.
    servers[1].data(Some(&ann), "{ me { id } }", json!({})).await;
    let opened = servers[0].data(None, LOGIN, json!({"name": "ann", "password": PASSWORD})).await;
    let other = Session { token: text(&opened["login"]["token"]), ..ann.clone() };
    let mut socket = servers[1].socket(Some(&other)).await;
    let mut kept = servers[1].socket(Some(&ann)).await;
    let listed = servers[0].data(Some(&ann), "{ sessions { id current } }", json!({})).await;
    let sessions = listed["sessions"].as_array().expect("a list");
    let id = &sessions.iter().find(|session| session["current"] == false).expect("another session")["id"];
    servers[0].data(Some(&ann), "mutation ($id: ID!) { endSession(id: $id) }", json!({"id": id})).await;
    assert_eq!(socket.close_code().await, 4403);
    assert_eq!(servers[1].error_code(Some(&other), "{ me { id } }", json!({})).await, "UNAUTHENTICATED");
    kept.assert_idle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_token_that_two_instances_get_renews_once() {
    let servers = instances(2).await;
    servers[0].register("ann").await;
    let opened = servers[0].data(None, LOGIN, json!({"name": "ann", "password": PASSWORD})).await;
    let token = text(&opened["login"]["refreshToken"]);
    let renewals = servers.iter().map(|server| server.execute(None, RENEW, json!({"token": token})));
    let answers: Vec<Value> = futures_util::future::join_all(renewals).await;
    let renewed = answers.iter().filter(|answer| answer.get("errors").is_none()).count();
    assert_eq!(renewed, 1, "{answers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn simultaneous_first_registrations_on_several_instances_make_one_admin() {
    let url = crate::support::database::fresh_postgres();
    let start = |_| {
        let set = on_database(&url);
        Server::start_with(move |config| {
            set(config);
            config.sessions.first_user_admin = true;
        })
    };
    let servers: Vec<Server> = futures_util::future::join_all((0..4).map(start)).await;
    let registrations = servers.iter().enumerate().map(|(number, server)| {
        server.data(None, REGISTER, json!({"name": format!("user{number}"), "password": PASSWORD}))
    });
    let answers: Vec<Value> = futures_util::future::join_all(registrations).await;
    let admins = answers.iter().filter(|data| data["register"]["user"]["role"] == "ADMIN").count();
    assert_eq!(admins, 1, "{answers:?}");
}
