//! Validation and normalization of passwords.

use unicode_normalization::UnicodeNormalization as _;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};

use super::folding::fold;

/// Minimum length of a password, in characters.
const MIN: usize = 8;
/// Maximum length, in characters. Argon2 reads the whole password, so its length must be bounded.
const MAX: usize = 1_000;
/// Passwords of at least eight characters that attackers try first: the beginnings of published lists, such as that of
/// the National Cyber Security Centre. One per line.
const COMMON: &str = include_str!("common_passwords.txt");

/// The form of a password that is hashed: the profile `OpaqueString` of RFC 8265. All kinds of blanks become an ASCII
/// space, and accents are composed (NFC). So the same keys give the same password on every machine.
#[must_use]
pub fn normalized_password(password: &str) -> String {
    let is_space = |c: char| c.general_category() == GeneralCategory::SpaceSeparator;
    password.chars().map(|c| if is_space(c) { ' ' } else { c }).nfc().collect()
}

/// Checks whether a user with this name may have this password.
///
/// # Errors
/// A sentence that says why the password is refused.
pub fn password(password: &str, username: &str) -> Result<(), String> {
    let normalized = normalized_password(password);
    let length = normalized.chars().count();
    if !(MIN..=MAX).contains(&length) {
        return Err(format!("a password has {MIN} to {MAX} characters"));
    }
    if normalized.contains('\0') {
        return Err("a password must not contain a NUL character".into());
    }
    let folded = fold(&normalized);
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
    fn weak_passwords_are_refused() {
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
    fn spellings_of_the_same_password_are_normalized() {
        assert_eq!(normalized_password("Gru\u{308}ße\u{A0}1"), normalized_password("Grüße 1"));
        assert_ne!(normalized_password("Grüße"), normalized_password("grüße"));
        assert_ne!(
            normalized_password("Ｇｒ"),
            normalized_password("Gr"),
            "compatibility characters are not normalized"
        );
    }
}
