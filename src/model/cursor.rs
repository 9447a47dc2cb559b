//! A position in the log.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// The number of an event: gapless, from 1; 0 is the position before the first event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub i64);

impl Seq {
    /// The number after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The random tag of the batch that wrote an event: another history has other tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tag(pub i64);

/// A position in the log *and in one history of it*. A restored backup reuses numbers but not
/// tags, so a cursor of the history that was lost is refused instead of continuing elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// The event's number.
    pub seq: Seq,
    /// Its tag.
    pub tag: Tag,
}

/// Opaque for clients: `c<seq>-<tag>` in hexadecimal. The letter keeps it apart from the edge
/// cursors of lists.
impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{:x}-{:016x}", self.seq.0, self.tag.0)
    }
}

/// The text is no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotACursor;

impl FromStr for Cursor {
    type Err = NotACursor;

    fn from_str(text: &str) -> Result<Self, NotACursor> {
        let (seq, tag) = text.strip_prefix('c').and_then(|rest| rest.split_once('-')).ok_or(NotACursor)?;
        let seq = u64::from_str_radix(seq, 16).ok().and_then(|seq| i64::try_from(seq).ok()).ok_or(NotACursor)?;
        let tag = u64::from_str_radix(tag, 16).map_err(|_| NotACursor)?;
        let cursor = Self { seq: Seq(seq), tag: Tag(tag.cast_signed()) };
        // One spelling per position: `+1`, leading zeros and capitals are somebody else's cursors.
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
    fn a_cursor_survives_its_text() {
        for (seq, tag) in [(0, 0), (1, -1), (255, i64::MIN), (i64::MAX, i64::MAX)] {
            let cursor = Cursor { seq: Seq(seq), tag: Tag(tag) };
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
    }

    #[test]
    fn only_its_own_spelling_is_a_cursor() {
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
