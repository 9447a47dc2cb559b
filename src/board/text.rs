//! What a text may be.

use crate::error::{Error, Result};
use crate::unicode;

/// The longest name, in characters, whatever the settings say of titles: PostgreSQL indexes at most some 2,700 bytes.
const MAX_NAME: usize = 200;

/// A text that must say something: trimmed at its ends, not empty, not over `max` characters.
pub fn required(field: &'static str, text: &str, max: usize) -> Result<String> {
    let text = checked(field, text, max)?;
    if text.trim().is_empty() {
        return Err(Error::input(field, format!("{field} must not be empty")));
    }
    Ok(text)
}

/// A text that may be missing; an empty one counts as missing.
pub fn optional(field: &'static str, text: Option<&str>, max: usize) -> Result<Option<String>> {
    let text = text.map(|text| checked(field, text, max)).transpose()?;
    Ok(text.filter(|text| !text.trim().is_empty()))
}

/// A name that people read: one line, trimmed, NFC, without characters that cannot be seen; at most `max` characters,
/// and never more than the databases can index.
pub fn name(field: &'static str, text: &str, max: usize) -> Result<String> {
    let max = max.min(MAX_NAME);
    let text = required(field, text.trim(), max)?;
    let name = unicode::label(&text).map_err(|problem| Error::input(field, format!("{field} {problem}")))?;
    checked(field, &name, max)
}

/// A username, as it is kept.
pub fn username(field: &'static str, text: &str, max: usize) -> Result<String> {
    let text = required(field, text.trim(), max)?;
    let name = unicode::username(&text).map_err(|problem| Error::input(field, format!("a username {problem}")))?;
    checked(field, &name, max)
}

/// A name that programs choose: one line, trimmed.
pub fn identifier(field: &'static str, text: &str, max: usize) -> Result<String> {
    let text = required(field, text.trim(), max)?;
    if text.chars().any(char::is_control) {
        return Err(Error::input(field, format!("{field} must not contain control characters")));
    }
    Ok(text)
}

fn checked(field: &'static str, text: &str, max: usize) -> Result<String> {
    // PostgreSQL cannot keep it, and nobody means it.
    if text.contains('\0') {
        return Err(Error::input(field, format!("{field} must not contain a NUL character")));
    }
    let length = text.chars().count();
    if length > max {
        return Err(Error::input(field, format!("{field} has {length} characters; at most {max} are allowed")));
    }
    Ok(text.to_owned())
}
