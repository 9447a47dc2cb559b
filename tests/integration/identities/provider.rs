//! Tokens of a real OpenID Connect provider, with keys for RS256 and ES256 that are rotated while it runs.

use std::time::{Duration, Instant};

use tidings::config::IssuerSettings;

use super::{code, me, session};
use crate::support::{IdentityProvider, Server};

async fn provider_and_server(audience: &str) -> (IdentityProvider, Server) {
    let provider = IdentityProvider::start().await;
    let settings = IssuerSettings::new(provider.issuer.parse().expect("an issuer"), audience);
    let server = Server::start_with(|config| config.issuers = settings).await;
    (provider, server)
}

#[tokio::test]
async fn a_real_provider_is_used_rotated_stopped_and_started_again() {
    let (provider, server) = provider_and_server("tidings").await;
    let old = session(provider.access_token("ann").await);
    let ann = me(&server, &old).await;
    assert_eq!((&ann["username"], &ann["displayName"]), (&"ann".into(), &"ann of the provider".into()));
    // An ID token of the same provider is for its client, and not for this server.
    assert_eq!(code(&server, &provider.id_token("ann").await).await, "UNAUTHENTICATED");

    provider.rotate("ES256", true).await;
    let new = session(provider.access_token("ben").await);
    let start = Instant::now();
    while code(&server, &new.token).await != "OK" {
        assert!(start.elapsed() < Duration::from_secs(25), "the new key is not accepted");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(me(&server, &new).await["username"], "ben");
    assert_eq!(me(&server, &old).await["id"], ann["id"], "the old key is still published");

    provider.stop().await;
    for session in [&old, &new] {
        assert_eq!(code(&server, &session.token).await, "OK", "known keys do not need the provider");
    }
    provider.restart().await;
    assert_eq!(me(&server, &session(provider.access_token("ann").await)).await["id"], ann["id"]);
}

#[tokio::test]
async fn id_tokens_are_accepted_if_the_client_is_the_audience() {
    let (provider, server) = provider_and_server("web").await;
    assert_eq!(me(&server, &session(provider.id_token("ann").await)).await["username"], "ann");
    assert_eq!(code(&server, &provider.access_token("ann").await).await, "UNAUTHENTICATED");
}
