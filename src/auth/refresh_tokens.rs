//! Refresh tokens: random texts that renew a session. A token has two parts. The first part identifies the session, and
//! stays the same. The second part changes each time that the token is used. So a token that was used before is found,
//! although the server stores digests of the newest token only.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

const FAMILY_BYTES: usize = 16;
const SECRET_BYTES: usize = 32;

/// A refresh token.
#[derive(Clone, PartialEq, Eq)]
pub struct RefreshToken {
    family: [u8; FAMILY_BYTES],
    secret: [u8; SECRET_BYTES],
}

impl RefreshToken {
    /// A token for a new session.
    #[must_use]
    pub fn generate() -> Self {
        Self { family: rand::random(), secret: rand::random() }
    }

    /// Another token for the same session.
    #[must_use]
    pub fn next(&self) -> Self {
        Self { family: self.family, secret: rand::random() }
    }

    /// The token with this text; `None` if the text has another form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| bytes.len() == FAMILY_BYTES + SECRET_BYTES)?;
        let (family, secret) = bytes.split_at(FAMILY_BYTES);
        Some(Self { family: family.try_into().ok()?, secret: secret.try_into().ok()? })
    }

    /// The text of the token, for the client.
    #[must_use]
    pub fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode([&self.family[..], &self.secret[..]].concat())
    }

    /// The digest of the part that identifies the session.
    #[must_use]
    pub fn family_digest(&self) -> String {
        digest(&self.family)
    }

    /// The digest of the part that each use replaces.
    #[must_use]
    pub fn secret_digest(&self) -> String {
        digest(&self.secret)
    }
}

/// The parts are random, so a plain SHA-256 is enough: there is nothing to guess.
fn digest(part: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(part))
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshToken")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_parsed_from_its_text() {
        let token = RefreshToken::generate();
        assert_eq!(RefreshToken::parse(&token.text()), Some(token));
        for text in ["", "x", "not base64!", &"A".repeat(63), &"A".repeat(65), &"A".repeat(10_000)] {
            assert_eq!(RefreshToken::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_next_token_is_of_the_same_session_with_another_secret() {
        let first = RefreshToken::generate();
        let next = first.next();
        assert_eq!(first.family_digest(), next.family_digest());
        assert_ne!(first.secret_digest(), next.secret_digest());
        assert_ne!(first.family_digest(), RefreshToken::generate().family_digest());
    }

    #[test]
    fn neither_digests_nor_debug_output_contain_the_token() {
        let token = RefreshToken::generate();
        let text = token.text();
        assert!(!text.contains(&token.family_digest()) && !text.contains(&token.secret_digest()));
        assert_eq!(format!("{token:?}"), "RefreshToken");
    }
}
