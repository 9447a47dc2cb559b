//! The key that a client gives what it creates: sent again, it creates nothing more, and the first result is the answer.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use sha2::{Digest as _, Sha256};

use super::text;
use crate::error::{Error, Result};
use crate::model::UserId;
use crate::store::Tx;
use crate::store::idempotency::{self, Made};

/// The longest key, in characters.
const MAX_KEY: usize = 200;

/// An author's key, and what came with it.
pub struct Key {
    author: UserId,
    name: String,
    /// Tells a retry from another input under the same key.
    digest: String,
}

impl Key {
    /// The key that came with an input of these parts, if one came.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` if it is none.
    pub fn of(author: UserId, key: Option<&str>, parts: impl FnOnce() -> Vec<String>) -> Result<Option<Self>> {
        let Some(key) = key else { return Ok(None) };
        let name = text::identifier("idempotencyKey", key, MAX_KEY)?;
        Ok(Some(Self { author, name, digest: digest(&parts()) }))
    }

    /// What it has made before.
    ///
    /// # Errors
    /// `CONFLICT` if that was of another input, those of the database.
    pub fn made(&self, tx: &mut Tx<'_>) -> Result<Option<Made>> {
        match idempotency::find(tx.read(), self.author, &self.name)? {
            Some((_, digest)) if digest != self.digest => {
                Err(Error::Conflict("this idempotencyKey was used with another input".into()))
            }
            found => Ok(found.map(|(made, _)| made)),
        }
    }

    /// It has made this.
    ///
    /// # Errors
    /// Those of the database.
    pub fn keep(&self, tx: &mut Tx<'_>, made: Made) -> Result<()> {
        idempotency::keep(tx.write(), self.author, &self.name, &self.digest, made)
    }
}

/// The length of each part keeps neighbours apart.
fn digest(parts: &[String]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    BASE64.encode(hash.finalize())
}
