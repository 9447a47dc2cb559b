//! The rows of a page of the log, without the texts of the events.

use diesel::prelude::*;

use crate::model::{Cursor, Event, Seq, Tag};

/// A row of `events` that has the lengths of `audience` and `payload`, in bytes, instead of the texts.
#[derive(Queryable)]
pub struct RowSummary {
    pub(super) seq: i64,
    pub(super) tag: i64,
    pub(super) format: i16,
    pub kind: i16,
    pub object_id: i64,
    pub(super) channel_id: Option<i64>,
    pub(super) message_id: Option<i64>,
    pub(super) user_id: Option<i64>,
    pub(super) owner_id: Option<i64>,
    pub(super) actor_id: Option<i64>,
    pub(super) ticket: bool,
    pub(super) audience: i32,
    pub(super) payload: Option<i32>,
    pub(super) at: i64,
    /// The type and the idempotency key are short.
    pub(super) app_type: Option<String>,
    pub(super) key: Option<String>,
    pub(super) key_digest: Option<String>,
}

impl RowSummary {
    pub(super) fn cursor(&self) -> Cursor {
        Cursor { seq: Seq(self.seq), tag: Tag(self.tag) }
    }

    pub(super) fn text_bytes(&self) -> usize {
        usize::try_from(self.audience + self.payload.unwrap_or(0)).unwrap_or(0)
    }

    /// Estimated memory of the event, in bytes. The ids of an audience take more memory than their text.
    pub(super) fn weight(&self) -> usize {
        let short = [&self.app_type, &self.key, &self.key_digest].into_iter().flatten().map(String::len).sum::<usize>();
        size_of::<Event>() + 4 * self.text_bytes() + short
    }
}
