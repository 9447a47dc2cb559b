//! The GraphQL schema is a public interface, so every change to it must be visible in review.

use crate::support::Server;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/schema.graphql");

#[tokio::test]
async fn the_schema_equals_the_golden_file_wherever_it_is_served() {
    let printed = tidings::graphql::sdl();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(GOLDEN, &printed).expect("the golden file is written");
    }
    let golden = std::fs::read_to_string(GOLDEN).expect("schema.graphql");
    assert!(
        golden == printed,
        "the schema changed; update the file with UPDATE_GOLDEN=1 cargo test --test integration schema"
    );
    let server = Server::start().await;
    let served = server.http().get(server.url("/schema.graphql")).send().await.unwrap().text().await.unwrap();
    assert!(served == golden);
    let binary =
        std::process::Command::new(env!("CARGO_BIN_EXE_tidings")).arg("schema").output().expect("tidings schema");
    assert_eq!(String::from_utf8(binary.stdout).unwrap(), golden);
}

#[test]
fn every_type_field_and_argument_is_described() {
    let schema = tidings::graphql::sdl();
    let mut missing = Vec::new();
    let mut described = false;
    for line in schema.lines().map(str::trim) {
        let is_description = line.starts_with('"');
        // Enum values and arguments follow their description on the same line.
        let declares = line.contains(':') || line.ends_with('{') && !line.starts_with("schema");
        if declares && !is_description && !described && !line.starts_with(')') && !is_root(line) {
            missing.push(line.to_owned());
        }
        described = is_description;
    }
    assert!(missing.is_empty(), "not described:\n{}", missing.join("\n"));
}

fn is_root(line: &str) -> bool {
    ["query: Query", "mutation: Mutation", "subscription: Subscription"].contains(&line)
}

#[tokio::test]
async fn without_introspection_the_schema_is_not_served() {
    let server = Server::start_with(|config| config.introspection = false).await;
    let served = server.http().get(server.url("/schema.graphql")).send().await.unwrap();
    assert_eq!(served.status(), 404);
    let asked = server.error_code(None, "{ __schema { queryType { name } } }", serde_json::json!({})).await;
    assert_eq!(asked, "GRAPHQL_VALIDATION_FAILED");
    server.data(None, "{ __typename }", serde_json::json!({})).await;
}
