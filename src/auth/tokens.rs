//! Session tokens: JWTs signed with HS256. Owns their claims and what makes one valid; must never
//! put a token or the key into an error. Whether its user still exists, is enabled and has that
//! token version is for `board` to look up: a valid token alone opens nothing.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Deserializer, Serialize};

use crate::error::{Error, Result};
use crate::model::{Role, Timestamp, UserId};

/// Makes and checks the tokens of one installation: all its instances share the secret.
#[derive(Clone)]
pub struct Tokens {
    sign: EncodingKey,
    check: DecodingKey,
    rules: Validation,
    lifetime: Duration,
    /// How long after signing in a session can be extended at most.
    session: Duration,
}

/// A token as it is handed to its user.
#[derive(Clone, PartialEq, Eq)]
pub struct IssuedToken {
    /// The JWT.
    pub token: String,
    /// From this moment on it is refused.
    pub expires_at: Timestamp,
}

/// What a valid token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claims {
    /// Whose token it is (`sub`).
    pub user: UserId,
    /// The user's role when it was made (`role`).
    pub role: Role,
    /// The user's token version when it was made (`ver`): another one now means signed out.
    pub version: i64,
    /// When it was made (`iat`), in whole seconds.
    pub issued_at: Timestamp,
    /// When the user signed in (`auth_time`, as OpenID Connect calls it), in whole seconds. A token without this claim
    /// counts from when it was made.
    pub signed_in_at: Timestamp,
    /// From this moment on it is refused (`exp`), in whole seconds.
    pub expires_at: Timestamp,
}

/// The claims on the wire.
#[derive(Serialize, Deserialize)]
struct Wire {
    sub: String,
    role: Role,
    /// Programs that sign tokens with the shared secret need not know of versions: theirs hold
    /// until the user signs out everywhere for the first time.
    #[serde(default)]
    ver: i64,
    #[serde(deserialize_with = "whole_seconds")]
    iat: i64,
    #[serde(deserialize_with = "whole_seconds")]
    exp: i64,
    #[serde(default, deserialize_with = "maybe_whole_seconds")]
    auth_time: Option<i64>,
    #[serde(default, skip_serializing, deserialize_with = "maybe_whole_seconds")]
    nbf: Option<i64>,
}

impl Tokens {
    /// Tokens signed with `secret` that hold for `lifetime`, in sessions that end `session` after signing in.
    #[must_use]
    pub fn new(secret: &[u8], lifetime: Duration, session: Duration) -> Self {
        let mut rules = Validation::new(Algorithm::HS256);
        // Times are compared below, with the caller's clock and no leeway. A token with an
        // audience was made for somebody else and is refused (`validate_aud`, on by default).
        rules.required_spec_claims = HashSet::new();
        rules.validate_exp = false;
        let (sign, check) = (EncodingKey::from_secret(secret), DecodingKey::from_secret(secret));
        Self { sign, check, rules, lifetime, session }
    }

    /// A token for a user who signs in now. `version` is the user's token version of this moment.
    ///
    /// # Errors
    /// [`Error::Internal`] when the signature cannot be made, which is a fault of ours.
    pub fn issue(&self, user: UserId, role: Role, version: i64, now: Timestamp) -> Result<IssuedToken> {
        self.sign(user, role, version, now, now, now.after(self.lifetime.min(self.session)))
    }

    /// A token for a program, for the whole lifetime of a token, however short sessions are. It cannot be extended
    /// beyond the end of a session either.
    ///
    /// # Errors
    /// As [`Self::issue`].
    pub fn issue_unbounded(&self, user: UserId, role: Role, version: i64, now: Timestamp) -> Result<IssuedToken> {
        self.sign(user, role, version, now, now, now.after(self.lifetime))
    }

    /// A new token in the session that began at `signed_in_at`: it holds until that session ends at most.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] when the session has lasted as long as it may; as [`Self::issue`].
    pub fn renew(
        &self,
        user: UserId,
        role: Role,
        version: i64,
        signed_in_at: Timestamp,
        now: Timestamp,
    ) -> Result<IssuedToken> {
        let end = signed_in_at.after(self.session);
        if now >= end {
            return Err(Error::Unauthenticated("the session has lasted as long as it may: sign in again".into()));
        }
        self.sign(user, role, version, signed_in_at, now, now.after(self.lifetime).min(end))
    }

    fn sign(
        &self,
        user: UserId,
        role: Role,
        version: i64,
        signed_in_at: Timestamp,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<IssuedToken> {
        let exp = seconds_rounded_up(expires_at);
        let auth_time = Some(signed_in_at.seconds());
        let wire = Wire { sub: user.to_string(), role, ver: version, iat: now.seconds(), exp, auth_time, nbf: None };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &wire, &self.sign).map_err(Error::internal)?;
        Ok(IssuedToken { token, expires_at: Timestamp::from_seconds(exp) })
    }

    /// What this token says, if it was signed with our secret and holds at `now`.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] otherwise, in words that do not help a forger.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Claims> {
        let decoded = jsonwebtoken::decode::<Wire>(token, &self.check, &self.rules)
            .map_err(|error| not_valid(failed_check(error.kind())))?;
        // RFC 7515 section 4.1.11: extensions that must be understood are not by us.
        if decoded.header.crit.is_some() {
            return Err(not_valid("the header has the extension crit"));
        }
        let claims = Claims::try_from(&decoded.claims)?;
        if decoded.claims.nbf.is_some_and(|from| now < Timestamp::from_seconds(from)) {
            return Err(not_valid("the claim nbf is in the future"));
        }
        if now >= claims.expires_at {
            tracing::debug!(reason = "the claim exp is in the past", "a token was refused");
            return Err(Error::Unauthenticated("the token has expired".into()));
        }
        Ok(claims)
    }
}

impl TryFrom<&Wire> for Claims {
    type Error = Error;

    fn try_from(wire: &Wire) -> Result<Self> {
        let no_id = || not_valid("the claim sub is not the decimal id of a user");
        let user: UserId = wire.sub.parse().map_err(|_| no_id())?;
        // One spelling per user: `+7` and `007` are nobody.
        if user.to_string() != wire.sub {
            return Err(no_id());
        }
        Ok(Self {
            user,
            role: wire.role,
            version: wire.ver,
            issued_at: Timestamp::from_seconds(wire.iat),
            signed_in_at: Timestamp::from_seconds(wire.auth_time.unwrap_or(wire.iat)),
            expires_at: Timestamp::from_seconds(wire.exp),
        })
    }
}

/// A new secret for [`Tokens::new`]: 32 random bytes as base64url text.
#[must_use]
pub fn make_secret() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// Whether a text may be one that [`make_secret`] made: it is whole, and nothing else is beside it.
#[must_use]
pub fn is_made_secret(text: &str) -> bool {
    URL_SAFE_NO_PAD.decode(text).is_ok_and(|bytes| bytes.len() == 32)
}

/// The client hears the same of every check, so that a forger learns nothing; the log says which one failed.
fn not_valid(reason: &str) -> Error {
    tracing::debug!(reason, "a token was refused");
    Error::Unauthenticated("the token is not valid".into())
}

/// Which check of a token failed. The library's own words may quote the token.
fn failed_check(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidSignature => "it was signed with another secret, or changed",
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => "it is signed by another algorithm than HS256",
        ErrorKind::InvalidAudience => "the claim aud is set: the token is for another service",
        ErrorKind::InvalidToken => "it is not three parts of base64url",
        ErrorKind::Json(_) => "a claim is missing (sub, role, iat, exp), or has a wrong type",
        ErrorKind::Base64(_) | ErrorKind::Utf8(_) => "a part is not base64url of UTF-8",
        _ => "it is not a JSON Web Token",
    }
}

/// JWTs count whole seconds; a session must not be shorter than promised.
fn seconds_rounded_up(time: Timestamp) -> i64 {
    Timestamp(time.0.saturating_add(999_999)).seconds()
}

/// RFC 7519 allows fractions (`time.time() + 3600` in Python makes them).
fn whole_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    #[expect(clippy::cast_possible_truncation, reason = "rounds down, and saturates far beyond any year")]
    f64::deserialize(deserializer).map(|seconds| seconds.floor() as i64)
}

fn maybe_whole_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    whole_seconds(deserializer).map(Some)
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("lifetime", &self.lifetime)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedToken").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_250_000);
    const HOUR: Duration = Duration::from_secs(3600);

    fn tokens() -> Tokens {
        Tokens::new(b"a secret", HOUR, 10 * HOUR)
    }

    fn signed(header: &Header, claims: &Value) -> String {
        jsonwebtoken::encode(header, claims, &EncodingKey::from_secret(b"a secret")).unwrap()
    }

    fn by_hand(claims: &Value) -> String {
        signed(&Header::new(Algorithm::HS256), claims)
    }

    fn claims() -> Value {
        json!({ "sub": "7", "role": "MEMBER", "ver": 3, "iat": NOW.seconds(), "exp": NOW.seconds() + 60 })
    }

    fn with(name: &str, value: Value) -> Value {
        let mut claims = claims();
        claims[name] = value;
        claims
    }

    fn without(name: &str) -> Value {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        claims
    }

    fn base64(text: &str) -> String {
        URL_SAFE_NO_PAD.encode(text)
    }

    #[track_caller]
    fn refused(token: &str, why: &str) {
        let error = tokens().verify(token, NOW).unwrap_err();
        assert_eq!(error, Error::Unauthenticated(why.into()));
    }

    #[test]
    fn what_is_issued_is_understood() {
        let issued = tokens().issue(UserId(7), Role::Admin, 3, NOW).unwrap();
        let claims = tokens().verify(&issued.token, NOW).unwrap();
        assert_eq!((claims.user, claims.role, claims.version), (UserId(7), Role::Admin, 3));
        assert_eq!(claims.issued_at.seconds(), NOW.seconds());
        assert_eq!(claims.expires_at, issued.expires_at);
        assert!(NOW.until(issued.expires_at) >= HOUR, "never shorter than promised");
        let payload = issued.token.split('.').nth(1).unwrap();
        let wire: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
        let (iat, exp) = (NOW.seconds(), NOW.seconds() + 3601);
        assert_eq!(wire, json!({ "sub": "7", "role": "ADMIN", "ver": 3, "iat": iat, "exp": exp, "auth_time": iat }));
    }

    #[test]
    fn it_ends_at_the_very_moment() {
        let issued = tokens().issue(UserId(7), Role::Member, 0, NOW).unwrap();
        let just_before = Timestamp(issued.expires_at.0 - 1);
        assert!(tokens().verify(&issued.token, just_before).is_ok());
        let error = tokens().verify(&issued.token, issued.expires_at).unwrap_err();
        assert_eq!(error, Error::Unauthenticated("the token has expired".into()));
    }

    #[test]
    fn a_session_is_extended_until_it_ends_and_no_further() {
        let claims = |token: &str, now| tokens().verify(token, now).unwrap();
        let mut now = NOW;
        let mut issued = tokens().issue(UserId(7), Role::Member, 0, now).unwrap();
        let end = claims(&issued.token, now).signed_in_at.after(10 * HOUR);
        for _ in 0..19 {
            now = now.after(HOUR / 2);
            let known = claims(&issued.token, now);
            issued = tokens().renew(known.user, known.role, known.version, known.signed_in_at, now).unwrap();
            assert!(issued.expires_at.0 <= end.0 + 1_000_000);
        }
        assert_eq!(claims(&issued.token, now).signed_in_at.seconds(), NOW.seconds());
        let error =
            tokens().renew(UserId(7), Role::Member, 0, Timestamp::from_seconds(NOW.seconds()), end).unwrap_err();
        assert!(matches!(&error, Error::Unauthenticated(why) if why.contains("sign in again")), "{error}");
    }

    #[test]
    fn a_token_of_an_earlier_version_counts_from_when_it_was_made() {
        let claims = tokens().verify(&by_hand(&claims()), NOW).unwrap();
        assert_eq!(claims.signed_in_at, claims.issued_at);
    }

    #[test]
    fn a_session_may_be_shorter_than_a_token_but_for_programs() {
        let tokens = Tokens::new(b"a secret", HOUR, HOUR / 2);
        let person = tokens.issue(UserId(7), Role::Member, 0, NOW).unwrap();
        let program = tokens.issue_unbounded(UserId(7), Role::Member, 0, NOW).unwrap();
        assert_eq!(person.expires_at.seconds(), NOW.seconds() + 1801);
        assert_eq!(program.expires_at.seconds(), NOW.seconds() + 3601);
    }

    #[test]
    fn forgeries_are_refused() {
        let honest = tokens().issue(UserId(7), Role::Member, 0, NOW).unwrap().token;
        let [header, payload, signature] = honest.split('.').collect::<Vec<_>>().try_into().unwrap();
        let raised = base64(&with("role", json!("ADMIN")).to_string());
        let none = base64(r#"{"typ":"JWT","alg":"none"}"#);
        let other_key =
            Tokens::new(b"another secret", HOUR, HOUR).issue(UserId(7), Role::Member, 0, NOW).unwrap().token;
        for forged in [
            format!("{header}.{raised}.{signature}"),
            format!("{none}.{payload}."),
            format!("{none}.{payload}.{signature}"),
            format!("{header}.{payload}."),
            format!("{header}.{payload}"),
            signed(&Header::new(Algorithm::HS384), &claims()),
            signed(&Header::new(Algorithm::HS512), &claims()),
            signed(&Header { crit: Some(vec!["b64".into()]), ..Header::new(Algorithm::HS256) }, &claims()),
            other_key,
        ] {
            refused(&forged, "the token is not valid");
        }
    }

    #[test]
    fn garbage_is_refused() {
        for garbage in ["", ".", "..", "...", "Bearer x", "a.b.c", "ü.ü.ü", "\0", &"x".repeat(100_000)] {
            refused(garbage, "the token is not valid");
        }
    }

    #[test]
    fn strange_claims_are_refused() {
        for claims in [
            with("sub", json!(7)),
            with("sub", json!("+7")),
            with("sub", json!("007")),
            with("sub", json!("seven")),
            with("role", json!("ROOT")),
            with("role", json!("admin")),
            with("exp", json!("tomorrow")),
            with("aud", json!("another-service")),
            with("nbf", json!(NOW.seconds() + 30)),
            without("sub"),
            without("role"),
            without("iat"),
            without("exp"),
        ] {
            refused(&by_hand(&claims), "the token is not valid");
        }
        refused(&by_hand(&with("exp", json!(NOW.seconds() - 1))), "the token has expired");
        refused(&by_hand(&with("exp", json!(-5))), "the token has expired");
    }

    #[test]
    fn tokens_of_other_programs_with_the_secret_hold() {
        let fraction = with("exp", json!(1_800_000_059.75));
        for claims in [claims(), without("ver"), with("nbf", json!(NOW.seconds())), fraction] {
            assert_eq!(tokens().verify(&by_hand(&claims), NOW).unwrap().user, UserId(7));
        }
        assert_eq!(tokens().verify(&by_hand(&without("ver")), NOW).unwrap().version, 0);
    }

    #[test]
    fn debug_shows_no_secret() {
        let issued = tokens().issue(UserId(7), Role::Member, 0, NOW).unwrap();
        assert!(!format!("{issued:?}").contains(&issued.token));
        assert_eq!(format!("{:?}", tokens()), "Tokens { lifetime: 3600s, session: 36000s, .. }");
    }

    #[test]
    fn secrets_are_long_and_new() {
        assert_eq!(URL_SAFE_NO_PAD.decode(make_secret()).unwrap().len(), 32);
        assert_ne!(make_secret(), make_secret());
    }
}
