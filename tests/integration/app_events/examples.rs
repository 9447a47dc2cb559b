//! Every example of docs/publish.md runs, in the order of the page.

use std::process::{Command, Stdio};

use serde_json::json;

use super::{READ, orders};
use crate::examples::example;
use crate::support::text;

const PAGE: &str = include_str!("../../../docs/publish.md");

/// The program of a fenced block, by the language of the block; `None` for a block that is not run.
fn program(language: &str) -> Option<Command> {
    let (name, arguments): (_, &[&str]) = match language {
        "sh" => ("sh", &["-e", "-c"]),
        "js" => ("node", &["--input-type=module", "--eval"]),
        "python" => ("python3", &["-c"]),
        // `examples/publish.rs`, which is compared and run on its own.
        "json" | "ts" | "console" | "rust" => return None,
        other => panic!("a block in {other} is not run"),
    };
    let mut command = Command::new(name);
    command.args(arguments);
    Some(command)
}

/// The fenced blocks of the page: language and text.
fn blocks() -> Vec<(&'static str, &'static str)> {
    let mut parts = PAGE.split("```");
    let mut blocks = Vec::new();
    while let (Some(_), Some(block)) = (parts.next(), parts.next()) {
        blocks.push(block.split_once('\n').expect("a language"));
    }
    blocks
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_example_of_the_page_runs() {
    let (server, root, channel) = orders().await;
    assert_eq!(channel, "1", "the page names the channel by this id");
    let mut languages = Vec::new();
    for (language, block) in blocks() {
        let Some(mut command) = program(language) else { continue };
        command.arg(block).env("URL", server.url("")).env("TOKEN", &root.token).stdin(Stdio::null());
        command.env_remove("http_proxy").env_remove("HTTP_PROXY").env("NO_PROXY", "*");
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("run").expect("run");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && !out.contains("\"errors\""), "{block}\n{out}\n{err}");
        languages.push(language);
    }
    assert_eq!(languages, ["sh", "sh", "js", "python", "sh", "sh", "sh"]);
    let nodes = server.data(None, READ, json!({"channel": channel})).await["appEvents"]["nodes"].take();
    let types: Vec<String> = nodes.as_array().expect("nodes").iter().map(|node| text(&node["type"])).collect();
    assert_eq!(types, ["order.paid", "order.paid", "order.sent", "order.sent", "order.refunded", "order.paid"]);
}

#[tokio::test]
async fn the_example_in_rust_is_the_program_and_publishes_once() {
    let program = include_str!("../../../examples/publish.rs");
    let block = blocks().into_iter().find(|(language, _)| *language == "rust").expect("a block in Rust").1;
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
