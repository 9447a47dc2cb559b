//! Every example of docs/publish.md runs, in the order of the page.

use std::process::{Command, Stdio};

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection, SqliteConnection};
use serde_json::json;

use super::{READ, orders};
use crate::command_line::{compile, stdout_of, tidings};
use crate::examples::example;
use crate::support::database::is_postgres;
use crate::support::{Server, Session, clients, text, with_timeout};

const PAGE: &str = include_str!("../../../docs/publish.md");

/// A fenced block of the page.
struct Block {
    /// The heading above the block.
    section: &'static str,
    language: &'static str,
    code: &'static str,
}

impl Block {
    /// Whether the block is for this run's database.
    fn is_for_this_database(&self) -> bool {
        match self.section {
            "PostgreSQL" => is_postgres(),
            "SQLite" => !is_postgres(),
            _ => true,
        }
    }

    /// The program that runs the block; `None` if this machine has none.
    fn program(&self) -> Option<Command> {
        let mut command = match self.language {
            "sh" => Command::new("sh"),
            "js" => Command::new("node"),
            "python" if self.section == "PostgreSQL" => Command::new(clients::python()?),
            "python" => Command::new("python3"),
            other => panic!("a block in {other} is not run"),
        };
        let arguments: &[&str] = match self.language {
            "sh" => &["-e", "-c"],
            "js" => &["--input-type=module", "--eval"],
            _ => &["-c"],
        };
        command.args(arguments).arg(self.code).current_dir(clients::CLIENTS);
        Some(command)
    }
}

/// The fenced blocks of the page.
fn blocks() -> Vec<Block> {
    let mut parts = PAGE.split("```");
    let (mut blocks, mut section) = (Vec::new(), "");
    while let (Some(before), Some(block)) = (parts.next(), parts.next()) {
        let mut headings = before.lines().filter(|line| line.starts_with('#'));
        section = headings.next_back().map_or(section, |line| line.trim_start_matches('#').trim());
        let (language, code) = block.split_once('\n').expect("a language");
        blocks.push(Block { section, language, code });
    }
    blocks
}

/// Runs SQL as another program does.
fn run_sql(url: &str, sql: &str) {
    let ran = match url.strip_prefix("sqlite://") {
        Some(path) => SqliteConnection::establish(path).expect("the database").batch_execute(sql),
        None => PgConnection::establish(url).expect("the database").batch_execute(sql),
    };
    ran.unwrap_or_else(|error| panic!("{sql}\n{error}"));
}

/// What the page assumes: a role for the grant, and a rejected row to put back.
fn prepare(url: &str) {
    if is_postgres() {
        let create = "DO $$ BEGIN CREATE ROLE shop; EXCEPTION WHEN duplicate_object THEN NULL; END $$";
        run_sql(url, create);
    }
    run_sql(
        url,
        "INSERT INTO outbox_rejected (id, channel, type, data, reason, detail, rejected_at)
         VALUES (1000, 'orders', 'put.back', '1', 'unknown_channel', '', 0)",
    );
}

/// Runs a program of the page against the server.
async fn run_program(server: &Server, root: &Session, mut command: Command, block: &str) {
    let database = server.database_url();
    command.env("URL", server.url("")).env("TOKEN", &root.token).env("DATABASE_URL", &database);
    command.env("DATABASE", database.trim_start_matches("sqlite://")).stdin(Stdio::null());
    command.env_remove("http_proxy").env_remove("HTTP_PROXY").env("NO_PROXY", "*");
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("run").expect("run");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && !out.contains("\"errors\""), "{block}\n{out}\n{err}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_example_of_the_page_runs() {
    let (server, root, channel) = orders().await;
    assert_eq!(channel, "1", "the page names the channel by this id");
    prepare(&server.database_url());
    let has_psycopg = !is_postgres() || tokio::task::spawn_blocking(clients::python).await.expect("run").is_some();
    let mut languages = Vec::new();
    for block in blocks().into_iter().filter(Block::is_for_this_database) {
        match block.language {
            // The example in Rust is compared and run on its own, and the types of TypeScript are no program.
            "json" | "ts" | "console" | "rust" => continue,
            "sql" => run_sql(&server.database_url(), block.code),
            _ => {
                let Some(command) = block.program() else { continue };
                run_program(&server, &root, command, block.code).await;
            }
        }
        languages.push(block.language);
        // The rows of the outbox have become events.
        expected_events(&server, &channel, &languages, has_psycopg).await;
    }
    let python = if has_psycopg { &["python"][..] } else { &[] };
    let own: &[&[&str]] =
        if is_postgres() { &[&["sql", "sql"], python, &["js", "sql", "sql"]] } else { &[&["sql"], python] };
    let expected = [&["sh", "sh", "js", "python", "sh", "sql"][..]].into_iter().chain(own.iter().copied());
    assert_eq!(languages, expected.chain([&["sh", "sh"][..]]).flatten().copied().collect::<Vec<_>>());
}

/// Waits until the channel has the events of the blocks that have run.
async fn expected_events(server: &Server, channel: &str, languages: &[&str], has_psycopg: bool) {
    let by_request: &[&[&str]] = &[
        &["order.paid"],
        &["order.paid", "order.sent"],
        &["order.sent"],
        &["order.refunded"],
        &["order.paid"],
        &["put.back"],
    ];
    let placed: &[&str] = &["order.placed"];
    let python = has_psycopg.then_some(placed);
    let in_transaction: Vec<&[&str]> = if is_postgres() {
        [Some(&[][..]), Some(placed), python, Some(placed), Some(&["order.row"][..]), Some(&[])]
            .into_iter()
            .flatten()
            .collect()
    } else {
        vec![placed, placed]
    };
    let all = by_request.iter().copied().chain(in_transaction).take(languages.len());
    let expected: Vec<&str> = all.flatten().copied().collect();
    let waiting = async {
        loop {
            let nodes = server.data(None, READ, json!({"channel": channel})).await["appEvents"]["nodes"].take();
            let types: Vec<String> = nodes.as_array().expect("nodes").iter().map(|node| text(&node["type"])).collect();
            if types == expected {
                return;
            }
            assert!(types.len() < expected.len(), "{types:?} instead of {expected:?}");
            tokio::task::yield_now().await;
        }
    };
    with_timeout(&format!("{expected:?}"), waiting).await;
}

#[tokio::test]
async fn the_example_in_rust_is_the_program_and_publishes_once() {
    let program = include_str!("../../../examples/publish.rs");
    let block = blocks().into_iter().find(|block| block.language == "rust").expect("a block in Rust").code;
    assert!(program.ends_with(block), "the page and examples/publish.rs differ");
    let (server, root, channel) = orders().await;
    let program = example("publish").await;
    for _ in 0..2 {
        let mut command = tokio::process::Command::new(&program);
        command.env("URL", server.url("")).env("TOKEN", &root.token).env("NO_PROXY", "*");
        let output = command.output().await.expect("run");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let nodes = server.data(None, READ, json!({"channel": channel})).await["appEvents"]["nodes"].take();
    assert_eq!(nodes, json!([{"type": "order.shipped", "data": {"id": 7}}]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_in_typescript_fits_the_types_of_the_page() {
    let (server, root, _) = orders().await;
    let define = blocks().into_iter().find(|block| block.code.contains("defineEventType")).expect("the definition");
    run_program(&server, &root, define.program().expect("sh"), define.code).await;
    let types = stdout_of(&tidings(&server, &["types", "--ts"]));
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("events.ts"), types).expect("a file");
    let example = blocks().into_iter().find(|block| block.language == "ts").expect("a block in TypeScript").code;
    std::fs::write(
        directory.path().join("example.ts"),
        format!("declare const console: {{ log(...texts: unknown[]): void }};\n{example}"),
    )
    .expect("a file");
    compile(directory.path(), "example.ts");
}
