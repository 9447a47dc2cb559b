//! The subscriptions. A resolver runs once, when a subscription is opened, and leaves a request in the context. The updates
//! come from `live` and are rendered by `items.rs`, so juniper keeps no stream per subscriber.

use futures_util::stream::{self, Empty};
use juniper::{ID, graphql_subscription};

use super::context::{Ctx, Opened, Purpose};
use super::events::{DeletedMessage, EventValue};
use super::metrics::{Metric, PresenceChange};
use super::notifications::Notification;
use super::objects::{Comment, Message};
use super::scalar::Scalar;
use super::scalars::{Cursor, id};
use super::templates::Template;
use crate::board::MAX_METRIC_NAME;
use crate::error::{Error, Result};
use crate::live::{LogRequest, SubscriptionRequest, Target};
use crate::model::{EventKind, KindSet};

/// What a resolver yields: its type, and nothing else.
type Items<T> = Empty<Result<T>>;

/// The root of all subscriptions.
pub struct Subscription;

/// What can be followed. `after` a cursor: what was missed comes first, nothing is lost or repeated.
#[graphql_subscription(context = Ctx, scalar = Scalar)]
impl Subscription {
    /// Each message that is posted.
    async fn message_added(
        &self,
        ctx: &Ctx,
        #[graphql(description = "Only in this channel.")] channel_id: Option<ID>,
        #[graphql(description = "Only tickets.")] tickets_only: Option<bool>,
        #[graphql(description = "Not one's own.")] exclude_own: Option<bool>,
        #[graphql(description = "From behind this position; from now on if not said.")] after: Option<Cursor>,
    ) -> Result<Items<Message>> {
        let request = || {
            let request = request(&[EventKind::MessageAdded], target(channel_id.as_ref(), None)?, after.as_ref())?;
            let (tickets_only, exclude_own) = (tickets_only.unwrap_or(false), exclude_own.unwrap_or(false));
            Ok(LogRequest { tickets_only, exclude_own, ..request })
        };
        open(ctx, || Ok(SubscriptionRequest::Log(request()?)))
    }

    /// Each change of a message or its ticket.
    async fn message_updated(
        &self,
        ctx: &Ctx,
        #[graphql(description = "Only in this channel.")] channel_id: Option<ID>,
        #[graphql(description = "Only this message.")] message_id: Option<ID>,
        #[graphql(description = "From behind this position; from now on if not said.")] after: Option<Cursor>,
    ) -> Result<Items<Message>> {
        let target = || target(channel_id.as_ref(), message_id.as_ref());
        let request = || request(&[EventKind::MessageUpdated], target()?, after.as_ref());
        open(ctx, || Ok(SubscriptionRequest::Log(request()?)))
    }

    /// Each deletion of a message.
    async fn message_deleted(
        &self,
        ctx: &Ctx,
        #[graphql(description = "Only in this channel.")] channel_id: Option<ID>,
        #[graphql(description = "Only this message.")] message_id: Option<ID>,
        #[graphql(description = "From behind this position; from now on if not said.")] after: Option<Cursor>,
    ) -> Result<Items<DeletedMessage>> {
        let target = || target(channel_id.as_ref(), message_id.as_ref());
        let request = || request(&[EventKind::MessageDeleted], target()?, after.as_ref());
        open(ctx, || Ok(SubscriptionRequest::Log(request()?)))
    }

    /// Each comment that is written.
    async fn comment_added(
        &self,
        ctx: &Ctx,
        #[graphql(description = "Only on this message.")] message_id: Option<ID>,
        #[graphql(description = "Not one's own.")] exclude_own: Option<bool>,
        #[graphql(description = "From behind this position; from now on if not said.")] after: Option<Cursor>,
    ) -> Result<Items<Comment>> {
        let request = || {
            let request = request(&[EventKind::CommentAdded], target(None, message_id.as_ref())?, after.as_ref())?;
            Ok(LogRequest { exclude_own: exclude_own.unwrap_or(false), ..request })
        };
        open(ctx, || Ok(SubscriptionRequest::Log(request()?)))
    }

    /// Each template that somebody else shares with the viewer; only for those who are signed in.
    async fn template_added(
        &self,
        ctx: &Ctx,
        #[graphql(description = "From behind this position; from now on if not said.")] after: Option<Cursor>,
    ) -> Result<Items<Template>> {
        let request = || {
            let request = request(&[EventKind::TemplateAdded], Target::Templates, after.as_ref())?;
            Ok(LogRequest { exclude_own: true, ..request })
        };
        open(ctx, || Ok(SubscriptionRequest::Log(request()?)))
    }

    /// Each notification for the viewer and each announcement; those who are not signed in hear the announcements.
    async fn notification_added(
        &self,
        ctx: &Ctx,
        #[graphql(description = "From behind this position; from now on if not said.")] after: Option<Cursor>,
    ) -> Result<Items<Notification>> {
        let request = || request(&[EventKind::NotificationAdded], Target::Notifications, after.as_ref());
        open(ctx, || Ok(SubscriptionRequest::Log(request()?)))
    }

    /// The value of each metric, the current one first; changes at most once a second.
    async fn metric_updated(
        &self,
        ctx: &Ctx,
        #[graphql(description = "Only this one.")] metric: Option<String>,
    ) -> Result<Items<Metric>> {
        open(ctx, || {
            if metric.as_ref().is_some_and(|metric| metric.chars().count() > MAX_METRIC_NAME) {
                let why = format!("metric has at most {MAX_METRIC_NAME} characters");
                return Err(Error::input("metric", why));
            }
            Ok(SubscriptionRequest::Metrics(metric))
        })
    }

    /// Who comes to a channel and who leaves it; those who are there come first. Only for those who are signed in.
    async fn presence_changed(
        &self,
        ctx: &Ctx,
        #[graphql(description = "Which channel.")] channel_id: ID,
    ) -> Result<Items<PresenceChange>> {
        open(ctx, || Ok(SubscriptionRequest::Presence(id("channelId", &channel_id)?)))
    }

    /// Everything the viewer may see, as one stream: what was missed, then a Checkpoint (= you are live), then live events, and a Checkpoint after 30 s of silence.
    async fn events(
        &self,
        ctx: &Ctx,
        #[graphql(description = "Only in this channel.")] channel_id: Option<ID>,
        #[graphql(description = "Only of this message and its comments.")] message_id: Option<ID>,
        #[graphql(description = "From behind this position; from now on if not said.")] after: Option<Cursor>,
    ) -> Result<Items<EventValue>> {
        let target = || target(channel_id.as_ref(), message_id.as_ref());
        let request = || request(EventKind::ALL, target()?, after.as_ref());
        opened(ctx)?.add_checkpoints();
        open(ctx, || Ok(SubscriptionRequest::Log(request()?)))
    }
}

/// Leaves the request in the context.
fn open<T>(ctx: &Ctx, request: impl FnOnce() -> Result<SubscriptionRequest>) -> Result<Items<T>> {
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
    Ok(LogRequest { target, kinds: KindSet::of(kinds), tickets_only: false, exclude_own: false, after })
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
