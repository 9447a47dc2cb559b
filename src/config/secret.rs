//! Secrets: text that is never shown, with rules for its length.

use std::fmt;
use std::str::FromStr;

/// A secret text. Only [`Secret::reveal`] returns it; `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// RFC 7518, section 3.2: a key for HS256 has at least 256 bits.
    const MIN_KEY_BYTES: usize = 32;
    /// `/metrics` does not limit attempts, so its token must not be guessable.
    const MIN_TOKEN_BYTES: usize = 16;

    /// The text of the secret.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Parses a key that signs tokens: 32 bytes or more. One line break at the end is removed, because editors and `echo`
    /// write it into files.
    ///
    /// # Errors
    /// One sentence, without the text of the key, if the key is empty or too short.
    pub fn for_signing(text: &str) -> Result<Self, String> {
        let key: Self = without_line_break(text).parse()?;
        let length = key.0.len();
        if length < Self::MIN_KEY_BYTES {
            return Err(format!(
                "has {length} bytes: give {} or more that nobody can guess, as `openssl rand -hex 32` prints them",
                Self::MIN_KEY_BYTES
            ));
        }
        Ok(key)
    }

    /// Parses a token that clients send in `Authorization: Bearer TOKEN`: 16 or more visible ASCII characters. One line
    /// break at the end is removed.
    ///
    /// # Errors
    /// One sentence, without the text of the token, if the token is too short or cannot be sent in a header.
    pub fn for_bearers(text: &str) -> Result<Self, String> {
        let token: Self = without_line_break(text).parse()?;
        if token.0.trim() != token.0 || !token.0.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err("cannot be sent in a header: use visible ASCII characters, without blanks at the ends".into());
        }
        if token.0.len() < Self::MIN_TOKEN_BYTES {
            return Err(format!("is too short: give {} characters or more", Self::MIN_TOKEN_BYTES));
        }
        Ok(token)
    }
}

impl Secret {
    /// Parses a secret that another program has made. One line break at the end is removed.
    ///
    /// # Errors
    /// One sentence, without the text of the secret, if it is empty.
    pub fn of_client(text: &str) -> Result<Self, String> {
        without_line_break(text).parse()
    }
}

fn without_line_break(text: &str) -> &str {
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
    fn a_secret_is_not_trimmed_and_must_not_be_empty() {
        let secret: Secret = " with blanks ".parse().unwrap();
        assert_eq!(secret.reveal(), " with blanks ");
        assert!(" ".parse::<Secret>().is_err());
    }

    #[test]
    fn a_key_has_thirty_two_bytes_and_no_line_break() {
        let key = "0123456789abcdef0123456789abcdef";
        for text in [key.to_owned(), format!("{key}\n"), format!("{key}\r\n")] {
            assert_eq!(Secret::for_signing(&text).unwrap().reveal(), key);
        }
        let two_lines = format!("{key}\n\n");
        assert_eq!(Secret::for_signing(&two_lines).unwrap().reveal(), format!("{key}\n"), "only one is removed");
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
