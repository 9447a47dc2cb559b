//! Sign-in rate limits, and invalid tokens.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value, json};

use crate::support::{Server, Socket};

const LOGIN: &str = "mutation ($name: String!, $password: String!) {
    login(input: { username: $name, password: $password }) { token } }";

#[tokio::test]
async fn at_most_ten_of_a_hundred_wrong_passwords_are_checked_and_other_users_are_served() {
    let server = std::sync::Arc::new(Server::start_with(|config| config.sessions.attempts_per_minute = 10).await);
    let ann = server.register("ann").await;
    let attempts: Vec<_> = (0..100)
        .map(|number| {
            let server = std::sync::Arc::clone(&server);
            tokio::spawn(async move {
                server.execute(None, LOGIN, json!({"name": "ann", "password": format!("wrong {number}")})).await
            })
        })
        .collect();
    let since = Instant::now();
    server.data(Some(&ann), "{ me { id } }", json!({})).await;
    println!("a query during 100 wrong passwords took {:?}", since.elapsed());
    let mut codes = Vec::new();
    for attempt in attempts {
        let answer = attempt.await.expect("a response");
        let extensions = &answer["errors"][0]["extensions"];
        if extensions["code"] == "RATE_LIMITED" {
            assert!(extensions["retryAfterMs"].as_i64().is_some_and(|wait| wait > 0), "{answer}");
        }
        codes.push(extensions["code"].as_str().expect("a code").to_owned());
    }
    let tried = codes.iter().filter(|code| *code == "UNAUTHENTICATED").count();
    assert!(tried <= 10, "{tried} passwords were checked");
    assert_eq!(codes.iter().filter(|code| *code == "RATE_LIMITED").count(), 100 - tried);
    // Another name from the same address has its own count.
    assert_eq!(server.error_code(None, LOGIN, json!({"name": "ben", "password": "wrong"})).await, "UNAUTHENTICATED");
}

#[tokio::test]
async fn a_wrong_name_and_a_wrong_password_get_the_same_response() {
    let server = Server::start().await;
    server.register("ann").await;
    let answer = |name: &'static str| server.execute(None, LOGIN, json!({"name": name, "password": "wrong password"}));
    let (wrong_password, wrong_name) = (answer("ann").await, answer("nobody").await);
    assert_eq!(wrong_password, wrong_name);
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..15 {
        for (name, times) in ["ann", "nobody"].into_iter().zip(&mut times) {
            let since = Instant::now();
            answer(name).await;
            times.push(since.elapsed());
        }
    }
    let [password, name] = times.map(|mut times| {
        times.sort();
        times[times.len() / 2]
    });
    println!("median of 15: a wrong password takes {password:?}, a wrong name {name:?}");
}

#[tokio::test]
async fn registration_is_rejected_when_it_is_closed() {
    let server =
        Server::start_with(|config| config.sessions.registration = tidings::config::Registration::Closed).await;
    let register = "mutation { register(input: { username: \"x\", password: \"long enough\" }) { token } }";
    assert_eq!(server.error_code(None, register, json!({})).await, "FORBIDDEN");
}

#[tokio::test]
async fn changing_the_password_ends_the_other_sessions() {
    let server = Server::start().await;
    let ann = server.register("ann").await;
    let mut socket = server.socket(Some(&ann)).await;
    let change = "mutation ($current: String!, $new: String!) {
        changePassword(input: { current: $current, new: $new }) { token } }";
    let wrong = json!({"current": "wrong", "new": "another good one"});
    assert_eq!(server.error_code(Some(&ann), change, wrong).await, "BAD_USER_INPUT");
    let right = json!({"current": crate::support::PASSWORD, "new": "another good one"});
    let changed = server.data(Some(&ann), change, right).await;
    assert_eq!(socket.close_code().await, 4403);
    assert_eq!(server.error_code(Some(&ann), "{ me { id } }", json!({})).await, "UNAUTHENTICATED");
    let fresh = server.login_with("ann", changed["changePassword"]["token"].as_str().unwrap()).await;
    assert_eq!(fresh.id, ann.id);
    let old = json!({"name": "ann", "password": crate::support::PASSWORD});
    assert_eq!(server.error_code(None, LOGIN, old).await, "UNAUTHENTICATED");
}

/// Tokens that are expired, or forged in one of the known ways.
#[tokio::test]
async fn forged_and_expired_tokens_are_rejected_over_http_and_sockets() {
    let server = Server::start_with(|config| config.tokens.token_lifetime = Duration::from_secs(1)).await;
    let ann = server.register("ann").await;
    let expired = ann.token.clone();
    let parts: Vec<&str> = expired.split('.').collect();
    let claims: Value = serde_json::from_slice(&BASE64.decode(parts[1]).unwrap()).unwrap();
    let with = |header: Value, change: &dyn Fn(&mut Value), signature: &str| {
        let mut claims = claims.clone();
        claims["exp"] = json!(claims["iat"].as_i64().unwrap() + 3_600);
        change(&mut claims);
        let part = |value: &Value| BASE64.encode(value.to_string());
        format!("{}.{}.{signature}", part(&header), part(&claims))
    };
    let hs256 = json!({"alg": "HS256", "typ": "JWT"});
    let another_key = {
        let tokens = tidings::auth::Tokens::new(
            b"another secret that is long enough for this",
            Duration::from_secs(60),
            Duration::from_secs(60),
        );
        let user = tidings::model::UserId(ann.id.parse().unwrap());
        let subject =
            tidings::auth::TokenSubject { user, role: tidings::model::Role::Admin, version: 0, session: None };
        tokens.issue(subject, tidings::model::Timestamp::now()).unwrap().token
    };
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    let forged = [
        ("expired", expired.clone()),
        ("alg none", with(json!({"alg": "none"}), &|_| {}, "")),
        ("alg none, old signature", with(json!({"alg": "none"}), &|_| {}, parts[2])),
        ("a raised role", with(hs256.clone(), &|claims| claims["role"] = json!("ADMIN"), parts[2])),
        ("a later end", with(hs256.clone(), &|_| {}, parts[2])),
        ("another algorithm", with(json!({"alg": "HS512"}), &|_| {}, parts[2])),
        ("another key", another_key),
        ("two parts", format!("{}.{}", parts[0], parts[1])),
        ("nonsense", "nonsense".into()),
    ];
    for (what, token) in forged {
        let query = json!({"query": "{ __typename }"});
        let post = server.http().post(server.url("/graphql")).json(&query);
        let answer = post.bearer_auth(&token).send().await.expect("a response");
        assert_eq!(answer.status(), 401, "{what}");
        let body = answer.text().await.expect("a body");
        assert!(body.contains("UNAUTHENTICATED") && !body.contains(&token), "{what}: {body}");
        let get = server.url(&format!("/graphql?query=%7B__typename%7D&token={token}"));
        assert_eq!(server.http().get(get).send().await.expect("a response").status(), 401, "{what}");
        for (path, payload) in [
            ("/graphql".to_owned(), json!({"authorization": format!("Bearer {token}")})),
            (format!("/graphql?token={token}"), json!({})),
        ] {
            let mut socket = Socket::connect(server.address(), &path, "graphql-transport-ws").await;
            socket.send(json!({"type": "connection_init", "payload": payload})).await;
            assert_eq!(socket.close_code().await, 4403, "{what}");
        }
    }
}
