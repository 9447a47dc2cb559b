//! The digest of an input, to tell a retry from another request under the same key.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};

/// The longest idempotency key, in characters.
const MAX_KEY: usize = 200;

/// The key as it is kept.
pub fn key(key: Option<&str>) -> Result<Option<String>> {
    key.map(|key| super::text::name("idempotencyKey", key, MAX_KEY)).transpose()
}

/// A digest of these parts: the length of each keeps neighbours apart.
pub fn of(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    BASE64.encode(hash.finalize())
}

/// The same key must come with the same input.
pub fn same(kept: &str, digest: &str) -> Result<()> {
    if kept == digest {
        return Ok(());
    }
    Err(Error::Conflict("this idempotencyKey was used with another input".into()))
}
