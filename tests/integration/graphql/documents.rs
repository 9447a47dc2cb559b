//! Every example of GraphiQL, and every GraphQL document in the README and the docs, runs against the schema.

use serde_json::{Value, json};

use crate::support::{PASSWORD, Server, Session};

const EXAMPLES: &str = include_str!("../../../static/graphiql/examples.js");
const PAGES: &[(&str, &str)] = &[
    ("README.md", include_str!("../../../README.md")),
    ("docs/api-keys.md", include_str!("../../../docs/api-keys.md")),
    ("docs/accounts.md", include_str!("../../../docs/accounts.md")),
    ("docs/clients.md", include_str!("../../../docs/clients.md")),
    ("docs/json-socket.md", include_str!("../../../docs/json-socket.md")),
    ("docs/operating.md", include_str!("../../../docs/operating.md")),
    ("docs/scaling.md", include_str!("../../../docs/scaling.md")),
];

/// The documents of GraphiQL's examples, by the names of their JavaScript constants.
fn examples() -> Vec<(&'static str, String)> {
    let parts: Vec<&str> = EXAMPLES.split("= `").collect();
    let name = |before: &'static str| before.rsplit("const ").next().unwrap_or_default().trim();
    // Backticks inside the document are escaped.
    let text = |after: &str| after.split("`;").next().unwrap_or_default().replace("\\`", "`");
    parts.windows(2).map(|pair| (name(pair[0]), text(pair[1]))).collect()
}

/// The fenced GraphQL documents of a page.
fn fenced(page: &str) -> Vec<String> {
    let mut documents = Vec::new();
    let mut open: Option<String> = None;
    for line in page.lines() {
        match (&mut open, line.trim()) {
            (None, "```graphql") => open = Some(String::new()),
            (Some(_), "```") => documents.extend(open.take()),
            (Some(document), _) => {
                // A fence inside a list is indented by three spaces.
                document.push_str(line.strip_prefix("   ").unwrap_or(line));
                document.push('\n');
            }
            (None, _) => {}
        }
    }
    documents
}

/// The kind and name of each operation in a document, in order.
fn operations(document: &str) -> Vec<(&str, Option<&str>)> {
    let lines = document.lines().filter(|line| !line.starts_with([' ', '#', '}']));
    let mut found = Vec::new();
    for line in lines.map(str::trim) {
        let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
        let Some(kind) = words.next().filter(|kind| ["query", "mutation", "subscription"].contains(kind)) else {
            continue;
        };
        let after = line[kind.len()..].trim_start();
        let name = after.starts_with(|c: char| c.is_alphabetic()).then(|| words.next()).flatten();
        found.push((kind, name));
    }
    if found.is_empty() {
        found.push(("query", None));
    }
    found
}

/// Runs every operation of a document as `session`. For a subscription without a cursor, `ada` posts a message to
/// deliver.
async fn run(server: &Server, ada: &Session, session: Option<&Session>, document: &str, variables: &Value) {
    for (kind, name) in operations(document) {
        if kind == "subscription" {
            let mut socket = server.socket(session).await;
            let payload = json!({"query": document, "operationName": name, "variables": variables});
            socket.send(json!({"id": "s", "type": "subscribe", "payload": payload})).await;
            if !document.contains("after:") {
                socket.assert_idle().await;
                server.post(ada, variables["channelId"].as_str().expect("a channel"), "once more").await;
            }
            let frame = socket.frame().await;
            assert!(frame["type"] == "next" && frame["payload"].get("errors").is_none(), "{document}\n{frame}");
            continue;
        }
        let body = json!({"query": document, "operationName": name, "variables": variables});
        let mut request = server.http().post(server.url("/graphql")).json(&body);
        if let Some(session) = session {
            request = request.bearer_auth(&session.token);
        }
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        assert!(answer.get("errors").is_none() && answer["data"].is_object(), "{name:?} of {document}\n{answer}");
    }
}

/// A server with an admin, a channel and a message, and values for the variables of the documents.
async fn server_with_content() -> (Server, Session, Value) {
    let server = Server::start().await;
    let ada = server.admin("admin").await;
    let before = server.cursor(None).await;
    let channel = server.channel(&ada, "garden").await;
    let message = server.post(&ada, &channel, "The tomatoes need water").await;
    let user = server.register("registered").await;
    let login = "mutation ($p: String!) { login(input: { username: \"registered\", password: $p }) { refreshToken } }";
    let opened = server.data(None, login, json!({"p": PASSWORD})).await;
    let variables = json!({
        "userId": user.id, "refreshToken": opened["login"]["refreshToken"],
        "channelId": channel, "messageId": message, "id": message, "after": before, "first": 20, "page": null,
        "name": "made-by-an-example", "content": "Hello", "key": null, "password": PASSWORD,
    });
    (server, ada, variables)
}

#[tokio::test]
async fn graphiql_examples_run_and_the_reading_ones_run_anonymously() {
    let (server, ada, variables) = server_with_content().await;
    let examples = examples();
    let names: Vec<&str> = examples.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["read", "messageAdded", "events", "write", "account"]);
    for (name, document) in examples {
        run(&server, &ada, Some(&ada), &document, &variables).await;
        if ["read", "messageAdded", "events"].contains(&name) {
            run(&server, &ada, None, &document, &variables).await;
            // The variables with which GraphiQL opens the tab.
            let empty = json!({"channelId": null, "first": 20, "page": null, "after": variables["after"]});
            run(&server, &ada, None, &document, &empty).await;
        }
    }
}

#[tokio::test]
async fn every_document_of_the_docs_runs() {
    let (server, ada, variables) = server_with_content().await;
    let mut count = 0;
    for (page, text) in PAGES {
        for document in fenced(text) {
            println!("{page}: {document}");
            run(&server, &ada, Some(&ada), &document, &variables).await;
            count += 1;
        }
    }
    assert!(count >= 5, "only {count} documents were found");
}
