//! The JSON form of a request to execute an operation.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::refusal::Rejection;
use crate::error::Error;

/// A request to execute an operation.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The text of the document.
    pub query: String,
    /// The name of the operation to execute, if the document has several.
    pub operation_name: Option<String>,
    /// The variables, as a JSON object. They are read later, by the types that the document declares.
    pub variables: Option<Box<RawValue>>,
}

/// The reason why a request is not valid.
#[derive(Debug)]
pub enum Unreadable {
    /// A parameter is missing or has the wrong JSON type. Contains the message for the client.
    Form(String),
    /// The request is refused for another reason.
    Refused(Rejection),
}

impl Unreadable {
    /// The error for a request with these `extensions` and without a document.
    #[must_use]
    pub fn without_document(extensions: &RawValue) -> Self {
        match names_persisted_query(extensions) {
            true => Self::Refused(Rejection::PersistedQuery),
            false => Self::Form("the request parameters are not valid: query is missing".into()),
        }
    }

    /// Converts the error to the refusal of an operation. A wrong parameter becomes `BAD_USER_INPUT`.
    #[must_use]
    pub fn refusal(self) -> Rejection {
        match self {
            Self::Form(message) => Error::input("query", message).into(),
            Self::Refused(refusal) => refusal,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parameters<'a> {
    #[serde(borrow, default)]
    query: Option<&'a RawValue>,
    #[serde(borrow, default)]
    operation_name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    variables: Option<&'a RawValue>,
    #[serde(borrow, default)]
    extensions: Option<&'a RawValue>,
}

impl Request {
    /// Reads a request from a JSON object.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` if the text is not a JSON object or a parameter has the wrong type. A request that names a
    /// persisted query and has no document is refused with `PERSISTED_QUERY_NOT_SUPPORTED`. Apollo Client then sends
    /// the document.
    pub fn from_json(json: &str) -> Result<Self, Unreadable> {
        let form = |message: &str| Unreadable::Form(format!("the request parameters are not valid: {message}"));
        let input = |error: serde_json::Error| {
            let message = format!("the request parameters are not valid: {error}");
            Unreadable::Refused(Error::input("query", message).into())
        };
        let parameters: Parameters<'_> = serde_json::from_str(json).map_err(input)?;
        let starts = |raw: Option<&RawValue>, first| raw.is_none_or(|raw| raw.get().starts_with(first));
        if !starts(parameters.query, '"') {
            return Err(form("query must be a string"));
        }
        if !starts(parameters.operation_name, '"') {
            return Err(form("operationName must be a string"));
        }
        if !starts(parameters.variables, '{') {
            return Err(form("variables must be an object"));
        }
        if !starts(parameters.extensions, '{') {
            return Err(form("extensions must be an object"));
        }
        let Some(query) = parameters.query else {
            return Err(parameters.extensions.map_or_else(|| form("query is missing"), Unreadable::without_document));
        };
        let text = |raw: &RawValue| serde_json::from_str::<String>(raw.get()).map_err(input);
        Ok(Self {
            query: text(query)?,
            operation_name: parameters.operation_name.map(text).transpose()?,
            variables: parameters.variables.map(ToOwned::to_owned),
        })
    }
}

/// Whether `extensions` name a persisted query.
fn names_persisted_query(extensions: &RawValue) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Extensions<'a> {
        #[serde(borrow, default)]
        persisted_query: Option<&'a RawValue>,
    }
    serde_json::from_str::<Extensions<'_>>(extensions.get())
        .is_ok_and(|extensions| extensions.persisted_query.is_some())
}
