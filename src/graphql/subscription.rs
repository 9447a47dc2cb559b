//! The subscriptions. A resolver runs when a subscription is opened, and says what is wanted;
//! and it runs once for each item that is to be rendered, and shows it. In between, the item's way
//! is `board::Feed`'s: there is no stream per subscriber here, and nothing to lose.

use std::option;

use futures_util::stream::{self, Iter};
use juniper::{ID, graphql_subscription};

use super::context::{Ctx, Delivery, Purpose};
use super::events::{self, DeletedMessage, EventValue};
use super::live::{Metric, PresenceChange};
use super::notifications::Notification;
use super::objects::{Comment, Message};
use super::scalar::Scalar;
use super::scalars::{Cursor, id};
use super::templates::Template;
use crate::board::{MAX_METRIC_NAME, Subject, Wanted, Wish};
use crate::error::{Error, Result};
use crate::hub::LiveEvent;
use crate::model::{EventKind, KindSet};

/// What a resolver yields: at most one item.
type Items<T> = Iter<option::IntoIter<Result<T>>>;

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
        items(ctx, wish, |event| events::message(ctx, event))
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
        items(ctx, wish, |event| events::message(ctx, event))
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
        items(ctx, wish, events::deleted_message)
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
        items(ctx, wish, |event| events::comment(ctx, event))
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
        items(ctx, wish, events::template)
    }

    /// Each notification for the viewer and each announcement; those who are not signed in hear the announcements.
    async fn notification_added(
        &self,
        ctx: &Ctx,
        #[graphql(description = "From behind this position; from now on if not said.")] after: Option<Cursor>,
    ) -> Result<Items<Notification>> {
        let wish = || wish(&[EventKind::NotificationAdded], Subject::Notifications, after.as_ref());
        items(ctx, wish, |event| events::notification(ctx, event))
    }

    /// The value of each metric, the current one first; changes at most once a second.
    async fn metric_updated(
        &self,
        ctx: &Ctx,
        #[graphql(description = "Only this one.")] metric: Option<String>,
    ) -> Result<Items<Metric>> {
        values(
            ctx,
            || {
                if metric.as_ref().is_some_and(|metric| metric.chars().count() > MAX_METRIC_NAME) {
                    let why = format!("metric has at most {MAX_METRIC_NAME} characters");
                    return Err(Error::input("metric", why));
                }
                Ok(Wanted::Metrics(metric))
            },
            |delivery| match delivery {
                Delivery::Metric(metric) => Some(Metric::new(metric.clone())),
                _ => None,
            },
        )
    }

    /// Who comes to a channel and who leaves it; those who are there come first. Only for those who are signed in.
    async fn presence_changed(
        &self,
        ctx: &Ctx,
        #[graphql(description = "Which channel.")] channel_id: ID,
    ) -> Result<Items<PresenceChange>> {
        values(
            ctx,
            || Ok(Wanted::Presence(id("channelId", &channel_id)?)),
            |delivery| match delivery {
                Delivery::Presence(change) => Some(PresenceChange::new(ctx, *change)),
                _ => None,
            },
        )
    }

    /// Everything the viewer may see, as one stream: what was missed, then a Checkpoint (= you are live), then live events, and a Checkpoint after 30 s of silence.
    async fn events(
        &self,
        ctx: &Ctx,
        #[graphql(description = "Only in this channel.")] channel_id: Option<ID>,
        #[graphql(description = "Only of this message and its comments.")] message_id: Option<ID>,
        #[graphql(description = "From behind this position; from now on if not said.")] after: Option<Cursor>,
    ) -> Result<Items<EventValue>> {
        if let Purpose::Render(Delivery::Checkpoint(cursor)) = ctx.purpose() {
            return Ok(stream::iter(Some(Ok(events::checkpoint(*cursor)))));
        }
        let subject = || subject(channel_id.as_ref(), message_id.as_ref());
        let wish = || wish(EventKind::ALL, subject()?, after.as_ref());
        let items = items(ctx, wish, |event| events::event(ctx, event))?;
        if let Purpose::Open(opened) = ctx.purpose() {
            opened.add_checkpoints();
        }
        Ok(items)
    }
}

/// Opens or renders, as the operation's purpose says.
fn items<T>(
    ctx: &Ctx,
    wish: impl FnOnce() -> Result<Wish>,
    show: impl FnOnce(&LiveEvent) -> Option<T>,
) -> Result<Items<T>> {
    let item = match ctx.purpose() {
        Purpose::Open(opened) => {
            opened.set(Wanted::Events(wish()?));
            None
        }
        Purpose::Render(Delivery::Event(event)) => show(event),
        Purpose::Render(_) => None,
        Purpose::Answer | Purpose::Change(_) => {
            return Err(Error::internal("a subscription is not answered at once"));
        }
    };
    Ok(stream::iter(item.map(Ok)))
}

/// The same for values that are no events.
fn values<T>(
    ctx: &Ctx,
    wanted: impl FnOnce() -> Result<Wanted>,
    show: impl FnOnce(&Delivery) -> Option<T>,
) -> Result<Items<T>> {
    let item = match ctx.purpose() {
        Purpose::Open(opened) => {
            opened.set(wanted()?);
            None
        }
        Purpose::Render(delivery) => show(delivery),
        Purpose::Answer | Purpose::Change(_) => {
            return Err(Error::internal("a subscription is not answered at once"));
        }
    };
    Ok(stream::iter(item.map(Ok)))
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
