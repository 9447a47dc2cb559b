//! The output of commands. `print!` and `eprintln!` panic when the reader of the output has left, as `head` does; these
//! functions do not.

use std::io::{ErrorKind, Write as _};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

/// Maximum time that the end of the program waits for a write to standard error.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// Prints a result on standard output, and returns when all of it is written. If the reader of the output has left,
/// this is not an error.
///
/// # Errors
/// One line for the operator if writing fails for another reason, such as a full disk.
pub fn print(text: &str) -> Result<(), String> {
    match write(text) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| format!("cannot print: {error}")),
    }
}

/// Prints a value that is shown only once and not stored, such as a generated password.
///
/// # Errors
/// One line for the operator if not all of the text was written, also if the reader has left.
pub fn print_once(text: &str) -> Result<(), String> {
    write(text).map_err(|error| format!("cannot print: {error}"))
}

fn write(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Prints the reason why the program ends on standard error. Gives up after one second if the write blocks.
pub fn print_error(line: &str) {
    let line = format!("tidings: {line}\n");
    run_with_timeout(move || drop(std::io::stderr().write_all(line.as_bytes())));
}

/// Runs `work` on a thread of its own and waits for it for at most [`MAX_WAIT`]. A write to a full pipe that nothing
/// reads would otherwise block for ever.
pub(super) fn run_with_timeout(work: impl FnOnce() + Send + 'static) {
    let (done, waiting) = sync_channel(1);
    let started = thread::Builder::new().name("final output".into()).spawn(move || {
        work();
        let _ = done.send(());
    });
    if started.is_ok() {
        let _ = waiting.recv_timeout(MAX_WAIT);
    }
}
