//! One-time tokens: random texts in links. The server stores their digests only.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

/// Generates a one-time token: 32 random bytes as base64url text.
#[must_use]
pub fn generate_one_time_token() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// The digest of a one-time token. The token is random, so a plain SHA-256 is enough: there is nothing to guess.
#[must_use]
pub fn one_time_token_digest(token: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(token.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_random_and_their_digests_do_not_contain_them() {
        let [one, other] = [generate_one_time_token(), generate_one_time_token()];
        assert_ne!(one, other);
        assert_eq!(one_time_token_digest(&one), one_time_token_digest(&format!(" {one}\n")));
        assert_ne!(one_time_token_digest(&one), one_time_token_digest(&other));
        assert!(!one_time_token_digest(&one).contains(&one));
    }
}
