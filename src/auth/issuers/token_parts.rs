//! The parts of a token before its signature is verified. Nothing here may be trusted: it only selects the key.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::failed_check::FailedCheck;

/// A longer token is refused before it is parsed.
const MAX_TOKEN_BYTES: usize = 16 << 10;
/// A longer key id is refused.
const MAX_KEY_ID_BYTES: usize = 255;

/// What an unverified token says about its issuer and its key.
#[derive(Debug, PartialEq, Eq)]
pub struct TokenParts {
    /// The claim `iss`.
    pub issuer: Option<String>,
    /// The algorithm, as the header names it.
    pub algorithm: String,
    /// The id of the key (`kid`).
    pub key_id: Option<String>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Payload {
    iss: Option<String>,
}

/// The issuer and the algorithm of a token.
///
/// # Errors
/// The check that failed if the text does not have the form of a token.
pub fn issuer_and_algorithm(token: &str) -> Result<(Option<String>, String), FailedCheck> {
    let (header, payload) = parts::<Header, Payload>(token)?;
    Ok((payload.iss, header.alg))
}

impl TokenParts {
    /// Reads an unverified token.
    ///
    /// # Errors
    /// The check that failed.
    pub fn read(token: &str) -> Result<Self, FailedCheck> {
        let (header, payload) = parts::<Header, Payload>(token)?;
        // `crit` lists extensions that the receiver must understand (RFC 7515 section 4.1.11). None is supported.
        if header.crit.is_some() {
            return Err(FailedCheck::Critical);
        }
        // Tokens for other purposes, such as logout tokens, have a type of their own (RFC 8725 section 3.11).
        let name = header.typ.unwrap_or_else(|| "JWT".to_owned()).to_ascii_lowercase();
        if !["jwt", "at+jwt"].contains(&name.strip_prefix("application/").unwrap_or(&name)) {
            return Err(FailedCheck::Type);
        }
        if header.kid.as_ref().is_some_and(|id| id.len() > MAX_KEY_ID_BYTES) {
            return Err(FailedCheck::KeyId);
        }
        Ok(Self { issuer: payload.iss, algorithm: header.alg, key_id: header.kid })
    }
}

fn parts<H: DeserializeOwned, P: DeserializeOwned>(token: &str) -> Result<(H, P), FailedCheck> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(FailedCheck::Length);
    }
    let mut texts = token.split('.');
    let (Some(header), Some(payload), Some(_), None) = (texts.next(), texts.next(), texts.next(), texts.next()) else {
        return Err(FailedCheck::Form);
    };
    Ok((decoded(header)?, decoded(payload)?))
}

fn decoded<T: DeserializeOwned>(part: &str) -> Result<T, FailedCheck> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| FailedCheck::Form)?;
    serde_json::from_slice(&bytes).map_err(|_| FailedCheck::Form)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(header: &Value, payload: &Value) -> Result<TokenParts, FailedCheck> {
        let encoded = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        TokenParts::read(&format!("{}.{}.c2ln", encoded(header), encoded(payload)))
    }

    #[test]
    fn headers_that_are_not_supported_are_refused() {
        let payload = json!({ "iss": "https://id.example" });
        for (header, check) in [
            (json!({ "alg": "RS256", "crit": ["b64"], "b64": false }), FailedCheck::Critical),
            (json!({ "alg": "RS256", "crit": [] }), FailedCheck::Critical),
            (json!({ "alg": "RS256", "typ": "logout+jwt" }), FailedCheck::Type),
            (json!({ "alg": "RS256", "kid": "k".repeat(256) }), FailedCheck::KeyId),
            (json!({ "alg": "RS256", "kid": 7 }), FailedCheck::Form),
            (json!({ "kid": "k" }), FailedCheck::Form),
            (json!("RS256"), FailedCheck::Form),
        ] {
            assert_eq!(read(&header, &payload), Err(check), "{header}");
        }
        for name in ["JWT", "jwt", "at+jwt", "application/at+JWT"] {
            assert!(read(&json!({ "alg": "RS256", "typ": name }), &payload).is_ok(), "{name}");
        }
    }

    #[test]
    fn texts_that_are_no_tokens_are_refused() {
        for text in ["", ".", "..", "a.b.c", "a.b.c.d", "ü.ü.ü"] {
            assert_eq!(TokenParts::read(text), Err(FailedCheck::Form), "{text}");
            assert_eq!(issuer_and_algorithm(text), Err(FailedCheck::Form));
        }
        assert_eq!(TokenParts::read(&"x".repeat(MAX_TOKEN_BYTES + 1)), Err(FailedCheck::Length));
    }
}
