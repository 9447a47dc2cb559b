//! Text that must not be shown, and what makes it good enough.

use std::fmt;
use std::str::FromStr;

/// A secret: only who asks for it by name sees it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// RFC 7518 section 3.2: a key for HS256 has at least 256 bits.
    const SHORTEST_KEY: usize = 32;
    /// `/metrics` does not limit attempts, so its token must not be guessable.
    const SHORTEST_TOKEN: usize = 16;

    /// The secret itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// A key that tokens are signed with: 32 bytes or more. One line end at the end does not count: editors and
    /// `echo` write it into files.
    ///
    /// # Errors
    /// What is wrong with it, without the text.
    pub fn for_signing(text: &str) -> Result<Self, String> {
        let key: Self = without_line_end(text).parse()?;
        let length = key.0.len();
        if length < Self::SHORTEST_KEY {
            return Err(format!(
                "has {length} bytes: give {} or more that nobody can guess, as `openssl rand -hex 32` prints them",
                Self::SHORTEST_KEY
            ));
        }
        Ok(key)
    }

    /// A token that clients send in `Authorization: Bearer TOKEN`: 16 characters or more that a header can carry. One
    /// line end at the end does not count.
    ///
    /// # Errors
    /// What is wrong with it, without the text.
    pub fn for_bearers(text: &str) -> Result<Self, String> {
        let token: Self = without_line_end(text).parse()?;
        if token.0.trim() != token.0 || !token.0.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err("cannot be sent in a header: use visible ASCII characters, without blanks at the ends".into());
        }
        if token.0.len() < Self::SHORTEST_TOKEN {
            return Err(format!("is too short: give {} characters or more", Self::SHORTEST_TOKEN));
        }
        Ok(token)
    }
}

fn without_line_end(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
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
        assert!(" ".parse::<Secret>().is_err());
    }

    #[test]
    fn a_key_has_thirty_two_bytes_and_no_line_end() {
        let key = "0123456789abcdef0123456789abcdef";
        for text in [key.to_owned(), format!("{key}\n"), format!("{key}\r\n")] {
            assert_eq!(Secret::for_signing(&text).unwrap().reveal(), key);
        }
        let two_lines = format!("{key}\n\n");
        assert_eq!(Secret::for_signing(&two_lines).unwrap().reveal(), format!("{key}\n"), "only one is dropped");
        for bad in ["", "\n", "hunter2", &key[1..], &format!("{}\n", &key[1..])] {
            let refusal = Secret::for_signing(bad).unwrap_err();
            assert!(!refusal.contains("hunter2"), "{refusal}");
        }
    }

    #[test]
    fn a_bearer_token_can_be_sent_in_a_header() {
        assert_eq!(Secret::for_bearers("0123456789abcdef\n").unwrap().reveal(), "0123456789abcdef");
        for bad in ["short", " 0123456789abcdef", "0123456789abcdef ", "0123456789\nabcdef", "0123456789abcdéf", ""] {
            assert!(Secret::for_bearers(bad).is_err(), "{bad:?}");
        }
    }
}
