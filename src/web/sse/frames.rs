//! The words of an event stream: <https://html.spec.whatwg.org/multipage/server-sent-events.html>, in the dialect of
//! graphql-sse (*distinct connections mode*). Each ends with the empty line that hands it over.

use bytes::Bytes;

use crate::graphql::{SMALL, Text};
use crate::model::Cursor;

/// A result. Its id is what an EventSource sends as `Last-Event-ID` when it comes back. A long one is not copied: it
/// comes with the memory that is borrowed for it.
pub fn next(cursor: Option<Cursor>, body: &Text) -> Vec<Bytes> {
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

/// There are no more results. Without the empty data an EventSource would not tell its page.
pub fn complete() -> Bytes {
    Bytes::from_static(b"event: complete\ndata:\n\n")
}

/// How long to wait before coming back.
pub fn retry(milliseconds: u32) -> Bytes {
    format!("retry: {milliseconds}\n\n").into()
}

/// The stream lives, and up to here everything has come. An id without data is no event for the page, and is kept by
/// the browser all the same.
pub fn beat(cursor: Option<Cursor>) -> Bytes {
    match cursor {
        Some(cursor) => format!("id: {cursor}\n\n").into(),
        None => Bytes::from_static(b":\n\n"),
    }
}
