//! A SQLite database beside tables in memory, for the test that both read and write the same.

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;

use super::{TAG, TestTables};
use crate::error::Result;
use crate::model::Seq;
use crate::store::batch::attempt::write_rows;
use crate::store::batch::effects::Effects;
use crate::store::batch::needs::Needs;
use crate::store::batch::state::{BatchRows, Versions};
use crate::store::batch::write_postgres::Basis;
use crate::store::batch::{lookups, read_sqlite};
use crate::store::connection::Db;
use crate::store::log::{self, Head};
use crate::store::sign_in_attempts;
use crate::store::users::NewUserRow;
use crate::store::{migrations, organizations, users};

/// A database in the memory of SQLite.
pub struct SqliteMirror(Db);

impl SqliteMirror {
    /// An empty database.
    pub fn new() -> Self {
        let connection = SqliteConnection::establish(":memory:").expect("open a database");
        let mut db = Db::Sqlite(connection);
        db.batch_execute("PRAGMA foreign_keys = ON").expect("set up the database");
        migrations::run(&mut db).and_then(|()| log::insert_genesis(&mut db)).expect("create the tables");
        db.batch_execute(&format!("UPDATE events SET tag = {}", TAG.0)).expect("set the tag of the log");
        Self(db)
    }

    /// Begins a transaction, and writes the users, organizations and locations of these tables, which contain nothing
    /// else.
    pub fn begin(&mut self, tables: &TestTables) {
        let Self(db) = self;
        db.batch_execute("BEGIN").expect("begin");
        let mut fill = || -> Result<()> {
            for organization in tables.organizations.values() {
                organizations::insert(db, organization)?;
            }
            for location in tables.locations.values() {
                organizations::insert_location(db, location)?;
            }
            for user in tables.users.values() {
                let row = NewUserRow {
                    user: user.clone(),
                    password_hash: String::new(),
                    identity: None,
                    profile_at: crate::model::Timestamp(0),
                };
                users::insert(db, &[row])?;
            }
            Ok(())
        };
        fill().expect("fill the database");
    }

    /// Empties the database.
    pub fn roll_back(&mut self) {
        self.0.batch_execute("ROLLBACK").expect("roll back");
    }

    /// Writes effects that the tables do not contain yet.
    pub(super) fn write(&mut self, mut effects: Effects, tables: &TestTables) {
        let head = Head { cursor: tables.head(), at: tables.now, access: Seq(0), fence: 0, applied_tag: None };
        let basis = Basis { head: &head, versions: &Versions::default(), tag: TAG, now: tables.now };
        write_rows(&mut self.0, &mut effects, &basis).expect("write the effects");
    }

    /// How the rows that these needs read from the database differ from those of the tables.
    pub fn difference(&mut self, tables: &TestTables, needs: &Needs) -> Option<String> {
        let mut rows = read_sqlite::read(&mut self.0, needs).expect("read the rows");
        lookups::read(&mut self.0, needs, &mut rows).expect("run the lookups");
        let attempts = sign_in_attempts::counts(&mut self.0, &needs.attempts, needs.attempt_span, tables.now);
        rows.attempts = attempts.expect("count the attempts");
        let head = log::head(&mut self.0).expect("read the head");
        let in_database = (head, comparable(rows, tables));
        let in_memory = (tables.head(), comparable(tables.read(needs), tables));
        (in_database != in_memory).then(|| format!("SQLite has {in_database:#?}\ninstead of {in_memory:#?}"))
    }
}

/// The rows, without differences that mean nothing.
fn comparable(mut rows: BatchRows, tables: &TestTables) -> BatchRows {
    for ((channel, _), newest) in &mut rows.positions {
        // The id may be between those of two messages of the channel, or belong to a deleted message.
        let ids = tables.messages.values().filter(|message| message.channel_id == *channel).map(|message| message.id);
        if let Ok(up_to) = newest {
            *newest = Ok(ids.filter(|id| Some(*id) <= *up_to).max());
        }
    }
    for organization in rows.organizations.values_mut() {
        organization.locations.sort_unstable_by_key(|location| location.id);
        organization.users.sort_unstable();
    }
    // Several names may be similar. Any of them is found.
    rows.similar_names.values_mut().for_each(|found| *found = found.as_ref().map(|_| String::new()));
    rows
}
