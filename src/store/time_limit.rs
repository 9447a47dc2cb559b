//! Time limits for snapshots. PostgreSQL ends slow statements itself. SQLite needs a progress handler for that,
//! which safe code cannot set. So queries that may scan many rows call an SQL function for each row, which fails
//! after the deadline.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::{BigInt, Bool};
use diesel::sqlite::{Sqlite, SqliteConnection};

use crate::error::{Error, Result};

/// SQLite's error message when a snapshot's deadline has passed.
pub(super) const TIME_LIMIT_ERROR: &str = "the time limit of the query is over";

diesel::define_sql_function! {
    /// Returns `true`, or fails after the deadline of the snapshot. SQLite calls it for each row because of its
    /// argument.
    fn within_time(row: BigInt) -> Bool;
}

/// Makes a boxed query end after the deadline of its snapshot. The column must belong to the table that is
/// scanned. On PostgreSQL it changes nothing, because `statement_timeout` limits the query.
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

/// Deadline of the open snapshot on one connection; `None` means no limit.
#[derive(Debug, Clone, Default)]
pub struct TimeLimit(Arc<Mutex<Option<Instant>>>);

/// The value that the SQL function `within_time` returns.
#[derive(Debug)]
struct IsWithin(bool);

impl TimeLimit {
    /// Sets the deadline for the snapshot that begins.
    pub fn set(&self, until: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    fn is_over(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|until| Instant::now() > until)
    }

    /// Registers the SQL function `within_time` on a SQLite connection.
    ///
    /// # Errors
    /// `INTERNAL_SERVER_ERROR` if SQLite rejects the function.
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
