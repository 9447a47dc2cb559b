//! A log line that cannot be written is dropped; the thread that logged it continues.

use std::fs::File;
use std::process::{ExitStatus, Stdio};

use serde_json::json;
use tokio::process::Child;

use super::away::database_behind_a_proxy;
use crate::support::database::SECRET;
use crate::support::{PASSWORD, Program, Weather, soon};

/// A standard error whose read end is closed.
fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

/// A standard error on a full disk.
fn full_disk() -> Stdio {
    File::options().write(true).open("/dev/full").expect("a full device").into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_log_that_nobody_reads_writes_go_on_after_the_database_was_away() {
    writes_go_on_with(closed_pipe()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_log_on_a_full_disk_writes_go_on_after_the_database_was_away() {
    writes_go_on_with(full_disk()).await;
}

async fn writes_go_on_with(log: Stdio) {
    let (_, proxy, through) = database_behind_a_proxy().await;
    let settings =
        [("DATABASE_URL", through.as_str()), ("TIDINGS_JWT_SECRET", SECRET), ("TIDINGS_LOG", "info,tidings=debug")];
    let program = Program::new(&settings);
    let mut child = program.start_logging_to(log);
    soon("a server", async { while program.ask(None, "{ cursor }", &json!({})).await.is_err() {} }).await;
    let token = program.register("ann").await;
    let channel = program.channel(&token, "general").await;
    let post = "mutation ($id: ID!) { createMessage(input: { channelId: $id, content: \"still here\" }) { id } }";
    let variables = json!({"id": channel});
    for _ in 0..2 {
        proxy.set(Weather::Cut);
        soon("a rejected write", async { while program.ask(Some(&token), post, &variables).await.is_ok_and(is_ok) {} })
            .await;
        proxy.set(Weather::Fair);
        soon("a write", async { while !program.ask(Some(&token), post, &variables).await.is_ok_and(is_ok) {} }).await;
    }
    // A sign-in writes as well: it counts the attempt.
    let login = format!("mutation {{ login(input: {{ username: \"ann\", password: \"{PASSWORD}\" }}) {{ token }} }}");
    program.data(None, &login, &json!({})).await;
    assert!(ends(&mut child).await.success());
}

fn is_ok(answer: serde_json::Value) -> bool {
    answer.get("errors").is_none()
}

/// Stops a server with SIGTERM, as an operator does.
async fn ends(child: &mut Child) -> ExitStatus {
    let id = child.id().expect("it runs").to_string();
    let sent = std::process::Command::new("kill").args(["-s", "TERM", &id]).status();
    assert!(sent.is_ok_and(|status| status.success()), "the server had ended before");
    soon("the end", child.wait()).await.expect("an end")
}

#[tokio::test]
async fn commands_whose_output_nobody_reads_end_without_a_panic() {
    let program = Program::new(&[]);
    for (words, code) in [(&["schema"][..], 0), (&["migrate"], 0), (&["user", "list"], 0), (&["token", "nobody"], 1)] {
        let mut command = program.command(words);
        let mut child = command.stdout(closed_pipe()).stderr(closed_pipe()).spawn().expect("tidings runs");
        let status = soon("its end", child.wait()).await.expect("an end");
        assert_eq!(status.code(), Some(code), "{words:?}");
    }
    // Writing to a full disk fails, and the error message cannot be written either.
    let mut command = program.command(&["schema"]);
    let mut child = command.stdout(full_disk()).stderr(full_disk()).spawn().expect("tidings runs");
    assert_eq!(soon("its end", child.wait()).await.expect("an end").code(), Some(1));
    let mut command = program.command(&["serve", "--listen", "nowhere"]);
    let mut child = command.stderr(full_disk()).spawn().expect("tidings runs");
    assert_eq!(soon("its end", child.wait()).await.expect("an end").code(), Some(2), "a bad setting");
}
