//! The parameters of a GraphQL request, as its body or its query string has them.

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use serde::Deserialize;
use serde_json::error::Category;

use super::callers;
use super::encoding::list;
use super::hint::shown;
use crate::graphql::{Request, Variables};

/// Whether the body says that it is JSON: the charset, if named, must be the one of JSON.
pub fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut parts = content_type.split(';').map(|part| part.trim().to_ascii_lowercase());
    let is_json = parts.next().is_some_and(|name| name == "application/json");
    let is_utf8 = |set: &str| matches!(set.trim_matches('"'), "utf-8" | "utf8");
    is_json && parts.all(|part| part.strip_prefix("charset=").is_none_or(is_utf8))
}

/// In what the body is encoded, if not sent as it is.
pub fn encoding(headers: &HeaderMap) -> Option<String> {
    list(headers, &CONTENT_ENCODING)
        .find(|encoding| !encoding.eq_ignore_ascii_case("identity"))
        .map(|encoding| shown(encoding.as_bytes()))
}

/// The parameters of a request, as its body has them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parameters {
    query: String,
    #[serde(default)]
    operation_name: Option<String>,
    #[serde(default)]
    variables: Option<Variables>,
    /// Nothing is done with it, but it must be what it should be.
    #[serde(default, rename = "extensions")]
    _extensions: Option<serde_json::Map<String, serde_json::Value>>,
}

/// What a body asks for.
pub enum Asked {
    /// One operation.
    One(Request),
    /// Several, each to be answered by itself.
    Batch(Vec<serde_json::Value>),
}

/// What a body asks for.
///
/// # Errors
/// What is wrong with it.
pub fn from_body(body: &[u8]) -> Result<Asked, String> {
    // RFC 8259, 8.1: it should not be there, and may be passed over.
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    if body.starts_with(&[0xFF, 0xFE]) || body.starts_with(&[0xFE, 0xFF]) {
        return Err("the body is UTF-16, as its byte order mark says: send UTF-8".into());
    }
    let wrong = |error: serde_json::Error| match error.classify() {
        Category::Data => format!("the parameters are wrong: {error}"),
        Category::Syntax | Category::Eof | Category::Io => "the body is not JSON".into(),
    };
    match body.trim_ascii_start().first() {
        Some(b'{') => serde_json::from_slice(body).map(|one: Parameters| Asked::One(one.into())).map_err(wrong),
        Some(b'[') => serde_json::from_slice(body).map(Asked::Batch).map_err(wrong),
        _ => Err("the body is neither a JSON object, with a query, nor a list of such".into()),
    }
}

/// The request that one of a batch is.
///
/// # Errors
/// What is wrong with it.
pub fn from_batch(one: serde_json::Value) -> Result<Request, String> {
    // serde would take a list with the parameters in their order, too.
    if !one.is_object() {
        return Err("an operation of a batch is a JSON object, with a query".into());
    }
    let one: Result<Parameters, _> = serde_json::from_value(one);
    one.map(Request::from).map_err(|error| format!("the parameters are wrong: {error}"))
}

impl From<Parameters> for Request {
    fn from(parameters: Parameters) -> Self {
        let Parameters { query, operation_name, variables, _extensions: _ } = parameters;
        Self { query, operation_name, variables: variables.unwrap_or_default() }
    }
}

/// The request that a query string asks for.
///
/// # Errors
/// What is wrong with it.
pub fn from_query(query: &str) -> Result<Request, &'static str> {
    let Some(document) = callers::parameter(query, "query") else { return Err("the parameter query is missing") };
    let variables = match callers::parameter(query, "variables").filter(|variables| !variables.is_empty()) {
        Some(variables) => {
            let variables: Option<Variables> =
                serde_json::from_str(&variables).map_err(|_| "the parameter variables must be a JSON object")?;
            variables.unwrap_or_default()
        }
        None => Variables::default(),
    };
    if let Some(extensions) = callers::parameter(query, "extensions").filter(|extensions| !extensions.is_empty()) {
        let _: Option<serde_json::Map<String, serde_json::Value>> =
            serde_json::from_str(&extensions).map_err(|_| "the parameter extensions must be a JSON object")?;
    }
    Ok(Request { query: document, operation_name: callers::parameter(query, "operationName"), variables })
}
