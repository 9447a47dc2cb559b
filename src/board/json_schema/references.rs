//! The parts of a schema that `$ref` names.

use serde_json::Value;

/// The part of a schema that a reference such as `#/$defs/address` or `#address` names.
#[must_use]
pub fn referenced<'s>(schema: &'s Value, reference: &str) -> Option<&'s Value> {
    let fragment = reference.strip_prefix('#')?;
    if fragment.is_empty() || fragment.starts_with('/') {
        return schema.pointer(&percent_decoded(fragment)?);
    }
    anchored(schema, fragment)
}

fn anchored<'s>(value: &'s Value, anchor: &str) -> Option<&'s Value> {
    match value {
        Value::Object(object) => {
            let is_named = |keyword| object.get(keyword).and_then(Value::as_str) == Some(anchor);
            if is_named("$anchor") || is_named("$dynamicAnchor") {
                return Some(value);
            }
            object.values().find_map(|part| anchored(part, anchor))
        }
        Value::Array(list) => list.iter().find_map(|part| anchored(part, anchor)),
        _ => None,
    }
}

/// A reference is a part of a URL, so a pointer in it may have encoded characters.
fn percent_decoded(text: &str) -> Option<String> {
    percent_encoding::percent_decode_str(text).decode_utf8().ok().map(Into::into)
}
