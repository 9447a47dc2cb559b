//! What everybody expects to be told without asking: a ticket became theirs, somebody commented on
//! what is theirs, somebody named them. Recorded together with its cause. Never for one's own doing,
//! never about what one may not see, once per cause, and without a word of the text: that may be
//! edited or deleted later, and the note stays.

use std::collections::BTreeSet;

use super::notifications::notify;
use crate::error::Result;
use crate::model::{Message, Priority, User, UserId};
use crate::store::notifications::NewNotification;
use crate::store::{Tx, channels, messages, users};
use crate::unicode::{Mention, isolated, mentions};

/// So many names of one text are looked at.
const MAX_MENTIONS: usize = 50;

/// Why somebody's attention is asked for, the weightiest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Assigned,
    Commented,
    Mentioned,
}

/// What has been done to a message or on it, while it is told to those whom it concerns.
pub(super) struct Attention<'m> {
    message: &'m Message,
    actor: UserId,
    calls: Vec<(UserId, Cause)>,
}

impl<'m> Attention<'m> {
    /// `actor` did something to `message`.
    pub fn new(message: &'m Message, actor: UserId) -> Self {
        Self { message, actor, calls: Vec::new() }
    }

    /// The ticket is this user's now.
    pub fn assigned(&mut self, before: Option<UserId>) {
        let assignee = self.message.ticket.and_then(|ticket| ticket.assignee_id);
        if let Some(user) = assignee.filter(|_| assignee != before) {
            self.call(user, Cause::Assigned);
        }
    }

    /// It was commented on: for its author, and whoever is to act.
    pub fn commented(&mut self) {
        self.call(self.message.author_id, Cause::Commented);
        if let Some(user) = self.message.ticket.and_then(|ticket| ticket.assignee_id) {
            self.call(user, Cause::Commented);
        }
    }

    /// Whoever is named now and was not before.
    ///
    /// # Errors
    /// Those of the database.
    pub fn mentioned(&mut self, tx: &mut Tx<'_>, before: &[&str], now: &[&str]) -> Result<()> {
        let known: BTreeSet<Mention> = before.iter().flat_map(|text| mentions(text)).collect();
        let named: BTreeSet<Mention> = now.iter().flat_map(|text| mentions(text)).collect();
        let fresh: Vec<Mention> = named.difference(&known).take(MAX_MENTIONS).cloned().collect();
        for name in fresh {
            if let Some(user) = named_by(tx, &name)? {
                self.call(user.id, Cause::Mentioned);
            }
        }
        Ok(())
    }

    fn call(&mut self, user: UserId, cause: Cause) {
        if user != self.actor && !self.calls.iter().any(|(known, _)| *known == user) {
            self.calls.push((user, cause));
        }
    }

    /// Tells them.
    ///
    /// # Errors
    /// Those of the database.
    pub fn tell(self, tx: &mut Tx<'_>) -> Result<()> {
        let Self { message, actor, calls } = self;
        if calls.is_empty() {
            return Ok(());
        }
        let by = users::find(tx.read(), actor)?.map_or_else(String::new, |user| user.display_name);
        let place = channels::by_ids(tx.read(), &[message.channel_id])?.remove(&message.channel_id);
        let place = place.map_or_else(String::new, |channel| channel.name);
        for (user, cause) in calls {
            if may_read(tx, user, message)? {
                notify(tx, note(user, cause, message, &by, &place), actor)?;
            }
        }
        Ok(())
    }
}

fn note(user: UserId, cause: Cause, message: &Message, by: &str, place: &str) -> NewNotification {
    let what = if message.ticket.is_some() { "ticket" } else { "message" };
    let whose = if message.author_id == user { "your" } else { "the" };
    let id = message.id;
    let (by, place) = (isolated(by), isolated(place));
    let (title, text) = match cause {
        Cause::Assigned => ("A ticket is yours now", format!("{by} assigned ticket {id} in {place} to you")),
        Cause::Commented => ("A new comment", format!("{by} commented on {whose} {what} {id} in {place}")),
        Cause::Mentioned => ("You were mentioned", format!("{by} mentioned you at {what} {id} in {place}")),
    };
    let priority = match (cause, message.ticket) {
        (Cause::Assigned, Some(ticket)) => ticket.priority,
        _ => Priority::Medium,
    };
    NewNotification { user: Some(user), title: title.into(), message: text, priority, about: Some(id) }
}

fn may_read(tx: &mut Tx<'_>, user: UserId, message: &Message) -> Result<bool> {
    let Some(user) = users::find(tx.read(), user)?.filter(|user| !user.disabled) else { return Ok(false) };
    let rights = users::rights(tx.read(), &user)?;
    Ok(messages::find(tx.read(), &rights, message.id)?.is_some())
}

/// The user who is mentioned: the longest reading that is a username.
fn named_by(tx: &mut Tx<'_>, mention: &Mention) -> Result<Option<User>> {
    for reading in &mention.0 {
        if let Some((user, _)) = users::credentials(tx.read(), reading)? {
            return Ok(Some(user));
        }
    }
    Ok(None)
}
