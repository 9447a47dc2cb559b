//! Tokens that must be refused, each with the check that refuses it.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tidings::config::IssuerSettings;

use super::{code, counter, issuer_and_server, session};
use crate::support::issuer::{merged, now};
use crate::support::json_socket::CONNECT;
use crate::support::{JsonSocket, Server, Socket, TestIssuer, TestKey};

const REFUSED: &str = "UNAUTHENTICATED";

/// Asserts that a token is refused by this check, and that the client does not get to know which one it is.
async fn refused(server: &Server, token: &str, check: &str, what: &str) {
    let sample = format!("tidings_issuer_tokens_refused_total{{check=\"{check}\"}}");
    let before = counter(server, &sample).await;
    let answer = server.execute(Some(&session(token.to_owned())), super::ME, json!({})).await;
    let error = &answer["errors"][0];
    assert_eq!(error["extensions"]["code"], REFUSED, "{what}: {answer}");
    assert_eq!(error["message"], "the token is not valid", "{what}");
    assert_eq!(counter(server, &sample).await, before + 1, "{what} is refused by the check {check}");
}

/// A token with these parts, whose signature is that of another token.
fn with_parts(header: &Value, claims: &Value, signature: &str) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{signature}", part(header), part(claims))
}

#[tokio::test]
async fn the_algorithm_comes_from_the_key_and_not_from_the_token() {
    let (issuer, key, server) = issuer_and_server("rsa-1").await;
    let claims = issuer.claims("eve");
    assert_eq!(code(&server, &key.sign(&claims)).await, "OK");
    // The known confusion: a public key as the secret of an HMAC.
    let secrets = [key.public_pem.clone(), key.public_pem.trim().into(), key.public.to_string(), String::new()];
    for secret in secrets {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let header = Header { alg: algorithm, ..key.header() };
            let token = jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(secret.as_bytes()));
            refused(&server, &token.expect("a token"), "algorithm", &format!("{algorithm:?}")).await;
        }
    }
    let signature = key.sign(&claims).rsplit('.').next().expect("a signature").to_owned();
    for name in ["none", "None", "NONE", "nOnE", "", "RS1", "ES256K", "HS256 ", "rs256"] {
        for signature in ["", signature.as_str()] {
            let header = json!({ "alg": name, "kid": "rsa-1", "typ": "JWT" });
            refused(&server, &with_parts(&header, &claims, signature), "algorithm", name).await;
        }
    }
    // Another algorithm than that of the key, with a key of the same id.
    let ec = TestKey::named("ec-1");
    let header = Header { kid: Some("rsa-1".into()), ..ec.header() };
    refused(&server, &ec.sign_with(&header, &claims), "algorithm", "ES256 with the id of an RSA key").await;
    let header = Header { alg: Algorithm::PS256, ..key.header() };
    refused(&server, &key.sign_with(&header, &claims), "algorithm", "PS256 with a key for RS256").await;
}

#[tokio::test]
async fn keys_are_never_taken_from_the_token() {
    let (issuer, key, server) = issuer_and_server("rsa-1").await;
    let claims = issuer.claims("eve");
    let (attacker, foreign) = (TestKey::named("rsa-2"), TestIssuer::start(&[&TestKey::named("rsa-2")]).await);
    let jwk = serde_json::from_value(attacker.public.clone()).expect("a JWK");
    let keys_url = format!("{}/keys", foreign.url());
    for (header, what) in [
        (Header { jwk: Some(jwk), ..key.header() }, "jwk"),
        (Header { jku: Some(keys_url.clone()), ..key.header() }, "jku"),
        (Header { x5u: Some(keys_url.clone()), ..key.header() }, "x5u"),
        (Header { x5c: Some(vec!["MIIB".into()]), ..key.header() }, "x5c"),
        (key.header(), "the id of another key"),
    ] {
        refused(&server, &attacker.sign_with(&header, &claims), "signature", what).await;
    }
    for id in ["../../../dev/null", "http://127.0.0.1/keys", &keys_url, "' OR 1=1 --", "rsa-1\0", "", "RSA-1", "rsa-2"]
    {
        let header = Header { kid: Some(id.into()), ..attacker.header() };
        refused(&server, &attacker.sign_with(&header, &claims), "key_id", id).await;
    }
    let header = Header { kid: Some("k".repeat(5_000)), ..key.header() };
    refused(&server, &key.sign_with(&header, &claims), "key_id", "a very long id").await;
    assert_eq!(foreign.requests(), 0, "an address in a token was fetched");
    let altered = key.sign(&claims).replacen('.', ".e30", 1);
    assert_eq!(code(&server, &altered).await, REFUSED);
}

#[tokio::test]
async fn a_token_with_an_unknown_extension_or_type_is_refused() {
    let (issuer, key, server) = issuer_and_server("ec-1").await;
    let claims = issuer.claims("eve");
    let header = Header { crit: Some(vec!["b64".into()]), ..key.header() };
    refused(&server, &key.sign_with(&header, &claims), "crit", "crit").await;
    let header = Header { typ: Some("logout+jwt".into()), ..key.header() };
    refused(&server, &key.sign_with(&header, &claims), "type", "a logout token").await;
    let header = Header { typ: Some("at+jwt".into()), ..key.header() };
    assert_eq!(code(&server, &key.sign_with(&header, &claims)).await, "OK");
    refused(&server, &format!("{}{}", key.sign(&claims), "A".repeat(20_000)), "length", "a long token").await;
}

#[tokio::test]
async fn issuer_audience_and_times_are_checked() {
    let (issuer, key, server) = issuer_and_server("rsa-1").await;
    let now = now();
    for (claims, check) in [
        (json!({ "iss": "https://evil.example" }), "issuer"),
        (json!({ "iss": null }), "issuer"),
        (json!({ "iss": format!("{}/", issuer.url()) }), "issuer_slash"),
        (json!({ "aud": "another-service" }), "audience"),
        (json!({ "aud": ["another-service", "third"] }), "audience"),
        (json!({ "aud": "tidings-admin" }), "audience"),
        (json!({ "aud": null }), "audience"),
        // The client that asked for a token is not its audience.
        (json!({ "aud": "another-service", "azp": "tidings", "client_id": "tidings" }), "audience"),
        (json!({ "exp": now - 120 }), "expiry"),
        (json!({ "exp": null }), "expiry"),
        (json!({ "exp": "tomorrow" }), "expiry"),
        (json!({ "nbf": now + 120 }), "not_before"),
        (json!({ "nbf": "now" }), "not_before"),
        (json!({ "iat": now + 120 }), "issued_at"),
        (json!({ "sub": null }), "subject"),
        (json!({ "sub": "" }), "subject"),
        (json!({ "sub": 7 }), "subject"),
        (json!({ "sub": "x".repeat(1_001) }), "subject"),
        (json!({ "sub": "a\0b" }), "subject"),
    ] {
        refused(&server, &key.sign(&merged(issuer.claims("eve"), &claims)), check, &claims.to_string()).await;
    }
    for claims in [
        json!({ "aud": ["another-service", "tidings"], "azp": "some-client" }),
        json!({ "exp": now + 3, "iat": now + 30, "nbf": now + 30 }),
        json!({ "exp": now - 20 }),
        json!({ "exp": now as f64 + 60.5, "iat": null }),
        json!({ "sub": "auth0|7 'ü\n" }),
    ] {
        let token = key.sign(&merged(issuer.claims("ann"), &claims));
        assert_eq!(code(&server, &token).await, "OK", "{claims}");
    }
}

#[tokio::test]
async fn an_issuer_cannot_speak_for_the_users_of_another_one() {
    let keys = [TestKey::named("rsa-1"), TestKey::named("rsa-2")];
    let (first, second) = (TestIssuer::start(&[&keys[0]]).await, TestIssuer::start(&[&keys[1]]).await);
    let both = format!("{},{}", first.url(), second.url()).parse().expect("issuers");
    let server = Server::start_with(|config| config.issuers = IssuerSettings::new(both, "tidings")).await;
    let more = json!({ "preferred_username": "ann" });
    let one = super::me(&server, &first.session(&keys[0], "7", &more)).await;
    let other = super::me(&server, &second.session(&keys[1], "7", &more)).await;
    assert_ne!(one["id"], other["id"], "the same subject of two issuers are two users");
    assert_eq!((&one["username"], &other["username"]), (&json!("ann"), &json!("ann-2")));
    // A token of the second issuer that names the first one, with either key id.
    let claims = merged(first.claims("7"), &more);
    refused(&server, &keys[1].sign(&claims), "key_id", "a foreign key").await;
    let header = Header { kid: Some("rsa-1".into()), ..keys[1].header() };
    refused(&server, &keys[1].sign_with(&header, &claims), "signature", "a foreign key with a known id").await;
}

#[tokio::test]
async fn tokens_of_other_issuers_are_refused_unless_they_are_trusted() {
    let key = TestKey::named("rsa-1");
    let issuer = TestIssuer::start(&[&key]).await;
    let server = Server::start().await;
    assert_eq!(code(&server, &key.sign(&issuer.claims("eve"))).await, REFUSED);
    assert_eq!(issuer.requests(), 0);
}

#[tokio::test]
async fn sockets_with_a_forged_token_are_closed_with_4403() {
    let (issuer, key, server) = issuer_and_server("rsa-1").await;
    let wrong = issuer.session(&key, "eve", &json!({ "aud": "another-service" }));
    let mut socket = Socket::connect(server.address(), "/graphql", "graphql-transport-ws").await;
    socket.send(json!({"type": "connection_init", "payload": {"token": wrong.token}})).await;
    assert_eq!(socket.close_code().await, 4403);
    let path = format!("{CONNECT}?token={}", wrong.token);
    let mut socket = JsonSocket::open_as(server.address(), &path).await;
    assert_eq!(socket.close_code().await, 4403);
}
