//! The issuers whose tokens the server accepts, and the verification of their tokens.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{Algorithm, Validation};
use serde_json::{Map, Value};

use super::claim_mapping::{ClaimMapping, ExternalProfile};
use super::failed_check::FailedCheck;
use super::key_set::{self, PublicKey};
use super::key_source::KeySource;
use super::token_parts::{TokenParts, issuer_and_algorithm};
use super::web_client::{WebClient, check_address};
use crate::error::{Error, Result};
use crate::model::{Counter, CountersBy, ExternalIdentity, Timestamp};

/// How far the clock of an issuer may differ from ours.
const LEEWAY: Duration = Duration::from_secs(60);
/// The longest subject, in bytes. PostgreSQL cannot index more than about 2,700 bytes.
const MAX_SUBJECT_BYTES: usize = 1_000;

/// The settings for tokens of other issuers.
#[derive(Debug, Clone)]
pub struct TrustSettings {
    /// The issuers, as their tokens name them.
    pub issuers: Vec<String>,
    /// The value that the claim `aud` must contain.
    pub audience: String,
    /// The address of the keys of the only issuer; `None`: discovery.
    pub jwks_url: Option<String>,
    /// The claims that describe the user.
    pub mapping: ClaimMapping,
}

/// The issuers whose tokens the server accepts.
#[derive(Debug)]
pub struct TrustedIssuers {
    sources: Vec<Arc<KeySource>>,
    audience: String,
    mapping: ClaimMapping,
    counts: IssuerCounts,
}

/// Counters of tokens of other issuers.
#[derive(Debug, Default)]
pub struct IssuerCounts {
    /// Tokens that were accepted.
    pub accepted: Counter,
    /// Tokens that were refused, by the check that failed.
    pub refused: CountersBy<FailedCheck>,
}

/// The contents of a valid token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedToken {
    /// The user, as the issuer identifies them.
    pub identity: ExternalIdentity,
    /// What the token says about the user.
    pub profile: ExternalProfile,
    /// When the token was issued (`iat`), in whole seconds; time 0 if the token does not say it.
    pub issued_at: Timestamp,
    /// When a session with the token ends: at its expiry (`exp`), or if that has passed, at the end of the leeway.
    pub ends_at: Timestamp,
}

impl TrustedIssuers {
    /// Trusts the issuers of these settings.
    ///
    /// # Errors
    /// One line for the operator if an address is not secure, or requests to issuers cannot be prepared.
    pub fn new(settings: TrustSettings) -> Result<Self, String> {
        let TrustSettings { issuers, audience, jwks_url, mapping } = settings;
        let insecure = |name: &str, error: String| format!("{name}: {error}");
        issuers
            .iter()
            .try_for_each(|url| check_address(url))
            .map_err(|error| insecure("TIDINGS_OIDC_ISSUERS", error))?;
        jwks_url.iter().try_for_each(|url| check_address(url)).map_err(|error| insecure("TIDINGS_JWKS_URL", error))?;
        let client = WebClient::new()?;
        let source = |issuer| Arc::new(KeySource::new(issuer, jwks_url.clone(), client.clone()));
        let sources = issuers.into_iter().map(source).collect();
        Ok(Self { sources, audience, mapping, counts: IssuerCounts::default() })
    }

    /// The counters.
    #[must_use]
    pub fn counts(&self) -> &IssuerCounts {
        &self.counts
    }

    /// Fetches of keys that succeeded, and those that failed.
    #[must_use]
    pub fn fetches(&self) -> (u64, u64) {
        let sum = |counter: fn(&KeySource) -> &Counter| self.sources.iter().map(|source| counter(source).get()).sum();
        (sum(|source| &source.fetched), sum(|source| &source.failed))
    }

    /// The first issuer.
    #[must_use]
    pub fn first(&self) -> Option<&str> {
        self.sources.first().map(|source| source.issuer.as_str())
    }

    /// Keeps the keys of all issuers fresh. Never returns.
    pub async fn run(self: Arc<Self>) {
        let running = self.sources.iter().map(|source| Arc::clone(source).run());
        futures_util::future::join_all(running).await;
    }

    /// Whether a token is meant to be one of another issuer: it names a trusted issuer, or an algorithm or a length that
    /// the server's own tokens do not have.
    #[must_use]
    pub fn are_meant_by(&self, token: &str) -> bool {
        match issuer_and_algorithm(token) {
            Ok((issuer, algorithm)) => {
                algorithm != "HS256" || issuer.is_some_and(|issuer| self.source(&issuer).is_ok())
            }
            Err(check) => check == FailedCheck::Length,
        }
    }

    /// Verifies a token. Fetches the keys of its issuer if its key is unknown, and waits for at most two seconds.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` for a token that is not valid. The message does not say which check failed. `UNAVAILABLE` if no
    /// key of the issuer could be fetched yet.
    pub async fn verify(&self, token: &str, now: Timestamp) -> Result<VerifiedToken> {
        self.counted(self.check(token, now, &TokenPurpose::Access { audience: &self.audience }).await)
    }

    /// Verifies the ID token of a sign-in that this server has begun as a client of the issuer.
    ///
    /// # Errors
    /// As [`Self::verify`].
    pub async fn verify_id_token(
        &self,
        token: &str,
        client_id: &str,
        nonce: &str,
        now: Timestamp,
    ) -> Result<VerifiedToken> {
        self.counted(self.check(token, now, &TokenPurpose::SignIn { client_id, nonce }).await)
    }

    fn counted(&self, checked: Result<VerifiedToken, (FailedCheck, Option<&str>)>) -> Result<VerifiedToken> {
        match checked {
            Ok(verified) => {
                self.counts.accepted.count();
                Ok(verified)
            }
            Err((check, issuer)) => Err(self.refuse(check, issuer)),
        }
    }

    fn refuse(&self, check: FailedCheck, issuer: Option<&str>) -> Error {
        use crate::model::Label as _;
        self.counts.refused.count(check);
        let (check, reason, issuer) = (check.label(), check.meaning(), issuer.unwrap_or("unknown"));
        tracing::debug!(check, issuer, "a token of another issuer was refused: {reason}");
        if check == FailedCheck::NoKeys.label() {
            return Error::Unavailable("the keys of the issuer of this token are not known yet; try again".into());
        }
        Error::Unauthenticated("the token is not valid".into())
    }

    async fn check(
        &self,
        token: &str,
        now: Timestamp,
        purpose: &TokenPurpose<'_>,
    ) -> Result<VerifiedToken, (FailedCheck, Option<&str>)> {
        let parts = TokenParts::read(token).map_err(|check| (check, None))?;
        let source = self.source(parts.issuer.as_deref().unwrap_or_default()).map_err(|check| (check, None))?;
        let failed = |check| (check, Some(source.issuer.as_str()));
        let algorithm = key_set::algorithm(&parts.algorithm).ok_or_else(|| failed(FailedCheck::Algorithm))?;
        let claims = match verified_claims(source, &parts, algorithm, token) {
            // Without `kid`, a new key of the issuer looks like a wrong signature.
            Err(check) if parts.key_id.is_none() || matches!(check, FailedCheck::KeyId | FailedCheck::NoKeys) => {
                source.refresh().await;
                verified_claims(source, &parts, algorithm, token)
            }
            verified => verified,
        };
        self.checked(&source.issuer, &claims.map_err(failed)?, now, purpose).map_err(failed)
    }

    fn source(&self, issuer: &str) -> Result<&KeySource, FailedCheck> {
        if let Some(source) = self.sources.iter().find(|source| source.issuer == issuer) {
            return Ok(source);
        }
        let bare = issuer.trim_end_matches('/');
        let is_near = self.sources.iter().any(|source| source.issuer.trim_end_matches('/') == bare);
        Err(if is_near { FailedCheck::IssuerSlash } else { FailedCheck::Issuer })
    }

    /// Checks the claims of a token whose signature is valid.
    fn checked(
        &self,
        issuer: &str,
        claims: &Map<String, Value>,
        now: Timestamp,
        purpose: &TokenPurpose<'_>,
    ) -> Result<VerifiedToken, FailedCheck> {
        purpose.check(claims)?;
        let expires_at = time(claims, "exp").map_err(|()| FailedCheck::Expiry)?.ok_or(FailedCheck::Expiry)?;
        if now >= expires_at.after(LEEWAY) {
            return Err(FailedCheck::Expiry);
        }
        let latest = now.after(LEEWAY);
        if time(claims, "nbf").map_err(|()| FailedCheck::NotBefore)?.is_some_and(|from| from > latest) {
            return Err(FailedCheck::NotBefore);
        }
        let issued_at = time(claims, "iat").map_err(|()| FailedCheck::IssuedAt)?;
        if issued_at.is_some_and(|at| at > latest) {
            return Err(FailedCheck::IssuedAt);
        }
        let subject = claims.get("sub").and_then(Value::as_str).unwrap_or_default();
        // PostgreSQL cannot store NUL characters in texts.
        if subject.is_empty() || subject.len() > MAX_SUBJECT_BYTES || subject.contains('\0') {
            return Err(FailedCheck::Subject);
        }
        Ok(VerifiedToken {
            identity: ExternalIdentity { issuer: issuer.to_owned(), subject: subject.to_owned() },
            profile: self.mapping.profile(claims, subject),
            issued_at: issued_at.unwrap_or(Timestamp(0)),
            ends_at: if now < expires_at { expires_at } else { expires_at.after(LEEWAY) },
        })
    }
}

/// What a token is presented for.
enum TokenPurpose<'a> {
    /// Using the server.
    Access { audience: &'a str },
    /// Signing in as a client of the issuer.
    SignIn { client_id: &'a str, nonce: &'a str },
}

impl TokenPurpose<'_> {
    fn check(&self, claims: &Map<String, Value>) -> Result<(), FailedCheck> {
        let (Self::Access { audience: expected } | Self::SignIn { client_id: expected, .. }) = self;
        let is_ours = |value: &Value| value.as_str() == Some(expected);
        let audience = claims.get("aud").ok_or(FailedCheck::Audience)?;
        if !is_ours(audience) && !audience.as_array().is_some_and(|all| all.iter().any(is_ours)) {
            return Err(FailedCheck::Audience);
        }
        let Self::SignIn { client_id, nonce } = self else { return Ok(()) };
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        // OpenID Connect Core 1.0, section 3.1.3.7.
        if text("nonce") != Some(nonce) || claims.get("azp").is_some_and(|azp| azp.as_str() != Some(client_id)) {
            return Err(FailedCheck::Nonce);
        }
        Ok(())
    }
}

/// The claims of the token, if a key of the issuer has signed them.
fn verified_claims(
    source: &KeySource,
    parts: &TokenParts,
    algorithm: Algorithm,
    token: &str,
) -> Result<Map<String, Value>, FailedCheck> {
    let keys = source.keys().ok_or(FailedCheck::NoKeys)?;
    let PublicKey { key, .. } = keys.find(parts.key_id.as_deref(), algorithm)?;
    let mut validation = Validation::new(algorithm);
    // `checked` checks the claims, to know which one is wrong.
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    let decoded = jsonwebtoken::decode(token, key, &validation);
    decoded.map(|decoded| decoded.claims).map_err(|_| FailedCheck::Signature)
}

/// A time in the claims, in seconds since 1970; `None` if the claim is missing.
fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<Timestamp>, ()> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_f64().ok_or(())?;
    #[expect(clippy::cast_possible_truncation, reason = "rounds down, and saturates far beyond any year")]
    Ok(Some(Timestamp::from_seconds(seconds.floor() as i64)))
}
