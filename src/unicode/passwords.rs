//! What makes a password acceptable, and the form in which it is compared.

use unicode_normalization::UnicodeNormalization as _;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};

use super::folding::fold;

/// The shortest password, in characters.
const MIN: usize = 8;
/// The longest, in characters: Argon2 reads all of it, so a client must not send a megabyte.
const MAX: usize = 1_000;
/// Passwords of eight characters and more that guessers try first: the heads of the lists that the National Cyber
/// Security Centre and others publish. A longer list is for those who know their users.
const COMMON: &str = include_str!("common_passwords.txt");

/// A password as it is hashed: the profile `OpaqueString` of RFC 8265. Blanks of any kind are one, and accents are
/// composed, so that the same keys give the same password on every machine.
#[must_use]
pub fn prepared(password: &str) -> String {
    let is_space = |c: char| c.general_category() == GeneralCategory::SpaceSeparator;
    password.chars().map(|c| if is_space(c) { ' ' } else { c }).nfc().collect()
}

/// Whether a user of this name may have this password.
///
/// # Errors
/// Says what is wrong with it.
pub fn password(password: &str, username: &str) -> Result<(), String> {
    let prepared = prepared(password);
    let length = prepared.chars().count();
    if !(MIN..=MAX).contains(&length) {
        return Err(format!("a password has {MIN} to {MAX} characters"));
    }
    if prepared.contains('\0') {
        return Err("a password must not contain a NUL character".into());
    }
    let folded = fold(&prepared);
    let first = folded.chars().next();
    if folded.trim().is_empty() || folded.chars().all(|c| Some(c) == first) {
        return Err("a password must not be one character over and over".into());
    }
    if folded.trim() == fold(username) {
        return Err("the password must not be the username".into());
    }
    if COMMON.lines().any(|common| common == folded) {
        return Err("this password is one of the most common ones; choose another".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_that_are_guessed_first_are_refused() {
        for (given, name) in [
            ("short", "eva"),
            ("        ", "eva"),
            ("\u{3000}\u{A0}      ", "eva"),
            ("aaaaaaaaaa", "eva"),
            ("Evangeline", "evangeline"),
            ("ｅvangeline", "evangeline"),
            (" evangeline ", "evangeline"),
            ("password", "eva"),
            ("PassWord1", "eva"),
            ("12345678", "eva"),
            ("qwertyuiop", "eva"),
            ("correct\0horse", "eva"),
        ] {
            assert!(password(given, name).is_err(), "{given:?}");
        }
        assert!(password(&"x y".repeat(400), "eva").is_err(), "too long");
        for given in ["correct horse", "пароль мой", "k7m2p-xxxx", "long enough", "𝕒𝕓𝕔𝕕𝕖𝕗𝕘𝕩"]
        {
            assert_eq!(password(given, "eva"), Ok(()), "{given}");
        }
    }

    #[test]
    fn one_password_typed_on_two_machines_is_the_same() {
        assert_eq!(prepared("Gru\u{308}ße\u{A0}1"), prepared("Grüße 1"));
        assert_ne!(prepared("Grüße"), prepared("grüße"));
        assert_ne!(prepared("Ｇｒ"), prepared("Gr"), "not a compatibility form");
    }
}
