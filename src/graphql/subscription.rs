//! The subscriptions. A resolver runs once, when a subscription is opened, and stores its request in the context. The
//! updates come from the module `live`, and `items.rs` renders them. So juniper keeps no stream per subscriber.

use futures_util::stream::{self, Empty};
use juniper::{ID, graphql_subscription};

use super::app_events::type_filter;
use super::context::{Ctx, Opened, Purpose};
use super::events::{AppEvent, DeletedMessage, EventValue};
use super::metrics::{Metric, PresenceChange};
use super::notifications::Notification;
use super::objects::{Comment, Message};
use super::scalar::Scalar;
use super::scalars::{Cursor, id};
use super::signals::Signal;
use super::templates::Template;
use crate::board::MAX_METRIC_NAME;
use crate::error::{Error, Result};
use crate::live::{LogRequest, SignalRequest, SubscriptionRequest, Target};
use crate::model::{EventKind, KindSet};

/// The empty stream that a resolver returns. juniper takes the item type of the field from it.
type NoItems<T> = Empty<Result<T>>;

/// The root of all subscriptions.
pub struct SubscriptionRoot;

/// The subscriptions. A subscription with a cursor as `after` first delivers the events that the client has missed.
/// The client receives each event exactly once.
#[graphql_subscription(name = "Subscription", context = Ctx, scalar = Scalar)]
impl SubscriptionRoot {
    /// Each new message that the viewer may read.
    async fn message_added(
        &self,
        ctx: &Ctx,
        #[graphql(description = "Only messages in the channel with this id.")] channel_id: Option<ID>,
        #[graphql(description = "Only tickets.")] tickets_only: Option<bool>,
        #[graphql(description = "Leave out messages of the viewer.")] exclude_own: Option<bool>,
        #[graphql(description = "Only events behind this cursor. Default: only new events.")] after: Option<Cursor>,
    ) -> Result<NoItems<Message>> {
        let request = || {
            let request = request(&[EventKind::MessageAdded], target(channel_id.as_ref(), None)?, after.as_ref())?;
            let (tickets_only, exclude_own) = (tickets_only.unwrap_or(false), exclude_own.unwrap_or(false));
            Ok(LogRequest { tickets_only, exclude_own, ..request })
        };
        open(ctx, || Ok(SubscriptionRequest::Log(request()?)))
    }

    /// Each change of a message or its ticket. The viewer gets only messages that the viewer may read.
    async fn message_updated(
        &self,
        ctx: &Ctx,
        #[graphql(description = "Only messages in the channel with this id.")] channel_id: Option<ID>,
        #[graphql(description = "Only the message with this id.")] message_id: Option<ID>,
        #[graphql(description = "Only events behind this cursor. Default: only new events.")] after: Option<Cursor>,
    ) -> Result<NoItems<Message>> {
        let target = || target(channel_id.as_ref(), message_id.as_ref());
        let request = || request(&[EventKind::MessageUpdated], target()?, after.as_ref());
        open(ctx, || Ok(SubscriptionRequest::Log(request()?)))
    }

    /// Each deletion of a message that the viewer could read.
    async fn message_deleted(
        &self,
        ctx: &Ctx,
        #[graphql(description = "Only messages in the channel with this id.")] channel_id: Option<ID>,
        #[graphql(description = "Only the message with this id.")] message_id: Option<ID>,
        #[graphql(description = "Only events behind this cursor. Default: only new events.")] after: Option<Cursor>,
    ) -> Result<NoItems<DeletedMessage>> {
        let target = || target(channel_id.as_ref(), message_id.as_ref());
        let request = || request(&[EventKind::MessageDeleted], target()?, after.as_ref());
        open(ctx, || Ok(SubscriptionRequest::Log(request()?)))
    }

    /// Each new comment on a message that the viewer may read.
    async fn comment_added(
        &self,
        ctx: &Ctx,
        #[graphql(description = "Only comments on the message with this id.")] message_id: Option<ID>,
        #[graphql(description = "Leave out comments of the viewer.")] exclude_own: Option<bool>,
        #[graphql(description = "Only events behind this cursor. Default: only new events.")] after: Option<Cursor>,
    ) -> Result<NoItems<Comment>> {
        let request = || {
            let request = request(&[EventKind::CommentAdded], target(None, message_id.as_ref())?, after.as_ref())?;
            Ok(LogRequest { exclude_own: exclude_own.unwrap_or(false), ..request })
        };
        open(ctx, || Ok(SubscriptionRequest::Log(request()?)))
    }

    /// Each template that another user shares with the viewer. Requires a signed-in user.
    async fn template_added(
        &self,
        ctx: &Ctx,
        #[graphql(description = "Only events behind this cursor. Default: only new events.")] after: Option<Cursor>,
    ) -> Result<NoItems<Template>> {
        let request = || {
            let request = request(&[EventKind::TemplateAdded], Target::Templates, after.as_ref())?;
            Ok(LogRequest { exclude_own: true, ..request })
        };
        open(ctx, || Ok(SubscriptionRequest::Log(request()?)))
    }

    /// Each notification for the viewer, and each announcement. Readers who are not signed in get only announcements.
    async fn notification_added(
        &self,
        ctx: &Ctx,
        #[graphql(description = "Only events behind this cursor. Default: only new events.")] after: Option<Cursor>,
    ) -> Result<NoItems<Notification>> {
        let request = || request(&[EventKind::NotificationAdded], Target::Notifications, after.as_ref());
        open(ctx, || Ok(SubscriptionRequest::Log(request()?)))
    }

    /// Each application event that the viewer may read.
    async fn app_event(
        &self,
        ctx: &Ctx,
        #[graphql(description = "Only events of the channel with this id.")] channel_id: Option<ID>,
        #[graphql(description = "Only events of these types. `order.*` selects all types that begin with `order.`")]
        types: Option<Vec<String>>,
        #[graphql(description = "Only events behind this cursor. Default: only new events.")] after: Option<Cursor>,
    ) -> Result<NoItems<AppEvent>> {
        let request = || {
            let request = request(&[EventKind::AppEvent], target(channel_id.as_ref(), None)?, after.as_ref())?;
            Ok(LogRequest { types: type_filter(types.as_deref())?, ..request })
        };
        open(ctx, || Ok(SubscriptionRequest::Log(request()?)))
    }

    /// The values of metrics: first the current value of each metric, then changes, at most one per second and metric.
    async fn metric_updated(
        &self,
        ctx: &Ctx,
        #[graphql(description = "Only the metric with this name.")] metric: Option<String>,
    ) -> Result<NoItems<Metric>> {
        open(ctx, || {
            if metric.as_ref().is_some_and(|metric| metric.chars().count() > MAX_METRIC_NAME) {
                let why = format!("metric has at most {MAX_METRIC_NAME} characters");
                return Err(Error::input("metric", why));
            }
            Ok(SubscriptionRequest::Metrics(metric))
        })
    }

    /// The presence of users in a channel: first each user who is present, then each change. Requires a signed-in user.
    async fn presence_changed(
        &self,
        ctx: &Ctx,
        #[graphql(description = "The id of the channel.")] channel_id: ID,
    ) -> Result<NoItems<PresenceChange>> {
        open(ctx, || Ok(SubscriptionRequest::Presence(id("channelId", &channel_id)?)))
    }

    /// The signals of a channel from now on. A slow client skips signals.
    async fn signal(
        &self,
        ctx: &Ctx,
        #[graphql(description = "The id of the channel.")] channel_id: ID,
        #[graphql(description = "Only signals of these types. `order.*` selects all types that begin with `order.`")]
        types: Option<Vec<String>>,
    ) -> Result<NoItems<Signal>> {
        open(ctx, || {
            let channel = id("channelId", &channel_id)?;
            let events = request(&[], Target::Channel(channel), None)?;
            Ok(SubscriptionRequest::Signals(SignalRequest { channel, types: type_filter(types.as_deref())?, events }))
        })
    }

    /// All events that the viewer may read, in one stream: first missed events, then a Checkpoint, then live events.
    /// After 30 s without an event, another Checkpoint follows.
    async fn events(
        &self,
        ctx: &Ctx,
        #[graphql(description = "Only events of the channel with this id.")] channel_id: Option<ID>,
        #[graphql(description = "Only events of the message with this id and of its comments.")] message_id: Option<ID>,
        #[graphql(description = "Only events behind this cursor. Default: only new events.")] after: Option<Cursor>,
    ) -> Result<NoItems<EventValue>> {
        let target = || target(channel_id.as_ref(), message_id.as_ref());
        let request = || request(EventKind::ALL, target()?, after.as_ref());
        opened(ctx)?.add_checkpoints();
        open(ctx, || Ok(SubscriptionRequest::Log(request()?)))
    }
}

/// Stores the request in the context.
fn open<T>(ctx: &Ctx, request: impl FnOnce() -> Result<SubscriptionRequest>) -> Result<NoItems<T>> {
    opened(ctx)?.set(request()?);
    Ok(stream::empty())
}

fn opened(ctx: &Ctx) -> Result<&Opened> {
    match ctx.purpose() {
        Purpose::Open(opened) => Ok(opened),
        Purpose::Answer | Purpose::Render(_) => {
            Err(Error::internal("a resolver of a subscription runs only to open it"))
        }
    }
}

fn request(kinds: &[EventKind], target: Target, after: Option<&Cursor>) -> Result<LogRequest> {
    let after = after.map(|after| after.position("after")).transpose()?;
    Ok(LogRequest { target, kinds: KindSet::of(kinds), types: None, tickets_only: false, exclude_own: false, after })
}

fn target(channel: Option<&ID>, message: Option<&ID>) -> Result<Target> {
    let channel = channel.map(|channel| id("channelId", channel)).transpose()?;
    let message = message.map(|message| id("messageId", message)).transpose()?;
    Ok(match (channel, message) {
        (channel, Some(message)) => Target::Message(channel, message),
        (Some(channel), None) => Target::Channel(channel),
        (None, None) => Target::Everything,
    })
}
