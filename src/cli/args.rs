//! The command line: which commands there are, and how words and environment become a
//! [`Command`] and a [`Config`].

mod refusal;
mod variables;

use std::ffi::OsString;
use std::process;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use super::output::{complain, patiently};
use crate::config::{Config, Database, LogSettings, TokenSettings};
use crate::model::Cursor;

/// A command and everything it was told.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// What to do.
    pub command: Command,
    /// With which settings; those that a command has no flag for have their defaults.
    pub config: Config,
    /// What the environment has that looks like a setting and is none, to be said once there is a log.
    pub warnings: Vec<String>,
}

/// What `tidings` can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Run the server.
    Serve,
    /// Bring the database to this version.
    Migrate,
    /// Print the GraphQL schema.
    Schema,
    /// Manage accounts.
    User(UserCommand),
    /// Print a token for a user.
    Token {
        /// The username.
        name: String,
    },
    /// Fill an empty database.
    Demo,
    /// Print the event log.
    Tail {
        /// Start after this position; `None`: from the oldest event kept.
        after: Option<Cursor>,
        /// Go on with what is still to come.
        follow: bool,
    },
}

/// What can be done with accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserCommand {
    /// Make an account.
    Add(NewAccount),
    /// List all accounts.
    List,
    /// Keep this user out.
    Disable(String),
    /// Let this user in again.
    Enable(String),
}

/// The account to make.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct NewAccount {
    /// What they sign in with
    #[arg(value_name = "NAME")]
    pub name: String,
    /// May read and moderate everything
    #[arg(long)]
    pub admin: bool,
    /// Read the password from standard input instead of making one up
    #[arg(long)]
    pub password_stdin: bool,
    /// What others read [default: NAME]
    #[arg(long, value_name = "TEXT")]
    pub display_name: Option<String>,
}

impl Invocation {
    /// What this process was asked for. Ends the process where that is help, or makes no sense.
    #[must_use]
    pub fn from_process() -> Self {
        let words: Vec<OsString> = std::env::args_os().collect();
        let invocation = variables::check(std::env::vars_os(), &setting_variables())
            .map_err(Refusal::Setting)
            .and_then(|warnings| Ok(Self { warnings, ..Self::parse(&words)? }));
        invocation.unwrap_or_else(|refusal| match refusal {
            Refusal::Usage(error) if error.use_stderr() => {
                let code = error.exit_code();
                patiently(move || drop(error.print()));
                process::exit(code)
            }
            Refusal::Usage(error) => error.exit(),
            Refusal::Setting(line) => {
                complain(&line);
                process::exit(2)
            }
        })
    }

    /// The same from words given (the first is the program's name) and this process's environment.
    ///
    /// # Errors
    /// What to show instead of running.
    pub fn parse(words: &[OsString]) -> Result<Self, Refusal> {
        Self::parse_as(clap_command(), words)
    }

    fn parse_as(grammar: clap::Command, words: &[OsString]) -> Result<Self, Refusal> {
        let words = command_first(words);
        let matches = grammar.try_get_matches_from(&words).map_err(|error| refusal::of(error, &words))?;
        let line = CommandLine::from_arg_matches(&matches).map_err(|error| refusal::of(error, &words))?;
        let (command, config) = line.word.into_parts().map_err(Refusal::Setting)?;
        Ok(Self { command, config, warnings: Vec::new() })
    }
}

/// Why nothing runs.
#[derive(Debug)]
pub enum Refusal {
    /// Help was asked for, or words are missing or unknown: clap knows what to print, and where.
    Usage(clap::Error),
    /// A setting has a bad value: one line that names it.
    Setting(String),
}

/// A live-data server: GraphQL subscriptions that never lose or repeat an event
///
/// Without a command, tidings serves: `tidings --listen 127.0.0.1:3001` is
/// `tidings serve --listen 127.0.0.1:3001`. Every setting is a flag and an environment variable; the
/// flag wins. `tidings serve --help` lists them all.
///
/// The other commands work on the same database, also while a server runs on it.
#[derive(Debug, Parser)]
#[command(name = "tidings", version, verbatim_doc_comment, subcommand_required = true)]
#[command(override_usage = "tidings [COMMAND] [OPTIONS]")]
struct CommandLine {
    #[command(subcommand)]
    word: Word,
}

/// The settings of every command that opens the database.
#[derive(Debug, Args)]
struct Place {
    #[command(flatten)]
    database: Database,
    #[command(flatten)]
    log: LogSettings,
}

impl Place {
    fn into_config(self) -> Config {
        Config { database: self.database, log: self.log, ..Config::default() }
    }

    /// # Errors
    /// One line, if the tokens cannot be signed with these settings.
    fn into_config_with(self, tokens: TokenSettings) -> Result<Config, String> {
        tokens.check(&self.database)?;
        Ok(Config { tokens, ..self.into_config() })
    }
}

/// The commands with the flags each one takes.
#[derive(Debug, Subcommand)]
enum Word {
    /// Run the server (this is also what tidings does without a command)
    Serve(Box<Config>),
    /// Bring the database to this version; `serve` does it too when it starts
    Migrate(Place),
    /// Print the GraphQL schema
    Schema,
    /// Add, list, disable and enable accounts
    #[command(subcommand, override_usage = "tidings user <COMMAND> [OPTIONS]")]
    User(UserWord),
    /// Print a token for a user, and nothing else
    Token {
        /// Whose token
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        tokens: TokenSettings,
    },
    /// Fill an empty database with a small organization to play with, and print its users' tokens
    Demo {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        tokens: TokenSettings,
    },
    /// Print the event log as JSON lines, as an operator sees it
    Tail {
        /// Start after this position [default: the oldest event kept]
        #[arg(long, value_name = "CURSOR", value_parser = cursor)]
        after: Option<Cursor>,
        /// Go on with events as they come
        #[arg(long)]
        follow: bool,
        #[command(flatten)]
        place: Place,
    },
}

/// The commands of `user`. Each takes the flags itself: clap would read the environment of a shared
/// flag even where the flag was given, and stumble over a value that does not count.
#[derive(Debug, Subcommand)]
enum UserWord {
    /// Make an account and print its password
    Add {
        #[command(flatten)]
        account: NewAccount,
        #[command(flatten)]
        place: Place,
    },
    /// List all accounts
    List(Place),
    /// Keep a user out: ends all their sessions at once
    Disable {
        /// Whom
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        place: Place,
    },
    /// Let a disabled user sign in again
    Enable {
        /// Whom
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        place: Place,
    },
}

impl Word {
    fn into_parts(self) -> Result<(Command, Config), String> {
        Ok(match self {
            Self::Serve(config) => {
                config.check()?;
                (Command::Serve, *config)
            }
            Self::Migrate(place) => (Command::Migrate, place.into_config()),
            Self::Schema => (Command::Schema, Config::default()),
            Self::User(word) => {
                let (command, place) = word.into_parts();
                (Command::User(command), place.into_config())
            }
            Self::Token { name, place, tokens } => (Command::Token { name }, place.into_config_with(tokens)?),
            Self::Demo { place, tokens } => (Command::Demo, place.into_config_with(tokens)?),
            Self::Tail { after, follow, place } => (Command::Tail { after, follow }, place.into_config()),
        })
    }
}

impl UserWord {
    fn into_parts(self) -> (UserCommand, Place) {
        match self {
            Self::Add { account, place } => (UserCommand::Add(account), place),
            Self::List(place) => (UserCommand::List, place),
            Self::Disable { name, place } => (UserCommand::Disable(name), place),
            Self::Enable { name, place } => (UserCommand::Enable(name), place),
        }
    }
}

fn cursor(text: &str) -> Result<Cursor, String> {
    text.parse().map_err(|_| format!("'{text}' is not a cursor"))
}

/// The variables of all settings: `serve` has every one of them.
fn setting_variables() -> Vec<String> {
    let command = clap_command();
    let serve = command.find_subcommand("serve");
    let settings = serve.into_iter().flat_map(|serve| serve.get_arguments());
    settings.filter_map(|setting| Some(setting.get_env()?.to_string_lossy().into_owned())).collect()
}

/// The command line as clap sees it.
fn clap_command() -> clap::Command {
    readable(CommandLine::command())
}

/// Values from the environment are not shown in the help: they may be secret, and would make it
/// another text on every machine. Flags have a line of their own, as the variables' names are long.
fn readable(command: clap::Command) -> clap::Command {
    let leaf = !command.has_subcommands();
    command.next_line_help(leaf).mut_args(|arg| arg.hide_env_values(true)).mut_subcommands(readable)
}

/// Puts the command before the flags: `tidings --listen X` is `tidings serve --listen X`, and
/// `tidings --database-url X user list` is `tidings user list --database-url X`.
fn command_first(words: &[OsString]) -> Vec<OsString> {
    let (program, rest) = words.split_at(words.len().min(1));
    let Some((flags, rest)) = leading_flags(rest) else { return words.to_vec() };
    let (command, rest) = rest.split_at(rest.len().min(1));
    match command {
        [] => [program, &["serve".into()], flags].concat(),
        // The one command that has commands of its own.
        [user] if user == "user" => {
            let Some((more, rest)) = leading_flags(rest) else { return [program, command, rest].concat() };
            let (action, rest) = rest.split_at(rest.len().min(1));
            [program, command, action, flags, more, rest].concat()
        }
        _ => [program, command, flags, rest].concat(),
    }
}

/// The flags before the next command, and what follows. Every flag that may stand there takes a
/// value, so the first word that is neither a flag nor a value is the command. `None`: somebody asks
/// for help, which clap gives for the place where the question stands.
fn leading_flags(words: &[OsString]) -> Option<(&[OsString], &[OsString])> {
    let mut end = 0;
    while let Some(flag) = words.get(end).and_then(|word| word.to_str()).filter(|word| word.starts_with('-')) {
        if matches!(flag, "-h" | "--help" | "-V" | "--version") {
            return None;
        }
        end += if flag.contains('=') { 1 } else { 2 };
    }
    Some(words.split_at(end.min(words.len())))
}

#[cfg(test)]
mod tests;
