//! The commands of the program, and parsing of arguments and environment variables into a [`Command`] and a [`Config`].
//! Parsing reads no other files than those that hold secrets.

mod keys;
mod place;
mod refusal;
mod variables;

pub use keys::{KeyCommand, NewKey};
pub use refusal::InvalidArguments;

use std::ffi::OsString;
use std::process;
use std::time::Duration;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use place::Place;

use super::output::{print_error, run_with_timeout};
use crate::config::{Config, PublicAddress, TokenSettings, duration};
use crate::model::Cursor;

/// A command with its arguments and settings.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// The command to run.
    pub command: Command,
    /// The settings. Settings that the command has no flag for have their defaults.
    pub config: Config,
    /// Warnings about environment variables that look like settings but are not. They are logged once the log has
    /// started.
    pub warnings: Vec<String>,
}

/// A command of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Runs the server.
    Serve,
    /// Migrates the database to the schema of this version.
    Migrate,
    /// Prints the GraphQL schema.
    Schema,
    /// Manages accounts.
    User(UserCommand),
    /// Manages API keys.
    Key(KeyCommand),
    /// Prints a session token for a user.
    Token {
        /// The username.
        name: String,
    },
    /// Creates an invitation and prints its link.
    Invite(NewInvitation),
    /// Fills an empty database with example data.
    Demo,
    /// Prints TypeScript types for the types of application events.
    Types,
    /// Prints the event log.
    Tail {
        /// The position to start after; `None` starts with the oldest event in the log.
        after: Option<Cursor>,
        /// Whether to continue with new events as they are committed.
        follow: bool,
    },
}

/// A command for accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserCommand {
    /// Creates an account.
    Add(NewAccount),
    /// Lists all accounts.
    List,
    /// Disables the account with this username and ends its sessions.
    Disable(String),
    /// Enables the account with this username.
    Enable(String),
    /// Sets the password of the account with this username.
    Password {
        /// The username.
        name: String,
        /// Whether to read the password from standard input instead of generating one.
        password_stdin: bool,
    },
    /// Prints a link with which the user with this username sets a new password.
    ResetLink(String),
    /// Deletes the account with this username.
    Delete {
        /// The username.
        name: String,
        /// Whether to delete the texts of the user, too.
        erase: bool,
    },
}

/// The account to create.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct NewAccount {
    /// The username
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Give the user the admin role: read and moderate everything
    #[arg(long)]
    pub admin: bool,
    /// Read the password from standard input instead of generating one
    #[arg(long)]
    pub password_stdin: bool,
    /// The name that other users see [default: NAME]
    #[arg(long, value_name = "TEXT")]
    pub display_name: Option<String>,
}

/// The invitation to create.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct NewInvitation {
    /// Give the new users the admin role: read and moderate everything
    #[arg(long)]
    pub admin: bool,
    /// Make the new users members of the channel with this name; may be repeated
    #[arg(long = "channel", value_name = "NAME")]
    pub channels: Vec<String>,
    /// How many users may register with the invitation
    #[arg(long, value_name = "NUMBER", default_value = "1", value_parser = clap::value_parser!(i64).range(1..=1_000_000))]
    pub max_uses: i64,
    /// Time for which the invitation is valid
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = duration(Duration::from_secs(1)))]
    pub valid_for: Duration,
}

impl Invocation {
    /// Parses the arguments and the environment of this process. Prints a message and ends the process if help was
    /// requested or the input is not valid.
    #[must_use]
    pub fn from_process() -> Self {
        let words: Vec<OsString> = std::env::args_os().collect();
        let invocation = variables::check(std::env::vars_os(), &setting_variables())
            .map_err(InvalidArguments::Setting)
            .and_then(|warnings| Ok(Self { warnings, ..Self::parse(&words)? }));
        invocation.unwrap_or_else(|refusal| match refusal {
            InvalidArguments::Usage(error) if error.use_stderr() => {
                let code = error.exit_code();
                run_with_timeout(move || drop(error.print()));
                process::exit(code)
            }
            InvalidArguments::Usage(error) => error.exit(),
            InvalidArguments::Setting(line) => {
                print_error(&line);
                process::exit(2)
            }
        })
    }

    /// Parses the given arguments (the first is the program's name) and the environment of this process.
    ///
    /// # Errors
    /// The message to show instead of running a command.
    pub fn parse(words: &[OsString]) -> Result<Self, InvalidArguments> {
        Self::parse_as(clap_command(), words)
    }

    fn parse_as(grammar: clap::Command, words: &[OsString]) -> Result<Self, InvalidArguments> {
        let words = command_first(words);
        let matches =
            grammar.try_get_matches_from(&words).map_err(|error| refusal::of(error, &words, &clap_command()))?;
        let line =
            CommandLine::from_arg_matches(&matches).map_err(|error| refusal::of(error, &words, &clap_command()))?;
        let (command, config) = line.word.into_parts().map_err(InvalidArguments::Setting)?;
        Ok(Self { command, config, warnings: Vec::new() })
    }
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

/// The commands with the flags each one takes.
#[derive(Debug, Subcommand)]
enum Word {
    /// Run the server (the default if no command is given)
    Serve(Box<Config>),
    /// Migrate the database to this version; `serve` also does this when it starts
    Migrate(Place),
    /// Print the GraphQL schema
    Schema,
    /// Add, list, disable, enable and delete accounts, and set passwords
    #[command(subcommand, override_usage = "tidings user <COMMAND> [OPTIONS]")]
    User(UserWord),
    /// Create, list and revoke API keys
    #[command(subcommand, override_usage = "tidings key <COMMAND> [OPTIONS]")]
    Key(keys::KeyWord),
    /// Print a token for a user, and nothing else
    Token {
        /// The username
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        tokens: TokenSettings,
    },
    /// Print a link with which a user registers, also while registration is closed
    Invite {
        #[command(flatten)]
        invitation: NewInvitation,
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        public: PublicAddress,
    },
    /// Fill an empty database with a small example organization, and print the tokens of its users
    Demo {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        tokens: TokenSettings,
    },
    /// Print TypeScript types for the data of application events, made from their JSON Schemas
    Types {
        /// Print TypeScript, the only language so far
        #[arg(long, required = true)]
        ts: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Print the event log as JSON lines, as an operator sees it
    Tail {
        /// Start after this position [default: the oldest event in the log]
        #[arg(long, value_name = "CURSOR", value_parser = cursor)]
        after: Option<Cursor>,
        /// Continue with new events as they are committed
        #[arg(long)]
        follow: bool,
        #[command(flatten)]
        place: Place,
    },
}

/// The commands of `user`. Each declares the flags itself. With a flag that all of them share, clap would also read the
/// environment variable when the flag is given, and reject an invalid value that is not used.
#[derive(Debug, Subcommand)]
enum UserWord {
    /// Create an account and print its password
    Add {
        #[command(flatten)]
        account: NewAccount,
        #[command(flatten)]
        place: Place,
    },
    /// List all accounts
    List(Place),
    /// Disable a user and end all their sessions
    Disable {
        /// The username
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        place: Place,
    },
    /// Allow a disabled user to sign in again
    Enable {
        /// The username
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        place: Place,
    },
    /// Set a new password, print it, and end all sessions of the user
    Password {
        /// The username
        #[arg(value_name = "NAME")]
        name: String,
        /// Read the password from standard input instead of generating one
        #[arg(long)]
        password_stdin: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Delete a user: end all their sessions, and remove their name and their data
    Delete {
        /// The username
        #[arg(value_name = "NAME")]
        name: String,
        /// Delete the texts of the user, too
        #[arg(long)]
        erase: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Print a link with which the user sets a new password; it is valid once, for 24 hours
    ResetLink {
        /// The username
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        public: PublicAddress,
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
                let (command, config) = word.into_parts();
                (Command::User(command), config)
            }
            Self::Key(word) => {
                let (command, place) = word.into_parts();
                (Command::Key(command), place.into_config())
            }
            Self::Token { name, place, tokens } => (Command::Token { name }, place.into_config_with(tokens)?),
            Self::Invite { invitation, place, public } => {
                (Command::Invite(invitation), Config { public, ..place.into_config() })
            }
            Self::Demo { place, tokens } => (Command::Demo, place.into_config_with(tokens)?),
            Self::Types { ts: _, place } => (Command::Types, place.into_config()),
            Self::Tail { after, follow, place } => (Command::Tail { after, follow }, place.into_config()),
        })
    }
}

impl UserWord {
    fn into_parts(self) -> (UserCommand, Config) {
        match self {
            Self::Add { account, place } => (UserCommand::Add(account), place.into_config()),
            Self::List(place) => (UserCommand::List, place.into_config()),
            Self::Disable { name, place } => (UserCommand::Disable(name), place.into_config()),
            Self::Enable { name, place } => (UserCommand::Enable(name), place.into_config()),
            Self::Password { name, password_stdin, place } => {
                (UserCommand::Password { name, password_stdin }, place.into_config())
            }
            Self::Delete { name, erase, place } => (UserCommand::Delete { name, erase }, place.into_config()),
            Self::ResetLink { name, place, public } => {
                (UserCommand::ResetLink(name), Config { public, ..place.into_config() })
            }
        }
    }
}

fn cursor(text: &str) -> Result<Cursor, String> {
    text.parse().map_err(|_| format!("'{text}' is not a cursor"))
}

/// The environment variables of all settings. The command `serve` has all settings.
fn setting_variables() -> Vec<String> {
    let command = clap_command();
    let serve = command.find_subcommand("serve");
    let settings = serve.into_iter().flat_map(|serve| serve.get_arguments());
    settings.filter_map(|setting| Some(setting.get_env()?.to_string_lossy().into_owned())).collect()
}

/// The definition of the command line for clap.
fn clap_command() -> clap::Command {
    readable(CommandLine::command())
}

/// Adjusts the help output. Values from the environment are hidden: they may be secret, and the help would differ
/// between machines. Each flag has its own line, because the names of the variables are long.
fn readable(command: clap::Command) -> clap::Command {
    let leaf = !command.has_subcommands();
    command.next_line_help(leaf).mut_args(|arg| arg.hide_env_values(true)).mut_subcommands(readable)
}

/// Moves the command in front of the flags. `tidings --listen X` becomes `tidings serve --listen X`, and `tidings
/// --database-url X user list` becomes `tidings user list --database-url X`.
fn command_first(words: &[OsString]) -> Vec<OsString> {
    let (program, rest) = words.split_at(words.len().min(1));
    let Some((flags, rest)) = leading_flags(rest) else { return words.to_vec() };
    let (command, rest) = rest.split_at(rest.len().min(1));
    match command {
        [] => [program, &["serve".into()], flags].concat(),
        // The commands with subcommands.
        [group] if group == "user" || group == "key" => {
            let Some((more, rest)) = leading_flags(rest) else { return [program, command, rest].concat() };
            let (action, rest) = rest.split_at(rest.len().min(1));
            [program, command, action, flags, more, rest].concat()
        }
        _ => [program, command, flags, rest].concat(),
    }
}

/// Splits off the flags before the next command. Every flag that may stand there takes a value, which only a switch can
/// lack, and then only before another flag. So the first word that is neither a flag nor a value is the command. `None` if the flags ask for help or the version: clap answers that for
/// the position of the flag.
fn leading_flags(words: &[OsString]) -> Option<(&[OsString], &[OsString])> {
    let mut end = 0;
    while let Some(flag) = words.get(end).and_then(|word| word.to_str()).filter(|word| word.starts_with('-')) {
        if matches!(flag, "-h" | "--help" | "-V" | "--version") {
            return None;
        }
        let is_followed_by_flag =
            words.get(end + 1).and_then(|word| word.to_str()).is_some_and(|word| word.starts_with("--"));
        end += if flag.contains('=') || is_followed_by_flag { 1 } else { 2 };
    }
    Some(words.split_at(end.min(words.len())))
}

#[cfg(test)]
mod tests;
