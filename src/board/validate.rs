//! Validation of texts, names and keys from clients.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::model::JsonText;
use crate::unicode;

/// The longest name, in characters, whatever the configured limit of titles. PostgreSQL cannot index more than about
/// 2,700 bytes.
const MAX_NAME: usize = 200;
/// The longest email address, in characters (RFC 5321).
const MAX_EMAIL: usize = 254;

/// The largest data that an event carries, in bytes of JSON.
pub const MAX_PAYLOAD: usize = 64 << 10;

/// A text that must not be blank, with at most `max` characters. It is returned unchanged.
///
/// # Errors
/// `BAD_USER_INPUT` for `field`.
pub fn required(field: &'static str, text: &str, max: usize) -> Result<String> {
    let text = checked(field, text, max)?;
    if text.trim().is_empty() {
        return Err(Error::input(field, format!("{field} must not be empty")));
    }
    Ok(text)
}

/// An optional text with at most `max` characters. A blank text counts as absent.
///
/// # Errors
/// `BAD_USER_INPUT` for `field`.
pub fn optional(field: &'static str, text: Option<&str>, max: usize) -> Result<Option<String>> {
    let text = text.map(|text| checked(field, text, max)).transpose()?;
    Ok(text.filter(|text| !text.trim().is_empty()))
}

/// A display name: one line, trimmed, in Unicode form NFC, without invisible characters, at most `max` characters and
/// [`MAX_NAME`].
///
/// # Errors
/// `BAD_USER_INPUT` for `field`.
pub fn name(field: &'static str, text: &str, max: usize) -> Result<String> {
    let max = max.min(MAX_NAME);
    let text = required(field, text.trim(), max)?;
    let name = unicode::label(&text).map_err(|problem| Error::input(field, format!("{field} {problem}")))?;
    checked(field, &name, max)
}

/// A username in the form in which it is stored, with at most `max` characters.
///
/// # Errors
/// `BAD_USER_INPUT` for `field`.
pub fn username(field: &'static str, text: &str, max: usize) -> Result<String> {
    let text = required(field, text.trim(), max)?;
    let name = unicode::username(&text).map_err(|problem| Error::input(field, format!("a username {problem}")))?;
    checked(field, &name, max)
}

/// An identifier that programs choose: trimmed, without control characters, at most `max` characters.
///
/// # Errors
/// `BAD_USER_INPUT` for `field`.
pub fn identifier(field: &'static str, text: &str, max: usize) -> Result<String> {
    let text = required(field, text.trim(), max)?;
    if text.chars().any(char::is_control) {
        return Err(Error::input(field, format!("{field} must not contain control characters")));
    }
    Ok(text)
}

/// An email address: trimmed, with one `@` between two parts, without blanks. Only a mail server can tell whether it
/// exists.
///
/// # Errors
/// `BAD_USER_INPUT` for `field`.
pub fn email(field: &'static str, text: &str) -> Result<String> {
    let text = identifier(field, text, MAX_EMAIL)?;
    let is_address = text.split_once('@').is_some_and(|(name, domain)| {
        !name.is_empty() && !domain.is_empty() && !domain.contains('@') && !text.contains(char::is_whitespace)
    });
    if is_address { Ok(text) } else { Err(Error::input(field, format!("{field} must have the form name@domain"))) }
}

/// JSON that an event carries: at most 64 KiB, without NUL characters.
///
/// # Errors
/// `BAD_USER_INPUT` for `field`.
pub fn payload(field: &'static str, json: &JsonText) -> Result<Arc<str>> {
    let length = json.as_str().len();
    if length > MAX_PAYLOAD {
        return Err(Error::input(field, format!("{field} has {length} bytes; at most {MAX_PAYLOAD} are allowed")));
    }
    if json.has_nul() {
        return Err(Error::input(field, format!("{field} must not contain a NUL character")));
    }
    Ok(json.shared())
}

fn checked(field: &'static str, text: &str, max: usize) -> Result<String> {
    // PostgreSQL cannot store NUL characters in texts.
    if text.contains('\0') {
        return Err(Error::input(field, format!("{field} must not contain a NUL character")));
    }
    let length = text.chars().count();
    if length > max {
        return Err(Error::input(field, format!("{field} has {length} characters; at most {max} are allowed")));
    }
    Ok(text.to_owned())
}
