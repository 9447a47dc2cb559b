//! `refreshToken` extends a session until its maximum lifetime.

use std::time::Duration;

use serde_json::json;
use tidings::auth::{TokenSubject, Tokens};
use tidings::model::{Role, Timestamp, UserId};

use crate::support::{Server, Session};

const HOUR: Duration = Duration::from_secs(3600);
const SECRET: &str = "only for this test: 0123456789abcdef0123456789ab";

#[tokio::test]
async fn a_session_ends_at_its_maximum_lifetime_despite_refreshes() {
    let server = Server::start_with(|config| {
        config.tokens.secret = Some(SECRET.parse().expect("a secret"));
        config.tokens.session_lifetime = 10 * HOUR;
        config.tokens.token_lifetime = HOUR;
    })
    .await;
    let ann = server.register("ann").await;
    let user = UserId(ann.id.parse().expect("an id"));
    let subject = TokenSubject { user, role: Role::Member, version: 0, session: None };
    let refresh = "mutation { refreshToken { token expiresAt } }";
    let now = Timestamp::now();
    // A token of a session that began `age` ago, as after many refreshes.
    let since = |age: Duration| {
        let tokens = Tokens::new(SECRET.as_bytes(), HOUR, 1_000 * HOUR);
        let token = tokens.renew(subject, now.before(age), now).expect("a token").token;
        Session { token, ..ann.clone() }
    };
    let expires = |answer: serde_json::Value| {
        let at = answer["refreshToken"]["expiresAt"].as_str().and_then(Timestamp::parse);
        now.until(at.expect("a time")).as_secs()
    };
    let young = expires(server.data(Some(&since(HOUR)), refresh, json!({})).await);
    assert!((3_595..=3_700).contains(&young), "{young}");
    // The last token before the maximum lifetime is shorter, and refreshing it again does not extend it.
    let old = server.data(Some(&since(9 * HOUR + HOUR / 2)), refresh, json!({})).await;
    let next = Session { token: old["refreshToken"]["token"].as_str().expect("a token").into(), ..ann.clone() };
    let again = server.data(Some(&next), refresh, json!({})).await;
    for answer in [old, again] {
        let left = expires(answer);
        assert!((1_790..=1_801).contains(&left), "{left}");
    }
    assert_eq!(server.error_code(Some(&since(10 * HOUR)), refresh, json!({})).await, "UNAUTHENTICATED");
    assert_eq!(server.error_code(Some(&since(99 * HOUR)), refresh, json!({})).await, "UNAUTHENTICATED");
    // The token itself stays valid until it expires.
    server.data(Some(&since(99 * HOUR)), "{ me { id } }", json!({})).await;
}
