//! Checks a SQLite file before the server opens it.

use std::path::Path;

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::advice::with_advice;

#[derive(QueryableByName)]
struct TextEncoding {
    #[diesel(sql_type = Text)]
    encoding: String,
}

#[derive(QueryableByName)]
struct TableCounts {
    #[diesel(sql_type = BigInt)]
    all: i64,
    #[diesel(sql_type = BigInt)]
    migrations: i64,
}

/// Checks a SQLite file before the server changes anything in it, for example its journal mode.
///
/// # Errors
/// One line for the operator: the file is damaged, not a database, not UTF-8, or belongs to another program.
pub fn check_file(path: &Path) -> Result<(), String> {
    let message = |error: &dyn std::fmt::Display| format!("{}: {}", path.display(), with_advice(&error.to_string()));
    let name = path.to_str().ok_or("the path is not UTF-8")?;
    let mut connection = SqliteConnection::establish(name).map_err(|error| message(&error))?;
    let settings = "PRAGMA busy_timeout = 5000; PRAGMA query_only = ON";
    connection.batch_execute(settings).map_err(|error| message(&error))?;
    let tables = "SELECT count(*) AS \"all\", \
        coalesce(sum(name = '__diesel_schema_migrations'), 0) AS migrations FROM sqlite_master WHERE type = 'table'";
    let counts = diesel::sql_query(tables).get_result(&mut connection);
    let TableCounts { all, migrations } = counts.map_err(|error| message(&error))?;
    let encoding = diesel::sql_query("PRAGMA encoding").get_result(&mut connection);
    let TextEncoding { encoding } = encoding.map_err(|error| message(&error))?;
    if encoding != "UTF-8" {
        return Err(format!("its encoding is {encoding}: tidings needs UTF-8"));
    }
    if all > 0 && migrations == 0 {
        return Err("it is the database of another program: name another file".into());
    }
    Ok(())
}
