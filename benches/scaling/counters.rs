//! What the work cost the database, from the statistics of PostgreSQL, the proxy and the instances.

use std::ops::Sub;

use tokio_postgres::{Client, NoTls};

use crate::Outcome;
use crate::distance::Distance;
use crate::http;
use crate::support::database::Postgres;

/// Counts since the start. The difference of two readings is the cost of what ran in between.
#[derive(Clone, Copy, Default)]
pub struct Counters {
    /// Statements that PostgreSQL executed, BEGIN and COMMIT included.
    pub statements: f64,
    /// Round trips on all connections to the database, those of reads and of the log tailer included.
    pub round_trips: f64,
    /// Commits of the instances, and the changes in them, refused ones included.
    pub commits: f64,
    pub commands: f64,
}

impl Sub for Counters {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            statements: self.statements - before.statements,
            round_trips: self.round_trips - before.round_trips,
            commits: self.commits - before.commits,
            commands: self.commands - before.commands,
        }
    }
}

/// The statistics of PostgreSQL, on a connection that does not use the proxy.
pub struct Statistics(Client);

impl Statistics {
    pub async fn connect(postgres: &Postgres) -> Outcome<Self> {
        let client = connect(&postgres.url(postgres.port(), "postgres")).await?;
        client.batch_execute("CREATE EXTENSION pg_stat_statements").await.map_err(statistics_error)?;
        Ok(Self(client))
    }

    /// Reads the counters of a database and of the instances, to which these connections lead.
    pub async fn read(
        &self,
        database: &str,
        distance: &Distance,
        instances: &mut [http::Connection],
    ) -> Outcome<Counters> {
        let query = "SELECT coalesce(sum(s.calls), 0)::float8 FROM pg_stat_statements s \
                     JOIN pg_database d ON d.oid = s.dbid WHERE d.datname = $1";
        let row = self.0.query_one(query, &[&database]).await.map_err(statistics_error)?;
        let mut counters = Counters {
            statements: row.get(0),
            round_trips: distance.proxy.round_trips() as f64,
            ..Counters::default()
        };
        for instance in instances {
            let page = instance.get("/metrics").await?;
            counters.commands += metric(page, "tidings_commit_commands_sum")?;
            counters.commits += metric(page, "tidings_commit_commands_count")?;
        }
        Ok(counters)
    }
}

fn statistics_error(error: tokio_postgres::Error) -> String {
    format!("the statistics of PostgreSQL: {error}")
}

fn metric(page: &str, name: &str) -> Outcome<f64> {
    let value = page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.ok_or_else(|| format!("/metrics has no {name}"))
}

/// A connection to a database.
pub async fn connect(url: &str) -> Outcome<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.map_err(|error| format!("{url}: {error}"))?;
    // It ends when the client is dropped.
    tokio::spawn(connection);
    Ok(client)
}
