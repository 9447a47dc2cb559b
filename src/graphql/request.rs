//! Requests to execute an operation, as clients write them in JSON.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::document::Refusal;
use crate::error::Error;

/// A request to execute an operation.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The document.
    pub query: String,
    /// Which operation of it.
    pub operation_name: Option<String>,
    /// The values of its variables: a JSON object, which is read by the types that the document names.
    pub variables: Option<Box<RawValue>>,
}

/// Why a request cannot be read.
#[derive(Debug)]
pub enum Unreadable {
    /// A parameter is not of the type that every request has; the message is for the client.
    Form(String),
    /// What it asks for is refused.
    Refused(Refusal),
}

impl Unreadable {
    /// Of a request that has these `extensions` and no document.
    #[must_use]
    pub fn without_document(extensions: &RawValue) -> Self {
        match names_persisted_query(extensions) {
            true => Self::Refused(Refusal::PersistedQuery),
            false => Self::Form("the parameters are wrong: query is missing".into()),
        }
    }

    /// As the refusal of the one operation.
    #[must_use]
    pub fn refusal(self) -> Refusal {
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
    /// From a JSON object.
    ///
    /// # Errors
    /// What is wrong with it. A request that names a persisted query and has no document is refused with
    /// `PERSISTED_QUERY_NOT_SUPPORTED`, after which Apollo Client sends the document.
    pub fn from_json(json: &str) -> Result<Self, Unreadable> {
        let form = |message: &str| Unreadable::Form(format!("the parameters are wrong: {message}"));
        let input = |error: serde_json::Error| {
            Unreadable::Refused(Error::input("query", format!("the parameters are wrong: {error}")).into())
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

/// Whether `extensions` say that the document is one that the server may know already.
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
