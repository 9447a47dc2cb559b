//! A log line that cannot be written is dropped; the thread that logged it continues.

use std::fs::File;
use std::process::{ExitStatus, Stdio};

use serde_json::json;
use tokio::process::Child;

use super::database_outage::database_behind_a_proxy;
use crate::support::database::SECRET;
use crate::support::{NetworkFault, PASSWORD, Program, with_timeout};

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
async fn writes_resume_after_a_database_outage_with_a_closed_log_pipe() {
    writes_go_on_with(closed_pipe()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_resume_after_a_database_outage_with_the_log_on_a_full_disk() {
    writes_go_on_with(full_disk()).await;
}

async fn writes_go_on_with(log: Stdio) {
    let (_, proxy, through) = database_behind_a_proxy().await;
    let settings =
        [("DATABASE_URL", through.as_str()), ("TIDINGS_JWT_SECRET", SECRET), ("TIDINGS_LOG", "info,tidings=debug")];
    let program = Program::new(&settings);
    let mut child = program.start_logging_to(log);
    with_timeout("a running server", async { while program.execute(None, "{ cursor }", &json!({})).await.is_err() {} })
        .await;
    let token = program.register("ann").await;
    let channel = program.channel(&token, "general").await;
    let post = "mutation ($id: ID!) { createMessage(input: { channelId: $id, content: \"still here\" }) { id } }";
    let variables = json!({"id": channel});
    for _ in 0..2 {
        proxy.set_fault(NetworkFault::Cut);
        with_timeout("a rejected write", async {
            while program.execute(Some(&token), post, &variables).await.is_ok_and(is_ok) {}
        })
        .await;
        proxy.set_fault(NetworkFault::None);
        with_timeout("a successful write", async {
            while !program.execute(Some(&token), post, &variables).await.is_ok_and(is_ok) {}
        })
        .await;
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
    let id = child.id().expect("the process runs").to_string();
    let sent = std::process::Command::new("kill").args(["-s", "TERM", &id]).status();
    assert!(sent.is_ok_and(|status| status.success()), "the server had ended before");
    with_timeout("the end of the process", child.wait()).await.expect("the exit status")
}

#[tokio::test]
async fn commands_with_unwritable_output_end_with_their_exit_code() {
    let program = Program::new(&[]);
    for (arguments, code) in
        [(&["schema"][..], 0), (&["migrate"], 0), (&["user", "list"], 0), (&["token", "nobody"], 1)]
    {
        let mut command = program.command(arguments);
        let mut child = command.stdout(closed_pipe()).stderr(closed_pipe()).spawn().expect("tidings runs");
        let status = with_timeout("the end of the process", child.wait()).await.expect("the exit status");
        assert_eq!(status.code(), Some(code), "{arguments:?}");
    }
    // Writing to a full disk fails, and the error message cannot be written either.
    let mut command = program.command(&["schema"]);
    let mut child = command.stdout(full_disk()).stderr(full_disk()).spawn().expect("tidings runs");
    assert_eq!(with_timeout("the end of the process", child.wait()).await.expect("the exit status").code(), Some(1));
    let mut command = program.command(&["serve", "--listen", "nowhere"]);
    let mut child = command.stderr(full_disk()).spawn().expect("tidings runs");
    assert_eq!(
        with_timeout("the end of the process", child.wait()).await.expect("the exit status").code(),
        Some(2),
        "a bad setting"
    );
}
