//! The subscriptions. A resolver runs when a subscription is opened, and says what is wanted. The items come by
//! `board::Feed` and are shown by `items.rs`: there is no stream per subscriber here, and nothing to lose.

use futures_util::stream::{self, Empty};
use juniper::{ID, graphql_subscription};

use super::context::{Ctx, Opened, Purpose};
use super::events::{DeletedMessage, EventValue};
use super::live::{Metric, PresenceChange};
use super::notifications::Notification;
use super::objects::{Comment, Message};
use super::scalar::Scalar;
use super::scalars::{Cursor, id};
use super::templates::Template;
use crate::board::{MAX_METRIC_NAME, Subject, Wanted, Wish};
use crate::error::{Error, Result};
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
        let wish = || {
            let wish = wish(&[EventKind::MessageAdded], subject(channel_id.as_ref(), None)?, after.as_ref())?;
            let (tickets_only, exclude_own) = (tickets_only.unwrap_or(false), exclude_own.unwrap_or(false));
            Ok(Wish { tickets_only, exclude_own, ..wish })
        };
        open(ctx, || Ok(Wanted::Events(wish()?)))
    }

    /// Each change of a message or its ticket.
    async fn message_updated(
        &self,
        ctx: &Ctx,
        #[graphql(description = "Only in this channel.")] channel_id: Option<ID>,
        #[graphql(description = "Only this message.")] message_id: Option<ID>,
        #[graphql(description = "From behind this position; from now on if not said.")] after: Option<Cursor>,
    ) -> Result<Items<Message>> {
        let subject = || subject(channel_id.as_ref(), message_id.as_ref());
        let wish = || wish(&[EventKind::MessageUpdated], subject()?, after.as_ref());
        open(ctx, || Ok(Wanted::Events(wish()?)))
    }

    /// Each deletion of a message.
    async fn message_deleted(
        &self,
        ctx: &Ctx,
        #[graphql(description = "Only in this channel.")] channel_id: Option<ID>,
        #[graphql(description = "Only this message.")] message_id: Option<ID>,
        #[graphql(description = "From behind this position; from now on if not said.")] after: Option<Cursor>,
    ) -> Result<Items<DeletedMessage>> {
        let subject = || subject(channel_id.as_ref(), message_id.as_ref());
        let wish = || wish(&[EventKind::MessageDeleted], subject()?, after.as_ref());
        open(ctx, || Ok(Wanted::Events(wish()?)))
    }

    /// Each comment that is written.
    async fn comment_added(
        &self,
        ctx: &Ctx,
        #[graphql(description = "Only on this message.")] message_id: Option<ID>,
        #[graphql(description = "Not one's own.")] exclude_own: Option<bool>,
        #[graphql(description = "From behind this position; from now on if not said.")] after: Option<Cursor>,
    ) -> Result<Items<Comment>> {
        let wish = || {
            let wish = wish(&[EventKind::CommentAdded], subject(None, message_id.as_ref())?, after.as_ref())?;
            Ok(Wish { exclude_own: exclude_own.unwrap_or(false), ..wish })
        };
        open(ctx, || Ok(Wanted::Events(wish()?)))
    }

    /// Each template that somebody else shares with the viewer; only for those who are signed in.
    async fn template_added(
        &self,
        ctx: &Ctx,
        #[graphql(description = "From behind this position; from now on if not said.")] after: Option<Cursor>,
    ) -> Result<Items<Template>> {
        let wish = || {
            let wish = wish(&[EventKind::TemplateAdded], Subject::Templates, after.as_ref())?;
            Ok(Wish { exclude_own: true, ..wish })
        };
        open(ctx, || Ok(Wanted::Events(wish()?)))
    }

    /// Each notification for the viewer and each announcement; those who are not signed in hear the announcements.
    async fn notification_added(
        &self,
        ctx: &Ctx,
        #[graphql(description = "From behind this position; from now on if not said.")] after: Option<Cursor>,
    ) -> Result<Items<Notification>> {
        let wish = || wish(&[EventKind::NotificationAdded], Subject::Notifications, after.as_ref());
        open(ctx, || Ok(Wanted::Events(wish()?)))
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
            Ok(Wanted::Metrics(metric))
        })
    }

    /// Who comes to a channel and who leaves it; those who are there come first. Only for those who are signed in.
    async fn presence_changed(
        &self,
        ctx: &Ctx,
        #[graphql(description = "Which channel.")] channel_id: ID,
    ) -> Result<Items<PresenceChange>> {
        open(ctx, || Ok(Wanted::Presence(id("channelId", &channel_id)?)))
    }

    /// Everything the viewer may see, as one stream: what was missed, then a Checkpoint (= you are live), then live events, and a Checkpoint after 30 s of silence.
    async fn events(
        &self,
        ctx: &Ctx,
        #[graphql(description = "Only in this channel.")] channel_id: Option<ID>,
        #[graphql(description = "Only of this message and its comments.")] message_id: Option<ID>,
        #[graphql(description = "From behind this position; from now on if not said.")] after: Option<Cursor>,
    ) -> Result<Items<EventValue>> {
        let subject = || subject(channel_id.as_ref(), message_id.as_ref());
        let wish = || wish(EventKind::ALL, subject()?, after.as_ref());
        opened(ctx)?.add_checkpoints();
        open(ctx, || Ok(Wanted::Events(wish()?)))
    }
}

/// Says what is wanted.
fn open<T>(ctx: &Ctx, wanted: impl FnOnce() -> Result<Wanted>) -> Result<Items<T>> {
    opened(ctx)?.set(wanted()?);
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

fn wish(kinds: &[EventKind], subject: Subject, after: Option<&Cursor>) -> Result<Wish> {
    let after = after.map(|after| after.position("after")).transpose()?;
    Ok(Wish { subject, kinds: KindSet::of(kinds), tickets_only: false, exclude_own: false, after })
}

fn subject(channel: Option<&ID>, message: Option<&ID>) -> Result<Subject> {
    let channel = channel.map(|channel| id("channelId", channel)).transpose()?;
    let message = message.map(|message| id("messageId", message)).transpose()?;
    Ok(match (channel, message) {
        (channel, Some(message)) => Subject::Message(channel, message),
        (Some(channel), None) => Subject::Channel(channel),
        (None, None) => Subject::Everything,
    })
}
