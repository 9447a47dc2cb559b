//! Checks of the database at start. Each failure is one line that tells the operator what to do.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};

use super::advice::with_advice;
use super::connection::{Db, is_new_enough};
use crate::error::{Error, Result};

/// All tables of the schema. The PostgreSQL user needs to read and write each of them.
const TABLES: &str = "announcement_reads,api_key_channels,api_keys,channel_members,channel_reads,channels,comments,deleted_identities,\
    event_types,events,idempotency_keys,identities,instances,invite_channels,invites,locations,log_head,message_locations,\
    messages,metrics,notifications,organizations,outbox,outbox_rejected,password_resets,presence,sessions,sign_in_attempts,\
    template_locations,templates,user_removals,users";

const SERVER_QUERY: &str = "SELECT current_setting('server_version_num')::bigint AS version, \
    current_setting('server_encoding') AS encoding, current_setting('lc_messages') AS messages, \
    (pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean) AS is_read_only";

const PRIVILEGES_QUERY: &str = "SELECT string_agg(c.relname, ', ' ORDER BY c.relname) AS tables FROM pg_class c \
    WHERE c.relname = ANY(string_to_array($1, ',')) AND c.relkind IN ('r', 'p') AND pg_table_is_visible(c.oid) \
    AND NOT (has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT') \
    AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE'))";

#[derive(QueryableByName)]
struct Server {
    #[diesel(sql_type = BigInt)]
    version: i64,
    #[diesel(sql_type = Text)]
    encoding: String,
    #[diesel(sql_type = Text)]
    messages: String,
    #[diesel(sql_type = Bool)]
    is_read_only: bool,
}

#[derive(QueryableByName)]
struct MissingPrivileges {
    #[diesel(sql_type = Nullable<Text>)]
    tables: Option<String>,
}

/// Checks the database server before the schema is looked at.
///
/// # Errors
/// `INTERNAL_SERVER_ERROR` with one line for the operator: unsupported version or encoding, or a read-only
/// server.
pub fn check(db: &mut Db) -> Result<()> {
    match db {
        // `check_file` has checked the file before it was opened.
        Db::Sqlite(_) => Ok(()),
        Db::Postgres(connection) => {
            let server: Server = diesel::sql_query(SERVER_QUERY).get_result(connection).map_err(unusable)?;
            is_new_enough(i32::try_from(server.version).unwrap_or(0))?;
            if server.encoding != "UTF8" {
                let Server { encoding, .. } = server;
                return Err(unusable_because(format!(
                    "its encoding is {encoding}, but tidings needs UTF8: create it with \
                     `createdb -E UTF8 -T template0 NAME`"
                )));
            }
            if server.is_read_only {
                return Err(unusable_because(
                    "it is read-only, perhaps a standby: name the primary, or \
                     all hosts and target_session_attrs=read-write",
                ));
            }
            if !is_english(&server.messages) {
                tracing::warn!(
                    lc_messages = server.messages,
                    "PostgreSQL does not report errors in English, so the server cannot recognise a full disk \
                     or a lost connection; set lc_messages to C, for example with ALTER DATABASE"
                );
            }
            Ok(())
        }
    }
}

/// Whether PostgreSQL reports errors in English under this locale.
fn is_english(locale: &str) -> bool {
    let language = locale.split(['.', '@']).next().unwrap_or_default();
    ["", "C", "POSIX", "en"].contains(&language) || language.starts_with("en_") || language.starts_with("English")
}

/// Checks the privileges of the PostgreSQL user once the schema exists. If another user created the database,
/// this one may have read access only.
///
/// # Errors
/// `INTERNAL_SERVER_ERROR` with one line that names the tables without privileges.
pub fn check_rights(db: &mut Db) -> Result<()> {
    let Db::Postgres(connection) = db else { return Ok(()) };
    let query = diesel::sql_query(PRIVILEGES_QUERY).bind::<Text, _>(TABLES);
    match query.get_result::<MissingPrivileges>(connection).map_err(unusable)?.tables {
        Some(tables) => Err(unusable_because(format!(
            "its user may not read and write {tables}: make the user their owner, or \
             grant SELECT, INSERT, UPDATE, DELETE"
        ))),
        None => Ok(()),
    }
}

/// The error for a statement that failed during the start, with advice for the operator.
pub fn unusable(error: diesel::result::Error) -> Error {
    unusable_because(with_advice(&error.to_string()))
}

fn unusable_because(line: impl Into<String>) -> Error {
    Error::Internal(line.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_tables_matches_the_schema() {
        let schema = include_str!("schema.rs");
        let tables: Vec<&str> = schema
            .lines()
            .filter_map(|line| line.trim().strip_suffix(") {"))
            .filter_map(|line| line.split_once(" (").map(|(name, _)| name))
            .collect();
        let mut listed: Vec<&str> = TABLES.split(',').collect();
        listed.sort_unstable();
        let mut in_schema = tables;
        in_schema.sort_unstable();
        assert_eq!(listed, in_schema);
    }

    #[test]
    fn english_locales_of_postgresql_are_recognised() {
        for locale in ["", "C", "C.UTF-8", "POSIX", "en_US.UTF-8", "en_GB", "English_United States.1252"] {
            assert!(is_english(locale), "{locale}");
        }
        for locale in ["de_DE.UTF-8", "fr_FR@euro", "enm", "Cornish"] {
            assert!(!is_english(locale), "{locale}");
        }
    }
}
