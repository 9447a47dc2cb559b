//! Session tokens: JWTs signed with HS256. This module owns their claims and the rules for a valid token. It never puts
//! a token or the key into an error. A valid token alone grants nothing: `board` checks that its user still exists, is
//! enabled and has the same token version.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Deserializer, Serialize};

use crate::error::{Error, Result};
use crate::model::{Role, SessionId, Timestamp, User, UserId};

/// Signs and verifies the tokens of one installation. All its instances share the secret.
#[derive(Clone)]
pub struct Tokens {
    signing_key: EncodingKey,
    verification_key: DecodingKey,
    validation: Validation,
    lifetime: Duration,
    /// The maximum time after signing in until which a session can be extended.
    session_lifetime: Duration,
}

/// A signed token and its expiry.
#[derive(Clone, PartialEq, Eq)]
pub struct IssuedToken {
    /// The JWT.
    pub token: String,
    /// The token is invalid from this time on.
    pub expires_at: Timestamp,
}

/// The user of a token, as the token describes the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenSubject {
    /// The user.
    pub user: UserId,
    /// The user's role.
    pub role: Role,
    /// The user's token version.
    pub version: i64,
    /// The session of the token; `None` for a token that belongs to no session.
    pub session: Option<SessionId>,
}

impl TokenSubject {
    /// The present state of a user, in a session.
    #[must_use]
    pub fn of(user: &User, session: Option<SessionId>) -> Self {
        Self { user: user.id, role: user.role, version: user.token_version, session }
    }
}

/// The contents of a valid token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claims {
    /// The user of the token (`sub`).
    pub user: UserId,
    /// The user's role when the token was issued (`role`).
    pub role: Role,
    /// The user's token version when the token was issued (`ver`). If the user has another version now, the session has
    /// ended.
    pub version: i64,
    /// The session of the token (`sid`, the OpenID Connect claim). The token ends with it.
    pub session: Option<SessionId>,
    /// When the token was issued (`iat`), in whole seconds.
    pub issued_at: Timestamp,
    /// When the user signed in (`auth_time`, the OpenID Connect claim), in whole seconds. For a token without this
    /// claim it is the time of issue.
    pub signed_in_at: Timestamp,
    /// The token is invalid from this time on (`exp`), in whole seconds.
    pub expires_at: Timestamp,
}

/// The claims as they are serialized in a token.
#[derive(Serialize, Deserialize)]
struct ClaimsJson {
    sub: String,
    role: Role,
    /// Other programs may sign tokens with the shared secret without knowing token versions. Their tokens are valid
    /// until the user signs out everywhere for the first time.
    #[serde(default)]
    ver: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sid: Option<String>,
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
    /// Signs with `secret`. A token is valid for `lifetime`. A session ends `session` after signing in.
    #[must_use]
    pub fn new(secret: &[u8], lifetime: Duration, session: Duration) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        // `verify` compares times itself, with the caller's clock and without leeway. A token with an audience (`aud`)
        // is for another service; the default `validate_aud` refuses it.
        validation.required_spec_claims = HashSet::new();
        validation.validate_exp = false;
        let (signing_key, verification_key) = (EncodingKey::from_secret(secret), DecodingKey::from_secret(secret));
        Self { signing_key, verification_key, validation, lifetime, session_lifetime: session }
    }

    /// How long a session lasts after signing in, or after the last use of its refresh token.
    #[must_use]
    pub fn session_lifetime(&self) -> Duration {
        self.session_lifetime
    }

    /// Issues a token for a user who signs in now, or uses a refresh token.
    ///
    /// # Errors
    /// `INTERNAL_SERVER_ERROR` if the token cannot be signed.
    pub fn issue(&self, subject: TokenSubject, now: Timestamp) -> Result<IssuedToken> {
        self.sign(subject, now, now, now.after(self.lifetime.min(self.session_lifetime)))
    }

    /// Issues a token for a program. It is valid for the whole lifetime of a token, even if sessions are shorter. It
    /// cannot be extended beyond the end of a session.
    ///
    /// # Errors
    /// `INTERNAL_SERVER_ERROR` if the token cannot be signed.
    pub fn issue_unbounded(&self, subject: TokenSubject, now: Timestamp) -> Result<IssuedToken> {
        self.sign(subject, now, now, now.after(self.lifetime))
    }

    /// Issues a new token for the session that began at `signed_in_at`. The token expires when the session ends, or
    /// earlier.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if the session has reached its maximum length. `INTERNAL_SERVER_ERROR` if the token cannot be
    /// signed.
    pub fn renew(&self, subject: TokenSubject, signed_in_at: Timestamp, now: Timestamp) -> Result<IssuedToken> {
        let end = signed_in_at.after(self.session_lifetime);
        if now >= end {
            return Err(Error::Unauthenticated("the session has reached its maximum length: sign in again".into()));
        }
        self.sign(subject, signed_in_at, now, now.after(self.lifetime).min(end))
    }

    fn sign(
        &self,
        subject: TokenSubject,
        signed_in_at: Timestamp,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<IssuedToken> {
        let TokenSubject { user, role, version, session } = subject;
        let exp = seconds_rounded_up(expires_at);
        let auth_time = Some(signed_in_at.seconds());
        let (sub, sid) = (user.to_string(), session.map(|id| id.to_string()));
        let claims = ClaimsJson { sub, role, ver: version, sid, iat: now.seconds(), exp, auth_time, nbf: None };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.signing_key)
            .map_err(Error::internal)?;
        Ok(IssuedToken { token, expires_at: Timestamp::from_seconds(exp) })
    }

    /// The claims of a token that was signed with our secret and is valid at `now`.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` for any other token. The message does not say which check failed, except that a token has
    /// expired.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Claims> {
        let decoded = jsonwebtoken::decode::<ClaimsJson>(token, &self.verification_key, &self.validation)
            .map_err(|error| not_valid(failed_check(error.kind())))?;
        // `crit` lists extensions that the receiver must understand (RFC 7515 section 4.1.11). None is supported.
        if decoded.header.crit.is_some() {
            return Err(not_valid("the header has the extension crit"));
        }
        let claims = Claims::try_from(&decoded.claims)?;
        if decoded.claims.nbf.is_some_and(|from| now < Timestamp::from_seconds(from)) {
            return Err(not_valid("the claim nbf is in the future"));
        }
        if now >= claims.expires_at {
            tracing::debug!(reason = "the claim exp is in the past", "a session token was refused");
            return Err(Error::Unauthenticated("the token has expired".into()));
        }
        Ok(claims)
    }
}

impl TryFrom<&ClaimsJson> for Claims {
    type Error = Error;

    fn try_from(json: &ClaimsJson) -> Result<Self> {
        let no_id = || not_valid("the claim sub is not the decimal id of a user");
        let user: UserId = json.sub.parse().map_err(|_| no_id())?;
        // Each user has exactly one spelling. `+7` and `007` are rejected.
        if user.to_string() != json.sub {
            return Err(no_id());
        }
        let session = json.sid.as_deref().map(str::parse).transpose();
        Ok(Self {
            user,
            role: json.role,
            version: json.ver,
            session: session.map_err(|_| not_valid("the claim sid is not the id of a session"))?,
            issued_at: Timestamp::from_seconds(json.iat),
            signed_in_at: Timestamp::from_seconds(json.auth_time.unwrap_or(json.iat)),
            expires_at: Timestamp::from_seconds(json.exp),
        })
    }
}

/// Generates a secret for [`Tokens::new`]: 32 random bytes as base64url text.
#[must_use]
pub fn generate_secret() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// Whether the text has the form of a secret from [`generate_secret`]: exactly 32 bytes as base64url, and nothing else.
#[must_use]
pub fn is_generated_secret(text: &str) -> bool {
    URL_SAFE_NO_PAD.decode(text).is_ok_and(|bytes| bytes.len() == 32)
}

/// The error for an invalid token. Clients get the same message for every failed check, so that it does not help to
/// forge tokens. The log names the check.
fn not_valid(reason: &str) -> Error {
    tracing::debug!(reason, "a session token was refused");
    Error::Unauthenticated("the token is not valid".into())
}

/// The name of the check that failed, for the log. The library's own error text is not used, because it may quote the
/// token.
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

/// JWTs count whole seconds. Expiry is rounded up, so that a session is never shorter than configured.
fn seconds_rounded_up(time: Timestamp) -> i64 {
    Timestamp(time.0.saturating_add(999_999)).seconds()
}

/// RFC 7519 allows fractions of seconds in times; Python's `time.time() + 3600` produces them. The fraction is dropped.
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
            .field("session_lifetime", &self.session_lifetime)
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

    /// A user without a session.
    fn subject(role: Role, version: i64) -> TokenSubject {
        TokenSubject { user: UserId(7), role, version, session: None }
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
    fn an_issued_token_is_verified_with_its_claims() {
        let issued = tokens().issue(subject(Role::Admin, 3), NOW).unwrap();
        let claims = tokens().verify(&issued.token, NOW).unwrap();
        assert_eq!((claims.user, claims.role, claims.version), (UserId(7), Role::Admin, 3));
        assert_eq!(claims.issued_at.seconds(), NOW.seconds());
        assert_eq!(claims.expires_at, issued.expires_at);
        assert!(NOW.until(issued.expires_at) >= HOUR, "a token is never shorter than its lifetime");
        let payload = issued.token.split('.').nth(1).unwrap();
        let json: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
        let (iat, exp) = (NOW.seconds(), NOW.seconds() + 3601);
        assert_eq!(json, json!({ "sub": "7", "role": "ADMIN", "ver": 3, "iat": iat, "exp": exp, "auth_time": iat }));
    }

    #[test]
    fn a_token_of_a_session_has_the_id_of_the_session() {
        let session = Some(SessionId(41));
        let token = tokens().issue(TokenSubject { session, ..subject(Role::Member, 0) }, NOW).unwrap().token;
        assert_eq!(tokens().verify(&token, NOW).unwrap().session, session);
        assert_eq!(tokens().verify(&by_hand(&with("sid", json!("41"))), NOW).unwrap().session, session);
        refused(&by_hand(&with("sid", json!("all"))), "the token is not valid");
    }

    #[test]
    fn a_token_expires_exactly_at_its_expiry() {
        let issued = tokens().issue(subject(Role::Member, 0), NOW).unwrap();
        let just_before = Timestamp(issued.expires_at.0 - 1);
        assert!(tokens().verify(&issued.token, just_before).is_ok());
        let error = tokens().verify(&issued.token, issued.expires_at).unwrap_err();
        assert_eq!(error, Error::Unauthenticated("the token has expired".into()));
    }

    #[test]
    fn a_session_is_extended_until_it_ends_and_no_further() {
        let claims = |token: &str, now| tokens().verify(token, now).unwrap();
        let mut now = NOW;
        let mut issued = tokens().issue(subject(Role::Member, 0), now).unwrap();
        let end = claims(&issued.token, now).signed_in_at.after(10 * HOUR);
        for _ in 0..19 {
            now = now.after(HOUR / 2);
            let known = claims(&issued.token, now);
            issued = tokens().renew(subject(known.role, known.version), known.signed_in_at, now).unwrap();
            assert!(issued.expires_at.0 <= end.0 + 1_000_000);
        }
        assert_eq!(claims(&issued.token, now).signed_in_at.seconds(), NOW.seconds());
        let error = tokens().renew(subject(Role::Member, 0), Timestamp::from_seconds(NOW.seconds()), end).unwrap_err();
        assert!(matches!(&error, Error::Unauthenticated(why) if why.contains("sign in again")), "{error}");
    }

    #[test]
    fn a_token_without_auth_time_counts_from_its_issue() {
        let claims = tokens().verify(&by_hand(&claims()), NOW).unwrap();
        assert_eq!(claims.signed_in_at, claims.issued_at);
    }

    #[test]
    fn a_short_session_shortens_tokens_of_people_but_not_of_programs() {
        let tokens = Tokens::new(b"a secret", HOUR, HOUR / 2);
        let person = tokens.issue(subject(Role::Member, 0), NOW).unwrap();
        let program = tokens.issue_unbounded(subject(Role::Member, 0), NOW).unwrap();
        assert_eq!(person.expires_at.seconds(), NOW.seconds() + 1801);
        assert_eq!(program.expires_at.seconds(), NOW.seconds() + 3601);
    }

    #[test]
    fn forged_tokens_are_refused() {
        let honest = tokens().issue(subject(Role::Member, 0), NOW).unwrap().token;
        let [header, payload, signature] = honest.split('.').collect::<Vec<_>>().try_into().unwrap();
        let raised = base64(&with("role", json!("ADMIN")).to_string());
        let none = base64(r#"{"typ":"JWT","alg":"none"}"#);
        let other_key = Tokens::new(b"another secret", HOUR, HOUR).issue(subject(Role::Member, 0), NOW).unwrap().token;
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
    fn texts_that_are_no_tokens_are_refused() {
        for garbage in ["", ".", "..", "...", "Bearer x", "a.b.c", "ü.ü.ü", "\0", &"x".repeat(100_000)] {
            refused(garbage, "the token is not valid");
        }
    }

    #[test]
    fn tokens_with_invalid_claims_are_refused() {
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
    fn tokens_that_other_programs_sign_with_the_secret_are_valid() {
        let fraction = with("exp", json!(1_800_000_059.75));
        for claims in [claims(), without("ver"), with("nbf", json!(NOW.seconds())), fraction] {
            assert_eq!(tokens().verify(&by_hand(&claims), NOW).unwrap().user, UserId(7));
        }
        assert_eq!(tokens().verify(&by_hand(&without("ver")), NOW).unwrap().version, 0);
    }

    #[test]
    fn debug_output_contains_no_token_or_key() {
        let issued = tokens().issue(subject(Role::Member, 0), NOW).unwrap();
        assert!(!format!("{issued:?}").contains(&issued.token));
        assert_eq!(format!("{:?}", tokens()), "Tokens { lifetime: 3600s, session_lifetime: 36000s, .. }");
    }

    #[test]
    fn secrets_are_32_random_bytes() {
        assert_eq!(URL_SAFE_NO_PAD.decode(generate_secret()).unwrap().len(), 32);
        assert_ne!(generate_secret(), generate_secret());
    }
}
