//! What commands print. `print!` and `eprintln!` panic when their reader has left, as `head` does; these do not.

use std::io::{ErrorKind, Write as _};

/// Prints a result on standard output, all of it before the command goes on. A reader that has left wants no more,
/// which is no error.
///
/// # Errors
/// One line if it cannot be written for another reason, as when the disk is full.
pub fn print(text: &str) -> Result<(), String> {
    match write(text) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| format!("cannot print: {error}")),
    }
}

/// Prints what is printed once and is kept nowhere, as a password that was just made.
///
/// # Errors
/// One line if not all of it was taken.
pub fn print_once(text: &str) -> Result<(), String> {
    write(text).map_err(|error| format!("cannot print: {error}"))
}

fn write(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Says on standard error why the program ends, if anything still reads there.
pub fn complain(line: &str) {
    drop(writeln!(std::io::stderr(), "tidings: {line}"));
}
