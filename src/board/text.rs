//! What a text may be.

use crate::error::{Error, Result};

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

/// A name: one line, trimmed.
pub fn name(field: &'static str, text: &str, max: usize) -> Result<String> {
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
