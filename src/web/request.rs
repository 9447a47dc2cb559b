//! Parses GraphQL requests from bodies and query strings.

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::client_identity;
use super::content_negotiation::list;
use super::once_warning::escaped;
use crate::graphql::{Request, Unreadable};
use crate::model::replace_lone_surrogates;

/// Whether the content type is JSON. A charset, if present, must be UTF-8, the only one of JSON.
pub fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut parts = content_type.split(';').map(|part| part.trim().to_ascii_lowercase());
    let is_json = parts.next().is_some_and(|name| name == "application/json");
    let is_utf8 = |set: &str| matches!(set.trim_matches('"'), "utf-8" | "utf8");
    is_json && parts.all(|part| part.strip_prefix("charset=").is_none_or(is_utf8))
}

/// The body's content encoding, escaped for a message; `None` if the body is not encoded.
pub fn encoding(headers: &HeaderMap) -> Option<String> {
    list(headers, &CONTENT_ENCODING)
        .find(|encoding| !encoding.eq_ignore_ascii_case("identity"))
        .map(|encoding| escaped(encoding.as_bytes()))
}

/// A parsed request.
pub enum Parsed {
    /// One operation.
    One(Request),
    /// Several operations. Each is parsed later, so that an error in one leaves the others alone.
    Batch(Vec<Box<RawValue>>),
}

/// Parses a request body.
///
/// # Errors
/// If the body is not UTF-8, not JSON, or not a GraphQL request.
pub fn from_body(body: &[u8]) -> Result<Parsed, Unreadable> {
    let form = |message: &str| Unreadable::Form(message.to_owned());
    // JSON must not begin with a byte order mark, but a parser may ignore one (RFC 8259, section 8.1). This one does.
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    if body.starts_with(&[0xFF, 0xFE]) || body.starts_with(&[0xFE, 0xFF]) {
        return Err(form("the body is UTF-16, as its byte order mark says: send UTF-8"));
    }
    let text = std::str::from_utf8(body).map_err(|_| form("the body is not JSON"))?;
    let text = replace_lone_surrogates(text);
    match text.trim_start().bytes().next() {
        Some(b'{') => one(&text).map(Parsed::One),
        Some(b'[') => serde_json::from_str(&text).map(Parsed::Batch).map_err(|_| form("the body is not JSON")),
        _ => Err(form("the body is neither a JSON object, with a query, nor a list of such")),
    }
}

/// Parses one operation. Invalid JSON is reported as such, before the members of the object are looked at.
fn one(text: &str) -> Result<Request, Unreadable> {
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => Request::from_json(text),
        Err(_) => Err(Unreadable::Form("the body is not JSON".into())),
    }
}

/// Parses one operation of a batch.
///
/// # Errors
/// If it is not a JSON object, or not a GraphQL request.
pub fn from_batch(one: &RawValue) -> Result<Request, Unreadable> {
    // Only objects are accepted. serde would also accept an array that has the fields in order.
    if !one.get().starts_with('{') {
        return Err(Unreadable::Form("an operation of a batch is a JSON object, with a query".into()));
    }
    Request::from_json(one.get())
}

/// Parses the operation of a GET request.
///
/// # Errors
/// If the query is missing, or a parameter is not a JSON object.
pub fn from_query(query: &str) -> Result<Request, Unreadable> {
    let object = |name: &str| {
        let Some(text) = client_identity::parameter(query, name).filter(|text| !text.is_empty() && text != "null")
        else {
            return Ok(None);
        };
        let object: Option<Box<RawValue>> = serde_json::from_str(replace_lone_surrogates(text.trim()).as_ref()).ok();
        match object.filter(|object| object.get().starts_with('{')) {
            Some(object) => Ok(Some(object)),
            None => Err(Unreadable::Form(format!("the parameter {name} must be a JSON object"))),
        }
    };
    let (variables, extensions) = (object("variables"), object("extensions"));
    let Some(document) = client_identity::parameter(query, "query") else {
        return Err(match extensions? {
            Some(extensions) => Unreadable::without_document(&extensions),
            None => Unreadable::Form("the parameter query is missing".into()),
        });
    };
    extensions?;
    Ok(Request {
        query: document,
        operation_name: client_identity::parameter(query, "operationName"),
        variables: variables?,
    })
}
