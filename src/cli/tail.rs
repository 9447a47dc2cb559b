//! `tidings tail`: the log as JSON lines, as an operator sees it.

use std::io::Write as _;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;
use serde_json::value::RawValue;

use super::blocking;
use crate::board::Board;
use crate::model::{Cursor, Event};

/// How often the log is looked at by `--follow`.
const POLL: std::time::Duration = std::time::Duration::from_millis(200);

/// Prints the log from a cursor on. With `follow` it ends when the reader of the output has left, also where the log stands
/// still and nothing is written that would fail.
///
/// # Errors
/// One line that says why it did not work.
pub async fn run(board: Arc<Board>, after: Option<Cursor>, follow: bool) -> Result<(), String> {
    let mut position = after;
    loop {
        let (reader, from) = (Arc::clone(&board), position);
        let (events, end) = blocking(move || reader.events_after(from)).await?;
        let at_end = position == Some(end);
        position = Some(end);
        if !print(&events).map_err(|error| format!("cannot print: {error}"))? {
            return Ok(());
        }
        match (at_end, follow) {
            (false, _) => {}
            (true, true) if reader_has_left() => return Ok(()),
            (true, true) => tokio::time::sleep(POLL).await,
            (true, false) => return Ok(()),
        }
    }
}

/// Answers `false` if the reader of the output has ended, as `head` does.
fn print(events: &[Event]) -> std::io::Result<bool> {
    let mut out = std::io::stdout().lock();
    for event in events {
        let line = serde_json::to_string(&Line::from(event))?;
        match writeln!(out, "{line}") {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(false),
            written => written?,
        }
    }
    Ok(true)
}

/// Whether the other end of a pipe or socket that the output goes to is closed, or its terminal is gone.
fn reader_has_left() -> bool {
    let stdout = std::io::stdout();
    // The kernel reports errors and hang-ups whatever is asked for.
    let mut polled = [PollFd::new(&stdout, PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut polled, Some(&at_once)).is_ok() && polled[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

/// An event as it is printed.
#[derive(Serialize)]
struct Line<'e> {
    cursor: String,
    seq: i64,
    kind: &'static str,
    object: String,
    channel: Option<String>,
    message: Option<String>,
    user: Option<String>,
    locations: Vec<String>,
    actor: Option<String>,
    ticket: bool,
    /// As it was sent: parsing it would change numbers and the order of members.
    data: Option<&'e RawValue>,
    at: String,
}

impl<'e> From<&'e Event> for Line<'e> {
    fn from(event: &'e Event) -> Self {
        Self {
            cursor: event.cursor.to_string(),
            seq: event.cursor.seq.0,
            kind: event.kind.name(),
            object: event.object.to_string(),
            channel: event.channel.map(|id| id.to_string()),
            message: event.message.map(|id| id.to_string()),
            user: event.user.map(|id| id.to_string()),
            locations: event.audience.0.iter().map(ToString::to_string).collect(),
            actor: event.actor.map(|id| id.to_string()),
            ticket: event.ticket,
            data: event.payload.as_deref().and_then(|payload| serde_json::from_str(payload).ok()),
            at: event.at.rfc3339(),
        }
    }
}
