//! Validation and normalization of names.

use unicode_normalization::UnicodeNormalization as _;

use super::characters::{is_in_context, is_invisible, is_joiner, is_letter_or_digit, is_mark, is_visible, is_word};
use super::folding::nfc;

/// Punctuation that a username may contain.
const PUNCTUATION: [char; 3] = ['.', '_', '-'];

/// The stored form of a username: NFKC, lower case, without blanks at its ends.
///
/// # Errors
/// The rule that the text breaks. A username may contain letters (with their marks) and digits of any script, `.`, `_`
/// and `-`. It must contain at least one letter or digit.
pub fn username(text: &str) -> Result<String, &'static str> {
    let lower: String = text.trim().nfkc().collect::<String>().to_lowercase().nfkc().collect();
    check_characters(&lower)?;
    if !lower.chars().all(|c| is_word(c) || PUNCTUATION.contains(&c) || is_joiner(c)) {
        return Err("may have letters, digits, '.', '_' and '-' only");
    }
    if !lower.chars().any(is_letter_or_digit) {
        return Err("must have a letter or a digit");
    }
    Ok(lower)
}

/// The stored form of a name that is shown as it was typed, such as a channel name or a display name: one line, NFC,
/// without blanks at its ends.
///
/// # Errors
/// The rule that the text breaks. A name must contain a visible character, and no control or invisible characters.
pub fn label(text: &str) -> Result<String, &'static str> {
    let label = nfc(text.trim());
    check_characters(&label)?;
    if !label.chars().any(is_visible) {
        return Err("must have a character that can be seen");
    }
    Ok(label)
}

fn check_characters(text: &str) -> Result<(), &'static str> {
    let mut before = None;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if c.is_control() {
            return Err("must not contain control characters");
        }
        if is_invisible(c) && !is_in_context(before, c, rest.peek().copied()) {
            return Err("must not contain characters that cannot be seen or that turn the direction of the text");
        }
        if is_mark(c) && before.is_none_or(char::is_whitespace) {
            return Err("must not have an accent without a letter");
        }
        before = Some(c);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usernames_of_any_script_are_accepted() {
        for (typed, kept) in [
            ("Eva", "eva"),
            ("  eva ", "eva"),
            ("İbrahim", "i\u{307}brahim"),
            ("हिन्दी", "हिन्दी"),
            ("น้ำ", "น\u{E49}\u{E4D}า"),
            ("தமிழ்", "தமிழ்"),
            ("ශ්\u{200D}රී", "ශ්\u{200D}රී"),
            ("zoe\u{308}", "zoë"),
            ("ｅｖａ", "eva"),
            ("c.d-e_f", "c.d-e_f"),
            ("七", "七"),
            ("²3", "23"),
            ("strauß", "strauß"),
        ] {
            assert_eq!(username(typed).as_deref(), Ok(kept), "{typed}");
        }
    }

    #[test]
    fn unreadable_usernames_are_refused() {
        for typed in [
            "",
            "   ",
            ".",
            "._-",
            "a b",
            "a@b",
            "a|b",
            "ㅤᅟ",
            "e\u{200B}va",
            "e\u{200D}va",
            "\u{202E}eva",
            "eva\u{FE0F}",
            "e\u{AD}va",
            "\u{301}eva",
            "a\u{0}b",
            "\u{2800}",
            "🙂",
        ] {
            assert!(username(typed).is_err(), "{typed:?}");
        }
    }

    #[test]
    fn labels_are_kept_as_they_were_typed() {
        for (typed, kept) in [
            (" General ", "General"),
            ("cafe\u{301}", "café"),
            ("family 👨\u{200D}👩\u{200D}👧", "family 👨\u{200D}👩\u{200D}👧"),
            ("❤\u{FE0F}", "❤\u{FE0F}"),
            ("می\u{200C}خواهم", "می\u{200C}خواهم"),
            ("שלום world", "שלום world"),
            ("#1", "#1"),
        ] {
            assert_eq!(label(typed).as_deref(), Ok(kept), "{typed}");
        }
        for typed in
            ["", "\u{200B}", "\u{3164}", "general\u{200B}", "a\u{202E}b", "\u{301}", "a\nb", "\u{2800}", "x\u{E000}"]
        {
            assert!(label(typed).is_err(), "{typed:?}");
        }
    }
}
