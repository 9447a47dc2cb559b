//! Formats frames of an event stream (<https://html.spec.whatwg.org/multipage/server-sent-events.html>) according to
//! the protocol of graphql-sse, in its *distinct connections mode*. Each frame ends with the empty line that dispatches
//! it.

use bytes::Bytes;

use crate::graphql::{ResponseText, SMALL};
use crate::model::Cursor;

/// A result. A browser's EventSource sends the id as `Last-Event-ID` when it reconnects. A long body is not copied, and
/// keeps its memory reservation.
pub fn next(cursor: Option<Cursor>, body: &ResponseText) -> Vec<Bytes> {
    let is_long = body.len() > SMALL;
    let mut frame = String::with_capacity(60 + if is_long { 0 } else { body.len() });
    frame.push_str("event: next\n");
    if let Some(cursor) = cursor {
        frame.extend(["id: ", &cursor.to_string(), "\n"]);
    }
    frame.push_str("data: ");
    if is_long {
        return vec![frame.into(), Bytes::from_owner(body.clone()), Bytes::from_static(b"\n\n")];
    }
    frame.extend([body, "\n\n"]);
    vec![frame.into()]
}

/// The end of the results. Without the empty `data` line, an EventSource would not dispatch the event to its page.
pub fn complete() -> Bytes {
    Bytes::from_static(b"event: complete\ndata:\n\n")
}

/// Sets the client's delay before it reconnects.
pub fn retry(milliseconds: u32) -> Bytes {
    format!("retry: {milliseconds}\n\n").into()
}

/// A keep-alive with the cursor up to which the client has been served. A frame with an id and no data dispatches no
/// event in the browser, but the browser stores the id.
pub fn keep_alive(cursor: Option<Cursor>) -> Bytes {
    match cursor {
        Some(cursor) => format!("id: {cursor}\n\n").into(),
        None => Bytes::from_static(b":\n\n"),
    }
}
