//! No level of the log shows a token, a password, a variable or a text of a user.

use reqwest::Client;
use serde_json::json;

use super::LoggedServer;
use crate::support::{JsonSocket, PASSWORD, Socket};

const WRONG_PASSWORD: &str = "zebra umbrella kettle";
const TEXT: &str = "marmalade on the piano";
const VARIABLE: &str = "lighthouse keeper";

#[tokio::test]
async fn the_trace_log_of_a_session_has_no_secret_and_no_text() {
    let server = LoggedServer::start(&[("TIDINGS_LOG", "trace"), ("TIDINGS_LOG_REQUESTS", "true")]).await;
    let ann = server.register("ann").await;
    let (program, token) = (&server.program, Some(ann.token.as_str()));
    let channel = program.channel(&ann.token, "general").await;
    let login = "mutation ($p: String!) { login(input: { username: \"ann\", password: $p }) { token } }";
    program.data(None, login, &json!({"p": PASSWORD})).await;
    drop(program.execute(None, login, &json!({"p": WRONG_PASSWORD})).await.expect("a response"));
    let in_document = format!(
        "mutation {{ login(input: {{ username: \"{VARIABLE}\", password: \"{WRONG_PASSWORD}\" }}) {{ token }} }}"
    );
    drop(program.execute(None, &in_document, &json!({})).await.expect("a response"));
    let wrong_token = format!("{}x", ann.token);
    drop(program.execute(Some(&wrong_token), "{ me { id } }", &json!({})).await.expect("a response"));
    let post = "mutation ($c: ID!, $t: String!) { createMessage(input: { channelId: $c, content: $t }) { id } }";
    program.data(token, post, &json!({"c": channel, "t": TEXT})).await;
    drop(program.execute(token, post, &json!({"c": VARIABLE, "t": TEXT})).await.expect("a response"));
    drop(program.execute(token, &format!("{{ \"{TEXT}\" }}"), &json!({})).await.expect("a response"));
    let body = json!({"query": "{ cursor }", "operationName": TEXT});
    drop(program.send(token, &body).await.expect("a response"));
    drop(Client::new().get(server.url("/graphql")).query(&[("token", &ann.token)]).send().await.expect("a response"));
    let mut socket = Socket::connect_and_init(program.address(), Some(&ann)).await;
    socket.subscribe(VARIABLE, post, json!({"c": channel, "t": TEXT})).await;
    socket.item(VARIABLE).await;
    socket.send(json!({"type": TEXT})).await;
    assert_eq!(socket.close_code().await, 4400);
    let mut json_socket = JsonSocket::open(program.address(), "/api/v1/websocket/connect", Some(&ann)).await;
    json_socket.request(json!({"type": "join_room", "room": "general"}), "joined").await;
    json_socket.send(json!({"type": "message", "room": "general", "text": TEXT, "key": VARIABLE})).await;
    while json_socket.frame().await["key"] != VARIABLE {}
    drop(json_socket);
    server.line(|line| line["transport"] == "json" && line["operation_name"] == "join_room").await;

    let log = server.text();
    let signature = ann.token.rsplit('.').next().expect("a signature");
    for secret in [&ann.token[..60], signature, PASSWORD, WRONG_PASSWORD, TEXT, VARIABLE] {
        let shown = log.lines().find(|line| line.contains(secret));
        assert!(shown.is_none(), "{secret} was logged: {shown:?}");
    }
}
