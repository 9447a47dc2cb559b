//! Errors of the command line. A bad value is one line that names the flag or variable that it came from, for
//! `docker logs` and `journalctl`. clap explains all other errors.

use std::error::Error as _;
use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// The reason why no command runs.
#[derive(Debug)]
pub enum InvalidArguments {
    /// Help was requested, or the arguments are not valid. The error from clap has the message and knows the stream to
    /// print it to.
    Usage(clap::Error),
    /// A setting has an invalid value. The text is one line that names the setting.
    Setting(String),
}

/// Turns an error of clap into one line if it is about the value of a setting.
pub(super) fn of(error: clap::Error, words: &[OsString], command: &clap::Command) -> InvalidArguments {
    match bad_value(&error, words, command).or_else(|| both_set(&error, command)) {
        Some(line) => InvalidArguments::Setting(line),
        None => InvalidArguments::Usage(error),
    }
}

/// `TIDINGS_LISTEN: 'x' is not an address…`. Value parsers quote only values that are not secret. This function adds no
/// value to their text, except for enums.
fn bad_value(error: &clap::Error, words: &[OsString], command: &clap::Command) -> Option<String> {
    let flag = flag(error, ContextKind::InvalidArg)?;
    let reason = match error.kind() {
        ErrorKind::ValueValidation => error.source()?.to_string(),
        ErrorKind::InvalidValue => match (error.get(ContextKind::InvalidValue), error.get(ContextKind::ValidValue)) {
            (Some(ContextValue::String(value)), Some(ContextValue::Strings(valid))) if !value.is_empty() => {
                format!("'{value}' is not one of: {}", valid.join(", "))
            }
            // A flag without a value, or an empty variable.
            _ => "has no value".into(),
        },
        _ => return None,
    };
    let variable = variable_of(&flag, command).filter(|_| !given(&flag, words));
    Some(format!("{}: {reason}", variable.unwrap_or(flag)))
}

/// `DATABASE_URL and DATABASE_URL_FILE are both set…`
fn both_set(error: &clap::Error, command: &clap::Command) -> Option<String> {
    if error.kind() != ErrorKind::ArgumentConflict {
        return None;
    }
    let mut variables =
        [ContextKind::InvalidArg, ContextKind::PriorArg].map(|kind| variable_of(&flag(error, kind)?, command));
    variables.sort();
    let [Some(value), Some(file)] = variables else { return None };
    Some(format!("{value} and {file} are both set: keep one of them"))
}

/// The flag, such as `--listen`, that this part of an error is about.
fn flag(error: &clap::Error, kind: ContextKind) -> Option<String> {
    let shown = match error.get(kind)? {
        ContextValue::String(shown) => shown,
        ContextValue::Strings(all) => all.first()?,
        _ => return None,
    };
    shown.split(' ').next().filter(|flag| flag.starts_with("--")).map(str::to_owned)
}

fn given(flag: &str, words: &[OsString]) -> bool {
    let is_flag = |word: &str| word.strip_prefix(flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('='));
    words.iter().any(|word| is_flag(&word.to_string_lossy()))
}

/// The environment variable of a flag. `serve` has all flags that have one.
fn variable_of(flag: &str, command: &clap::Command) -> Option<String> {
    let mut settings = command.find_subcommand("serve")?.get_arguments();
    let variable = settings.find(|arg| arg.get_long() == flag.strip_prefix("--"))?.get_env()?;
    Some(variable.to_string_lossy().into_owned())
}
