//! The tidings command line beside a running server, and the Diesel command line on the migrations.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tidings::config::Registration;

use crate::subscriptions::{EVENTS, events_until_checkpoint};
use crate::support::Server;
use crate::support::database::{SECRET, is_postgres};

/// Runs a command on the database of a server.
pub fn tidings(server: &Server, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tidings"))
        .args(arguments)
        .env("DATABASE_URL", server.database_url())
        .envs(is_postgres().then_some(("TIDINGS_JWT_SECRET", SECRET)))
        .current_dir(server.directory())
        .output()
        .expect("tidings runs")
}

/// What a command that succeeded has printed.
pub fn stdout_of(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).expect("text").trim_end().to_owned()
}

#[tokio::test]
async fn user_commands_take_effect_on_a_running_server_at_once() {
    let server = Server::start().await;
    let password = stdout_of(&tidings(&server, &["user", "add", "root", "--admin"]));
    let login = "mutation ($input: LoginInput!) { login(input: $input) { token user { role } } }";
    let input = json!({"username": "root", "password": password});
    let data = server.data(None, login, json!({"input": input})).await;
    assert_eq!(data["login"]["user"]["role"], "ADMIN");

    let mut root = server.login_with("root", &stdout_of(&tidings(&server, &["token", "root"]))).await;
    let listed = stdout_of(&tidings(&server, &["user", "list"]));
    assert_eq!(listed, format!("{}\troot\tadmin\tenabled\troot", root.id));
    let mut socket = server.socket(Some(&root)).await;
    stdout_of(&tidings(&server, &["user", "disable", "root"]));
    assert_eq!(socket.close_code().await, 4403, "disabling a user on the command line closes the user's sockets");
    assert_eq!(server.error_code(Some(&root), "{ me { id } }", json!({})).await, "UNAUTHENTICATED");
    stdout_of(&tidings(&server, &["user", "enable", "root"]));
    root.token = stdout_of(&tidings(&server, &["token", "root"]));
    server.data(Some(&root), "{ me { id } }", json!({})).await;
    let missing = tidings(&server, &["token", "nobody"]);
    assert!(!missing.status.success());
    assert_eq!(String::from_utf8_lossy(&missing.stderr).trim(), "tidings: no such user");
}

#[tokio::test]
async fn key_commands_take_effect_on_a_running_server_at_once() {
    let server = Server::start().await;
    let root = server.admin("root").await;
    let channel = server.channel(&root, "releases").await;
    server.channel(&root, "other").await;
    let create = ["key", "create", "deploy-bot", "--scope", "read", "--scope", "write", "--channel", "releases"];
    let secret = stdout_of(&tidings(&server, &create));
    assert!(
        secret.starts_with("tdk_") && secret.lines().count() == 1,
        "the command prints the secret and nothing else"
    );
    let bot = server.login_with("deploy-bot", &secret).await;
    let channels = server.data(Some(&bot), "{ channels { nodes { id } } }", json!({})).await;
    assert_eq!(channels["channels"]["nodes"], json!([{"id": channel}]));
    let listed = stdout_of(&tidings(&server, &["key", "list"]));
    let expected = format!("1\tdeploy-bot\tuser {}\tREAD,WRITE\tchannels {channel}\tvalid\t", bot.id);
    assert!(listed.starts_with(&expected), "{listed}");
    let mut socket = server.socket(Some(&bot)).await;
    stdout_of(&tidings(&server, &["key", "revoke", "1"]));
    assert_eq!(socket.close_code().await, 4403);
    assert_eq!(server.error_code(Some(&bot), "{ me { id } }", json!({})).await, "UNAUTHENTICATED");
    for (arguments, line) in [
        (&["key", "create", "bot", "--scope", "read", "--channel", "missing"][..], "tidings: no such channel"),
        (&["key", "create", "bot", "--scope", "admin"], "tidings: ADMIN needs a user who is an admin"),
        (&["key", "create", "bot", "--scope", "read", "--user", "missing"], "tidings: there is no user missing"),
        (&["key", "revoke", "7"], "tidings: no such API key"),
    ] {
        let refused = tidings(&server, arguments);
        assert!(!refused.status.success());
        assert_eq!(String::from_utf8_lossy(&refused.stderr).trim(), line);
    }
}

#[tokio::test]
async fn a_password_and_a_reset_link_from_the_command_line_work_on_a_running_server() {
    let server = Server::start().await;
    let ann = server.register("ann").await;
    let mut socket = server.socket(Some(&ann)).await;
    let password = stdout_of(&tidings(&server, &["user", "password", "ann"]));
    assert_eq!(socket.close_code().await, 4403, "a new password on the command line ends the sessions");
    let login = "mutation ($input: LoginInput!) { login(input: $input) { token } }";
    server.data(None, login, json!({"input": {"username": "ann", "password": password}})).await;
    let link = stdout_of(&tidings(&server, &["user", "reset-link", "ann", "--public-url", "https://chat.example/"]));
    let token = link.strip_prefix("https://chat.example/#/reset/").unwrap_or_else(|| panic!("{link}"));
    let reset = "mutation ($input: ResetPasswordInput!) { resetPassword(input: $input) { token } }";
    server.data(None, reset, json!({"input": {"token": token, "new": "another long password"}})).await;
    for arguments in [["user", "password", "nobody"], ["user", "reset-link", "nobody"]] {
        let missing = tidings(&server, &arguments);
        assert!(!missing.status.success());
        assert_eq!(String::from_utf8_lossy(&missing.stderr).trim(), "tidings: no such user");
    }
}

#[tokio::test]
async fn an_invitation_from_the_command_line_opens_closed_registration_once() {
    let server = Server::start_with(|config| config.sessions.registration = Registration::Closed).await;
    let link = stdout_of(&tidings(&server, &["invite", "--admin", "--public-url", "https://chat.example"]));
    let code = link.strip_prefix("https://chat.example/#/invite/").unwrap_or_else(|| panic!("{link}"));
    let register = "mutation ($input: RegisterInput!) { register(input: $input) { user { role } } }";
    let input = |name: &str| json!({"input": {"username": name, "password": "a long password", "invite": code}});
    let registered = server.data(None, register, input("ann")).await;
    assert_eq!(registered["register"]["user"]["role"], "ADMIN");
    assert_eq!(server.error_code(None, register, input("ben")).await, "BAD_USER_INPUT");
}

#[tokio::test]
async fn demo_events_reach_subscribers_of_a_running_server_and_tail_prints_them() {
    let server = Server::start().await;
    let mut socket = server.socket(None).await;
    socket.subscribe("e", EVENTS, json!({})).await;
    events_until_checkpoint(&mut socket, "e").await;
    let tokens = stdout_of(&tidings(&server, &["demo"]));
    let names: Vec<&str> = tokens.lines().map(|line| line.split('\t').next().unwrap()).collect();
    assert_eq!(names, ["ada", "ben", "cleo", "dan"]);
    let first = socket.item("e").await;
    assert_eq!(first["events"]["channel"]["name"], "general");
    let again = tidings(&server, &["demo"]);
    assert!(!again.status.success(), "the demo requires an empty database");

    let log = stdout_of(&tidings(&server, &["tail"]));
    let events: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let positions: Vec<i64> = events.iter().map(|event| event["seq"].as_i64().unwrap()).collect();
    assert_eq!(positions, (1..=positions.len() as i64).collect::<Vec<_>>(), "the log has no gaps");
    let middle = &events[3]["cursor"];
    let rest = stdout_of(&tidings(&server, &["tail", "--after", middle.as_str().unwrap()]));
    assert_eq!(rest.lines().count(), events.len() - 4);
}

#[tokio::test]
async fn tail_prints_broadcast_json_unchanged() {
    let server = Server::start().await;
    let admin = server.admin("root").await;
    server.channel(&admin, "garden").await;
    let broadcast =
        r#"mutation { broadcast(input: { room: "garden", data: { z: 9007199254740993, a: 2.50, m: "é" } }) }"#;
    server.data(Some(&admin), broadcast, json!({})).await;
    let log = stdout_of(&tidings(&server, &["tail"]));
    let line = log.lines().last().expect("an event");
    assert!(line.starts_with(r#"{"cursor":"c"#), "{line}");
    assert!(line.contains(r#""data":{"z":9007199254740993,"a":2.50,"m":"é"}"#), "{line}");
}

#[test]
fn an_invalid_setting_stops_the_start_with_one_line() {
    let run = |name: &str, value: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_tidings")).env(name, value).output().expect("tidings runs");
        assert!(!output.status.success(), "{name}={value}");
        let line = String::from_utf8(output.stderr).unwrap();
        assert_eq!(line.trim_end().lines().count(), 1, "{line}");
        assert!(line.contains(name), "{line}");
    };
    run("TIDINGS_LISTEN", "nowhere");
    run("DATABASE_URL", "mysql://x");
    run("TIDINGS_LOG_RETENTION", "-1");
}

/// Runs the Diesel command line on `diesel.toml` and `migrations/`, as a developer does.
#[test]
fn the_diesel_command_line_runs_and_redoes_the_migrations() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let diesel = root.join("target/tools/bin/diesel");
    assert!(diesel.exists(), "the Diesel command line is missing: make target/tools/bin/diesel");
    let directory = tempfile::tempdir().expect("a directory");
    let database = directory.path().join("cli.db");
    let run = |arguments: &[&str]| {
        let output = Command::new(&diesel)
            .args(arguments)
            .args(["--database-url", &format!("sqlite://{}", database.display())])
            .current_dir(root)
            .output()
            .expect("diesel runs");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let schema = root.join("src/store/schema.rs");
    let before = std::fs::read_to_string(&schema).expect("schema.rs");
    run(&["migration", "run"]);
    run(&["migration", "redo", "--all"]);
    assert!(run(&["migration", "list"]).contains("[X]"));
    let printed = run(&["print-schema"]);
    assert_eq!(
        std::fs::read_to_string(&schema).expect("schema.rs"),
        before,
        "src/store/schema.rs matches the migrations"
    );
    assert!(before.contains("diesel::table!") && printed.contains("diesel::table!"));
}

/// Compiles the types with the compiler that checks the pages, beside uses that are right and uses that are wrong.
#[tokio::test]
async fn the_types_of_events_are_valid_typescript() {
    let server = Server::start().await;
    let root = server.admin("root").await;
    let schema = json!({"$defs": {"line": {"type": "object", "required": ["sku"], "additionalProperties": false,
        "properties": {"sku": {"type": "string"}, "parts": {"type": "array", "items": {"$ref": "#/$defs/line"}}}}},
        "type": "object", "required": ["id", "lines"], "properties": {"id": {"type": "integer"},
        "state": {"enum": ["open", "paid"]}, "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}}}});
    let define = "mutation ($input: EventTypeInput!) { defineEventType(input: $input) { type } }";
    for (name, schema) in [("order.paid", schema), ("build", json!({"type": ["object", "null"]})), ("7", json!(true))] {
        let input = json!({"type": name, "description": "Text */ with\nlines", "schema": schema});
        server.data(Some(&root), define, json!({"input": input})).await;
    }
    let types = stdout_of(&tidings(&server, &["types", "--ts"]));
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).expect("a file");
    write("types.ts", &types);
    write(
        "use.ts",
        "import type { AppEvent, AppEvents } from './types.ts';
         const paid: AppEvents['order.paid'] = { id: 7, state: 'paid', lines: [{ sku: 'a', parts: [{ sku: 'b' }] }] };
         export function handle(event: AppEvent): number {
           if (event.type === 'order.paid') return event.data.id + paid.id;
           return event.type === 'build' && event.data === null ? 0 : 1;
         }
         // @ts-expect-error: the state is not one of the enum
         export const state: AppEvents['order.paid'] = { id: 7, state: 'closed', lines: [] };
         // @ts-expect-error: sku is missing in a nested line
         export const line: AppEvents['order.paid'] = { id: 7, lines: [{ sku: 'a', parts: [{}] }] };
         // @ts-expect-error: there is no such type
         export type Missing = AppEvents['order.sent'];",
    );
    compile(directory.path(), "use.ts");
}

/// Compiles a file of TypeScript with strict types.
pub fn compile(directory: &Path, file: &str) {
    let compiler = concat!(env!("CARGO_MANIFEST_DIR"), "/static/node_modules/.bin/tsc");
    let compile = Command::new(compiler)
        .args(["--noEmit", "--strict", "--allowImportingTsExtensions", "--target", "es2022", "--types", "", file])
        .current_dir(directory)
        .output()
        .expect("npm ci in static installs the compiler");
    assert!(compile.status.success(), "{}", String::from_utf8_lossy(&compile.stdout));
}
