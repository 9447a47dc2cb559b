//! The custom scalars, and ids as clients write them.

use juniper::{GraphQLScalar, ID, ScalarValue};

use crate::error::{Error, Result};
use crate::model;

/// An opaque position in the log: subscribe `after` it, and nothing is missed or repeated. Valid on every transport and every instance of the installation.
#[derive(Debug, Clone, PartialEq, Eq, GraphQLScalar)]
#[graphql(name = "Cursor", with = cursor, parse_token(String))]
pub struct Cursor(pub String);

mod cursor {
    use super::{Cursor, ScalarValue};

    pub(super) fn to_output<S: ScalarValue>(cursor: &Cursor) -> S {
        cursor.0.clone().into()
    }

    pub(super) fn from_input(text: &str) -> Cursor {
        Cursor(text.to_owned())
    }
}

impl From<model::Cursor> for Cursor {
    fn from(cursor: model::Cursor) -> Self {
        Self(cursor.to_string())
    }
}

impl Cursor {
    /// The position; the scalar takes any string so that a wrong one gets its own error code.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` naming `field`.
    pub fn position(&self, field: &'static str) -> Result<model::Cursor> {
        self.0.parse().map_err(|_| {
            let hint =
                if super::paging::is_edge_cursor(&self.0) { ": this is the cursor of a list's edge" } else { "" };
            Error::input(field, format!("not a cursor of the log{hint}"))
        })
    }
}

/// A time in RFC 3339, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, GraphQLScalar)]
#[graphql(name = "DateTime", with = date_time, parse_token(String), specified_by_url = "https://www.rfc-editor.org/rfc/rfc3339")]
pub struct DateTime(pub model::Timestamp);

mod date_time {
    use super::{DateTime, ScalarValue, model};

    pub(super) fn to_output<S: ScalarValue>(time: &DateTime) -> S {
        time.0.rfc3339().into()
    }

    pub(super) fn from_input(text: &str) -> Result<DateTime, Box<str>> {
        model::Timestamp::parse(text).map(DateTime).ok_or_else(|| "not a time in RFC 3339".into())
    }
}

/// An id as the house knows it.
///
/// # Errors
/// `BAD_USER_INPUT` naming `field` if it is no decimal number.
pub fn id<I: From<i64>>(field: &'static str, id: &ID) -> Result<I> {
    let number: Option<i64> = id.parse().ok().filter(|number: &i64| number.to_string() == **id);
    number
        .map(I::from)
        .ok_or_else(|| Error::input(field, format!("{field} must be a whole number, as ids are given out")))
}

/// Ids of a list.
///
/// # Errors
/// `BAD_USER_INPUT` naming `field` if one is no decimal number.
pub fn ids<I: From<i64>>(field: &'static str, list: Option<&[ID]>) -> Result<Vec<I>> {
    list.unwrap_or_default().iter().map(|one| id(field, one)).collect()
}

/// An id as clients read it.
pub fn out(id: impl std::fmt::Display) -> ID {
    ID::new(id.to_string())
}
