//! Brings the schema up to date at start.

use diesel::RunQueryDsl;
use diesel::connection::SimpleConnection;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::connection::{Db, fault};
use crate::error::{Error, Result};

const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// Held in PostgreSQL while migrating: two instances that start at once migrate once.
const LOCK: i64 = 0x0074_6964_696e_6773;

/// Runs the migrations that the database does not have yet.
pub fn run(db: &mut Db) -> Result<()> {
    match db {
        // Each migration is a transaction, and SQLite's own lock serializes two starting processes.
        Db::Sqlite(connection) => migrate(connection, SQLITE),
        Db::Postgres(connection) => {
            diesel::sql_query("SELECT pg_advisory_lock($1)")
                .bind::<diesel::sql_types::BigInt, _>(LOCK)
                .execute(connection)
                .map_err(fault)?;
            let migrated = migrate(connection, POSTGRES);
            connection.batch_execute("SELECT pg_advisory_unlock_all()").map_err(fault)?;
            migrated
        }
    }
}

fn migrate<DB: diesel::backend::Backend>(
    connection: &mut impl MigrationHarness<DB>,
    migrations: EmbeddedMigrations,
) -> Result<()>
where
    EmbeddedMigrations: diesel::migration::MigrationSource<DB>,
{
    let ran = connection
        .run_pending_migrations(migrations)
        .map_err(|error| Error::Unavailable(format!("the database cannot be migrated: {error}")))?;
    for migration in ran {
        tracing::debug!(%migration, "migrated");
    }
    Ok(())
}
