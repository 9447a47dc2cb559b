//! What everybody expects to be told without asking: a ticket became theirs, somebody commented on
//! what is theirs, somebody named them. Recorded together with its cause. Never for one's own doing,
//! never about what one may not see, once per cause, and without a word of the text: that may be
//! edited or deleted later, and the note stays.

use std::collections::BTreeSet;

use super::notifications::notify_all;
use crate::error::Result;
use crate::model::{Message, Priority, UserId, Visibility};
use crate::store::notifications::NewNotification;
use crate::store::{Tx, channels, users};
use crate::unicode::{Mention, isolated, mentions};

/// How many names of one text are looked at.
const MAX_MENTIONS: usize = 20;

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

    /// The users whom the new texts mention and these older ones did not.
    ///
    /// # Errors
    /// Those of the database.
    pub fn mentioned(&mut self, tx: &mut Tx<'_>, before: &[&str], now: &Mentioned) -> Result<()> {
        if now.most == 0 {
            return Ok(());
        }
        let known = all_mentions(before);
        let fresh: Vec<&Mention> = now.names.difference(&known).take(now.most).collect();
        if fresh.is_empty() {
            return Ok(());
        }
        let readings: Vec<&str> = fresh.iter().flat_map(|mention| &mention.0).map(String::as_str).collect();
        let users = users::by_names(tx.read(), &readings)?;
        for mention in fresh {
            // The longest reading that is a username.
            if let Some(user) = mention.0.iter().find_map(|reading| users.get(reading.as_str())) {
                self.call(*user, Cause::Mentioned);
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
        let Some(place) = place else { return Ok(()) };
        let ids: Vec<UserId> = calls.iter().map(|(user, _)| *user).collect();
        let rights = users::rights_in(tx.read(), &ids, place.id)?;
        let may_read = |user: &UserId| {
            rights.get(user).is_some_and(|rights| {
                let is_open =
                    place.visibility == Visibility::Public || rights.admin || rights.channels.contains(&place.id);
                is_open && rights.in_audience(&message.audience, Some(message.author_id))
            })
        };
        let readers = calls.into_iter().filter(|(user, _)| may_read(user));
        let notes = readers.map(|(user, cause)| note(user, cause, message, &by, &place.name)).collect();
        notify_all(tx, notes, actor)
    }
}

/// Whom new texts mention. The texts are read before the writer has its turn: that takes time in proportion to their
/// length.
pub(super) struct Mentioned {
    names: BTreeSet<Mention>,
    /// How many of these users are notified at most.
    most: usize,
}

impl Mentioned {
    /// The names in these texts, of which as many count as `is_allowed` answers `true` for.
    pub fn new(texts: &[&str], is_allowed: impl Fn() -> bool) -> Self {
        let names = all_mentions(texts);
        let most = (0..names.len().min(MAX_MENTIONS)).take_while(|_| is_allowed()).count();
        Self { names, most }
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

fn all_mentions(texts: &[&str]) -> BTreeSet<Mention> {
    texts.iter().flat_map(|text| mentions(text)).collect()
}
