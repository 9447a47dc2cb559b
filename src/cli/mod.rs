//! The command line: parses arguments and runs commands. A command prints its result, and nothing else, on standard
//! output. The program's log goes to standard error.

pub mod args;
mod blocking;
mod demo;
mod keys;
mod log;
mod output;
mod tail;
mod types;
mod typescript;
mod users;

use std::sync::Arc;

use args::{Command, Invocation, UserCommand};
pub use output::print_error;

use crate::app::{App, Services};
use crate::board::Board;
use crate::config::{Config, DatabaseUrl};

/// Runs a command. The server runs until the future `stopped` is ready.
///
/// # Errors
/// One line for the operator that says why the command failed.
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
        check_database_exists(&config)?;
    }
    match command {
        Command::Serve => {
            let app = App::start(config).await?;
            serve(app, stopped).await
        }
        Command::Schema => output::print(&crate::graphql::sdl()),
        Command::Migrate => {
            Services::open(&config).await?.close(config.shutdown_grace).await;
            output::print(&format!("{} is up to date\n", config.database.url()))
        }
        Command::User(command) => with_board(&config, |board| users::run(board, command)).await,
        Command::Key(command) => with_board(&config, |board| keys::run(board, command)).await,
        Command::Token { name } => with_board(&config, |board| users::token(board, name)).await,
        Command::Invite(invitation) => with_board(&config, |board| users::invite(board, invitation)).await,
        Command::Demo => with_board(&config, demo::run).await,
        Command::Types => with_board(&config, types::run).await,
        Command::Tail { after, follow } => with_board(&config, |board| tail::run(board, after, follow)).await,
    }
}

/// Runs the server until `stopped` is ready, or until a required part of the server panics. In the second case the
/// program must end, so that its supervisor starts it again.
///
/// # Errors
/// One line for the operator that names the part that panicked, and its panic message.
pub async fn serve(app: App, stopped: impl Future<Output = ()>) -> Result<(), String> {
    let vitals = app.vitals().clone();
    let ended = tokio::select! {
        () = stopped => Ok(()),
        fault = vitals.faulted() => Err(format!("{} panicked: {}", fault.part, fault.message)),
    };
    app.stop().await;
    ended
}

/// Whether a command works only on an existing database. An empty new one would be of no use to it.
fn needs_database(command: &Command) -> bool {
    match command {
        Command::Serve | Command::Migrate | Command::Schema | Command::Demo | Command::User(UserCommand::Add(_)) => {
            false
        }
        Command::User(_)
        | Command::Key(_)
        | Command::Token { .. }
        | Command::Invite(_)
        | Command::Types
        | Command::Tail { .. } => true,
    }
}

/// Checks that the SQLite file exists. Opening a mistyped path would create an empty database, and the command would
/// then report that the user does not exist.
fn check_database_exists(config: &Config) -> Result<(), String> {
    match config.database.url() {
        DatabaseUrl::Sqlite(path) if !path.exists() => {
            let path = path.display();
            Err(format!("{path} does not exist: start the server once, or set the file with --database-url"))
        }
        _ => Ok(()),
    }
}

/// Opens the database, runs `work` with the use cases, and returns after all its changes are committed.
async fn with_board<F: Future<Output = Result<(), String>>>(
    config: &Config,
    work: impl FnOnce(Arc<Board>) -> F,
) -> Result<(), String> {
    let services = Services::open(config).await?;
    let done = work(Arc::clone(services.board())).await;
    services.close(config.shutdown_grace).await;
    done
}
