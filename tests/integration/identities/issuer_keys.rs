//! The keys of an issuer: how they are fetched, rotated, and kept while the issuer cannot be reached.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidings::app::App;
use tidings::config::{Config, IssuerSettings};

use super::{code, counter, issuer_and_server};
use crate::support::{Behaviour, Report, Server, TestIssuer, TestKey};

const FAILED: &str = "tidings_issuer_key_fetches_total{outcome=\"failed\"}";
const FETCHED: &str = "tidings_issuer_key_fetches_total{outcome=\"ok\"}";

/// Waits until a token gets this code. The keys are fetched at most every 10 s.
async fn wait_for_code(server: &Server, token: &str, expected: &str) {
    let start = Instant::now();
    loop {
        let found = code(server, token).await;
        if found == expected {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(25), "{found} instead of {expected}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn wait_for_counter(server: &Server, sample: &str, least: u64) {
    let start = Instant::now();
    while counter(server, sample).await < least {
        assert!(start.elapsed() < Duration::from_secs(25), "{sample} stays below {least}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn every_algorithm_is_accepted_with_a_key_for_it() {
    let keys = ["rsa-1", "ps-1", "ec-1", "ec-2", "ed-1"].map(TestKey::named);
    let issuer = TestIssuer::start(&keys.iter().collect::<Vec<_>>()).await;
    let server = Server::start_with(issuer.trusted()).await;
    for key in &keys {
        assert_eq!(code(&server, &key.sign(&issuer.claims("ann"))).await, "OK", "{:?}", key.algorithm);
    }
}

#[tokio::test]
async fn a_new_key_is_fetched_when_a_token_names_it_and_the_old_one_ends() {
    let (issuer, old, server) = issuer_and_server("rsa-1").await;
    let new = TestKey::named("ec-1");
    let [old_token, new_token] = [&old, &new].map(|key| key.sign(&issuer.claims("ann")));
    assert_eq!(code(&server, &old_token).await, "OK");
    issuer.publish(&[&old, &new]);
    wait_for_code(&server, &new_token, "OK").await;
    assert_eq!(code(&server, &old_token).await, "OK");
    issuer.publish(&[&new]);
    let unknown = TestKey::named("rsa-2").sign(&issuer.claims("ann"));
    let start = Instant::now();
    while code(&server, &old_token).await == "OK" {
        assert!(start.elapsed() < Duration::from_secs(25), "the old key is still accepted");
        // The next fetch comes with the next unknown key.
        assert_eq!(code(&server, &unknown).await, "UNAUTHENTICATED");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(code(&server, &new_token).await, "OK");
}

#[tokio::test]
async fn known_keys_stay_valid_while_the_issuer_is_away() {
    let (mut issuer, key, server) = issuer_and_server("rsa-1").await;
    let token = key.sign(&issuer.claims("ann"));
    assert_eq!(code(&server, &token).await, "OK");
    issuer.stop().await;
    let unknown = TestKey::named("rsa-2").sign(&issuer.claims("eve"));
    let before = counter(&server, FAILED).await;
    let start = Instant::now();
    while counter(&server, FAILED).await == before {
        assert!(start.elapsed() < Duration::from_secs(25), "no fetch was tried");
        assert_eq!(code(&server, &unknown).await, "UNAUTHENTICATED");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for subject in ["ann", "ben"] {
        assert_eq!(code(&server, &key.sign(&issuer.claims(subject))).await, "OK");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuer_that_hangs_delays_only_tokens_with_an_unknown_key() {
    const REQUESTS: usize = 500;
    let key = TestKey::named("rsa-1");
    let issuer = TestIssuer::start(&[&key]).await;
    issuer.behave(Behaviour::Hang);
    // The start does not wait for the issuer either.
    let server = Server::start_with(issuer.trusted()).await;
    let ann = server.register("ann").await;
    let token = key.sign(&issuer.claims("eve"));
    let waiting = async {
        let start = Instant::now();
        let codes = futures_util::future::join_all((0..REQUESTS).map(|_| code(&server, &token))).await;
        assert!(codes.iter().all(|code| code == "UNAVAILABLE"), "{codes:?}");
        start.elapsed()
    };
    let others = async {
        let mut slowest = Duration::ZERO;
        for number in 0..20 {
            let start = Instant::now();
            server.channel(&ann, &format!("channel{number}")).await;
            slowest = slowest.max(start.elapsed());
        }
        slowest
    };
    let (waited, slowest) = tokio::join!(waiting, others);
    assert!(waited < Duration::from_secs(8), "{waited:?}");
    let mut report = Report::new("an issuer that hangs:");
    report
        .line(format!("{REQUESTS} tokens were answered after {waited:?}; the slowest other mutation took {slowest:?}"));
    assert!(issuer.requests() <= 2, "{} requests at once", issuer.requests());
    issuer.behave(Behaviour::Answer);
    wait_for_code(&server, &token, "OK").await;
}

#[tokio::test]
async fn unknown_keys_cause_one_fetch_and_then_none_for_ten_seconds() {
    let (issuer, key, server) = issuer_and_server("rsa-1").await;
    assert_eq!(code(&server, &key.sign(&issuer.claims("ann"))).await, "OK");
    let unknown = TestKey::named("rsa-2").sign(&issuer.claims("eve"));
    let (start, requests) = (Instant::now(), issuer.requests());
    let codes = futures_util::future::join_all((0..200).map(|_| code(&server, &unknown))).await;
    assert!(codes.iter().all(|code| code == "UNAUTHENTICATED"));
    // A fetch is a discovery document and a key set.
    let fetches = start.elapsed().as_secs() as usize / 10 + 1;
    assert!(issuer.requests() - requests <= 2 * fetches, "{} requests", issuer.requests() - requests);
}

#[tokio::test]
async fn answers_that_are_no_keys_are_refused() {
    let key = TestKey::named("rsa-1");
    let decoy = TestIssuer::start(&[&key]).await;
    let symmetric = json!({ "keys": [{ "kty": "oct", "kid": "rsa-1", "alg": "HS256", "k": "c2VjcmV0" }] });
    let many: Vec<Value> = (0..101).map(|_| key.public.clone()).collect();
    for (behaviour, what) in [
        (Behaviour::Redirect(decoy.url()), "a redirect"),
        (Behaviour::Status(500), "an error"),
        (Behaviour::Text("[]".into()), "no key set"),
        (Behaviour::Text(symmetric.to_string()), "a symmetric key"),
        (Behaviour::Text(json!({ "keys": many }).to_string()), "too many keys"),
        (Behaviour::Text(format!("{{\"keys\":[],\"pad\":\"{}\"}}", "x".repeat(300 << 10))), "too many bytes"),
    ] {
        let issuer = TestIssuer::start(&[&key]).await;
        issuer.behave(behaviour);
        let server = Server::start_with(issuer.trusted()).await;
        wait_for_counter(&server, FAILED, 1).await;
        assert_eq!(code(&server, &key.sign(&issuer.claims("eve"))).await, "UNAVAILABLE", "{what}");
    }
    assert_eq!(decoy.requests(), 0, "a redirect was followed");
}

#[tokio::test]
async fn a_discovery_document_of_another_issuer_is_refused() {
    let key = TestKey::named("rsa-1");
    let issuer = TestIssuer::start(&[&key]).await;
    issuer.rename("https://other.example");
    let server = Server::start_with(issuer.trusted()).await;
    wait_for_counter(&server, FAILED, 1).await;
    assert_eq!(code(&server, &key.sign(&issuer.claims("eve"))).await, "UNAVAILABLE");
}

#[tokio::test]
async fn keys_can_come_from_an_address_of_the_operator() {
    let key = TestKey::named("ed-1");
    let issuer = TestIssuer::start(&[&key]).await;
    // The tokens name an address that does not exist. It is not asked for keys.
    let name = "https://app.example";
    let settings = IssuerSettings::new(name.parse().expect("an issuer"), "tidings");
    let settings = settings.with_jwks_url(&format!("{}/keys", issuer.url()));
    let server = Server::start_with(|config| config.issuers = settings).await;
    wait_for_counter(&server, FETCHED, 1).await;
    let session = issuer.session(&key, "7", &json!({ "iss": name }));
    assert_eq!(code(&server, &session.token).await, "OK");
    assert_eq!(issuer.requests(), 1);
}

#[tokio::test]
async fn insecure_addresses_stop_the_start() {
    for (issuers, jwks_url, name) in [
        ("http://id.example", None, "TIDINGS_OIDC_ISSUERS"),
        ("https://id.example", Some("http://id.example/keys"), "TIDINGS_JWKS_URL"),
    ] {
        let directory = tempfile::tempdir().expect("a directory");
        let mut settings = IssuerSettings::new(issuers.parse().expect("an issuer"), "tidings");
        if let Some(url) = jwks_url {
            settings = settings.with_jwks_url(url);
        }
        let config = Config {
            listen: ([127, 0, 0, 1], 0).into(),
            database: crate::support::database::fresh(directory.path()).into(),
            issuers: settings,
            tokens: tidings::config::TokenSettings {
                secret: crate::support::database::secret(),
                ..tidings::config::TokenSettings::default()
            },
            ..Config::default()
        };
        let error = App::start(config).await.err().expect("a refusal");
        assert!(error.starts_with(name) && error.contains("https://") && !error.contains('\n'), "{error}");
    }
}
