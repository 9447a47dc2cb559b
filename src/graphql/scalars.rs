//! The custom scalars `Cursor` and `DateTime`, and the conversion of ids.

use juniper::{GraphQLScalar, ID, ScalarValue};

use crate::error::{Error, Result};
use crate::model;

/// An opaque position in the log. A subscription with this position as `after` delivers each later event exactly once.
/// A cursor is valid on every transport and on every instance of the installation.
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
    /// Parses the position. The scalar itself accepts any string, so that a wrong cursor gets its own error code.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` naming `field` if the text is not a cursor of the log.
    pub fn position(&self, field: &'static str) -> Result<model::Cursor> {
        self.0.parse().map_err(|_| {
            let hint =
                if super::paging::is_edge_cursor(&self.0) { ": this is the cursor of a list's edge" } else { "" };
            Error::input(field, format!("{field} is not a cursor of the log{hint}"))
        })
    }
}

/// A time in UTC, in the format of RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, GraphQLScalar)]
#[graphql(name = "DateTime", with = date_time, parse_token(String), specified_by_url = "https://www.rfc-editor.org/rfc/rfc3339")]
pub struct DateTime(pub model::Timestamp);

mod date_time {
    use super::{DateTime, ScalarValue, model};

    pub(super) fn to_output<S: ScalarValue>(time: &DateTime) -> S {
        time.0.rfc3339().into()
    }

    pub(super) fn from_input(text: &str) -> Result<DateTime, Box<str>> {
        model::Timestamp::parse(text).map(DateTime).ok_or_else(|| "not a time in the format of RFC 3339".into())
    }
}

/// Parses an id that a client sent.
///
/// # Errors
/// `BAD_USER_INPUT` naming `field` if the id is not a decimal number of 64 bits, or has leading zeros or a plus sign.
pub fn id<I: From<i64>>(field: &'static str, id: &ID) -> Result<I> {
    let number: Option<i64> = id.parse().ok().filter(|number: &i64| number.to_string() == **id);
    number.map(I::from).ok_or_else(|| Error::input(field, format!("{field} must be an id: a whole decimal number")))
}

/// Parses the ids of a list. A missing list is empty.
///
/// # Errors
/// `BAD_USER_INPUT` naming `field` if one of the ids is not valid, as in [`id`].
pub fn ids<I: From<i64>>(field: &'static str, list: Option<&[ID]>) -> Result<Vec<I>> {
    list.unwrap_or_default().iter().map(|item| id(field, item)).collect()
}

/// The GraphQL form of an id.
pub fn to_id(id: impl std::fmt::Display) -> ID {
    ID::new(id.to_string())
}
