//! The command line: understands words, runs commands. Each prints its result on standard output
//! and nothing else there; the log goes to standard error.

pub mod args;
mod demo;
mod log;
mod output;
mod tail;
mod users;

use std::sync::Arc;

use args::{Command, Invocation, UserCommand};
pub use output::complain;

use crate::app::{App, House};
use crate::board::Board;
use crate::config::{Config, DatabaseUrl};

/// Runs what was asked for; `stopped` is awaited by the server.
///
/// # Errors
/// One line that says why it did not work.
pub async fn run(invocation: Invocation, stopped: impl Future<Output = ()>) -> Result<(), String> {
    let Invocation { command, config, warnings } = invocation;
    let log = log::start(&config.log.filter)?;
    warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let done = execute(command, config, stopped).await;
    log.flush();
    done
}

async fn execute(command: Command, config: Config, stopped: impl Future<Output = ()>) -> Result<(), String> {
    if needs_database(&command) {
        must_exist(&config)?;
    }
    match command {
        Command::Serve => {
            let app = App::start(config).await?;
            serve(app, stopped).await
        }
        Command::Schema => output::print(&crate::graphql::sdl()),
        Command::Migrate => {
            House::open(&config).await?.close(config.shutdown_grace).await;
            output::print(&format!("{} is up to date\n", config.database.url()))
        }
        Command::User(command) => with_board(&config, |board| users::run(board, command)).await,
        Command::Token { name } => with_board(&config, |board| users::token(board, name)).await,
        Command::Demo => with_board(&config, demo::run).await,
        Command::Tail { after, follow } => with_board(&config, |board| tail::run(board, after, follow)).await,
    }
}

/// Serves until `stopped`, or until a fault ends a part of the server: then the process ends, and whatever supervises it
/// starts it anew.
///
/// # Errors
/// One line that names the part.
pub async fn serve(app: App, stopped: impl Future<Output = ()>) -> Result<(), String> {
    let vitals = app.vitals().clone();
    let ended = tokio::select! {
        () = stopped => Ok(()),
        fault = vitals.faulted() => Err(format!("a fault ended {}: {}", fault.part, fault.message)),
    };
    app.stop().await;
    ended
}

/// Whether a command only looks at what is there, or changes it: what it would make is of no use.
fn needs_database(command: &Command) -> bool {
    match command {
        Command::Serve | Command::Migrate | Command::Schema | Command::Demo | Command::User(UserCommand::Add(_)) => {
            false
        }
        Command::User(_) | Command::Token { .. } | Command::Tail { .. } => true,
    }
}

/// A mistyped path would make an empty database there, in which nobody is found.
fn must_exist(config: &Config) -> Result<(), String> {
    match config.database.url() {
        DatabaseUrl::Sqlite(path) if !path.exists() => {
            let path = path.display();
            Err(format!("{path} does not exist: start the server once, or name its file by --database-url"))
        }
        _ => Ok(()),
    }
}

/// Opens the database, does something with the board, and leaves when it is on disk.
async fn with_board<F: Future<Output = Result<(), String>>>(
    config: &Config,
    work: impl FnOnce(Arc<Board>) -> F,
) -> Result<(), String> {
    let house = House::open(config).await?;
    let done = work(Arc::clone(house.board())).await;
    house.close(config.shutdown_grace).await;
    done
}

/// Runs a use case that blocks, off the async threads.
async fn blocking<T: Send + 'static>(
    case: impl FnOnce() -> crate::error::Result<T> + Send + 'static,
) -> Result<T, String> {
    match tokio::task::spawn_blocking(case).await {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}
