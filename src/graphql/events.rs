//! The GraphQL types of the events in the log, and their construction from hub events.

use juniper::{GraphQLInterface, GraphQLObject, ID};

use super::context::Ctx;
use super::json::Json;
use super::notifications::Notification;
use super::objects::{Channel, Comment, Message};
use super::scalar::Scalar;
use super::scalars::{Cursor, DateTime, to_id};
use super::templates::Template;
use crate::hub::LiveEvent;
use crate::model::{self, EventBody, EventKind, JsonText};

/// One change of the data, or a checkpoint between changes.
#[derive(GraphQLInterface)]
#[graphql(
    context = Ctx,
    scalar = Scalar,
    enum = EventValue,
    for = [
        MessageAdded, MessageUpdated, MessageDeleted, CommentAdded, CommentUpdated, CommentDeleted, ChannelAdded,
        ChannelUpdated, ChannelDeleted, TemplateAdded, TemplateDeleted, NotificationAdded, RoomBroadcast,
    AccessChanged, AppEvent, Checkpoint, UserUpdated,
    ]
)]
#[allow(dead_code)] // juniper generates the enum `EventValue` from it; the struct itself is not used
pub struct Event {
    /// The position of the event in the log. Pass it as `after` to resume behind the event.
    cursor: Cursor,
    /// The time of the change by the clock of the writing instance. For a Checkpoint: when the server sent it.
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
            /// The position of the event in the log. Pass it as `after` to resume behind the event.
            pub cursor: Cursor,
            /// The time of the change by the clock of the writing instance. For a Checkpoint: when the server sent it.
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
    /// A message was deleted, together with its comments.
    MessageDeleted {
        /// The id of the deleted message.
        message_id: ID,
        /// The id of the channel that the message was in.
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
        /// The id of the deleted comment.
        comment_id: ID,
        /// The id of the message that the comment replied to.
        message_id: ID
    }
    /// A channel was created.
    ChannelAdded {
        /// The channel as it is now.
        channel: Channel
    }
    /// A channel's name, description or visibility was changed.
    ChannelUpdated {
        /// The channel as it is now.
        channel: Channel
    }
    /// A channel was deleted, together with its messages.
    ChannelDeleted {
        /// The id of the deleted channel.
        channel_id: ID
    }
    /// A template was added.
    TemplateAdded {
        /// The new template.
        template: Template
    }
    /// A template was deleted.
    TemplateDeleted {
        /// The id of the deleted template.
        template_id: ID
    }
    /// The viewer was notified, or an announcement was made to all users.
    NotificationAdded {
        /// The new notification.
        notification: Notification
    }
    /// An admin sent data to the subscribers of a channel with the mutation `broadcast`.
    RoomBroadcast {
        /// The id of the channel.
        channel_id: ID,
        /// The data that was sent.
        data: Json
    }
    /// An event that a program published with `publish`, with a type and data of its own.
    #[derive(Clone)]
    AppEvent {
        /// The id of the channel.
        channel_id: ID,
        /// The type, which the publisher chose.
        #[graphql(name = "type")]
        app_type: String,
        /// The data, as the publisher sent it.
        data: Json,
        /// The idempotency key of the publisher; `null` if the event has none.
        key: Option<String>
    }
    /// The viewer may now read more or less than before. Query the data again.
    AccessChanged {
        /// The id of the channel that the viewer gained or lost access to. `null` if more than one channel is affected.
        changed_channel_id: Option<ID>
    }
    /// The names or the email address of a user were changed. Query the user again if the client shows it.
    UserUpdated {
        /// The id of the user.
        user_id: ID
    }
    /// All events up to this position have been delivered. After the first checkpoint, events are delivered live.
    Checkpoint {}
}

/// A message that was deleted.
#[derive(GraphQLObject)]
#[graphql(context = Ctx)]
pub struct DeletedMessage {
    /// The id of the deleted message.
    pub id: ID,
    /// The id of the channel that the message was in.
    pub channel_id: ID,
    /// The position of the deletion in the log.
    pub cursor: Cursor,
}

/// A checkpoint: all events up to the cursor have been delivered.
#[must_use]
pub fn checkpoint(cursor: model::Cursor) -> EventValue {
    Checkpoint { cursor: cursor.into(), at: DateTime(model::Timestamp::now()), actor_id: None }.into()
}

/// The message that an event carries; `None` if the event carries no message.
#[must_use]
pub fn message(ctx: &Ctx, event: &LiveEvent) -> Option<Message> {
    let Some(EventBody::Message(message)) = event.body() else { return None };
    Some(Message::new(ctx, message).delivered(event.cursor))
}

/// The comment that an event carries; `None` if the event carries no comment.
#[must_use]
pub fn comment(ctx: &Ctx, event: &LiveEvent) -> Option<Comment> {
    let Some(EventBody::Comment(comment)) = event.body() else { return None };
    Some(Comment::new(ctx, comment).delivered(event.cursor))
}

/// The template that an event carries; `None` if the event carries no template.
#[must_use]
pub fn template(event: &LiveEvent) -> Option<Template> {
    let Some(EventBody::Template(template)) = event.body() else { return None };
    Some(Template::new(template).delivered(event.cursor))
}

/// The notification that an event carries; `None` if the event carries no notification.
#[must_use]
pub fn notification(ctx: &Ctx, event: &LiveEvent) -> Option<Notification> {
    let Some(EventBody::Notification(notification)) = event.body() else { return None };
    Some(Notification::new(ctx, notification))
}

fn broadcast(event: &LiveEvent) -> Option<Json> {
    event.payload.as_ref().map(|payload| Json(JsonText::stored(payload)))
}

/// The GraphQL value of an application event.
#[must_use]
pub fn app_event(ctx: &Ctx, event: model::AppEvent) -> AppEvent {
    AppEvent {
        cursor: event.cursor.into(),
        at: DateTime(event.at),
        actor_id: event.actor.filter(|_| ctx.can_see_users()).map(to_id),
        channel_id: to_id(event.channel),
        app_type: event.app_type.as_ref().to_owned(),
        data: Json(JsonText::stored(&event.data)),
        key: event.key.map(|key| key.name.clone()),
    }
}

fn channel(ctx: &Ctx, event: &LiveEvent) -> Option<Channel> {
    let Some(EventBody::Channel(channel)) = event.body() else { return None };
    Some(Channel::new(ctx, channel).delivered(event.cursor))
}

/// The message that a deletion event names; `None` if the event belongs to no channel.
#[must_use]
pub fn deleted_message(event: &LiveEvent) -> Option<DeletedMessage> {
    Some(DeletedMessage { id: to_id(event.object), channel_id: to_id(event.channel?), cursor: event.cursor.into() })
}

/// The GraphQL value of an event; `None` if its object no longer exists, or if clients do not see this kind of event.
#[must_use]
pub fn event(ctx: &Ctx, event: &LiveEvent) -> Option<EventValue> {
    let (cursor, at): (Cursor, _) = (event.cursor.into(), DateTime(event.at));
    // All signed-in readers share one rendered item, and all anonymous readers another one.
    let actor_id = event.actor.filter(|_| ctx.can_see_users()).map(to_id);
    let id = to_id(event.object);
    Some(match event.kind {
        EventKind::Genesis
        | EventKind::SessionsEnded
        | EventKind::UserErased
        | EventKind::MetricPublished
        | EventKind::EventTypeChanged => {
            return None;
        }
        EventKind::MessageAdded => MessageAdded { cursor, at, actor_id, message: message(ctx, event)? }.into(),
        EventKind::MessageUpdated => MessageUpdated { cursor, at, actor_id, message: message(ctx, event)? }.into(),
        EventKind::MessageDeleted => {
            MessageDeleted { cursor, at, actor_id, message_id: id, channel_id: to_id(event.channel?) }.into()
        }
        EventKind::CommentAdded => CommentAdded { cursor, at, actor_id, comment: comment(ctx, event)? }.into(),
        EventKind::CommentUpdated => CommentUpdated { cursor, at, actor_id, comment: comment(ctx, event)? }.into(),
        EventKind::CommentDeleted => {
            CommentDeleted { cursor, at, actor_id, comment_id: id, message_id: to_id(event.message?) }.into()
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
            RoomBroadcast { cursor, at, actor_id, channel_id: to_id(event.channel?), data: broadcast(event)? }.into()
        }
        EventKind::AppEvent => app_event(ctx, model::AppEvent::of(event)?).into(),
        EventKind::AccessChanged => {
            AccessChanged { cursor, at, actor_id, changed_channel_id: event.channel.map(to_id) }.into()
        }
        EventKind::UserUpdated => UserUpdated { cursor, at, actor_id, user_id: id }.into(),
    })
}
