//! Instances of a server on a new database.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::Outcome;
use crate::distance::Distance;
use crate::http::Connection;
use crate::options::Server;
use crate::support::database::{Postgres, SECRET};
use crate::support::{Process, Program, text};
use crate::workload::{Author, TEXT};

/// Authors of the smallest template. The requests of a client name the two authors after its own.
const FEWEST_AUTHORS: usize = 3;

/// A database of one server with users, a channel and a message of each user. Each cluster begins with a copy of it,
/// because hashing the passwords of new users takes seconds.
pub struct Template {
    pub server: Server,
    database: String,
    pub channel: String,
    pub authors: Vec<Author>,
}

impl Template {
    pub async fn create(postgres: &Postgres, server: &Server, clients: usize) -> Outcome<Self> {
        let database = postgres.create_database();
        let program = program(&server.binary, &postgres.url(postgres.port(), &database));
        let mut process = program.start();
        process.ready().await?;
        let mut template = Self { server: server.clone(), database, channel: String::new(), authors: Vec::new() };
        for number in 0..clients.max(FEWEST_AUTHORS) {
            let username = format!("author{number}");
            let token = program.register(&username).await;
            if number == 0 {
                template.channel = program.channel(&token, "general").await;
            }
            template.authors.push(author(&program, &template.channel, username, token).await);
        }
        // A database can be copied only while nothing is connected to it.
        process.signal("TERM");
        process.ended().await;
        Ok(template)
    }
}

/// An author with a message that was edited once. So the cursor of its first version is outdated.
async fn author(program: &Program, channel: &str, username: String, token: String) -> Author {
    let ask =
        async |document: &str, input: &Value| program.data(Some(&token), document, &json!({"input": input})).await;
    let create =
        "mutation ($input: CreateMessageInput!) { createMessage(input: $input) { id revision author { id } } }";
    let created = ask(create, &json!({"channelId": channel, "content": TEXT})).await;
    let created = &created["createMessage"];
    let edit = "mutation ($input: UpdateMessageInput!) { updateMessage(input: $input) { revision } }";
    let edited = ask(edit, &json!({"id": created["id"], "content": TEXT})).await;
    let (id, message, outdated) = (text(&created["author"]["id"]), text(&created["id"]), text(&created["revision"]));
    let revision = text(&edited["updateMessage"]["revision"]);
    Author { id, username, token, message, outdated, revision }
}

/// Running instances.
pub struct Cluster<'t> {
    pub template: &'t Template,
    pub database: String,
    programs: Vec<Program>,
    _processes: Vec<Process>,
}

impl<'t> Cluster<'t> {
    pub async fn start(
        postgres: &Postgres,
        distance: &Distance,
        template: &'t Template,
        instances: usize,
    ) -> Outcome<Self> {
        static COPIES: AtomicU32 = AtomicU32::new(0);
        let database = format!("cluster{}", COPIES.fetch_add(1, Ordering::Relaxed));
        postgres.run("createdb", &["-T", &template.database, &database]);
        let url = postgres.url(distance.proxy.port(), &database);
        let (mut programs, mut processes) = (Vec::new(), Vec::new());
        for _ in 0..instances {
            let program = program(&template.server.binary, &url);
            let mut process = program.start();
            process.ready().await.map_err(|error| format!("{error}\n{}", program.log()))?;
            programs.push(program);
            processes.push(process);
        }
        Ok(Self { template, database, programs, _processes: processes })
    }

    /// A connection to each instance.
    pub async fn connections(&self) -> Outcome<Vec<Connection>> {
        let mut connections = Vec::new();
        for program in &self.programs {
            connections.push(Connection::open(program.address(), None).await?);
        }
        Ok(connections)
    }

    /// A connection of an author. The authors are distributed evenly over the instances.
    pub async fn connection_of(&self, author: usize) -> Outcome<Connection> {
        let address = self.programs[author % self.programs.len()].address();
        Connection::open(address, Some(&self.template.authors[author].token)).await
    }
}

/// The settings of a server. [`Program`] turns the rate limits off.
fn program(binary: &Path, url: &str) -> Program {
    Program::of_binary(binary, &[("DATABASE_URL", url), ("TIDINGS_JWT_SECRET", SECRET)])
}
