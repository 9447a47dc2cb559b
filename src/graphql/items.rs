//! The root of the queries that show items of subscriptions. Such a query has the selection of the subscription's root
//! field; so an item is executed like the answer to a query, with the same order of fields, and the same partial data
//! where a field fails. juniper's own streams have neither.

use juniper::{EmptyMutation, EmptySubscription, RootNode, graphql_object};

use super::context::{Ctx, Purpose};
use super::events::{self, DeletedMessage, EventValue};
use super::metrics::{Metric, PresenceChange};
use super::notifications::Notification;
use super::objects::{Comment, Message};
use super::scalar::Scalar;
use super::templates::Template;
use crate::hub::LiveEvent;
use crate::live::Update;

/// The schema of these queries.
pub type ItemSchema = RootNode<Items, EmptyMutation<Ctx>, EmptySubscription<Ctx>, Scalar>;

/// The root of these queries.
pub struct Items;

/// One field for each subscription, without its arguments; `null` if there is nothing to show.
#[graphql_object(name = "Subscription", context = Ctx, scalar = Scalar)]
impl Items {
    fn message_added(ctx: &Ctx) -> Option<Message> {
        events::message(ctx, event(ctx)?)
    }

    fn message_updated(ctx: &Ctx) -> Option<Message> {
        events::message(ctx, event(ctx)?)
    }

    fn message_deleted(ctx: &Ctx) -> Option<DeletedMessage> {
        events::deleted_message(event(ctx)?)
    }

    fn comment_added(ctx: &Ctx) -> Option<Comment> {
        events::comment(ctx, event(ctx)?)
    }

    fn template_added(ctx: &Ctx) -> Option<Template> {
        events::template(event(ctx)?)
    }

    fn notification_added(ctx: &Ctx) -> Option<Notification> {
        events::notification(ctx, event(ctx)?)
    }

    fn metric_updated(ctx: &Ctx) -> Option<Metric> {
        match ctx.purpose() {
            Purpose::Render(Update::Metric(metric)) => Some(Metric::new(metric.clone())),
            _ => None,
        }
    }

    fn presence_changed(ctx: &Ctx) -> Option<PresenceChange> {
        match ctx.purpose() {
            Purpose::Render(Update::Presence(change)) => Some(PresenceChange::new(ctx, *change)),
            _ => None,
        }
    }

    fn events(ctx: &Ctx) -> Option<EventValue> {
        match ctx.purpose() {
            Purpose::Render(Update::CaughtUp(cursor)) => Some(events::checkpoint(*cursor)),
            _ => events::event(ctx, event(ctx)?),
        }
    }
}

fn event(ctx: &Ctx) -> Option<&LiveEvent> {
    match ctx.purpose() {
        Purpose::Render(Update::Event(event)) => Some(event),
        _ => None,
    }
}
