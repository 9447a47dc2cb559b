//! Automatic notifications: a ticket was assigned to the user, a comment was added to the user's message or ticket, or
//! a text mentions the user. They are recorded in the transaction of the change. Users get none for their own changes,
//! none about messages they may not see, and one per change. A notification contains none of the text, because the
//! text can be edited or deleted later while the notification remains.

use std::collections::BTreeSet;

use super::notify::notify_all;
use crate::capacity::RateLimiter;
use crate::error::Result;
use crate::model::{Message, Priority, UserId, Visibility};
use crate::store::notifications::NewNotificationRow;
use crate::store::{Tx, channels, users};
use crate::unicode::{Mention, bidi_isolated, mentions};

/// How many mentions of one change can notify a user.
const MAX_MENTIONS: usize = 20;

/// Why a user is notified. [`NotificationFanout`]'s callers add reasons in this order; a user's first reason is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    Assigned,
    Commented,
    Mentioned,
}

/// Collects the users to notify about one change of a message.
pub(super) struct NotificationFanout<'m> {
    message: &'m Message,
    actor: UserId,
    recipients: Vec<(UserId, Reason)>,
}

impl<'m> NotificationFanout<'m> {
    /// Starts an empty collection for a change that `actor` made to `message`.
    pub fn new(message: &'m Message, actor: UserId) -> Self {
        Self { message, actor, recipients: Vec::new() }
    }

    /// Adds the ticket's assignee, unless the assignee was already `before`.
    pub fn add_assignee(&mut self, before: Option<UserId>) {
        let assignee = self.message.ticket.and_then(|ticket| ticket.assignee_id);
        if let Some(user) = assignee.filter(|_| assignee != before) {
            self.add(user, Reason::Assigned);
        }
    }

    /// Adds the message's author and the ticket's assignee, because the message has a new comment.
    pub fn add_commented(&mut self) {
        self.add(self.message.author_id, Reason::Commented);
        if let Some(user) = self.message.ticket.and_then(|ticket| ticket.assignee_id) {
            self.add(user, Reason::Commented);
        }
    }

    /// Adds the users that the new texts mention and the texts `before` the change did not.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the database cannot be reached; `INTERNAL_SERVER_ERROR` if a statement fails.
    pub fn add_mentioned(&mut self, tx: &mut Tx<'_>, before: &[&str], now: &Mentions) -> Result<()> {
        if now.limit == 0 {
            return Ok(());
        }
        let known = all_mentions(before);
        let added: Vec<&Mention> = now.names.difference(&known).take(now.limit).collect();
        if added.is_empty() {
            return Ok(());
        }
        let candidates: Vec<&str> = added.iter().flat_map(|mention| &mention.0).map(String::as_str).collect();
        let users = users::by_names(tx.read(), &candidates)?;
        for mention in added {
            // A mention has several candidate names, the longest first. The first one that is a username counts.
            if let Some(user) = mention.0.iter().find_map(|candidate| users.get(candidate.as_str())) {
                self.add(*user, Reason::Mentioned);
            }
        }
        Ok(())
    }

    fn add(&mut self, user: UserId, reason: Reason) {
        if user != self.actor && !self.recipients.iter().any(|(other, _)| *other == user) {
            self.recipients.push((user, reason));
        }
    }

    /// Records a notification for each collected user who may read the message.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the database cannot be reached; `INTERNAL_SERVER_ERROR` if a statement fails.
    pub fn dispatch(self, tx: &mut Tx<'_>) -> Result<()> {
        let Self { message, actor, recipients } = self;
        if recipients.is_empty() {
            return Ok(());
        }
        let by = users::find(tx.read(), actor)?.map_or_else(String::new, |user| user.display_name);
        let channel = channels::by_ids(tx.read(), &[message.channel_id])?.remove(&message.channel_id);
        let Some(channel) = channel else { return Ok(()) };
        let ids: Vec<UserId> = recipients.iter().map(|(user, _)| *user).collect();
        let rights = users::rights_in(tx.read(), &ids, channel.id)?;
        let may_read = |user: &UserId| {
            rights.get(user).is_some_and(|rights| {
                let can_read_channel =
                    channel.visibility == Visibility::Public || rights.admin || rights.channels.contains(&channel.id);
                can_read_channel && rights.in_audience(&message.audience, Some(message.author_id))
            })
        };
        let readers = recipients.into_iter().filter(|(user, _)| may_read(user));
        let notifications =
            readers.map(|(user, reason)| notification(user, reason, message, &by, &channel.name)).collect();
        notify_all(tx, notifications, actor)
    }
}

/// The mentions in new texts. They are parsed before the command enters the writer's queue, because parsing takes time
/// in proportion to the length of the texts.
pub(super) struct Mentions {
    names: BTreeSet<Mention>,
    /// How many of the mentioned users may be notified.
    limit: usize,
}

impl Mentions {
    /// Parses the texts. Each mentioned user takes one notification from the author's budget. Mentions beyond the budget
    /// notify no user.
    pub fn new(budget: &RateLimiter<UserId>, author: UserId, texts: &[&str]) -> Self {
        let names = all_mentions(texts);
        let limit = (0..names.len().min(MAX_MENTIONS)).take_while(|_| budget.check(author).is_ok()).count();
        Self { names, limit }
    }
}

fn notification(user: UserId, reason: Reason, message: &Message, by: &str, channel: &str) -> NewNotificationRow {
    let what = if message.ticket.is_some() { "ticket" } else { "message" };
    let whose = if message.author_id == user { "your" } else { "the" };
    let id = message.id;
    let (by, channel) = (bidi_isolated(by), bidi_isolated(channel));
    let (title, text) = match reason {
        Reason::Assigned => ("A ticket is yours now", format!("{by} assigned ticket {id} in {channel} to you")),
        Reason::Commented => ("A new comment", format!("{by} commented on {whose} {what} {id} in {channel}")),
        Reason::Mentioned => ("You were mentioned", format!("{by} mentioned you at {what} {id} in {channel}")),
    };
    let priority = match (reason, message.ticket) {
        (Reason::Assigned, Some(ticket)) => ticket.priority,
        _ => Priority::Medium,
    };
    NewNotificationRow { user: Some(user), title: title.into(), message: text, priority, about: Some(id) }
}

fn all_mentions(texts: &[&str]) -> BTreeSet<Mention> {
    texts.iter().flat_map(|text| mentions(text)).collect()
}
