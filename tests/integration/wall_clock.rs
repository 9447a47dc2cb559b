//! Expiry follows the wall clock, also after the machine was suspended or its clock was set.

use std::process::Stdio;

use serde_json::json;

use crate::support::{
    Clock, EventStream, JsonSocket, PASSWORD, Process, Program, Session, Socket, json_socket, text, with_timeout,
};

const ADDED: &str = "subscription { messageAdded { content } }";
const HOUR: i64 = 3_600;

/// Starts a server that uses the test's clock.
async fn start(clock: &Clock, more: &[(&'static str, &str)]) -> (Program, Process) {
    let settings = clock.settings();
    let settings: Vec<(&'static str, &str)> =
        settings.iter().map(|(name, value)| (*name, value.as_str())).chain(more.iter().copied()).collect();
    let program = Program::new(&settings);
    let mut process = program.start();
    process.ready().await.expect("a server");
    (program, process)
}

async fn login(program: &Program, username: &str) -> String {
    let query = "mutation ($name: String!, $password: String!) {
        login(input: { username: $name, password: $password }) { token } }";
    let data = program.data(None, query, &json!({"name": username, "password": PASSWORD})).await;
    text(&data["login"]["token"])
}

async fn post(program: &Program, token: &str, channel: &str) {
    let query = "mutation ($id: ID!) { createMessage(input: { channelId: $id, content: \"late\" }) { id } }";
    program.data(Some(token), query, &json!({"id": channel})).await;
}

#[tokio::test]
async fn a_session_ends_by_the_wall_clock_on_every_transport() {
    let clock = Clock::new();
    let (program, _process) = start(&clock, &[]).await;
    let token = program.register("eva").await;
    program.register("ben").await;
    let channel = program.channel(&token, "garden").await;
    let eva = Session { id: String::new(), username: "eva".into(), token: token.clone() };
    let mut socket = Socket::connect_and_init(program.address(), Some(&eva)).await;
    socket.subscribe("m", ADDED, json!({})).await;
    socket.assert_idle().await;
    let mut json_socket = JsonSocket::open(program.address(), json_socket::CONNECT, Some(&eva)).await;
    json_socket.request(json!({"type": "join_room", "room": "garden"}), "joined").await;
    // A connection without any activity, which the server checks periodically.
    let mut quiet = JsonSocket::open(program.address(), json_socket::CONNECT, Some(&eva)).await;
    quiet.assert_idle().await;
    let url = format!("http://{}/graphql", program.address());
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let request = client.get(url).query(&[("query", ADDED)]).bearer_auth(&token);
    let mut stream = EventStream::open(request).await;
    while stream.frame().await.expect("a frame").id.is_none() {}

    clock.set(13 * HOUR);
    let ben = login(&program, "ben").await;
    post(&program, &ben, &channel).await;
    // No event that was written after the expiry may come before the close.
    assert_eq!(socket.next().await.expect_err("a close").0, 4403);
    assert_eq!(json_socket.next().await.expect_err("a close"), 4403);
    assert_eq!(stream.next().await.code(), "UNAUTHENTICATED");
    stream.assert_ends().await;
    assert_eq!(quiet.next().await.expect_err("a close"), 4403);
}

/// After the clock was set back, the times of new events must not be earlier than those before them in the log.
#[tokio::test]
async fn after_the_clock_is_set_back_event_times_stay_sorted_and_sign_ins_work() {
    let clock = Clock::new();
    clock.set(5 * HOUR);
    let (program, mut process) = start(&clock, &[("TIDINGS_SIGN_IN_ATTEMPTS", "3")]).await;
    let token = program.register("eva").await;
    let channel = program.channel(&token, "garden").await;
    for _ in 0..2 {
        login(&program, "eva").await;
    }
    clock.set(0);
    post(&program, &token, &channel).await;
    let printed = program.run(&["tail"]).await;
    let times: Vec<String> = printed
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"))
        .map(|event| text(&event["at"]))
        .collect();
    assert!(times.len() > 1 && times.is_sorted(), "{times:?}");
    // Attempts from before the step now lie in the future. In the running process they are counted by a monotonic
    // clock, so a new process is started for a new count.
    process.kill().await.expect("the server is killed");
    let mut process = program.start();
    process.ready().await.expect("a server");
    for _ in 0..3 {
        login(&program, "eva").await;
    }
}

#[tokio::test]
async fn a_clock_before_1970_stops_the_start_with_one_line() {
    let clock = Clock::new();
    clock.set(-100 * 365 * 24 * HOUR);
    let settings = clock.settings();
    let settings: Vec<(&'static str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let program = Program::new(&[&settings[..], &[("TIDINGS_LOG", "off")]].concat());
    let child = program.start_logging_to(Stdio::piped());
    let output = with_timeout("the end of the process", child.wait_with_output()).await.expect("the exit status");
    let stderr = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr.lines().count() == 1 && stderr.contains("clock"), "{stderr}");
}
