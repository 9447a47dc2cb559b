//! `/metrics`: the text format of Prometheus, and the values after known operations.

use std::collections::HashMap;

use serde_json::json;

use crate::support::{EventStream, JsonSocket, Server, Socket, with_timeout};

/// The samples of a page. Parsing it checks the text format.
struct Page(HashMap<String, f64>);

impl Page {
    async fn of(server: &Server) -> Self {
        let answer = server.http().get(server.url("/metrics")).send().await.expect("a response");
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
        Self::parse(&answer.text().await.expect("a page"))
    }

    fn parse(text: &str) -> Self {
        let mut family: (String, String) = Default::default();
        let mut samples = HashMap::new();
        assert!(text.ends_with('\n'));
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').expect("a help text");
                assert!(name.starts_with("tidings_") || name.starts_with("process_"), "{line}");
                assert!(help.ends_with('.'), "{line}");
                family = (name.into(), String::new());
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').expect("a type");
                assert_eq!(name, family.0, "HELP and TYPE name the same family");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert!(kind != "counter" || name.ends_with("_total"), "{line}");
                family.1 = kind.into();
            } else {
                let (sample, value) = line.rsplit_once(' ').expect("a value");
                let name = sample.split('{').next().expect("a name");
                let suffix = name.strip_prefix(&family.0).unwrap_or_else(|| panic!("{line} is not of {}", family.0));
                let allowed: &[&str] = if family.1 == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
                assert!(allowed.contains(&suffix), "{line}");
                let labels = sample.strip_prefix(name).expect("the sample starts with its name");
                assert!(labels.is_empty() || (labels.starts_with('{') && labels.ends_with("\"}")), "{line}");
                let before = samples.insert(sample.to_owned(), value.parse().expect("a number"));
                assert!(before.is_none(), "{line} comes twice");
            }
        }
        Self(samples)
    }

    fn get(&self, sample: &str) -> f64 {
        *self.0.get(sample).unwrap_or_else(|| panic!("the page has no sample {sample}"))
    }
}

#[tokio::test]
async fn the_metrics_page_counts_what_happened() {
    let server = Server::start().await;
    let ann = server.register("ann").await;
    let channel = server.channel(&ann, "general").await;
    let before = Page::of(&server).await;
    let mut sockets = [server.socket(Some(&ann)).await, server.socket(Some(&ann)).await];
    let query = "subscription { messageAdded { content } }";
    for socket in &mut sockets {
        socket.subscribe("1", query, json!({})).await;
    }
    let mut events = EventStream::open(server.http().get(server.url("/graphql")).query(&[("query", query)])).await;
    let mut json_socket = JsonSocket::open(server.address(), "/api/v1/websocket/connect", None).await;
    json_socket.send(json!({"type": "join_room", "room": "general"})).await;
    assert_eq!(json_socket.frame().await["type"], "joined");
    let follows = || async { Page::of(&server).await.get("tidings_subscriptions") < 3.0 };
    with_timeout("three subscriptions", async { while follows().await {} }).await;
    server.post(&ann, &channel, "hello").await;
    for socket in &mut sockets {
        socket.item("1").await;
    }
    events.next().await;
    assert_eq!(json_socket.frame().await["type"], "message");
    server.error_code(None, "{ nothing }", json!({})).await;
    let wrong = "mutation { login(input: { username: \"ann\", password: \"a wrong guess\" }) { token } }";
    assert_eq!(server.error_code(None, wrong, json!({})).await, "UNAUTHENTICATED");
    let mut rude = Socket::connect(server.address(), "/graphql", "soap").await;
    assert_eq!(rude.close_code().await, 4406);

    let after = Page::of(&server).await;
    let grown = |sample: &str| (after.get(sample) - before.get(sample)) as i64;
    for (sample, by) in [
        ("tidings_lines{kind=\"graphql_ws\"}", 2),
        ("tidings_lines{kind=\"sse\"}", 1),
        ("tidings_lines{kind=\"plain_ws\"}", 1),
        ("tidings_subscriptions", 3),
        ("tidings_deliveries_total{kind=\"graphql_ws\"}", 2),
        ("tidings_deliveries_total{kind=\"sse\"}", 1),
        ("tidings_deliveries_total{kind=\"plain_ws\"}", 1),
        // Items are rendered once for the two signed-in readers, and once for the anonymous one.
        ("tidings_items_total{made=\"rendered\"}", 2),
        ("tidings_items_total{made=\"shared\"}", 1),
        ("tidings_operations_total{kind=\"subscription\"}", 3),
        ("tidings_operations_total{kind=\"mutation\"}", 2),
        ("tidings_operations_refused_total", 1),
        ("tidings_operation_errors_total{code=\"GRAPHQL_VALIDATION_FAILED\"}", 1),
        ("tidings_operation_errors_total{code=\"UNAUTHENTICATED\"}", 1),
        ("tidings_refused_total{reason=\"document\"}", 1),
        ("tidings_refused_total{reason=\"unauthenticated\"}", 1),
        ("tidings_refused_total{reason=\"subprotocol\"}", 1),
        ("tidings_sign_ins_total{outcome=\"wrong\"}", 1),
        ("tidings_events_total", 1),
        ("tidings_log_head", 1),
        ("tidings_tail_position", 1),
    ] {
        assert_eq!(grown(sample), by, "{sample}");
    }
    // These grow by more, because the server writes presence and live metrics itself.
    for sample in ["tidings_commit_commands_sum", "tidings_commit_seconds_bucket{le=\"+Inf\"}"] {
        assert!(grown(sample) >= 1, "{sample}");
    }
    assert!(after.get("tidings_commit_commands_sum") >= after.get("tidings_commit_commands_count"));
    for name in ["tidings_commit_commands", "tidings_commit_seconds"] {
        let all = after.get(&format!("{name}_bucket{{le=\"+Inf\"}}"));
        assert!((all - after.get(&format!("{name}_count"))).abs() < 0.5, "{name}");
    }
    assert_eq!((after.get("tidings_database_up"), after.get("tidings_tail_lag")), (1.0, 0.0));
    assert_eq!(after.get("tidings_socket_closes_total{code=\"4406\"}") as i64, 1);
    assert!(after.get("tidings_connections") >= 4.0);
    assert!(after.get("tidings_commit_seconds_sum") > 0.0);
    if cfg!(target_os = "linux") {
        assert!(after.get("process_resident_memory_bytes") > 1e6);
        assert!(after.get("process_open_fds") > 3.0);
    }
    drop((sockets, events, json_socket));
    let is_any_open = || async {
        let page = Page::of(&server).await;
        ["graphql_ws", "plain_ws", "sse"]
            .iter()
            .any(|kind| page.get(&format!("tidings_lines{{kind=\"{kind}\"}}")) > 0.0)
            || page.get("tidings_subscriptions") > 0.0
    };
    with_timeout("zero open streams and subscriptions", async { while is_any_open().await {} }).await;
}

#[tokio::test]
async fn the_manual_describes_every_metric() {
    let server = Server::start().await;
    let manual = include_str!("../../docs/operating.md");
    for sample in Page::of(&server).await.0.keys() {
        let name = sample.split('{').next().expect("a name");
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
        assert!(manual.contains(&format!("`{family}")), "docs/operating.md lacks {family}");
    }
}

#[tokio::test]
async fn the_metrics_page_requires_the_configured_token() {
    let token = "for Prometheus alone";
    let server = Server::start_with(|config| config.metrics_token = Some(token.parse().unwrap())).await;
    let ask = |header: Option<String>| {
        let request = server.http().get(server.url("/metrics"));
        header.into_iter().fold(request, |request, header| request.header("authorization", header)).send()
    };
    let ann = server.register("ann").await;
    for wrong in [None, Some("Bearer wrong".into()), Some(token.into()), Some(format!("Bearer {}", ann.token))] {
        let answer = ask(wrong.clone()).await.expect("a response");
        assert_eq!(answer.status(), 401, "{wrong:?}");
        assert_eq!(answer.headers()["www-authenticate"], "Bearer");
        assert!(!answer.text().await.expect("a body").contains("tidings_"));
    }
    let in_query = server.http().get(server.url("/metrics")).query(&[("token", token)]).send().await;
    assert_eq!(
        in_query.expect("a response").status(),
        401,
        "a token in the URL is not accepted, because URLs are logged"
    );
    let answer = ask(Some(format!("Bearer {token}"))).await.expect("a response");
    assert_eq!(answer.status(), 200);
    assert!(answer.text().await.expect("a page").contains("tidings_connections "));
    let posted = server.http().post(server.url("/metrics")).bearer_auth(token).send().await.expect("a response");
    assert_eq!(posted.status(), 405);
}
