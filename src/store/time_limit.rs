//! How long a snapshot may read. PostgreSQL ends a statement that takes too long by itself. SQLite does so only where it
//! is told to by a callback that is out of reach of safe code; so queries that may look at many rows ask, at each of them,
//! a function that fails when the time is over.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::{BigInt, Bool};
use diesel::sqlite::{Sqlite, SqliteConnection};

use crate::error::{Error, Result};

/// What SQLite says of a statement that was ended by this.
pub(super) const TIME_LIMIT_ERROR: &str = "the time limit of the query is over";

diesel::define_sql_function! {
    /// `true`, and fails when the time of the snapshot is over. The argument makes it depend on the row.
    fn within_time(row: BigInt) -> Bool;
}

/// Has a boxed query that may look at many rows end when the time of its snapshot is over; the column is one of the table
/// that is walked. PostgreSQL does so by itself.
macro_rules! with_time_limit {
    ($db:expr, $query:expr, $column:expr) => {{
        let query = $query;
        match $db {
            $crate::store::Db::Sqlite(_) => query.filter($crate::store::time_limit::within_time($column)),
            $crate::store::Db::Postgres(_) => query,
        }
    }};
}
pub(super) use with_time_limit;

/// Until when the snapshot of one connection may read; `None` is for as long as it takes.
#[derive(Debug, Clone, Default)]
pub struct TimeLimit(Arc<Mutex<Option<Instant>>>);

/// The answer of `within_time`.
#[derive(Debug)]
struct IsWithin(bool);

impl TimeLimit {
    /// Sets it for the snapshot that begins.
    pub fn set(&self, until: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    fn is_over(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|until| Instant::now() > until)
    }

    /// Makes `within_time` known to a connection.
    ///
    /// # Errors
    /// An internal error if SQLite does not take it.
    pub fn register(&self, connection: &mut SqliteConnection) -> Result<()> {
        let limit = self.clone();
        within_time_utils::register_nondeterministic_impl(connection, move |_: i64| IsWithin(!limit.is_over()))
            .map_err(Error::internal)
    }
}

impl ToSql<Bool, Sqlite> for IsWithin {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        if !self.0 {
            return Err(TIME_LIMIT_ERROR.into());
        }
        out.set_value(1_i32);
        Ok(IsNull::No)
    }
}
