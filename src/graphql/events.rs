//! The events of the log as GraphQL types: the `events` stream.

use juniper::{GraphQLInterface, GraphQLObject, ID};

use super::context::Ctx;
use super::json::Json;
use super::notifications::Notification;
use super::objects::{Channel, Comment, Message};
use super::scalar::Scalar;
use super::scalars::{Cursor, DateTime, out};
use super::templates::Template;
use crate::hub::LiveEvent;
use crate::model::{self, Body, EventKind, JsonText};

/// One change, or a checkpoint between changes.
#[derive(GraphQLInterface)]
#[graphql(
    context = Ctx,
    scalar = Scalar,
    enum = EventValue,
    for = [
        MessageAdded, MessageUpdated, MessageDeleted, CommentAdded, CommentUpdated, CommentDeleted, ChannelAdded,
        ChannelUpdated, ChannelDeleted, TemplateAdded, TemplateDeleted, NotificationAdded, RoomBroadcast,
        AccessChanged, Checkpoint,
    ]
)]
#[allow(dead_code)] // only its generated twin is used
pub struct Event {
    /// The event's position in the log: resume `after` it.
    cursor: Cursor,
    /// When the change was made, by the clock of the instance that wrote it. For a Checkpoint: when the server sent it.
    at: DateTime,
    /// The id of the user who made the change. `null` for a change by the server or its operator, for a Checkpoint, and
    /// for readers who are not signed in.
    actor_id: Option<ID>,
}

macro_rules! events {
    ($($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $type:ty),* })+) => {$(
        $(#[$doc])*
        #[derive(GraphQLObject)]
        #[graphql(context = Ctx, impl = EventValue, scalar = Scalar)]
        pub struct $name {
            /// The event's position in the log: resume `after` it.
            pub cursor: Cursor,
            /// When the change was made, by the clock of the instance that wrote it. For a Checkpoint: when the server sent it.
            pub at: DateTime,
            /// The id of the user who made the change. `null` for a change by the server or its operator, for a
            /// Checkpoint, and for readers who are not signed in.
            pub actor_id: Option<ID>,
            $($(#[$fdoc])* pub $field: $type),*
        }
    )+};
}

events! {
    /// A message was posted.
    MessageAdded {
        /// The message as it is now.
        message: Message
    }
    /// A message or its ticket was changed.
    MessageUpdated {
        /// The message as it is now.
        message: Message
    }
    /// A message was deleted, and its comments with it.
    MessageDeleted {
        /// The id it had.
        message_id: ID,
        /// The channel it was in.
        channel_id: ID
    }
    /// A comment was written.
    CommentAdded {
        /// The comment as it is now.
        comment: Comment
    }
    /// A comment was changed.
    CommentUpdated {
        /// The comment as it is now.
        comment: Comment
    }
    /// A comment was deleted.
    CommentDeleted {
        /// The id it had.
        comment_id: ID,
        /// The message it replied to.
        message_id: ID
    }
    /// A channel was made.
    ChannelAdded {
        /// The channel as it is now.
        channel: Channel
    }
    /// A channel's name, description or visibility was changed.
    ChannelUpdated {
        /// The channel as it is now.
        channel: Channel
    }
    /// A channel was deleted, and all in it.
    ChannelDeleted {
        /// The id it had.
        channel_id: ID
    }
    /// A template was shared.
    TemplateAdded {
        /// The template.
        template: Template
    }
    /// A template was deleted.
    TemplateDeleted {
        /// The id it had.
        template_id: ID
    }
    /// A notification, or an announcement to all.
    NotificationAdded {
        /// The notification.
        notification: Notification
    }
    /// A program sent something to a channel.
    RoomBroadcast {
        /// The channel.
        channel_id: ID,
        /// What was sent.
        data: Json
    }
    /// What you may see changed: query again.
    AccessChanged {
        /// The channel that you gained or lost access to; `null` if more than one is concerned.
        changed_channel_id: Option<ID>
    }
    /// Everything up to here has been delivered. The first one says: you are live.
    Checkpoint {}
}

/// A deleted message.
#[derive(GraphQLObject)]
#[graphql(context = Ctx)]
pub struct DeletedMessage {
    /// The id it had.
    pub id: ID,
    /// The channel it was in.
    pub channel_id: ID,
    /// The position of the deletion.
    pub cursor: Cursor,
}

/// Everything up to the cursor has been delivered.
#[must_use]
pub fn checkpoint(cursor: model::Cursor) -> EventValue {
    Checkpoint { cursor: cursor.into(), at: DateTime(model::Timestamp::now()), actor_id: None }.into()
}

/// The message of an event that shows one.
#[must_use]
pub fn message(ctx: &Ctx, event: &LiveEvent) -> Option<Message> {
    let Some(Body::Message(message)) = event.body() else { return None };
    Some(Message::new(ctx, message).delivered(event.cursor))
}

/// The comment of an event that shows one.
#[must_use]
pub fn comment(ctx: &Ctx, event: &LiveEvent) -> Option<Comment> {
    let Some(Body::Comment(comment)) = event.body() else { return None };
    Some(Comment::new(ctx, comment).delivered(event.cursor))
}

/// The template of an event that shows one.
#[must_use]
pub fn template(event: &LiveEvent) -> Option<Template> {
    let Some(Body::Template(template)) = event.body() else { return None };
    Some(Template::new(template).delivered(event.cursor))
}

/// The notification of an event that shows one.
#[must_use]
pub fn notification(ctx: &Ctx, event: &LiveEvent) -> Option<Notification> {
    let Some(Body::Notification(notification)) = event.body() else { return None };
    Some(Notification::new(ctx, notification))
}

fn broadcast(event: &LiveEvent) -> Option<Json> {
    event.payload.as_ref().map(|payload| Json(JsonText::stored(payload)))
}

fn channel(ctx: &Ctx, event: &LiveEvent) -> Option<Channel> {
    let Some(Body::Channel(channel)) = event.body() else { return None };
    Some(Channel::new(ctx, channel).delivered(event.cursor))
}

/// The message a deletion is about.
#[must_use]
pub fn deleted_message(event: &LiveEvent) -> Option<DeletedMessage> {
    Some(DeletedMessage { id: out(event.object), channel_id: out(event.channel?), cursor: event.cursor.into() })
}

/// An event as one of the `events` stream; `None` if its object is gone.
#[must_use]
pub fn event(ctx: &Ctx, event: &LiveEvent) -> Option<EventValue> {
    let (cursor, at): (Cursor, _) = (event.cursor.into(), DateTime(event.at));
    // A rendering is shared by all signed-in readers, and by all others.
    let actor_id = if ctx.is_anonymous() { None } else { event.actor.map(out) };
    let id = out(event.object);
    Some(match event.kind {
        EventKind::Genesis | EventKind::SessionsEnded => return None,
        EventKind::MessageAdded => MessageAdded { cursor, at, actor_id, message: message(ctx, event)? }.into(),
        EventKind::MessageUpdated => MessageUpdated { cursor, at, actor_id, message: message(ctx, event)? }.into(),
        EventKind::MessageDeleted => {
            MessageDeleted { cursor, at, actor_id, message_id: id, channel_id: out(event.channel?) }.into()
        }
        EventKind::CommentAdded => CommentAdded { cursor, at, actor_id, comment: comment(ctx, event)? }.into(),
        EventKind::CommentUpdated => CommentUpdated { cursor, at, actor_id, comment: comment(ctx, event)? }.into(),
        EventKind::CommentDeleted => {
            CommentDeleted { cursor, at, actor_id, comment_id: id, message_id: out(event.message?) }.into()
        }
        EventKind::ChannelAdded => ChannelAdded { cursor, at, actor_id, channel: channel(ctx, event)? }.into(),
        EventKind::ChannelUpdated => ChannelUpdated { cursor, at, actor_id, channel: channel(ctx, event)? }.into(),
        EventKind::ChannelDeleted => ChannelDeleted { cursor, at, actor_id, channel_id: id }.into(),
        EventKind::TemplateAdded => TemplateAdded { cursor, at, actor_id, template: template(event)? }.into(),
        EventKind::TemplateDeleted => TemplateDeleted { cursor, at, actor_id, template_id: id }.into(),
        EventKind::NotificationAdded => {
            NotificationAdded { cursor, at, actor_id, notification: notification(ctx, event)? }.into()
        }
        EventKind::RoomBroadcast => {
            RoomBroadcast { cursor, at, actor_id, channel_id: out(event.channel?), data: broadcast(event)? }.into()
        }
        EventKind::AccessChanged => {
            AccessChanged { cursor, at, actor_id, changed_channel_id: event.channel.map(out) }.into()
        }
    })
}
