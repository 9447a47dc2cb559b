//! `tidings tail`: the log as JSON lines, as an operator sees it.

use std::io::Write as _;
use std::sync::Arc;

use super::blocking;
use crate::board::Board;
use crate::model::{Cursor, Event};

/// How often the log is looked at by `--follow`.
const POLL: std::time::Duration = std::time::Duration::from_millis(200);

/// Prints the log from a cursor on.
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
            (true, true) => tokio::time::sleep(POLL).await,
            (true, false) => return Ok(()),
        }
    }
}

/// `false` if nobody reads any more, as when the output goes to `head`.
fn print(events: &[Event]) -> std::io::Result<bool> {
    let mut out = std::io::stdout().lock();
    for event in events {
        match writeln!(out, "{}", line(event)) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(false),
            written => written?,
        }
    }
    Ok(true)
}

fn line(event: &Event) -> serde_json::Value {
    serde_json::json!({
        "cursor": event.cursor.to_string(),
        "seq": event.cursor.seq.0,
        "kind": event.kind.name(),
        "object": event.object.to_string(),
        "channel": event.channel.map(|id| id.to_string()),
        "message": event.message.map(|id| id.to_string()),
        "user": event.user.map(|id| id.to_string()),
        "locations": event.audience.0.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "actor": event.actor.map(|id| id.to_string()),
        "ticket": event.ticket,
        "data": event.payload.as_deref().and_then(|payload| serde_json::from_str::<serde_json::Value>(payload).ok()),
        "at": event.at.rfc3339(),
    })
}
