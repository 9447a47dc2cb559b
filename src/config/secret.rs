//! Text that must not be shown.

use std::fmt;
use std::str::FromStr;

/// A secret: only who asks for it by name sees it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// RFC 7518 section 3.2: a key for HS256 has at least 256 bits.
    const LONG_ENOUGH: usize = 32;

    /// The secret itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Short enough to be guessed from a single token, so worth a warning at the start.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.0.len() < Self::LONG_ENOUGH
    }
}

impl FromStr for Secret {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err("is empty: give a secret, or leave it unset".into());
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_kept_as_it_is_and_must_not_be_empty() {
        let secret: Secret = " with blanks ".parse().unwrap();
        assert_eq!(secret.reveal(), " with blanks ");
        assert!(secret.is_short());
        assert!(" ".parse::<Secret>().is_err());
    }
}
