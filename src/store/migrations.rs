//! Runs the schema migrations at start.

use diesel::RunQueryDsl;
use diesel::connection::SimpleConnection;
use diesel::migration::MigrationSource;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::advice::with_advice;
use super::connection::{Db, POSTGRES_SETTINGS};
use super::startup_checks::unusable;
use crate::error::{Error, Result};

const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// Key of the PostgreSQL advisory lock during migrations, so that instances that start together migrate once.
const LOCK: i64 = 0x0074_6964_696e_6773;

/// Runs the migrations that are missing in the database.
///
/// # Errors
/// `INTERNAL_SERVER_ERROR` with one line for the operator if a migration fails or the schema is from a newer
/// version.
pub fn run(db: &mut Db) -> Result<()> {
    match db {
        // Each migration is one transaction, and SQLite's lock serializes processes that start at the same time.
        Db::Sqlite(connection) => migrate(connection, SQLITE),
        Db::Postgres(connection) => {
            // Building an index on a large table may take longer than the usual limit for statements.
            connection.batch_execute("SET statement_timeout = 0; SET lock_timeout = 0;").map_err(unusable)?;
            diesel::sql_query("SELECT pg_advisory_lock($1)")
                .bind::<diesel::sql_types::BigInt, _>(LOCK)
                .execute(connection)
                .map_err(unusable)?;
            let migrated = migrate(connection, POSTGRES);
            connection.batch_execute("SELECT pg_advisory_unlock_all()").map_err(unusable)?;
            connection.batch_execute(POSTGRES_SETTINGS).map_err(unusable)?;
            migrated
        }
    }
}

fn migrate<DB: diesel::backend::Backend>(
    connection: &mut impl MigrationHarness<DB>,
    migrations: EmbeddedMigrations,
) -> Result<()>
where
    EmbeddedMigrations: MigrationSource<DB>,
{
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
        Error::Internal(format!("the schema cannot be migrated: {}", with_advice(&error.to_string())))
    };
    let known = MigrationSource::<DB>::migrations(&migrations).map_err(failed)?;
    let known: Vec<String> = known.iter().map(|migration| migration.name().version().to_string()).collect();
    let applied = connection.applied_migrations().map_err(failed)?;
    // Applied migrations are listed newest first. A newer schema may use the same names with other meanings.
    if let Some(newer) = applied.iter().map(ToString::to_string).find(|version| !known.contains(version)) {
        return Err(Error::Internal(format!(
            "it was made by a newer tidings: this version does not know its migration {newer}. \
             Run the newer version, or restore a backup from before the update"
        )));
    }
    let ran = connection.run_pending_migrations(migrations).map_err(failed)?;
    for migration in ran {
        tracing::debug!(%migration, "applied a schema migration");
    }
    Ok(())
}
