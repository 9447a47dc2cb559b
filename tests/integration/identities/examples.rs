//! Every example of docs/connect-your-login.md runs, with the settings of its section.

use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tidings::auth::FailedCheck;
use tidings::model::Label as _;
use tokio::process::Child;

use crate::support::{Program, TestIssuer, TestKey, text, with_timeout};

const PAGE: &str = include_str!("../../../docs/connect-your-login.md");

/// The fenced block after this mark.
fn block(mark: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(mark).unwrap_or_else(|| panic!("no {mark}"));
    let (_, rest) = rest.split_once("```").expect("a block");
    let (_, rest) = rest.split_once('\n').expect("a language");
    rest.split_once("```").expect("the end of the block").0
}

/// The variables that a block of settings sets.
fn settings(mark: &str) -> Vec<(&'static str, &'static str)> {
    let lines = block(&format!("<!-- settings: {mark} -->")).lines();
    let parts =
        lines.map(|line| line.strip_prefix("export ").and_then(|line| line.split_once('=')).expect("a setting"));
    parts.map(|(name, value)| (name, value.trim_matches('\''))).collect()
}

fn value(settings: &[(&'static str, &'static str)], name: &str) -> &'static str {
    let found = settings.iter().find(|(set, _)| *set == name);
    found.unwrap_or_else(|| panic!("no {name}")).1
}

/// The output of a program, which must succeed.
async fn output(mut command: Command) -> String {
    command.stdin(Stdio::null()).env_remove("http_proxy").env_remove("HTTP_PROXY").env("NO_PROXY", "*");
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("run").expect("run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// The account of a user whose token has these claims, with the settings of a section. The keys are not fetched from the
/// issuer of the section, because it does not exist.
async fn account(mark: &str, claims: &Value) -> Value {
    let key = TestKey::named("rsa-1");
    let issuer = TestIssuer::start(&[&key]).await;
    let mut settings = settings(mark);
    let (name, audience) = (value(&settings, "TIDINGS_OIDC_ISSUERS"), value(&settings, "TIDINGS_OIDC_AUDIENCE"));
    let keys = format!("{}/keys", issuer.url());
    settings.push(("TIDINGS_JWKS_URL", keys.clone().leak()));
    let program = Program::new(&settings);
    let mut process = program.start();
    process.ready().await.expect("a server");
    let mut all = json!({ "iss": name, "aud": [audience, "account"], "azp": "spa" });
    claims.as_object().expect("claims").iter().for_each(|(name, value)| all[name] = value.clone());
    let token = issuer.session(&key, "auth0|7", &all).token;
    program.data(Some(&token), "{ me { username displayName role } }", &json!({})).await["me"].take()
}

#[tokio::test]
async fn the_claims_that_the_action_adds_are_used() {
    let program = format!(
        "const exports = {{}}, claims = {{}};\n{}\nconst api = {{ accessToken: {{ setCustomClaim: (name, value) => {{ claims[name] = value; }} }} }};
        const event = {{ user: {{ nickname: 'ada', name: 'Ada L.' }}, authorization: {{ roles: ['tidings-admin'] }} }};
        await exports.onExecutePostLogin(event, api);\nconsole.log(JSON.stringify(claims));",
        block("for Auth0 with an *Action* of the login flow:")
    );
    let mut node = Command::new("node");
    node.args(["--input-type=module", "--eval", &program]);
    let claims = serde_json::from_str(&output(node).await).expect("JSON");
    let ada = account("hosted", &claims).await;
    assert_eq!(ada, json!({ "username": "ada", "displayName": "Ada L.", "role": "ADMIN" }));
}

#[tokio::test]
async fn the_claims_of_keycloak_are_used() {
    let claims = json!({ "preferred_username": "ada", "name": "Ada L.", "email": "ada@example.org", "typ": "Bearer",
        "email_verified": true, "realm_access": { "roles": ["offline_access", "tidings-admin"] } });
    let ada = account("keycloak", &claims).await;
    assert_eq!(ada, json!({ "username": "ada", "displayName": "Ada L.", "role": "ADMIN" }));
}

/// Starts the program of the page on this port.
async fn backend(port: u16) -> Child {
    let mut command = tokio::process::Command::new("node");
    command.args(["--input-type=module", "--eval", block("<!-- program: backend -->")]);
    let child = command.env("PORT", port.to_string()).kill_on_drop(true).spawn().expect("node runs");
    let connected = async {
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    with_timeout("the start of the backend", connected).await;
    child
}

#[tokio::test]
async fn a_backend_that_signs_its_own_tokens_is_an_issuer() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    let _backend = backend(port).await;
    let mut settings = settings("backend");
    let keys = value(&settings, "TIDINGS_JWKS_URL").replace("4000", &port.to_string());
    settings.push(("TIDINGS_JWKS_URL", keys.leak()));
    let program = Program::new(&settings);
    let mut process = program.start();
    process.ready().await.expect("a server");
    let request = block("<!-- request -->").replace("4000", &port.to_string());
    let mut shell = Command::new("sh");
    shell.args(["-e", "-c", &request.replace("127.0.0.1:8000", &program.address().to_string())]);
    let answer: Value = serde_json::from_str(&output(shell).await).expect("JSON");
    let shown = PAGE.split_once("```json\n").and_then(|(_, rest)| rest.split_once("```")).expect("an answer").0;
    assert_eq!(answer, serde_json::from_str::<Value>(shown).expect("JSON"));
    assert_eq!(text(&answer["data"]["me"]["username"]), "ada");
}

#[test]
fn the_page_explains_every_check() {
    let table = PAGE.split_once("## When a token is refused").expect("the section").1;
    for check in FailedCheck::ALL {
        assert!(table.contains(&format!("`{}`", check.label())), "{} is not explained", check.label());
    }
}

#[tokio::test]
async fn the_settings_of_a_client_offer_the_sign_in() {
    let program = Program::new(&settings("client"));
    let mut process = program.start();
    process.ready().await.expect("a server");
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let answer = client.get(format!("http://{}/auth/oidc", program.address())).send().await.expect("an answer");
    assert_eq!(answer.json::<Value>().await.expect("JSON"), json!({ "name": "id.example.org" }));
}
