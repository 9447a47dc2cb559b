//! The secrets of API keys.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// How every secret begins. Scanners of source code find forgotten secrets by it.
const PREFIX: &str = "tdk_";
/// Random bytes of a secret. With so many, no slow hash is needed to keep the secret from being guessed.
const RANDOM_BYTES: usize = 32;

/// A new secret: `tdk_` and 64 hexadecimal digits.
#[must_use]
pub fn generate_api_key_secret() -> String {
    hexadecimal(PREFIX, &rand::random::<[u8; RANDOM_BYTES]>())
}

/// Whether a token is meant to be the secret of an API key.
#[must_use]
pub fn is_api_key_secret(token: &str) -> bool {
    token.starts_with(PREFIX)
}

/// The digest of a secret, as the database stores it; `None` if the text does not have the form of a secret.
#[must_use]
pub fn api_key_digest(secret: &str) -> Option<String> {
    let digits = secret.strip_prefix(PREFIX)?;
    let is_secret = digits.len() == 2 * RANDOM_BYTES && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_secret.then(|| hexadecimal("", &Sha256::digest(secret)))
}

fn hexadecimal(prefix: &str, bytes: &[u8]) -> String {
    bytes.iter().fold(prefix.to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_secrets_have_a_digest() {
        let secret = generate_api_key_secret();
        let digest = api_key_digest(&secret).expect("a digest");
        assert_eq!(digest.len(), 64);
        assert_ne!(digest, secret[PREFIX.len()..]);
        assert_ne!(Some(digest), api_key_digest(&generate_api_key_secret()));
        for other in
            ["", "tdk_", &secret[..secret.len() - 1], &secret[1..], &format!("{secret}0"), &secret.replace('_', "-")]
        {
            assert_eq!(api_key_digest(other), None, "{other}");
        }
    }
}
