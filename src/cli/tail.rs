//! `tidings tail`: prints the event log as JSON lines, without regard to permissions.

use std::io::Write as _;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;
use serde_json::value::RawValue;

use super::blocking::blocking;
use crate::board::Board;
use crate::model::{Cursor, Event};

/// The interval at which `--follow` reads the log.
const POLL_INTERVAL: std::time::Duration = std::time::Duration::from_millis(200);

/// Prints the log after a cursor, or from the oldest event. With `follow` it continues until the reader of the output
/// has left. It also notices that while there are no new events, when no write would fail.
///
/// # Errors
/// One line for the operator if the cursor has expired, the database does not answer, or the output cannot be written.
pub async fn run(board: Arc<Board>, after: Option<Cursor>, follow: bool) -> Result<(), String> {
    let mut position = after;
    loop {
        let (reader, from) = (Arc::clone(&board), position);
        let (events, end) = blocking(move || reader.log.events_after(from)).await?;
        let at_end = position == Some(end);
        position = Some(end);
        if !print(&events).map_err(|error| format!("cannot print: {error}"))? {
            return Ok(());
        }
        match (at_end, follow) {
            (false, _) => {}
            (true, true) if reader_has_left() => return Ok(()),
            (true, true) => tokio::time::sleep(POLL_INTERVAL).await,
            (true, false) => return Ok(()),
        }
    }
}

/// Prints events, one JSON line each. Returns `false` if the reader of the output has left, as `head` does.
fn print(events: &[Event]) -> std::io::Result<bool> {
    let mut out = std::io::stdout().lock();
    for event in events {
        let line = serde_json::to_string(&JsonEvent::from(event))?;
        match writeln!(out, "{line}") {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(false),
            written => written?,
        }
    }
    Ok(true)
}

/// Whether the other end of standard output is closed (a pipe or a socket), or its terminal no longer exists.
fn reader_has_left() -> bool {
    let stdout = std::io::stdout();
    // `poll` reports errors and hang-ups even if no flags are requested.
    let mut polled = [PollFd::new(&stdout, PollFlags::empty())];
    let no_wait = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut polled, Some(&no_wait)).is_ok() && polled[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

/// The JSON form of an event in the output.
#[derive(Serialize)]
struct JsonEvent<'e> {
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
    /// The payload as the client sent it. Parsing it would change large numbers and the order of object members.
    data: Option<&'e RawValue>,
    /// The type of an application event.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    app_type: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'e str>,
    at: String,
}

impl<'e> From<&'e Event> for JsonEvent<'e> {
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
            app_type: event.app_type.as_deref(),
            key: event.key.as_ref().map(|key| key.name.as_str()),
            at: event.at.rfc3339(),
        }
    }
}
