//! Positions in the log.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// The number of an event. Numbers have no gaps and start at 1; 0 is the position before the first event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub i64);

impl Seq {
    /// The next number.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A random tag, one for each batch of events that was committed together. A log that was restored from a backup has
/// other tags for the same numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tag(pub i64);

/// A position in one history of the log. A restored backup reuses numbers but not tags, so the server rejects a cursor
/// of the lost history instead of continuing at another event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// The number of the event.
    pub seq: Seq,
    /// The tag of the event.
    pub tag: Tag,
}

/// Clients treat the text as opaque. It is `c<seq>-<tag>` in hexadecimal; the letter distinguishes it from the edge
/// cursors of lists.
impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{:x}-{:016x}", self.seq.0, self.tag.0)
    }
}

/// The text is not a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotACursor;

impl FromStr for Cursor {
    type Err = NotACursor;

    fn from_str(text: &str) -> Result<Self, NotACursor> {
        let (seq, tag) = text.strip_prefix('c').and_then(|rest| rest.split_once('-')).ok_or(NotACursor)?;
        let seq = u64::from_str_radix(seq, 16).ok().and_then(|seq| i64::try_from(seq).ok()).ok_or(NotACursor)?;
        let tag = u64::from_str_radix(tag, 16).map_err(|_| NotACursor)?;
        let cursor = Self { seq: Seq(seq), tag: Tag(tag.cast_signed()) };
        // Each position has exactly one spelling. A `+`, leading zeros and capital letters are rejected.
        if cursor.to_string() == text { Ok(cursor) } else { Err(NotACursor) }
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_formatting_and_parsing() {
        for (seq, tag) in [(0, 0), (1, -1), (255, i64::MIN), (i64::MAX, i64::MAX)] {
            let cursor = Cursor { seq: Seq(seq), tag: Tag(tag) };
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
    }

    #[test]
    fn other_spellings_of_a_cursor_are_rejected() {
        for text in [
            "",
            "c",
            "c1",
            "1-0",
            "c+1-0000000000000000",
            "c01-0000000000000000",
            "c1-0",
            "C1-0000000000000000",
            "c1-000000000000000G",
        ] {
            assert_eq!(text.parse::<Cursor>(), Err(NotACursor), "{text}");
        }
    }
}
