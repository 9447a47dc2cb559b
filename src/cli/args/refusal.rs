//! What to show when the words make no sense. A bad value is one line naming the flag or the
//! variable it came from, for `docker logs` and `journalctl`; the rest is clap's to explain.

use std::error::Error as _;
use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::{Refusal, clap_command};

/// How to refuse these words, which clap could not take.
pub(super) fn of(error: clap::Error, words: &[OsString]) -> Refusal {
    match bad_value(&error, words) {
        Some(line) => Refusal::Setting(line),
        None => Refusal::Usage(error),
    }
}

/// `TIDINGS_LISTEN: 'x' is no address…`. The value parsers quote what may be shown, so nothing else
/// is repeated here: it might be a secret.
fn bad_value(error: &clap::Error, words: &[OsString]) -> Option<String> {
    let ContextValue::String(shown) = error.get(ContextKind::InvalidArg)? else { return None };
    let flag = shown.split(' ').next()?;
    let reason = match error.kind() {
        ErrorKind::ValueValidation => error.source()?.to_string(),
        // `--listen` with nothing behind it, or an empty variable.
        ErrorKind::InvalidValue => "has no value".into(),
        _ => return None,
    };
    let name = flag.strip_prefix("--")?;
    let variable = variable_of(name).filter(|_| !given(flag, words));
    let source = variable.unwrap_or_else(|| flag.to_owned());
    Some(format!("{source}: {reason}"))
}

fn given(flag: &str, words: &[OsString]) -> bool {
    let is_flag = |word: &str| word.strip_prefix(flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('='));
    words.iter().any(|word| is_flag(&word.to_string_lossy()))
}

/// The environment variable of a flag; `serve` has all flags that have one.
fn variable_of(name: &str) -> Option<String> {
    let command = clap_command();
    let serve = command.find_subcommand("serve")?;
    let variable = serve.get_arguments().find(|arg| arg.get_long() == Some(name))?.get_env()?;
    Some(variable.to_string_lossy().into_owned())
}
