//! JSON text that the server passes on without changing it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// A JSON value as text, without white space between its parts. The text is never converted to numbers and back. So
/// numbers of any size, floats and the order of keys stay as the client wrote them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonText(Arc<str>);

impl JsonText {
    /// Checks JSON text from a client and removes white space between its parts.
    ///
    /// # Errors
    /// A sentence for the client, if the text has a syntax error, more than 127 levels of nesting, or a number beyond
    /// the range of floats.
    pub fn parse(text: &str) -> Result<Self, String> {
        match serde_json::from_str::<Value>(text) {
            Ok(_) => Ok(Self(compact(text).into())),
            Err(error) => Err(format!("not a valid JSON value: {error}")),
        }
    }

    /// Wraps text from the database, which stores only text that [`Self::parse`] accepted.
    #[must_use]
    pub fn stored(text: &Arc<str>) -> Self {
        Self(Arc::clone(text))
    }

    /// The JSON text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The JSON text, without copying it.
    #[must_use]
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    /// Whether the value contains the character U+0000, which PostgreSQL cannot store in JSON.
    #[must_use]
    pub fn has_nul(&self) -> bool {
        self.0.contains("\\u0000")
    }

    /// Whether the value is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        &*self.0 == "null"
    }

    /// Whether the value is a JSON object.
    #[must_use]
    pub fn is_object(&self) -> bool {
        self.0.starts_with('{')
    }

    /// If the value is a string whose content is a JSON object, that object; otherwise the value itself.
    #[must_use]
    pub fn unquoted(self) -> Self {
        let contained = serde_json::from_str::<String>(&self.0).ok().and_then(|text| Self::parse(&text).ok());
        contained.filter(Self::is_object).unwrap_or(self)
    }
}

impl From<&Value> for JsonText {
    fn from(value: &Value) -> Self {
        Self(value.to_string().into())
    }
}

impl fmt::Display for JsonText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for JsonText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

/// The text without white space outside of strings.
fn compact(text: &str) -> Cow<'_, str> {
    let (mut is_string, mut is_escaped) = (false, false);
    let mut keep = |byte: u8| {
        let was_string = is_string;
        if is_escaped {
            is_escaped = false;
        } else if byte == b'"' {
            is_string = !is_string;
        } else if byte == b'\\' {
            is_escaped = is_string;
        }
        was_string || !byte.is_ascii_whitespace()
    };
    let kept: Vec<u8> = text.bytes().filter(|byte| keep(*byte)).collect();
    if kept.len() == text.len() {
        return Cow::Borrowed(text);
    }
    // Only ASCII bytes were removed, so the rest is still UTF-8.
    String::from_utf8(kept).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// The JSON text with each escaped unpaired surrogate replaced by U+FFFD. JavaScript writes unpaired surrogates when a
/// text was cut inside an emoji, and UTF-8 cannot represent them.
#[must_use]
pub fn replace_lone_surrogates(json: &str) -> Cow<'_, str> {
    let bytes = json.as_bytes();
    let mut output: Option<Vec<u8>> = None;
    let mut at = 0;
    while let Some(found) = bytes[at..].iter().position(|byte| *byte == b'\\') {
        let escape = at + found;
        at = match surrogate(bytes, escape) {
            None => (escape + 2).min(bytes.len()),
            Some(Half::High) if surrogate(bytes, escape + 6) == Some(Half::Low) => escape + 12,
            Some(_) => {
                let copy = output.get_or_insert_with(|| bytes.to_vec());
                copy[escape + 2..escape + 6].copy_from_slice(b"fffd");
                escape + 6
            }
        };
    }
    match output.map(String::from_utf8) {
        Some(Ok(text)) => Cow::Owned(text),
        Some(Err(_)) | None => Cow::Borrowed(json),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Half {
    High,
    Low,
}

/// Which half of a surrogate pair is escaped at this byte, if one is.
fn surrogate(bytes: &[u8], at: usize) -> Option<Half> {
    let escape = bytes.get(at..at + 6)?;
    let is_unicode = escape[0] == b'\\' && escape[1] == b'u' && escape[2].eq_ignore_ascii_case(&b'd');
    if !is_unicode || !escape[2..].iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    match escape[3].to_ascii_lowercase() {
        b'8' | b'9' | b'a' | b'b' => Some(Half::High),
        b'c'..=b'f' => Some(Half::Low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_the_order_of_keys_are_kept() {
        for text in [
            "1795876765000",
            "18446744073709551615",
            "99999999999999999999",
            "1.0",
            "-0.0",
            "1e300",
            r#"{"b":1,"a":"x y"}"#,
        ] {
            assert_eq!(JsonText::parse(text).unwrap().as_str(), text);
        }
        let spaced = " { \"b\" : [ 1 ,\n 2.50 ] , \"a\\\" \" : \" \\\\\" } ";
        assert_eq!(JsonText::parse(spaced).unwrap().as_str(), r#"{"b":[1,2.50],"a\" ":" \\"}"#);
        let written = serde_json::to_string(&JsonText::parse(spaced).unwrap()).unwrap();
        assert_eq!(written, r#"{"b":[1,2.50],"a\" ":" \\"}"#);
    }

    #[test]
    fn values_that_parsers_reject_are_refused() {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for text in ["", "{", "1e999", "\"\\ud83d\"", "nul", deep.as_str()] {
            assert!(JsonText::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_unpaired_surrogates_are_replaced() {
        for (json, expected) in [
            (r#""\ud83d""#, r#""\ufffd""#),
            (r#""\ud83d\ude00""#, r#""\ud83d\ude00""#),
            (r#""\uDE00 \ud83D""#, r#""\ufffd \ufffd""#),
            (r#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
            (r#""\\ud83d""#, r#""\\ud83d""#),
            (r#""\\\ud83d""#, r#""\\\ufffd""#),
            (r#""\u00e9\n\"""#, r#""\u00e9\n\"""#),
            (r#""\ud8"#, r#""\ud8"#),
            (r"\", r"\"),
        ] {
            assert_eq!(replace_lone_surrogates(json), expected, "{json}");
        }
    }
}
