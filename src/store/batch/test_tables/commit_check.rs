//! What a commit on PostgreSQL compares, for the test that this is enough.

use super::{TAG, TestTables};
use crate::model::{LoggedEvent, Message, Seq};
use crate::store::batch::TestQueue;
use crate::store::batch::decide::{Decided, decide, needs_of};
use crate::store::batch::state::{BatchState, MessageVersion};
use crate::store::idempotency::CreatedObject;

/// A batch that was decided, but not written.
pub struct DecidedBatch {
    decided: Decided,
    access_head: Seq,
}

impl TestTables {
    /// Decides on the first commands of the queue as one batch. Answers them, but writes nothing.
    pub fn decide_batch(&self, queue: &mut TestQueue) -> DecidedBatch {
        let (needs, taken) = needs_of(&queue.0);
        let mut state = BatchState::new(self.read(&needs), self.head().seq, TAG, self.now);
        let decided = decide(&mut queue.0[..taken], &mut state);
        queue.0.drain(..decided.ran).for_each(|command| command.answer(&Ok(<_>::default())));
        DecidedBatch { decided, access_head: self.access_head() }
    }

    /// The position of the last event that changes permissions.
    fn access_head(&self) -> Seq {
        let mut changes = self.log.iter().map(|logged| &logged.event).filter(|event| event.kind.changes_access());
        changes.next_back().map_or(Seq(0), |event| event.cursor.seq)
    }
}

impl DecidedBatch {
    /// Whether the batch may be written to these tables, by the conditions of `write_postgres.sql` and the unique keys.
    pub fn can_be_written(&self, tables: &TestTables) -> bool {
        let Decided { effects, versions, .. } = &self.decided;
        let is_same = |expected: &MessageVersion, message: &Message| {
            expected.cursor.is_none_or(|cursor| message.cursor == cursor)
                && message.ticket.is_some() == expected.is_ticket
                && message.ticket.and_then(|ticket| ticket.assignee_id) == expected.assignee
        };
        let is_free = |object: CreatedObject| match object {
            CreatedObject::Comment(id) => effects.comment_changes.contains_key(&id),
            CreatedObject::Message(_) | CreatedObject::User(_) => false,
        };
        let mut messages = versions.messages.iter();
        let mut comments = versions.comments.iter();
        let mut keys = effects.keys.iter().filter_map(|used| tables.keys.get(&(used.author, used.key.clone())));
        let is_used = |one: &LoggedEvent, other: &LoggedEvent| {
            let keys = one.event.key.as_ref().zip(other.event.key.as_ref());
            one.event.actor == other.event.actor && keys.is_some_and(|(one, other)| one.name == other.name)
        };
        let mut events = effects.events.iter();
        self.access_head == tables.access_head()
            && events.all(|event| !tables.log.iter().any(|other| is_used(event, other)))
            && messages.all(|(id, expected)| tables.messages.get(id).is_some_and(|message| is_same(expected, message)))
            && comments.all(|(id, cursor)| tables.comments.get(id).is_some_and(|comment| comment.cursor == *cursor))
            && keys.all(|(object, _)| is_free(*object))
    }

    /// What the batch writes, as a text. What a user has read is left out: it may be written twice.
    pub fn changes(&self) -> String {
        let effects = &self.decided.effects;
        let messages = (&effects.messages, &effects.message_changes, &effects.comments, &effects.comment_changes);
        let others = (&effects.notifications, &effects.keys, &effects.read_markers, &effects.metrics);
        format!("{messages:#?}\n{others:#?}\n{:#?}", effects.events)
    }
}
