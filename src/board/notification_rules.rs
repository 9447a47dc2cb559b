//! Automatic notifications: a ticket was assigned to the user, a comment was added to the user's message or ticket, or
//! a text mentions the user. They are recorded in the transaction of the change. Users get none for their own changes,
//! none about messages they may not see, and one per change. A notification contains none of the text, because the
//! text can be edited or deleted later while the notification remains.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use super::permissions::UserState;
use crate::capacity::RateLimiter;
use crate::error::Result;
use crate::model::{Message, Priority, UserId};
use crate::store::{BatchState, Effects, Needs, NewNotificationRow, NotificationText};
use crate::unicode::{Mention, bidi_isolated, mentions};

/// How many mentions of one change can notify a user.
const MAX_MENTIONS: usize = 20;
/// How many different mentions of a text are considered, because each one is looked up.
const MAX_CONSIDERED_MENTIONS: usize = 100;

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
    actor: &'m UserState,
    recipients: Vec<(UserId, Reason)>,
}

impl<'m> NotificationFanout<'m> {
    /// Starts an empty collection for a change that `actor` made to `message`.
    pub fn new(message: &'m Message, actor: &'m UserState) -> Self {
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
    pub fn add_mentioned(&mut self, state: &BatchState, before: &[&str], now: &Mentions) {
        if now.limit == 0 {
            return;
        }
        let known: BTreeSet<Mention> = all_mentions(before).collect();
        for mention in now.names.difference(&known).take(now.limit) {
            // A mention has several candidate names, the longest first. The first one that is a username counts.
            if let Some(user) = mention.0.iter().find_map(|candidate| state.user_named(candidate)) {
                self.add(user, Reason::Mentioned);
            }
        }
    }

    fn add(&mut self, user: UserId, reason: Reason) {
        if user != self.actor.user.id && !self.recipients.iter().any(|(other, _)| *other == user) {
            self.recipients.push((user, reason));
        }
    }

    /// Creates a notification for each collected user who may read the message.
    ///
    /// # Errors
    /// `NOT_FOUND` if the channel of the message does not exist for the actor.
    pub fn dispatch(self, state: &BatchState, effects: &mut Effects) -> Result<()> {
        let Self { message, actor, recipients } = self;
        let channel = state.channel(&actor.rights, message.channel_id)?;
        for (user, reason) in recipients {
            let may_read = state.rights_in(user, channel.id).is_some_and(|rights| {
                rights.can_read(channel) && rights.in_audience(&message.audience, Some(message.author_id))
            });
            if may_read {
                let new = notification(user, reason, message, &actor.user.display_name, &channel.name);
                effects.notify(new, actor.user.id);
            }
        }
        Ok(())
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
        let mut names = BTreeSet::new();
        for mention in all_mentions(texts) {
            if names.len() == MAX_CONSIDERED_MENTIONS {
                break;
            }
            names.insert(mention);
        }
        let limit = (0..names.len().min(MAX_MENTIONS)).take_while(|_| budget.check(author).is_ok()).count();
        Self { names, limit }
    }

    /// Names the users who may be mentioned as needs of a command.
    pub fn needs(&self, needs: &mut Needs) {
        if self.limit > 0 {
            self.names.iter().flat_map(|mention| &mention.0).for_each(|candidate| needs.username(candidate));
        }
    }
}

fn notification(user: UserId, reason: Reason, message: &Message, by: &str, channel: &str) -> NewNotificationRow {
    let what = if message.ticket.is_some() { "ticket" } else { "message" };
    let whose = if message.author_id == user { "your" } else { "the" };
    let (by, channel) = (bidi_isolated(by), bidi_isolated(channel));
    let (title, around_id) = match reason {
        Reason::Assigned => {
            ("A ticket is yours now", [format!("{by} assigned ticket "), format!(" in {channel} to you")])
        }
        Reason::Commented => {
            ("A new comment", [format!("{by} commented on {whose} {what} "), format!(" in {channel}")])
        }
        Reason::Mentioned => {
            ("You were mentioned", [format!("{by} mentioned you at {what} "), format!(" in {channel}")])
        }
    };
    let priority = match (reason, message.ticket) {
        (Reason::Assigned, Some(ticket)) => ticket.priority,
        _ => Priority::Medium,
    };
    let text = NotificationText::AboutMessage(message.id, around_id);
    NewNotificationRow { user: Some(user), title: title.into(), text, priority, key: None }
}

fn all_mentions(texts: &[&str]) -> impl Iterator<Item = Mention> {
    texts.iter().flat_map(|text| mentions(text))
}
