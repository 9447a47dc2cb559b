//! PostgreSQL databases that cannot be used, whichever database the other tests use.

use serde_json::json;

use super::{failure_line, success_output, tidings};
use crate::support::database::{Postgres, SECRET, fresh_postgres};
use crate::support::{Server, with_timeout};

async fn postgres(name: &'static str) -> Postgres {
    tokio::task::spawn_blocking(move || Postgres::start(name, &["fsync=off"])).await.expect("a server")
}

fn sql(postgres: &Postgres, database: &str, statement: &str) -> String {
    postgres.run("psql", &["-qtAc", statement, database])
}

/// Checks the error of several commands for a database that cannot be used.
async fn assert_commands_fail(url: &str, message: &[&str]) {
    let directory = tempfile::tempdir().expect("a directory");
    for arguments in [&["serve"][..], &["migrate"], &["user", "add", "eva"]] {
        let mut command = tidings(directory.path(), arguments);
        let line = failure_line(command.env("DATABASE_URL", url).env("TIDINGS_JWT_SECRET", SECRET)).await;
        assert!(
            line.starts_with("cannot open postgres://") && message.iter().all(|message| line.contains(message)),
            "{line}"
        );
        assert!(!line.contains("hunter2") && !line.contains("again; try"), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_errors_stop_the_start_and_hide_the_password() {
    let postgres = postgres("refused").await;
    let name = postgres.create_database();
    let port = postgres.port();
    postgres.add_user("eva", "right");
    let at = |person: &str, rest: &str| format!("postgres://{person}@127.0.0.1:{port}/{rest}");
    assert_commands_fail(&at("eva:hunter2", &name), &["password authentication failed"]).await;
    assert_commands_fail(&at("tidings:hunter2", "nowhere"), &["database \"nowhere\" does not exist"]).await;
    for parameter in ["pgbouncer=true", "schema=public"] {
        let (parameter_name, _) = parameter.split_once('=').expect("a parameter");
        let url = at("tidings:hunter2", &format!("{name}?{parameter}"));
        assert_commands_fail(&url, &["invalid URI query parameter", parameter_name]).await;
    }
    assert_commands_fail(
        &at("tidings:hunter2", &format!("{name}?target_session_attrs=maybe")),
        &["target_session_attrs"],
    )
    .await;
    assert_commands_fail(&at("tidings:hunter2%zz", &name), &["percent-encoded"]).await;
    assert_commands_fail("postgres://tidings:hunter2@127.0.0.1:1/x", &["Connection refused"]).await;
    // Surrounding white space in the URL is ignored.
    let directory = tempfile::tempdir().expect("a directory");
    success_output(tidings(directory.path(), &["migrate"]).env("DATABASE_URL", at("tidings", &name) + " \n")).await;

    sql(&postgres, "postgres", "ALTER ROLE eva CONNECTION LIMIT 0");
    assert_commands_fail(&at("eva:right", &name), &["too many connections for role"]).await;
    sql(&postgres, "postgres", "ALTER ROLE eva CONNECTION LIMIT -1");
    // The schema exists and belongs to another user.
    assert_commands_fail(&at("eva:right", &name), &["permission denied"]).await;
    sql(&postgres, &name, "GRANT CREATE ON SCHEMA public TO eva; GRANT SELECT ON ALL TABLES IN SCHEMA public TO eva");
    assert_commands_fail(&at("eva:right", &name), &["may not read and write", "users", "grant SELECT"]).await;
    // The schema does not exist, and the user may not create it.
    let empty = postgres.create_database();
    sql(&postgres, &empty, "REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    assert_commands_fail(&at("eva:right", &empty), &["permission denied for schema public"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unsuitable_databases_stop_the_start_with_the_reason() {
    let postgres = postgres("kinds").await;
    let url = |name: &str| postgres.url(postgres.port(), name);
    postgres.run("createdb", &["-E", "SQL_ASCII", "-T", "template0", "--locale=C", "ascii"]);
    assert_commands_fail(&url("ascii"), &["its encoding is SQL_ASCII", "createdb -E UTF8"]).await;
    let standby = postgres.create_database();
    sql(&postgres, "postgres", &format!("ALTER DATABASE {standby} SET default_transaction_read_only = on"));
    assert_commands_fail(&url(&standby), &["it is read-only"]).await;
    let newer = postgres.create_database();
    let directory = tempfile::tempdir().expect("a directory");
    success_output(tidings(directory.path(), &["migrate"]).env("DATABASE_URL", url(&newer))).await;
    sql(&postgres, &newer, "INSERT INTO __diesel_schema_migrations (version) VALUES ('20991231000000')");
    assert_commands_fail(&url(&newer), &["newer tidings", "20991231000000"]).await;
    let good = postgres.create_database();
    for wanted in ["primary", "read-write", "any"] {
        let url = format!("{}?target_session_attrs={wanted}", url(&good));
        success_output(tidings(directory.path(), &["migrate"]).env("DATABASE_URL", url)).await;
    }
}

/// The outcomes of a mutation and of a query, and the status of `/readyz`.
async fn outcomes(server: &Server, token: &str) -> [String; 3] {
    let code = async |query: &str| {
        let request = server.http().post(server.url("/graphql")).bearer_auth(token).json(&json!({"query": query}));
        let answer = with_timeout("a response", request.send()).await.expect("a response");
        let body: serde_json::Value = answer.json().await.expect("JSON");
        body["errors"][0]["extensions"]["code"].as_str().unwrap_or("OK").to_owned()
    };
    let name: u64 = rand::random();
    let mutation = code(&format!("mutation {{ createChannel(input: {{ name: \"c{name}\" }}) {{ id }} }}")).await;
    let query = code("{ channels { nodes { name } } }").await;
    let ready = with_timeout("a response", server.http().get(server.url("/readyz")).send()).await.expect("a response");
    [mutation, query, ready.status().as_u16().to_string()]
}

async fn wait_for_outcomes<const N: usize>(server: &Server, token: &str, wanted: [&str; N]) {
    let mut seen: [String; 3] = Default::default();
    let reached = tokio::time::timeout(crate::support::TIMEOUT, async {
        while seen[..N] != wanted {
            seen = outcomes(server, token).await;
            assert!(!seen.contains(&"INTERNAL_SERVER_ERROR".to_owned()), "{seen:?}");
        }
    });
    assert!(reached.await.is_ok(), "{seen:?} instead of {wanted:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_becomes_unusable_makes_the_server_unavailable() {
    let url = fresh_postgres();
    let server = Server::start_with(|config| {
        config.database.url = url.parse().expect("a URL");
        config.tokens.secret = Some(SECRET.parse().expect("a secret"));
    })
    .await;
    let ann = server.register("ann").await;
    let (place, name) = url.rsplit_once('/').expect("a URL");
    let sql = |statement: &str| {
        let output = std::process::Command::new("psql")
            .env("PGOPTIONS", "-c default_transaction_read_only=off")
            .args(["-qtAc", statement, &url])
            .output()
            .expect("psql runs");
        assert!(output.status.success(), "{place}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let others = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()"
    );
    wait_for_outcomes(&server, &ann.token, ["OK", "OK", "200"]).await;
    sql(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on"));
    sql(&others);
    wait_for_outcomes(&server, &ann.token, ["UNAVAILABLE", "OK", "503"]).await;
    sql(&format!("ALTER DATABASE {name} RESET default_transaction_read_only"));
    sql(&others);
    wait_for_outcomes(&server, &ann.token, ["OK", "OK", "200"]).await;
    sql("ALTER TABLE channels RENAME TO hidden");
    wait_for_outcomes(&server, &ann.token, ["UNAVAILABLE", "UNAVAILABLE"]).await;
    sql("ALTER TABLE hidden RENAME TO channels");
    wait_for_outcomes(&server, &ann.token, ["OK", "OK", "200"]).await;
    sql("DROP SCHEMA public CASCADE");
    wait_for_outcomes(&server, &ann.token, ["UNAVAILABLE", "UNAVAILABLE", "503"]).await;
}
