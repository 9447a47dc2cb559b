//! What commands print. `print!` and `eprintln!` panic when their reader has left, as `head` does; these do not.

use std::io::{ErrorKind, Write as _};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

/// How long the end of the program waits for standard error to take its last words.
const PATIENCE: Duration = Duration::from_secs(1);

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
    let line = format!("tidings: {line}\n");
    patiently(move || drop(std::io::stderr().write_all(line.as_bytes())));
}

/// Does what may block for ever, as a write to a pipe that is full and that nothing reads; goes on after [`PATIENCE`].
pub(super) fn patiently(work: impl FnOnce() + Send + 'static) {
    let (done, waiting) = sync_channel(1);
    let started = thread::Builder::new().name("last words".into()).spawn(move || {
        work();
        let _ = done.send(());
    });
    if started.is_ok() {
        let _ = waiting.recv_timeout(PATIENCE);
    }
}
