//! tidings is a self-hosted live-data server. Every change is an event in one durable, ordered log, and a subscription
//! is a reader of that log with a cursor. Clients use GraphQL over HTTP, WebSocket and server-sent events, or JSON over
//! a WebSocket. The database is SQLite or PostgreSQL.
//!
//! The modules form layers. A module imports only from the layers below its own:
//!
//! | layer | module | owns |
//! | --- | --- | --- |
//! | program | [`cli`] | the commands, the program's log, and reading settings from flags and the environment |
//! | assembly | [`app`] | creating, connecting and stopping all parts of a server |
//! | transport | [`web`] | HTTP, WebSocket and server-sent events: routes, sockets, pages, health checks, metrics |
//! | language | [`graphql`] | the schema, thin resolvers, query limits, loaders, rendering of subscription items |
//! | subscriptions | [`live`] | subscriptions as streams of updates, and the driver that delivers them |
//! | service | [`board`] | the use cases, permissions, the log tailer, presence |
//! | storage | [`store`] | the tables, the event log, the single writer, the read threads; the only SQL |
//! | delivery | [`hub`] | the newest events in memory, and waking the subscribers of each topic |
//! | authentication | [`auth`] | password hashes, session tokens, rate limits |
//! | text | [`unicode`] | normalization of names and passwords, look-alike names, mentions |
//! | sharing | [`capacity`] | fair queues and permits for bounded resources |
//! | shared types | [`model`], [`error`], [`config`], [`supervisor`] | ids, objects and events; error codes; settings; task supervision |
//!
//! `store`, `hub` and `auth` are independent of each other. `ARCHITECTURE.md` in the repository explains the mechanisms
//! and their invariants.
//!
//! # Example
//!
//! A program can embed the server. This one serves a SQLite file until Ctrl-C:
//!
//! ```no_run
//! use tidings::app::App;
//! use tidings::config::{Config, DatabaseUrl};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), String> {
//!     let config = Config {
//!         listen: ([127, 0, 0, 1], 8000).into(),
//!         database: DatabaseUrl::Sqlite("board.db".into()).into(),
//!         ..Config::default()
//!     };
//!     let app = App::start(config).await?;
//!     println!("GraphQL: http://{}/graphql", app.address());
//!     tokio::signal::ctrl_c().await.map_err(|error| error.to_string())?;
//!     app.stop().await;
//!     Ok(())
//! }
//! ```

// `print!` and `eprint!` panic when the reader of the output has left. `cli::output` prints without panicking.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod app;
pub mod auth;
pub mod board;
pub mod capacity;
pub mod cli;
pub mod config;
pub mod error;
pub mod graphql;
pub mod hub;
pub mod live;
pub mod model;
pub mod store;
pub mod supervisor;
pub mod unicode;
pub mod web;
