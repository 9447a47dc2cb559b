//! Posting, changing and deleting messages and tickets.

use super::attention::NotificationFanout;
use super::key::Key;
use super::organizations::MAX_LOCATIONS;
use super::{Board, Viewer, check_if_cursor, text};
use crate::error::{Error, Result};
use crate::model::{
    Audience, Body, ChannelId, Cursor, EventKind, LocationId, Message, MessageId, Priority, Ticket, TicketStatus,
    UserId,
};
use crate::store::idempotency::Made;
use crate::store::{Change, Tx, channels, messages, organizations, users};
use std::sync::Arc;

/// A message to be posted.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// Where.
    pub channel: ChannelId,
    /// Its title.
    pub title: Option<String>,
    /// Its text.
    pub content: String,
    /// For which locations; empty means everybody.
    pub locations: Vec<LocationId>,
    /// If somebody must act on it.
    pub ticket: Option<NewTicket>,
    /// The same key again returns the first result.
    pub key: Option<String>,
}

/// What makes a new message a ticket.
#[derive(Debug, Clone, Copy, Default)]
pub struct NewTicket {
    /// How urgent; medium if not said.
    pub priority: Option<Priority>,
    /// Who is to act.
    pub assignee: Option<UserId>,
}

/// What to change in a message; what is `None` stays.
#[derive(Debug, Clone)]
pub struct MessageEdit {
    /// Which.
    pub id: MessageId,
    /// The title; `Some(None)` removes it.
    pub title: Option<Option<String>>,
    /// The text.
    pub content: Option<String>,
    /// The ticket.
    pub ticket: Option<TicketEdit>,
    /// Only if the message is still at this position.
    pub if_cursor: Option<Cursor>,
}

/// What to change in a ticket; what is `None` stays.
#[derive(Debug, Clone, Copy, Default)]
pub struct TicketEdit {
    /// How far it is.
    pub status: Option<TicketStatus>,
    /// How urgent it is.
    pub priority: Option<Priority>,
    /// Who is to act; `Some(None)` is nobody.
    pub assignee: Option<Option<UserId>>,
}

impl Board {
    /// Posts a message.
    ///
    /// # Errors
    /// `BAD_USER_INPUT`, `NOT_FOUND` for the channel, `CONFLICT` for the key, `RATE_LIMITED`.
    pub async fn create_message(&self, viewer: &Viewer, new: NewMessage) -> Result<Message> {
        let author = self.actor(viewer)?.user.id;
        let title = text::optional("title", new.title.as_deref(), self.rules.max_title)?;
        let content = text::required("content", &new.content, self.rules.max_content)?;
        let audience = audience(new.locations.clone())?;
        let key = Key::of(author, new.key.as_deref(), || {
            let (audience, ticket) = (format!("{:?}", audience.0), format!("{:?}", new.ticket));
            vec!["message".into(), new.channel.to_string(), format!("{title:?}"), content.clone(), audience, ticket]
        })?;
        let mentions = self.mentions(author, &[title.as_deref().unwrap_or_default(), &content]);
        let viewer = viewer.clone();
        self.store
            .write(move |tx| {
                let rights = viewer.rights()?;
                if let Some(made) = key.as_ref().map_or(Ok(None), |key| key.made(tx))? {
                    let Made::Message(id) = made else { return Err(Error::internal("a digest of another kind")) };
                    return messages::find(tx.read(), &rights, id)?.ok_or(Error::NotFound("message"));
                }
                channels::find(tx.read(), &rights, new.channel)?.ok_or(Error::NotFound("channel"))?;
                known_locations(tx, &audience)?;
                let assignee = new.ticket.and_then(|ticket| ticket.assignee);
                fit_assignee(tx, assignee, new.channel, &audience, author)?;
                let ticket = new.ticket.map(|ticket| Ticket {
                    status: TicketStatus::Open,
                    priority: ticket.priority.unwrap_or(Priority::Medium),
                    assignee_id: ticket.assignee,
                });
                let (now, cursor) = (tx.now(), tx.next_cursor());
                let row = messages::NewMessage {
                    channel: new.channel,
                    title: title.clone(),
                    content: content.clone(),
                    author,
                    audience: audience.clone(),
                    ticket,
                };
                let message = messages::insert(tx.write(), row, now, cursor)?;
                if let Some(key) = &key {
                    key.keep(tx, Made::Message(message.id))?;
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

    /// Changes a message or its ticket. What somebody may not change stays as it is for all.
    ///
    /// # Errors
    /// `BAD_USER_INPUT`, `NOT_FOUND`, `FORBIDDEN`, `CONFLICT`, `RATE_LIMITED`.
    pub async fn update_message(&self, viewer: &Viewer, edit: MessageEdit) -> Result<Message> {
        let actor = self.actor(viewer)?.user.id;
        let max = self.rules.max_title;
        let title = edit.title.as_ref().map(|title| text::optional("title", title.as_deref(), max)).transpose()?;
        let max = self.rules.max_content;
        let content = edit.content.as_ref().map(|content| text::required("content", content, max)).transpose()?;
        let named = [title.iter().flatten().next().map_or("", String::as_str), content.as_deref().unwrap_or_default()];
        let mentions = self.mentions(actor, &named);
        let viewer = viewer.clone();
        self.store
            .write(move |tx| {
                let rights = viewer.rights()?;
                let mut message = messages::find(tx.read(), &rights, edit.id)?.ok_or(Error::NotFound("message"))?;
                let own = rights.admin || message.author_id == actor;
                let makes_ticket = edit.ticket.is_some() && message.ticket.is_none();
                if !own && (title.is_some() || content.is_some() || makes_ticket) {
                    return Err(Error::Forbidden("only the author or an admin may change a message".into()));
                }
                check_if_cursor(message.cursor, edit.if_cursor)?;
                let before = message.clone();
                if let Some(change) = edit.ticket {
                    let assigned = message.ticket.and_then(|ticket| ticket.assignee_id);
                    let assignee = change.assignee.flatten().filter(|assignee| Some(*assignee) != assigned);
                    fit_assignee(tx, assignee, message.channel_id, &message.audience, message.author_id)?;
                    message.ticket = Some(changed(message.ticket, change));
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

    /// Deletes a message and its comments.
    ///
    /// # Errors
    /// `NOT_FOUND`, `FORBIDDEN`, `RATE_LIMITED`.
    pub async fn delete_message(&self, viewer: &Viewer, id: MessageId) -> Result<MessageId> {
        let actor = self.actor(viewer)?.user.id;
        let viewer = viewer.clone();
        let deleting = self.store.write(move |tx| {
            let rights = viewer.rights()?;
            let message = messages::find(tx.read(), &rights, id)?.ok_or(Error::NotFound("message"))?;
            if !rights.admin && message.author_id != actor {
                return Err(Error::Forbidden("only the author or an admin may delete a message".into()));
            }
            let now = tx.now();
            messages::delete(tx.write(), id, now)?;
            tx.record(Change::new(EventKind::MessageDeleted, id.0, Some(actor)).of_message(&message), Body::None);
            Ok(id)
        });
        let deleted = deleting.await;
        // Also when the outcome is unknown.
        self.remover.want();
        deleted
    }
}

fn record(tx: &mut Tx<'_>, kind: EventKind, message: &Message, actor: UserId) {
    let change = Change::new(kind, message.id.0, Some(actor)).of_message(message);
    tx.record(change, Body::Message(Arc::new(message.clone())));
}

/// Where somebody may be named.
fn texts(message: &Message) -> [&str; 2] {
    [message.title.as_deref().unwrap_or_default(), &message.content]
}

fn changed(ticket: Option<Ticket>, change: TicketEdit) -> Ticket {
    let before = ticket.unwrap_or(Ticket { status: TicketStatus::Open, priority: Priority::Medium, assignee_id: None });
    Ticket {
        status: change.status.unwrap_or(before.status),
        priority: change.priority.unwrap_or(before.priority),
        assignee_id: change.assignee.unwrap_or(before.assignee_id),
    }
}

/// Refuses an assignee who could not act: one that is not there, is disabled, or may not see the ticket.
fn fit_assignee(
    tx: &mut Tx<'_>,
    assignee: Option<UserId>,
    channel: ChannelId,
    audience: &Audience,
    author: UserId,
) -> Result<()> {
    let Some(id) = assignee else { return Ok(()) };
    let refused = |why: &str| Err(Error::input("assigneeId", why));
    let Some(user) = users::find(tx.read(), id)? else { return refused("no such user") };
    if user.disabled {
        return refused("this user is disabled: assign the ticket to another one");
    }
    let rights = users::rights(tx.read(), &user)?;
    let may_see = channels::find(tx.read(), &rights, channel)?.is_some() && rights.in_audience(audience, Some(author));
    if may_see { Ok(()) } else { refused("this user may not see the ticket: assign it to another one") }
}

/// For whom a text is, if that is not too long a list: each of it is a row of its own.
pub(super) fn audience(locations: Vec<LocationId>) -> Result<Audience> {
    if locations.len() > MAX_LOCATIONS {
        let many = locations.len();
        let why = format!("shareLocationIds has {many} ids; at most {MAX_LOCATIONS} are allowed");
        return Err(Error::input("shareLocationIds", why));
    }
    Ok(Audience::new(locations))
}

pub(super) fn known_locations(tx: &mut Tx<'_>, audience: &Audience) -> Result<()> {
    if audience.is_everybody() {
        return Ok(());
    }
    let known = organizations::locations_by_ids(tx.read(), &audience.0)?;
    if known.len() == audience.0.len() { Ok(()) } else { Err(Error::input("shareLocationIds", "no such location")) }
}
