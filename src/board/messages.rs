//! Use cases of messages and tickets: create, update, delete.

use super::commands::Commands;
use super::idempotency::IdempotencyKey;
use super::notification_rules::{Mentions, NotificationFanout};
use super::policy::{MAX_LOCATIONS, Policy};
use super::records::check_if_cursor;
use super::removal::Remover;
use super::{Viewer, validate};
use crate::capacity::RateLimiter;
use crate::error::{Error, Result};
use crate::model::{
    Audience, ChannelId, Cursor, EventBody, EventKind, LocationId, Message, MessageId, Priority, Ticket, TicketStatus,
    UserId,
};
use crate::store::idempotency::CreatedObject;
use crate::store::{NewEvent, Tx, channels, messages, organizations, users};
use std::sync::Arc;

/// The input for a new message.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// The channel of the message.
    pub channel: ChannelId,
    /// The title; an empty one counts as none.
    pub title: Option<String>,
    /// The text; must not be empty.
    pub content: String,
    /// The locations whose users may see the message; empty means all users.
    pub locations: Vec<LocationId>,
    /// Makes the message a ticket.
    pub ticket: Option<NewTicket>,
    /// The idempotency key: a second call with the same key returns the first result.
    pub key: Option<String>,
}

/// The ticket fields of a new message.
#[derive(Debug, Clone, Copy, Default)]
pub struct NewTicket {
    /// The priority; the default is medium.
    pub priority: Option<Priority>,
    /// The user who works on the ticket.
    pub assignee: Option<UserId>,
}

/// Changes of a message. Fields that are `None` stay as they are.
#[derive(Debug, Clone)]
pub struct MessageEdit {
    /// The message to change.
    pub id: MessageId,
    /// The new title; `Some(None)` removes the title.
    pub title: Option<Option<String>>,
    /// The new text.
    pub content: Option<String>,
    /// Changes of the ticket. They turn a message without a ticket into a ticket.
    pub ticket: Option<TicketEdit>,
    /// If set, the change is made only if the message still has this cursor.
    pub if_cursor: Option<Cursor>,
}

/// Changes of a ticket. Fields that are `None` stay as they are.
#[derive(Debug, Clone, Copy, Default)]
pub struct TicketEdit {
    /// The new status.
    pub status: Option<TicketStatus>,
    /// The new priority.
    pub priority: Option<Priority>,
    /// The new assignee; `Some(None)` removes the assignee.
    pub assignee: Option<Option<UserId>>,
}

/// The use cases of messages and tickets.
pub struct Messages {
    pub(super) commands: Arc<Commands>,
    pub(super) policy: Arc<Policy>,
    pub(super) mention_limit: Arc<RateLimiter<UserId>>,
    pub(super) remover: Arc<Remover>,
}

impl Messages {
    /// Creates a message and notifies the users whom it concerns.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session. `BAD_USER_INPUT` for an invalid field. `NOT_FOUND` if the channel
    /// does not exist for the viewer. `CONFLICT` if the key was used with another input. `RATE_LIMITED` if the user's
    /// budget of mutations is used up. `UNAVAILABLE` if the database cannot be reached.
    pub async fn create(&self, viewer: &Viewer, new: NewMessage) -> Result<Message> {
        let author = self.commands.actor(viewer)?.user.id;
        let title = validate::optional("title", new.title.as_deref(), self.policy.max_title)?;
        let content = validate::required("content", &new.content, self.policy.max_content)?;
        let audience = audience(new.locations.clone())?;
        let key = IdempotencyKey::new(author, new.key.as_deref(), || {
            let (audience, ticket) = (format!("{:?}", audience.0), format!("{:?}", new.ticket));
            vec!["message".into(), new.channel.to_string(), format!("{title:?}"), content.clone(), audience, ticket]
        })?;
        let mentions = Mentions::new(&self.mention_limit, author, &[title.as_deref().unwrap_or_default(), &content]);
        let viewer = viewer.clone();
        self.commands
            .write(move |tx| {
                let rights = viewer.rights()?;
                if let Some(first) = key.as_ref().map_or(Ok(None), |key| key.find_result(tx))? {
                    let CreatedObject::Message(id) = first else {
                        return Err(Error::internal("the idempotency key refers to another type of object"));
                    };
                    return messages::find(tx.read(), &rights, id)?.ok_or(Error::NotFound("message"));
                }
                channels::find(tx.read(), &rights, new.channel)?.ok_or(Error::NotFound("channel"))?;
                check_locations(tx, &audience)?;
                let assignee = new.ticket.and_then(|ticket| ticket.assignee);
                check_assignee(tx, assignee, new.channel, &audience, author)?;
                let ticket = new.ticket.map(|ticket| Ticket {
                    status: TicketStatus::Open,
                    priority: ticket.priority.unwrap_or(Priority::Medium),
                    assignee_id: ticket.assignee,
                });
                let (now, cursor) = (tx.now(), tx.next_cursor());
                let row = messages::NewMessageRow {
                    channel: new.channel,
                    title: title.clone(),
                    content: content.clone(),
                    author,
                    audience: audience.clone(),
                    ticket,
                };
                let message = messages::insert(tx.write(), row, now, cursor)?;
                if let Some(key) = &key {
                    key.store(tx, CreatedObject::Message(message.id))?;
                }
                record(tx, EventKind::MessageAdded, &message, author);
                let mut fanout = NotificationFanout::new(&message, author);
                fanout.add_assignee(None);
                fanout.add_mentioned(tx, &[], &mentions)?;
                fanout.dispatch(tx)?;
                Ok(message)
            })
            .await
    }

    /// Changes a message or its ticket. The author or an admin may change everything; other users who can see the
    /// message may change only an existing ticket.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session. `BAD_USER_INPUT` for an invalid field. `NOT_FOUND` if the message
    /// does not exist for the viewer. `FORBIDDEN` if the viewer may not make this change. `CONFLICT` if the message no
    /// longer has the cursor `if_cursor`. `RATE_LIMITED` if the user's budget of mutations is used up. `UNAVAILABLE` if
    /// the database cannot be reached.
    pub async fn update(&self, viewer: &Viewer, edit: MessageEdit) -> Result<Message> {
        let actor = self.commands.actor(viewer)?.user.id;
        let max = self.policy.max_title;
        let title = edit.title.as_ref().map(|title| validate::optional("title", title.as_deref(), max)).transpose()?;
        let max = self.policy.max_content;
        let content = edit.content.as_ref().map(|content| validate::required("content", content, max)).transpose()?;
        let mentioning =
            [title.iter().flatten().next().map_or("", String::as_str), content.as_deref().unwrap_or_default()];
        let mentions = Mentions::new(&self.mention_limit, actor, &mentioning);
        let viewer = viewer.clone();
        self.commands
            .write(move |tx| {
                let rights = viewer.rights()?;
                let mut message = messages::find(tx.read(), &rights, edit.id)?.ok_or(Error::NotFound("message"))?;
                let may_edit = rights.admin || message.author_id == actor;
                let makes_ticket = edit.ticket.is_some() && message.ticket.is_none();
                if !may_edit && (title.is_some() || content.is_some() || makes_ticket) {
                    return Err(Error::Forbidden("only the author or an admin may change a message".into()));
                }
                check_if_cursor(message.cursor, edit.if_cursor)?;
                let before = message.clone();
                if let Some(change) = edit.ticket {
                    let current = message.ticket.and_then(|ticket| ticket.assignee_id);
                    let assignee = change.assignee.flatten().filter(|assignee| Some(*assignee) != current);
                    check_assignee(tx, assignee, message.channel_id, &message.audience, message.author_id)?;
                    message.ticket = Some(apply_edit(message.ticket, change));
                }
                if let Some(title) = &title {
                    message.title.clone_from(title);
                }
                if let Some(content) = &content {
                    message.content.clone_from(content);
                }
                message.updated_at = tx.now();
                message.cursor = tx.next_cursor();
                messages::update(tx.write(), &message)?;
                record(tx, EventKind::MessageUpdated, &message, actor);
                let mut fanout = NotificationFanout::new(&message, actor);
                fanout.add_assignee(before.ticket.and_then(|ticket| ticket.assignee_id));
                fanout.add_mentioned(tx, &texts(&before), &mentions)?;
                fanout.dispatch(tx)?;
                Ok(message)
            })
            .await
    }

    /// Deletes a message and its comments. Its rows are removed later.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session. `NOT_FOUND` if the message does not exist for the viewer. `FORBIDDEN`
    /// if the viewer is neither the author nor an admin. `RATE_LIMITED` if the user's budget of mutations is used up.
    /// `UNAVAILABLE` if the database cannot be reached.
    pub async fn delete(&self, viewer: &Viewer, id: MessageId) -> Result<MessageId> {
        let actor = self.commands.actor(viewer)?.user.id;
        let viewer = viewer.clone();
        let write = self.commands.write(move |tx| {
            let rights = viewer.rights()?;
            let message = messages::find(tx.read(), &rights, id)?.ok_or(Error::NotFound("message"))?;
            if !rights.admin && message.author_id != actor {
                return Err(Error::Forbidden("only the author or an admin may delete a message".into()));
            }
            let now = tx.now();
            messages::delete(tx.write(), id, now)?;
            tx.record(
                NewEvent::new(EventKind::MessageDeleted, id.0, Some(actor)).of_message(&message),
                EventBody::None,
            );
            Ok(id)
        });
        let result = write.await;
        // Also after an error: the commit may have succeeded without an answer.
        self.remover.wake();
        result
    }
}

fn record(tx: &mut Tx<'_>, kind: EventKind, message: &Message, actor: UserId) {
    let change = NewEvent::new(kind, message.id.0, Some(actor)).of_message(message);
    tx.record(change, EventBody::Message(Arc::new(message.clone())));
}

/// The texts of a message that can contain mentions.
fn texts(message: &Message) -> [&str; 2] {
    [message.title.as_deref().unwrap_or_default(), &message.content]
}

fn apply_edit(ticket: Option<Ticket>, change: TicketEdit) -> Ticket {
    let before = ticket.unwrap_or(Ticket { status: TicketStatus::Open, priority: Priority::Medium, assignee_id: None });
    Ticket {
        status: change.status.unwrap_or(before.status),
        priority: change.priority.unwrap_or(before.priority),
        assignee_id: change.assignee.unwrap_or(before.assignee_id),
    }
}

/// Rejects an assignee who does not exist, is disabled, or may not see the ticket.
fn check_assignee(
    tx: &mut Tx<'_>,
    assignee: Option<UserId>,
    channel: ChannelId,
    audience: &Audience,
    author: UserId,
) -> Result<()> {
    let Some(id) = assignee else { return Ok(()) };
    let reject = |why: &str| Err(Error::input("assigneeId", why));
    let Some(user) = users::find(tx.read(), id)? else { return reject("no such user") };
    if user.disabled {
        return reject("this user is disabled: assign the ticket to another one");
    }
    let rights = users::rights(tx.read(), &user)?;
    let may_see = channels::find(tx.read(), &rights, channel)?.is_some() && rights.in_audience(audience, Some(author));
    if may_see { Ok(()) } else { reject("this user may not see the ticket: assign it to another one") }
}

/// The audience of a text. The number of locations is limited, because each one is a row in the database.
pub(super) fn audience(locations: Vec<LocationId>) -> Result<Audience> {
    if locations.len() > MAX_LOCATIONS {
        let count = locations.len();
        let why = format!("shareLocationIds has {count} ids; at most {MAX_LOCATIONS} are allowed");
        return Err(Error::input("shareLocationIds", why));
    }
    Ok(Audience::new(locations))
}

/// Rejects an audience with a location that does not exist.
pub(super) fn check_locations(tx: &mut Tx<'_>, audience: &Audience) -> Result<()> {
    if audience.is_unrestricted() {
        return Ok(());
    }
    let known = organizations::locations_by_ids(tx.read(), &audience.0)?;
    if known.len() == audience.0.len() { Ok(()) } else { Err(Error::input("shareLocationIds", "no such location")) }
}
