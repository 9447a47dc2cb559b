//! Another program on the database of the server.

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel::{PgConnection, SqliteConnection};

use crate::support::with_timeout;

/// A connection of another program.
pub enum OtherProgram {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

impl OtherProgram {
    pub fn connect(url: &str) -> Self {
        let Some(path) = url.strip_prefix("sqlite://") else {
            return Self::Postgres(PgConnection::establish(url).expect("the database"));
        };
        let mut connection = SqliteConnection::establish(path).expect("the database");
        connection.batch_execute("PRAGMA busy_timeout = 20000").expect("settings");
        Self::Sqlite(connection)
    }

    /// Runs statements.
    pub fn execute(&mut self, sql: &str) {
        self.try_execute(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    pub fn try_execute(&mut self, sql: &str) -> QueryResult<()> {
        match self {
            Self::Sqlite(connection) => connection.batch_execute(sql),
            Self::Postgres(connection) => connection.batch_execute(sql),
        }
    }

    /// Publishes an event in the present transaction, as an application does on this database.
    pub fn publish(&mut self, channel: &str, app_type: &str, data: &str, key: Option<&str>) {
        let text = |text: &str| format!("'{}'", text.replace('\'', "''"));
        let (channel, app_type, data) = (text(channel), text(app_type), text(data));
        let key = key.map_or("NULL".into(), text);
        self.execute(&match self {
            Self::Sqlite(_) => {
                format!("INSERT INTO outbox (channel, type, data, key) VALUES ({channel}, {app_type}, {data}, {key})")
            }
            Self::Postgres(_) => format!("SELECT tidings_publish({channel}, {app_type}, {data}, {key})"),
        });
    }

    /// Publishes a number in the channel `orders`.
    pub fn publish_number(&mut self, number: usize) {
        self.publish("orders", "order.placed", &number.to_string(), None);
    }

    /// Inserts a row as it is, without the function.
    pub fn insert(&mut self, channel: &str, app_type: &str, data: &str, key: &str) {
        let values = [channel, app_type, data, key].map(|text| format!("'{}'", text.replace('\'', "''"))).join(", ");
        self.execute(&format!("INSERT INTO outbox (channel, type, data, key) VALUES ({values})"));
    }

    pub fn number(&mut self, sql: &str) -> i64 {
        let query = diesel::sql_query(format!("SELECT ({sql}) AS number"));
        let found: Number = match self {
            Self::Sqlite(connection) => query.get_result(connection),
            Self::Postgres(connection) => query.get_result(connection),
        }
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
        found.number
    }

    pub fn lines(&mut self, sql: &str) -> Vec<String> {
        let query = diesel::sql_query(sql);
        let found: Vec<Line> = match self {
            Self::Sqlite(connection) => query.load(connection),
            Self::Postgres(connection) => query.load(connection),
        }
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
        found.into_iter().map(|row| row.line).collect()
    }

    /// Waits until the outbox has no committed row.
    pub async fn wait_until_empty(&mut self) {
        let empty = async {
            while self.number("SELECT count(*) FROM outbox") > 0 {
                tokio::task::yield_now().await;
            }
        };
        with_timeout("an empty outbox", empty).await;
    }
}
