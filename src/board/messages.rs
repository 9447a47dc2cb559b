//! Use cases of messages and tickets: create, update, delete.

#[cfg(test)]
pub(super) mod tests;

use std::sync::Arc;

use super::commands::{Commands, ViewerCommand};
use super::idempotency::IdempotencyKey;
use super::notification_rules::{Mentions, NotificationFanout};
use super::permissions::UserState;
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
use crate::store::{BatchState, Effects, Needs, NewEvent, NewMessageRow};

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
        let command = CreateMessage::new(new, author, &self.policy, &self.mention_limit)?;
        self.commands.run(viewer, command).await
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
        let command = UpdateMessage::new(edit, actor, &self.policy, &self.mention_limit)?;
        self.commands.run(viewer, command).await
    }

    /// Deletes a message and its comments. Its rows are removed later.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a valid session. `NOT_FOUND` if the message does not exist for the viewer. `FORBIDDEN`
    /// if the viewer is neither the author nor an admin. `RATE_LIMITED` if the user's budget of mutations is used up.
    /// `UNAVAILABLE` if the database cannot be reached.
    pub async fn delete(&self, viewer: &Viewer, id: MessageId) -> Result<MessageId> {
        self.commands.actor(viewer)?;
        let result = self.commands.run(viewer, DeleteMessage(id)).await;
        // Also after an error: the commit may have succeeded without an answer.
        self.remover.wake();
        result
    }
}

struct CreateMessage {
    row: NewMessageRow,
    key: Option<IdempotencyKey>,
    mentions: Mentions,
}

impl CreateMessage {
    /// # Errors
    /// `BAD_USER_INPUT` for an invalid field.
    fn new(new: NewMessage, author: UserId, policy: &Policy, mention_limit: &RateLimiter<UserId>) -> Result<Self> {
        let title = validate::optional("title", new.title.as_deref(), policy.max_title)?;
        let content = validate::required("content", &new.content, policy.max_content)?;
        let audience = audience(new.locations)?;
        let key = IdempotencyKey::new(author, new.key.as_deref(), || {
            let (audience, ticket) = (format!("{:?}", audience.0), format!("{:?}", new.ticket));
            vec!["message".into(), new.channel.to_string(), format!("{title:?}"), content.clone(), audience, ticket]
        })?;
        let mentions = Mentions::new(mention_limit, author, &[title.as_deref().unwrap_or_default(), &content]);
        let ticket = new.ticket.map(|ticket| Ticket {
            status: TicketStatus::Open,
            priority: ticket.priority.unwrap_or(Priority::Medium),
            assignee_id: ticket.assignee,
        });
        let row = NewMessageRow { channel: new.channel, title, content, author, audience, ticket };
        Ok(Self { row, key, mentions })
    }
}

impl ViewerCommand for CreateMessage {
    type Output = Message;

    fn needs(&self, _: &UserState, needs: &mut Needs) {
        needs.channel(self.row.channel);
        needs.audience(&self.row.audience);
        self.key.iter().for_each(|key| key.needs(needs));
        self.mentions.needs(needs);
        let assignee = self.row.ticket.and_then(|ticket| ticket.assignee_id);
        assignee.iter().for_each(|assignee| needs.user(*assignee));
    }

    fn decide(&self, actor: &UserState, state: &BatchState) -> Result<(Message, Effects)> {
        let (row, mut effects) = (&self.row, state.effects());
        if let Some(first) = self.key.as_ref().map_or(Ok(None), |key| key.find_result(state))? {
            let CreatedObject::Message(id) = first else {
                return Err(Error::internal("the idempotency key refers to another type of object"));
            };
            let message = state.created_message(&actor.rights, id).ok_or(Error::NotFound("message"))?;
            return Ok((message.clone(), effects));
        }
        state.channel(&actor.rights, row.channel)?;
        check_locations(state, &row.audience)?;
        let assignee = row.ticket.and_then(|ticket| ticket.assignee_id);
        check_assignee(state, assignee, row.channel, &row.audience, row.author)?;
        let message = effects.add_message(row.clone());
        if let Some(key) = &self.key {
            key.store(&mut effects, CreatedObject::Message(message.id));
        }
        record(&mut effects, EventKind::MessageAdded, &message, actor);
        let mut fanout = NotificationFanout::new(&message, actor);
        fanout.add_assignee(None);
        fanout.add_mentioned(state, &[], &self.mentions);
        fanout.dispatch(state, &mut effects)?;
        Ok((message, effects))
    }
}

struct UpdateMessage {
    edit: MessageEdit,
    mentions: Mentions,
}

impl UpdateMessage {
    /// # Errors
    /// `BAD_USER_INPUT` for an invalid field.
    fn new(mut edit: MessageEdit, actor: UserId, policy: &Policy, mention_limit: &RateLimiter<UserId>) -> Result<Self> {
        let validated_title = |title: Option<String>| validate::optional("title", title.as_deref(), policy.max_title);
        edit.title = edit.title.map(validated_title).transpose()?;
        let validated_content = |content: String| validate::required("content", &content, policy.max_content);
        edit.content = edit.content.map(validated_content).transpose()?;
        let title = edit.title.iter().flatten().next().map_or("", String::as_str);
        let mentions = Mentions::new(mention_limit, actor, &[title, edit.content.as_deref().unwrap_or_default()]);
        Ok(Self { edit, mentions })
    }
}

impl ViewerCommand for UpdateMessage {
    type Output = Message;

    fn needs(&self, _: &UserState, needs: &mut Needs) {
        needs.message(self.edit.id);
        self.mentions.needs(needs);
        let assignee = self.edit.ticket.and_then(|ticket| ticket.assignee).flatten();
        assignee.iter().for_each(|assignee| needs.user(*assignee));
    }

    fn decide(&self, actor: &UserState, state: &BatchState) -> Result<(Message, Effects)> {
        let (edit, mut effects) = (&self.edit, state.effects());
        let before = state.message(&actor.rights, edit.id)?;
        let may_edit = actor.rights.admin || before.author_id == actor.user.id;
        let makes_ticket = edit.ticket.is_some() && before.ticket.is_none();
        if !may_edit && (edit.title.is_some() || edit.content.is_some() || makes_ticket) {
            return Err(Error::Forbidden("only the author or an admin may change a message".into()));
        }
        check_if_cursor(before.cursor, edit.if_cursor)?;
        let mut message = before.clone();
        let assignee_before = before.ticket.and_then(|ticket| ticket.assignee_id);
        if let Some(change) = edit.ticket {
            let assignee = change.assignee.flatten().filter(|assignee| Some(*assignee) != assignee_before);
            check_assignee(state, assignee, message.channel_id, &message.audience, message.author_id)?;
            message.ticket = Some(apply_edit(message.ticket, change));
        }
        if let Some(title) = &edit.title {
            message.title.clone_from(title);
        }
        if let Some(content) = &edit.content {
            message.content.clone_from(content);
        }
        message.updated_at = state.now();
        message.cursor = effects.next_cursor();
        effects.update_message(&message);
        record(&mut effects, EventKind::MessageUpdated, &message, actor);
        let mut fanout = NotificationFanout::new(&message, actor);
        fanout.add_assignee(assignee_before);
        fanout.add_mentioned(state, &texts(before), &self.mentions);
        fanout.dispatch(state, &mut effects)?;
        Ok((message, effects))
    }
}

struct DeleteMessage(MessageId);

impl ViewerCommand for DeleteMessage {
    type Output = MessageId;

    fn needs(&self, _: &UserState, needs: &mut Needs) {
        needs.message(self.0);
    }

    fn decide(&self, actor: &UserState, state: &BatchState) -> Result<(MessageId, Effects)> {
        let message = state.message(&actor.rights, self.0)?;
        if !actor.rights.admin && message.author_id != actor.user.id {
            return Err(Error::Forbidden("only the author or an admin may delete a message".into()));
        }
        let mut effects = state.effects();
        effects.delete_message(message.id);
        let change = NewEvent::new(EventKind::MessageDeleted, message.id.0, Some(actor.user.id));
        effects.record(change.of_message(message), EventBody::None);
        Ok((message.id, effects))
    }
}

fn record(effects: &mut Effects, kind: EventKind, message: &Message, actor: &UserState) {
    let change = NewEvent::new(kind, message.id.0, Some(actor.user.id)).of_message(message);
    effects.record(change, EventBody::Message(Arc::new(message.clone())));
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
    state: &BatchState,
    assignee: Option<UserId>,
    channel: ChannelId,
    audience: &Audience,
    author: UserId,
) -> Result<()> {
    let Some(id) = assignee else { return Ok(()) };
    let reject = |why: &str| Err(Error::input("assigneeId", why));
    if state.user(id).is_err() {
        return reject("no such user");
    }
    let Some(rights) = state.rights_in(id, channel) else {
        return reject("this user is disabled: assign the ticket to another one");
    };
    let may_see = state.channel(&rights, channel).is_ok() && rights.in_audience(audience, Some(author));
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
pub(super) fn check_locations(state: &BatchState, audience: &Audience) -> Result<()> {
    if state.has_locations(audience) { Ok(()) } else { Err(Error::input("shareLocationIds", "no such location")) }
}
