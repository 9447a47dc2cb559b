//! The log gives an operator the reason of each rejected request, and never a secret.

use serde_json::json;

use super::{SOCKET, UPGRADE, answer};
use crate::support::{PASSWORD, Program, with_timeout};

#[tokio::test]
async fn every_rejection_is_logged_with_its_reason_and_no_secret() {
    let program = Program::new(&[("TIDINGS_LOG", "info,tidings=debug"), ("TIDINGS_TRUSTED_PROXIES", "127.0.0.1")]);
    let mut server = program.start();
    server.ready().await.expect("the server starts");
    let token = program.register("ann").await;
    let (start, signature) = token.rsplit_once('.').expect("a token");
    let forged = format!("{start}.{}", "A".repeat(signature.len()));
    let query = json!({"query": "{ me { id } }"});
    drop(program.send(Some(&forged), &query).await);
    drop(program.send(Some("nonsense"), &query).await);
    drop(program.send(None, &json!({"query": "{ autor hunter2 }"})).await);
    let aliases: String = (0..31).map(|n| format!("a{n}: __typename ")).collect();
    drop(program.send(None, &json!({"query": format!("{{ {aliases} }}")})).await);
    let login = "mutation { login(input: { username: \"ann\", password: \"hunter2\" }) { token } }";
    drop(program.send(None, &json!({"query": login})).await);
    let page = format!("Host: board.example\r\nOrigin: https://evil.example\r\n{SOCKET}{UPGRADE}");
    assert_eq!(answer(program.address(), "GET /graphql HTTP/1.1", &page).await.status(), 403);
    let forwarded = "Host: localhost\r\nX-Forwarded-For: unknown\r\n";
    assert_eq!(answer(program.address(), "GET /healthz HTTP/1.1", forwarded).await.status(), 200);
    assert_eq!(answer(program.address(), "GET /api/v1/ws HTTP/1.1", "Host: localhost\r\n").await.status(), 426);
    let log = with_timeout("the expected log line", async {
        loop {
            let log = program.log();
            if log.contains("Upgrade: websocket") {
                break log;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    for wanted in [
        "it was signed with another secret, or changed",
        "it is not three parts of base64url",
        "GRAPHQL_VALIDATION_FAILED",
        "QUERY_TOO_COMPLEX",
        "a sign-in was refused",
        "a page of another origin was refused a socket or a stream",
        "\"origin\":\"https://evil.example\"",
        "TIDINGS_ALLOWED_ORIGINS",
        "X-Forwarded-For of a trusted proxy names no address",
        "\"entry\":\"unknown\"",
    ] {
        assert!(log.contains(wanted), "{wanted} is missing: {log}");
    }
    for secret in ["hunter2", PASSWORD, signature, &forged] {
        assert!(!log.contains(secret), "{secret} was logged: {log}");
    }
    // Only the first rejection of a kind is logged as a warning, because clients can cause any number of them.
    for _ in 0..3 {
        assert_eq!(answer(program.address(), "GET /graphql HTTP/1.1", &page).await.status(), 403);
    }
    let is_warning = |line: &&str| line.contains("\"WARN\"") && line.contains("evil.example");
    assert_eq!(program.log().lines().filter(is_warning).count(), 1);
}
