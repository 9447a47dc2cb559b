//! Mistyped and contradictory settings, and the signals that stop a server.

use tokio::net::{TcpListener, TcpStream};

use super::{failure_line, output, shell, success_output, tidings};
use crate::support::{Program, Socket, with_timeout};

#[tokio::test]
async fn a_mistyped_variable_is_warned_about_with_the_nearest_setting() {
    let directory = tempfile::tempdir().expect("a directory");
    for (typed, meant) in [
        ("TIDINGS_LISTN", Some("TIDINGS_LISTEN")),
        ("TIDINGS_JWTSECRET", Some("TIDINGS_JWT_SECRET")),
        ("TIDINGS_MAX_CONECTIONS", Some("TIDINGS_MAX_CONNECTIONS")),
        ("DATABASE_ULR", Some("DATABASE_URL")),
        ("TIDINGS_DARK_MODE", None),
        ("TIDINGS_PORT", None),
    ] {
        let output = output(tidings(directory.path(), &["migrate"]).env(typed, "hunter2")).await;
        let log = String::from_utf8(output.stderr).expect("text");
        assert!(output.status.success() && !log.contains("hunter2"), "{log}");
        assert!(log.contains("WARN") && log.contains(&format!("{typed} is no setting")), "{typed}: {log}");
        assert_eq!(meant.is_some(), log.contains("did you mean"), "{log}");
        assert!(log.contains(meant.unwrap_or("tidings serve --help")), "{log}");
    }
    // Kubernetes sets these variables in every container for a service named `tidings`.
    let mut quiet = tidings(directory.path(), &["migrate"]);
    quiet.env("TIDINGS_PORT", "tcp://10.0.0.1:8000").env("TIDINGS_PORT_8000_TCP_PROTO", "tcp");
    quiet.env("TIDINGS_SERVICE_HOST", "10.0.0.1").env("TIDINGS_SERVICE_PORT", "8000");
    let output = output(&mut quiet).await;
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[tokio::test]
async fn invalid_values_stop_the_start_and_name_their_variable() {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, value) in [
        ("TIDINGS_LISTEN", ""),
        ("TIDINGS_LISTEN", "localhost:8000"),
        ("TIDINGS_READERS", "0"),
        ("TIDINGS_READERS", "4294967295"),
        ("TIDINGS_PASSWORD_THREADS", "1000000"),
        ("TIDINGS_MAX_CONNECTIONS", "99999999999"),
        ("TIDINGS_MAX_BODY", "10"),
        ("TIDINGS_MAX_FRAME", "0"),
        ("TIDINGS_PING_INTERVAL", "1ms"),
        ("TIDINGS_IDLE_TIMEOUT", "0s"),
        ("TIDINGS_TOKEN_LIFETIME", "10ms"),
        ("TIDINGS_HOSTS", "https://board.example"),
        ("TIDINGS_TRUSTED_PROXIES", "proxy.example"),
        ("TIDINGS_LOG", "tidings=loud"),
        ("TIDINGS_LOG", "inof"),
        ("TIDINGS_LOG", "info,debgu"),
        ("TIDINGS_DATABASE_READ_URL", "sqlite://replica.db"),
        ("TIDINGS_OIDC_ISSUERS", "id.example"),
        ("TIDINGS_OIDC_ADMIN", "admin"),
        ("DATABASE_URL", ""),
        ("DATABASE_URL", "postgres://h/x\npostgres://h/y"),
    ] {
        let line = failure_line(tidings(directory.path(), &["serve"]).env(name, value)).await;
        assert!(line.starts_with(&format!("{name}: ")), "{name}={value}: {line}");
    }
    let line =
        failure_line(&mut shell(directory.path(), "TIDINGS_LOG=$(printf '\\377') exec \"$TIDINGS\" migrate")).await;
    assert_eq!(line, "TIDINGS_LOG: is not UTF-8 text");
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    // A flag takes precedence over its variable.
    let mut second = tidings(directory.path(), &["serve", "--listen", &address]);
    let line = failure_line(second.env("TIDINGS_LISTEN", "127.0.0.1:0")).await;
    assert!(line.starts_with(&format!("cannot listen on {address}: ")), "{line}");
    success_output(tidings(directory.path(), &["migrate"]).env("TIDINGS_HOSTS", "").env("TIDINGS_TRUSTED_PROXIES", ""))
        .await;
}

/// The warning is logged even if the filter excludes everything that the program logs.
#[tokio::test]
async fn an_unknown_log_target_is_named_in_a_warning() {
    let directory = tempfile::tempdir().expect("a directory");
    for (filter, target) in
        [("info,tidngs=debug", "tidngs"), ("tidings::sotre=debug", "tidings::sotre"), ("off,hypr=info", "hypr")]
    {
        let output = output(tidings(directory.path(), &["migrate"]).env("TIDINGS_LOG", filter)).await;
        let log = String::from_utf8(output.stderr).expect("text");
        assert!(output.status.success() && log.contains("WARN"), "{filter}: {log}");
        assert!(log.contains(&format!("TIDINGS_LOG: the program has no module \\\"{target}\\\"")), "{filter}: {log}");
    }
    for filter in ["", "off", "warn,tidings::store=debug,hyper=off"] {
        let output = output(tidings(directory.path(), &["migrate"]).env("TIDINGS_LOG", filter)).await;
        assert_eq!((output.status.success(), String::from_utf8_lossy(&output.stderr).contains("WARN")), (true, false));
    }
}

#[tokio::test]
async fn sighup_and_sigint_stop_the_server_like_sigterm() {
    for signal in ["HUP", "INT", "TERM"] {
        let program = Program::new(&[]);
        let mut server = program.start();
        server.ready().await.expect("the server starts");
        let mut socket = Socket::connect_and_init(program.address(), None).await;
        server.signal(signal);
        assert_eq!(socket.close_code().await, 1012, "{signal}: the close code tells clients to reconnect");
        assert_eq!(server.ended().await, Some(0), "{signal}");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_ignored_sighup_does_not_stop_the_server() {
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("log");
    let address = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        free.local_addr().expect("an address")
    };
    let line = format!("trap '' HUP; exec \"$TIDINGS\" serve --listen {address} 2> log");
    let mut server = shell(directory.path(), &line).spawn().expect("the server starts");
    let listening = async {
        while !std::fs::read_to_string(&log).unwrap_or_default().contains("tidings listens on") {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    with_timeout("the server's listening log line", listening).await;
    let id = server.id().expect("the process runs").to_string();
    let kill = |signal: &'static str| std::process::Command::new("kill").args(["-s", signal, &id]).status();
    assert!(kill("HUP").is_ok_and(|status| status.success()));
    // A stopping server accepts no connections, so accepted connections show that the server is not stopping.
    for _ in 0..100 {
        with_timeout("a connection", TcpStream::connect(address)).await.expect("the server accepts connections");
        tokio::task::yield_now().await;
    }
    assert!(kill("TERM").is_ok_and(|status| status.success()));
    assert_eq!(with_timeout("the end of the process", server.wait()).await.expect("the exit status").code(), Some(0));
    let log = std::fs::read_to_string(&log).expect("the log");
    assert!(log.contains("stopped"), "{log}");
}
