//! Standard error whose reader exists but does not read: a terminal after Ctrl-S, `| less`, a log driver that hangs.
//! The pipe is full after 64 KiB. The program must continue, and end, as usual.

use std::io::{PipeReader, Read as _, Write as _};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::process::Child;

use super::tidings;
use crate::support::{Program, with_timeout};

/// Above the time that the program may wait at its end, and far below the timeout of the tests.
const IN_TIME: Duration = Duration::from_secs(20);

/// A server that has logged more than the pipe and the log queue hold.
async fn overflowing() -> (Program, Child, PipeReader) {
    let program = Program::new(&[("TIDINGS_LOG", "info,tidings=debug")]);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let server = program.start_logging_to(writer.into());
    with_timeout("a server that answers", async {
        while !is_ready(&program).await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    // Each of the ten operations logs more than 200 bytes: 2 MiB in all.
    let refused = json!({"query": "{ thereIsNoFieldOfThisNameInTheSchema }"});
    let batch = json!(vec![refused; 10]);
    for _ in 0..1_000 {
        let answers = program.send(None, &batch).await.expect("a response");
        assert_eq!(answers.as_array().map(Vec::len), Some(10), "{answers}");
    }
    (program, server, reader)
}

async fn is_ready(program: &Program) -> bool {
    let url = format!("http://{}/readyz", program.address());
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().expect("a client");
    client.get(url).send().await.is_ok_and(|answer| answer.status() == 200)
}

fn signal_end(server: &Child) {
    let id = server.id().expect("the process runs").to_string();
    let sent = std::process::Command::new("kill").args(["-s", "TERM", &id]).status();
    assert!(sent.is_ok_and(|status| status.success()), "SIGTERM cannot be sent");
}

#[tokio::test]
async fn an_unread_log_blocks_neither_requests_nor_shutdown() {
    let (program, mut server, reader) = overflowing().await;
    assert!(is_ready(&program).await);
    let ann = program.register("ann").await;
    program.channel(&ann, "general").await;
    let began = Instant::now();
    signal_end(&server);
    let status = with_timeout("the end of the process", server.wait()).await.expect("the exit status");
    assert_eq!(status.code(), Some(0));
    assert!(began.elapsed() < IN_TIME, "{:?}", began.elapsed());
    drop(reader);
}

#[tokio::test]
async fn dropped_log_lines_are_reported_when_reading_resumes() {
    let (program, mut server, mut reader) = overflowing().await;
    let (chunks, arriving) = mpsc::channel();
    let reading = thread::spawn(move || {
        let mut chunk = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = reader.read(&mut chunk) {
            drop(chunks.send(String::from_utf8_lossy(&chunk[..length]).into_owned()));
        }
    });
    let mut log = String::new();
    with_timeout("the notice", async {
        while !log.contains("lines of the log were dropped") {
            log.extend(arriving.try_iter());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert!(is_ready(&program).await);
    signal_end(&server);
    assert_eq!(with_timeout("the end of the process", server.wait()).await.expect("the exit status").code(), Some(0));
    reading.join().expect("the whole log");
    log.extend(arriving.try_iter());
    assert!(log.contains("tidings listens on"), "the first lines are kept");
    assert!(
        log.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()),
        "every line is complete JSON"
    );
    let shown = log.lines().filter(|line| line.contains("\"reason\":\"document\"")).count();
    assert!(shown < 10_000, "some lines must have been dropped");
}

/// The pipe is full before the program starts: the error cannot be written, but the exit code can be read.
#[tokio::test]
async fn failing_commands_end_with_their_exit_code_when_stderr_is_full() {
    let directory = tempfile::tempdir().expect("a directory");
    for (arguments, code) in [(&["token", "nobody"][..], 1), (&["--listen", "nowhere"], 2), (&["nonsense"], 2)] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let filler = writer.try_clone().expect("a pipe");
        let (filled, full) = mpsc::channel();
        // The last write blocks until the reader is dropped.
        let filling = thread::spawn(move || {
            let mut filler = filler;
            while filler.write_all(&[b'x'; 4096]).is_ok() {
                let _ = filled.send(());
            }
        });
        for _ in 0..16 {
            full.recv_timeout(IN_TIME).expect("the pipe takes 64 KiB");
        }
        let mut child = tidings(directory.path(), arguments).stderr(writer).spawn().expect("the process runs");
        let status = with_timeout("the end of the process", child.wait()).await.expect("the exit status");
        assert_eq!(status.code(), Some(code), "{arguments:?}");
        drop(reader);
        filling.join().expect("the pipe is closed");
    }
}
